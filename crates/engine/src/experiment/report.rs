//! What an experiment found: for programs as JSON, for people as a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cost::Cost;

/// What was evaluated on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetSize {
    /// Name of the file or folder.
    pub name: String,
    /// Users (or sessions).
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Interactions.
    pub events: usize,
}

/// The whole result of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was evaluated on.
    pub dataset: DatasetSize,
    /// Name of the protocol.
    pub protocol: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Whether items of the history were left out of the rankings.
    pub history_masked: bool,
    /// One row a model (and arm and reading, where the protocol has them).
    pub results: Vec<ModelResult>,
    /// Differences between the fusion and every other row, on the same cases.
    pub paired: Vec<PairedDifference>,
    /// Models that could not be evaluated, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
}

/// How one model did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// Name of the model.
    pub model: String,
    /// Prequential only: `frozen`, `fresh` or `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// Prequential only: events of one timestamp as a `sequence` or `simultaneous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<String>,
    /// Number of cases.
    pub cases: usize,
    /// Mean of each metric, such as `hr@10`.
    pub metrics: BTreeMap<String, f64>,
    /// 95 % bootstrap interval of each accuracy metric, over users.
    pub ci95: BTreeMap<String, (f64, f64)>,
    /// Wall seconds of the fit.
    pub fit_seconds: f64,
    /// CPU seconds of the fit.
    pub cpu_seconds: f64,
    /// Wall and CPU seconds that choosing the hyper-parameters took.
    pub tuning: Cost,
    /// Settings that were tried.
    pub trials: usize,
    /// Microseconds to score the whole catalogue for one user, on one core.
    pub score_microseconds_per_user: f64,
    /// Largest resident memory of the process up to the end of this model's evaluation.
    pub peak_rss_bytes: u64,
    /// The chosen hyper-parameters; for the fusion its weights.
    pub params: Value,
}

/// A difference between two models on the same cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The first model (with arm and reading).
    pub model: String,
    /// The one that it is compared with.
    pub against: String,
    /// The metric.
    pub metric: String,
    /// Mean of first minus second.
    pub difference: f64,
    /// Its 95 % interval.
    pub ci95: (f64, f64),
}

impl ModelResult {
    /// Model, arm and reading in one name.
    pub fn label(&self) -> String {
        let parts = [Some(&self.model), self.arm.as_ref(), self.reading.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// A metric as text with its interval's half-width, such as `.0827 ±.0036`.
    pub fn cell(&self, metric: &str) -> String {
        let Some(mean) = self.metrics.get(metric) else { return String::new() };
        match self.ci95.get(metric) {
            Some((low, high)) => format!("{} ±{}", short(*mean), short((high - low) / 2.0)),
            None => short(*mean),
        }
    }
}

/// Four decimals without the leading zero.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.strip_prefix('0').map_or(text.clone(), str::to_owned)
}

impl Report {
    /// Names of the accuracy metrics, in the order of the table's columns.
    pub fn accuracy_metrics(&self) -> Vec<String> {
        let mut names: Vec<String> = self.results.iter().flat_map(|row| row.ci95.keys().cloned()).collect();
        names.sort_by_key(|name| metric_order(name));
        names.dedup();
        names
    }
}

/// Order of metrics in tables: by family, then by cut-off, qualified ones after the plain ones.
fn metric_order(name: &str) -> (String, usize, usize) {
    const FAMILIES: [&str; 6] = ["hr", "ndcg", "mrr", "recall", "precision", "map"];
    let (base, qualifier) = name.split_once(':').unwrap_or((name, ""));
    let (family, cut) = base.split_once('@').unwrap_or((base, "0"));
    let rank = FAMILIES.iter().position(|known| *known == family).unwrap_or(FAMILIES.len());
    (qualifier.to_owned(), cut.parse().unwrap_or(0), rank)
}
