//! `zhiyin evaluate`: measures the models on a data set under a protocol.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum, builder::PossibleValuesParser, builder::TypedValueParser};
use zhiyin_core::Problem;
use zhiyin_engine::{
    config::Tune,
    experiment::{
        self, ExperimentConfig, ExperimentData, ModelResult, PairedDifference, Protocol, Report, WITHOUT_TEXT, html,
    },
};

use super::import::SourceArguments;
use crate::{
    encoders, experiment_data,
    output::{self, Align},
    progress::BarProgress,
};

/// Arguments of `zhiyin evaluate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The data set; for protocol given use --train and --test.
    #[arg(long, value_name = "PATH", required_unless_present = "train", conflicts_with = "train")]
    data: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArguments,
    /// How the data is split.
    #[arg(long, value_parser = protocols())]
    protocol: Protocol,
    /// For protocol given: the part to learn from.
    #[arg(long, value_name = "FILE", requires = "test")]
    train: Option<PathBuf>,
    /// For protocol given: the part to measure on.
    #[arg(long, value_name = "FILE", requires = "train")]
    test: Option<PathBuf>,
    /// Models to measure; all without it.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Encoder of item texts, for the model text, or none [default: the pulled one].
    #[arg(long, value_name = "NAME")]
    encoder: Option<String>,
    /// Cut-offs of the metrics.
    #[arg(long, value_delimiter = ',', default_value = "5,10,20")]
    k: Vec<usize>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How much is tried to choose hyper-parameters on the validation part.
    #[arg(long, value_enum, default_value_t = Effort::Quick)]
    tune: Effort,
    /// For protocol prequential: how many events are predicted at most.
    #[arg(long, value_name = "N", default_value_t = ExperimentConfig::new(Protocol::Prequential).predictions_max)]
    predictions_max: usize,
    /// Write the result as JSON into this file; - for standard output, without the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts into this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Effort {
    /// Defaults only.
    None,
    /// One pass over each hyper-parameter on a sample of users.
    Quick,
    /// Passes until nothing improves, on all users.
    Full,
}

impl From<Effort> for Tune {
    fn from(effort: Effort) -> Self {
        match effort {
            Effort::None => Self::None,
            Effort::Quick => Self::Quick,
            Effort::Full => Self::Full,
        }
    }
}

fn protocols() -> impl TypedValueParser<Value = Protocol> {
    let unknown = || anyhow!("no such protocol");
    PossibleValuesParser::new(Protocol::NAMES.map(|(name, _)| name))
        .try_map(move |name| Protocol::named(&name).ok_or_else(unknown))
}

/// Measures, prints and writes.
///
/// # Errors
/// Files that cannot be read or written; data that doesn't suit the protocol.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut data = read(arguments)?;
    if wants_vectors(&arguments.models) || arguments.encoder.is_some() {
        encoders::equip(&mut data, arguments.encoder.as_deref())?;
    }
    let config = ExperimentConfig {
        models: arguments.models.clone(),
        cut_offs: arguments.k.clone(),
        seed: arguments.seed,
        tune: arguments.tune.into(),
        predictions_max: arguments.predictions_max,
        ..ExperimentConfig::new(arguments.protocol)
    };
    let progress = BarProgress::new("evaluating");
    let report = experiment::run(&data, &config, &progress);
    progress.finish();
    let report = report?;
    let is_piped = arguments.json.as_deref() == Some(Path::new("-"));
    if is_piped {
        output::json(&report)?;
    } else {
        print(&report, &arguments.k);
    }
    if let Some(path) = arguments.json.as_ref().filter(|_| !is_piped) {
        fs_err::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &arguments.html {
        fs_err::write(path, html::page(&report))?;
    }
    Ok(())
}

/// Whether any of the models reads item texts through an encoder.
fn wants_vectors(models: &[String]) -> bool {
    models.is_empty() || models.iter().any(|model| matches!(model.as_str(), "text" | "fusion" | WITHOUT_TEXT))
}

fn read(arguments: &Arguments) -> Result<ExperimentData> {
    let is_given = arguments.protocol == Protocol::Given;
    match (&arguments.data, &arguments.train, &arguments.test) {
        (Some(data), ..) if !is_given => experiment_data::load(&arguments.source.source(data)),
        (_, Some(train), Some(test)) if is_given => {
            experiment_data::load_pair(&arguments.source.source(train), &arguments.source.source(test))
        }
        _ => {
            let rule = "protocol given takes --train and --test, every other one takes --data";
            Err(Problem::field("--protocol", rule, "see `zhiyin evaluate --help`").into())
        }
    }
}

