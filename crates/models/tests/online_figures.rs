//! Figures of the count-based models on public data, where `../shared/data` is there: guards that a change doesn't make them worse.

#![allow(clippy::print_stderr, reason = "tells that a test had nothing to work on, and the figures")]

use std::{collections::HashMap, path::PathBuf};

use zhiyin_core::Interaction;
use zhiyin_models::{
    Dataset, ItemFacts, Model, Query, Scores, bayes::Bayes, cooccurrence::Cooccurrence, markov::Markov,
    session_knn::SessionKnn, user_knn::UserKnn,
};

/// The text of an optional data file, relative to `../shared/data`.
fn optional(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        eprintln!("skipped: ../shared/data/{name} isn't there");
    }
    text
}

/// Hit rate and NDCG or MRR at a cut-off.
#[derive(Default, Debug)]
struct Figure {
    queries: f64,
    hits: f64,
    gain: f64,
}

impl Figure {
    fn add(&mut self, rank: usize, cut: usize, gain: impl Fn(f64) -> f64) {
        self.queries += 1.0;
        if rank <= cut {
            self.hits += 1.0;
            self.gain += gain(rank as f64);
        }
    }

    fn means(&self) -> (f64, f64) {
        (self.hits / self.queries, self.gain / self.queries)
    }
}

/// Rank of the target from 1 among all items but the masked ones; half of those that tie with it are before it.
fn rank(scores: &Scores, target: u32, masked: &[Interaction]) -> usize {
    let wanted = scores.get(target);
    let place = |value: f32| (usize::from(value > wanted), usize::from(value == wanted));
    let mut counts = scores.values().iter().fold((0, 0), |sum, &value| {
        let (above, ties) = place(value);
        (sum.0 + above, sum.1 + ties)
    });
    let mut seen: Vec<u32> = masked.iter().map(|event| event.item).collect();
    seen.sort_unstable();
    seen.dedup();
    for item in seen {
        let (above, ties) = place(scores.get(item));
        counts = (counts.0 - above, counts.1 - ties);
    }
    counts.0 + counts.1.saturating_sub(1) / 2 + 1
}

/// Histories of a file of lines `user item item …`, oldest first.
fn sequences(text: &str) -> Vec<Vec<Interaction>> {
    let event = |(item, at): (&str, u32)| Interaction::plain(item.parse().unwrap(), 20_000 * 86_400 + at);
    text.lines().map(|line| line.split_whitespace().skip(1).zip(1..).map(event).collect()).collect()
}

fn dataset(rows: &[Vec<Interaction>], held_out: usize) -> Dataset {
    let n_items = rows.iter().flatten().map(|event| event.item as usize + 1).max().unwrap_or(0);
    Dataset::from_histories(vec![ItemFacts::default(); n_items], rows.iter().map(|row| &row[..row.len() - held_out]))
}

/// Leave-one-out: all but the last two events train, the last one is predicted from all before it.
fn leave_one_out(rows: &[Vec<Interaction>], train: &Dataset, model: &dyn Model, every: usize) -> (f64, f64) {
    let mut scores = Scores::new(train.n_items());
    let mut figure = Figure::default();
    for (actor, row) in rows.iter().enumerate().step_by(every) {
        let (history, target) = (&row[..row.len() - 1], row[row.len() - 1]);
        let query = Query {
            history,
            actor: Some(actor as u32),
            segment: None,
            friends: &[],
            now_s: target.time_s,
            histories: train,
        };
        scores.reset(train.n_items());
        model.score(&query, &mut scores);
        figure.add(rank(&scores, target.item, history), 10, |rank| 1.0 / (rank + 1.0).log2());
    }
    figure.means()
}

fn check(model: &dyn Model, figure: (f64, f64), bar: (f64, f64)) {
    eprintln!("{}: {:.4} / {:.4}", model.name(), figure.0, figure.1);
    assert!(figure.0 >= bar.0 && figure.1 >= bar.1, "{} gives {figure:?}, the bar is {bar:?}", model.name());
}

#[test]
fn beauty_leave_one_out() {
    let Some(text) = optional("amazon-beauty/Beauty.txt") else { return };
    let rows = sequences(&text);
    let train = dataset(&rows, 2);
    let cooccurrence = Cooccurrence::fit(&train, &Default::default());
    check(&cooccurrence, leave_one_out(&rows, &train, &cooccurrence, 1), (0.073, 0.046));
    let others: [Box<dyn Model>; 3] = [
        Box::new(Markov::fit(&train, &Default::default())),
        Box::new(Bayes::fit(&train, &Default::default())),
        Box::new(UserKnn::fit(&train, &Default::default())),
    ];
    for (model, bar) in others.iter().zip([(0.060, 0.037), (0.060, 0.037), (0.057, 0.032)]) {
        check(model.as_ref(), leave_one_out(&rows, &train, model.as_ref(), 10), bar);
    }
}

/// Sessions of a tab-separated file, items numbered in `numbers`; unknown ones are added or left out.
fn sessions(text: &str, numbers: &mut HashMap<String, u32>, adds: bool) -> Vec<Vec<Interaction>> {
    let mut rows: Vec<Vec<Interaction>> = Vec::new();
    let mut last = "";
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields[0] != last {
            rows.push(Vec::new());
            last = fields[0];
        }
        let fresh = numbers.len() as u32;
        let item = if adds {
            Some(*numbers.entry(fields[1].into()).or_insert(fresh))
        } else {
            numbers.get(fields[1]).copied()
        };
        let time_s = fields[2].parse::<f64>().unwrap() as u32;
        rows.last_mut().unwrap().extend(item.map(|item| Interaction::plain(item, time_s)));
    }
    rows.iter_mut().for_each(|row| row.sort_by_key(|event| event.time_s));
    rows
}

/// Iterative revealing: each prefix of a session predicts its next item, repeats allowed. HR@20, MRR@20.
fn reveal(tests: &[Vec<Interaction>], train: &Dataset, model: &dyn Model) -> (f64, f64) {
    let mut scores = Scores::new(train.n_items());
    let mut figure = Figure::default();
    for row in tests {
        for at in 1..row.len() {
            let (history, target) = (&row[..at], row[at]);
            let query =
                Query { history, actor: None, segment: None, friends: &[], now_s: target.time_s, histories: train };
            scores.reset(train.n_items());
            model.score(&query, &mut scores);
            figure.add(rank(&scores, target.item, &[]), 20, |rank| 1.0 / rank);
        }
    }
    figure.means()
}

#[test]
fn yoochoose_sessions() {
    let files =
        ["yoochoose-100k/yoochoose-clicks-100k_train_full.txt", "yoochoose-100k/yoochoose-clicks-100k_test.txt"];
    let [Some(train), Some(test)] = files.map(optional) else { return };
    let mut numbers = HashMap::new();
    let train = dataset(&sessions(&train, &mut numbers, true), 0);
    let tests = sessions(&test, &mut numbers, false);
    let model = SessionKnn::fit(&train, &Default::default());
    check(&model, reveal(&tests, &train, &model), (0.67, 0.36));
}
