//! Metrics of ranked cases with their intervals.

use std::{cmp::Reverse, collections::BTreeMap};

use zhiyin_core::ItemIx;
use zhiyin_evaluation::{bootstrap, lists, metrics};
use zhiyin_models::{Dataset, ItemFacts};

use super::report::ModelResult;
use crate::rank::Case;

/// What is kept of one scored case.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Ranks of the targets, from 1, ties counting half.
    pub ranks: Vec<f64>,
    /// Ranks among the cold items only, if the protocol asks.
    pub cold_only_ranks: Vec<f64>,
    /// The best items, best first.
    pub top: Vec<ItemIx>,
}

/// A measure of the ranks of a case's targets at a cut-off.
type Metric = fn(&[f64], usize) -> f64;

/// Accuracy of each case: one row a metric, one column a case.
#[derive(Clone, Debug, Default)]
pub struct Accuracy {
    /// Value of each case by metric name; not a number where the case doesn't count.
    pub rows: BTreeMap<String, Vec<f64>>,
}

impl Accuracy {
    /// Hit rate, NDCG, MRR, recall, precision and MAP of ranks at every cut-off, under names with this qualifier.
    pub fn add<'a>(
        &mut self,
        qualifier: &str,
        cut_offs: &[usize],
        ranks: impl Iterator<Item = Option<&'a [f64]>> + Clone,
    ) {
        for &k in cut_offs {
            let families: [(&str, Metric); 6] = [
                ("hr", metrics::hr_at),
                ("ndcg", metrics::ndcg_at),
                ("mrr", metrics::mrr_at),
                ("recall", metrics::recall_at),
                ("precision", metrics::precision_at),
                ("map", metrics::average_precision_at),
            ];
            for (family, metric) in families {
                let values = ranks.clone().map(|ranks| ranks.map_or(f64::NAN, |ranks| metric(ranks, k)));
                self.rows.insert(format!("{family}@{k}{qualifier}"), values.collect());
            }
        }
    }
}

impl Accuracy {
    /// Writes means and intervals into a row.
    pub fn complete(&self, row: &mut ModelResult, units: &[u32], seed: u64) {
        row.cases = self.rows.values().map(Vec::len).max().unwrap_or(0);
        for (name, values) in &self.rows {
            if let Some((mean, ci95)) = interval(values, units, seed) {
                row.metrics.insert(name.clone(), mean);
                row.ci95.insert(name.clone(), ci95);
            }
        }
    }
}

/// What lists are judged by besides accuracy.
pub struct Beyond<'a> {
    items: &'a [ItemFacts],
    n_categories: usize,
    counts: Vec<u64>,
    users: u64,
    vectors: Vec<f32>,
    dimensions: usize,
}

impl<'a> Beyond<'a> {
    /// Judges lists by what the training part says of items; `vectors` are unit vectors of the items.
    pub fn new(data: &'a Dataset, vectors: Vec<f32>, dimensions: usize) -> Self {
        let categories = data.items.iter().flat_map(|item| &item.categories);
        Self {
            items: &data.items,
            n_categories: categories.max().map_or(0, |last| *last as usize + 1),
            counts: data.item_counts().into_iter().map(u64::from).collect(),
            users: data.n_actors() as u64,
            vectors,
            dimensions,
        }
    }

    /// What the list of each case is like, one row a metric; miscalibration isn't a number where the history has no categories.
    pub fn rows(&self, cases: &[Case<'_>], judged: &[Judged], depth: usize) -> BTreeMap<String, Vec<f64>> {
        let expected = self.most_popular(depth);
        let row = |measure: &dyn Fn(&Case<'_>, &[ItemIx]) -> f64| {
            cases.iter().zip(judged).map(|(case, judged)| measure(case, &judged.top)).collect()
        };
        let named: [(&str, Vec<f64>); 5] = [
            ("diversity", row(&|_, list| lists::intra_list_diversity(list, &self.vectors, self.dimensions))),
            ("novelty", row(&|_, list| lists::novelty(list, &self.counts, self.users))),
            ("popularity", row(&|_, list| lists::average_popularity(list, &self.counts))),
            ("serendipity", row(&|case, list| lists::serendipity(list, &case.targets, &expected))),
            ("miscalibration", row(&|case, list| self.miscalibration(case, list))),
        ];
        named.into_iter().map(|(name, values)| (format!("{name}@{depth}"), values)).collect()
    }

    fn most_popular(&self, depth: usize) -> Vec<ItemIx> {
        let mut items: Vec<ItemIx> = (0..self.counts.len() as ItemIx).collect();
        items.sort_by_key(|item| Reverse(self.counts[*item as usize]));
        items.truncate(depth);
        items
    }

    fn miscalibration(&self, case: &Case<'_>, list: &[ItemIx]) -> f64 {
        let categories = |item: ItemIx| self.items[item as usize].categories.as_slice();
        let history: Vec<ItemIx> = case.history.iter().map(|event| event.item).collect();
        if history.iter().all(|item| categories(*item).is_empty()) {
            return f64::NAN;
        }
        lists::miscalibration(&history, list, categories, self.n_categories)
    }

    /// What all lists of `depth` items are like together: coverage and concentration.
    pub fn together(&self, lists: &[Vec<ItemIx>], depth: usize) -> BTreeMap<String, f64> {
        let coverage = lists::coverage(lists, self.counts.len());
        let gini = lists::gini(&lists::exposures(lists, self.counts.len()));
        BTreeMap::from([(format!("coverage@{depth}"), coverage), (format!("gini@{depth}"), gini)])
    }
}

/// Mean and 95 % interval of a row over its units.
pub fn interval(row: &[f64], units: &[u32], seed: u64) -> Option<(f64, (f64, f64))> {
    let (values, weights) = by_unit(row, units);
    if values.is_empty() {
        return None;
    }
    let summary = bootstrap::ratio_interval(&values, &weights, seed);
    Some((summary.mean, (summary.low, summary.high)))
}

/// Sums and counts of the cases of each unit, leaving out cases that don't count.
fn by_unit(row: &[f64], units: &[u32]) -> (Vec<f64>, Vec<f64>) {
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for (&value, &unit) in row.iter().zip(units).filter(|(value, _)| !value.is_nan()) {
        let entry = sums.entry(unit).or_default();
        entry.0 += value;
        entry.1 += 1.0;
    }
    sums.into_values().unzip()
}