/// Prints the result as tables, with the accuracy at the cut-offs `ks` (all of them when the result has none of these).
pub fn print(report: &Report, ks: &[usize]) {
    let size = &report.dataset;
    let variant = common_variant(&report.results);
    output::say(format_args!(
        "{}, {}{}: {} users, {} items, {} events, seed {}; ± are half-widths of 95 % bootstrap intervals over users",
        size.name,
        report.protocol,
        variant.as_ref().map_or_else(String::new, |variant| format!(" ({variant})")),
        output::count(size.users as u64),
        output::count(size.items as u64),
        output::count(size.events as u64),
        report.seed
    ));
    let metrics = shown_metrics(report, ks);
    let mut columns = vec![("model", Align::Left)];
    columns.extend(metrics.iter().map(|name| (name.as_str(), Align::Right)));
    columns.extend([("fit s", Align::Right), ("tuning s", Align::Right), ("µs/user", Align::Right)]);
    let label = |row: &ModelResult| if variant.is_some() { row.model.clone() } else { row.label() };
    output::say(output::table(&columns, report.results.iter().map(|row| cells(label(row), row, &metrics))));
    print_differences(report, &metrics);
    for (model, reason) in &report.skipped {
        output::say(format_args!("{model} was left out: {reason}"));
    }
}

/// Arm and reading, if there are any and all rows have the same.
fn common_variant(rows: &[ModelResult]) -> Option<String> {
    let variant = |row: &ModelResult| [row.arm.clone(), row.reading.clone()];
    let first = variant(rows.first()?);
    let parts: Vec<String> = first.iter().flatten().cloned().collect();
    (!parts.is_empty() && rows.iter().all(|row| variant(row) == first)).then(|| parts.join(", "))
}

/// HR and NDCG at the cut-offs, MRR at the largest, with what qualifies them. Recall and the rest are in the JSON.
fn shown_metrics(report: &Report, ks: &[usize]) -> Vec<String> {
    let all = report.accuracy_metrics();
    let parts = |name: &String| -> Option<(String, usize)> {
        let (family, cut) = name.split(':').next()?.split_once('@')?;
        Some((family.to_owned(), cut.parse().ok()?))
    };
    let known: Vec<usize> = all.iter().filter_map(parts).map(|(_, k)| k).filter(|k| ks.contains(k)).collect();
    let largest = known.iter().max().copied();
    let is_shown = |name: &&String| match parts(name) {
        Some((family, k)) => {
            let wanted = largest.is_none() || known.contains(&k);
            wanted
                && (family == "hr"
                    || family == "ndcg"
                    || (family == "mrr" && largest.is_none_or(|largest| k == largest)))
        }
        None => true,
    };
    all.iter().filter(is_shown).cloned().collect()
}

fn cells(label: String, row: &ModelResult, metrics: &[String]) -> Vec<String> {
    let mut cells = vec![label];
    cells.extend(metrics.iter().map(|metric| row.cell(metric)));
    let costs = [row.fit_seconds, row.tuning.seconds].map(|seconds| format!("{seconds:.2}"));
    cells.extend(costs);
    cells.push(format!("{:.0}", row.score_microseconds_per_user));
    cells
}

/// One row per pair, in the first NDCG that is shown, or in whatever the pairs were measured by.
fn print_differences(report: &Report, metrics: &[String]) {
    let has = |metric: &&String| report.paired.iter().any(|pair| pair.metric == **metric);
    let metric = metrics.iter().filter(|name| name.starts_with("ndcg")).find(has);
    let is_shown = |pair: &&PairedDifference| metric.is_none_or(|metric| pair.metric == *metric);
    if report.paired.is_empty() {
        return;
    }
    let columns = [
        ("difference of", Align::Left),
        ("to", Align::Left),
        ("in", Align::Left),
        ("mean", Align::Right),
        ("95 % interval", Align::Right),
    ];
    let rows = report.paired.iter().filter(is_shown).map(|pair| {
        let interval = format!("{:+.4} to {:+.4}", pair.ci95.0, pair.ci95.1);
        vec![
            pair.model.clone(),
            pair.against.clone(),
            pair.metric.clone(),
            format!("{:+.4}", pair.difference),
            interval,
        ]
    });
    output::say("");
    output::say(output::table(&columns, rows));
}
