//! Instruction counts of the hot loops under callgrind: unlike times they repeat on a noisy machine, so a regression shows.
//! Run by `scripts/bench-instructions.sh`. Only the calling thread is counted, so what runs on the thread pool isn't here. Valgrind knows AVX2 but not AVX-512, which matches the kernels.
#![allow(missing_docs, reason = "the macros write functions that nobody calls")]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use zhiyin_core::Interaction;
use zhiyin_models::{
    Dataset, ItemFacts, Model, Query, Scores,
    cooccurrence::{self, Cooccurrence},
    dataset::NoHistories,
    ials::{self, Ials},
    kernels,
    linear::{self, LinearModel},
    slist::{self, Slist},
};

/// Length of the vectors: the catalogue of a middle-sized shop.
const LENGTH: usize = 10_000;
/// Items of the models, few enough to fit under callgrind in seconds.
const ITEMS: u32 = 500;
/// Length of the scored history.
const HISTORY: u32 = 20;

fn vectors() -> (Vec<f32>, Vec<f32>) {
    let vector = |phase: usize| (0..LENGTH).map(|i| ((i * 37 + phase) % 101) as f32 / 101.0).collect();
    (vector(0), vector(53))
}

fn dataset() -> Dataset {
    let row = |u: u32| (0..8).map(move |k| Interaction::plain((u * 7 + k * k) % ITEMS, 1_000_000 + u * 600 + k * 60));
    let rows: Vec<Vec<Interaction>> = (0..2_000).map(|u| row(u).collect()).collect();
    let items = (0..ITEMS).map(|item| ItemFacts {
        categories: vec![item / 20],
        price: 1.0 + (item % 50) as f32,
        ..ItemFacts::default()
    });
    Dataset::from_histories(items.collect(), rows.iter().map(Vec::as_slice))
}

fn history() -> Vec<Interaction> {
    (0..HISTORY).map(|k| Interaction::plain((k * 31) % ITEMS, 2_000_000 + k * 60)).collect()
}

struct Scoring<M> {
    model: M,
    history: Vec<Interaction>,
    scores: Scores,
}

impl<M: Model> Scoring<M> {
    /// Scores once before the count, so that no buffer grows within it.
    fn warm(model: M) -> Self {
        let mut scoring = Self { model, history: history(), scores: Scores::new(ITEMS as usize) };
        scoring.run();
        scoring
    }

    /// Scores once and gives itself back: what a benchmark returns is dropped outside the count.
    fn scored(mut self) -> Self {
        black_box(self.run());
        self
    }

    fn run(&mut self) -> f32 {
        let Self { model, history, scores } = self;
        let query =
            Query { history, actor: None, segment: None, friends: &[], now_s: 2_002_000, histories: &NoHistories };
        scores.reset(ITEMS as usize);
        model.score(black_box(&query), scores);
        scores.get(7)
    }
}

#[library_benchmark(setup = vectors)]
fn dot((a, b): (Vec<f32>, Vec<f32>)) -> f32 {
    black_box(kernels::dot(black_box(&a), black_box(&b)))
}

#[library_benchmark(setup = vectors)]
fn axpy((a, mut b): (Vec<f32>, Vec<f32>)) -> Vec<f32> {
    kernels::axpy(black_box(0.5), black_box(&a), &mut b);
    black_box(b)
}

#[library_benchmark(setup = vectors)]
fn sum_and_sum_of_squares((a, _): (Vec<f32>, Vec<f32>)) -> (f32, f32) {
    black_box(kernels::sum_and_sum_of_squares(black_box(&a)))
}

fn panel() -> (Vec<u32>, Vec<f32>, Vec<f32>) {
    let (values, panel) = vectors();
    let rows = (0..400).map(|i| i * 13 % (panel.len() / kernels::PANEL_WIDTH) as u32).collect();
    (rows, values, panel)
}

#[library_benchmark(setup = panel)]
fn sparse_times_panel((rows, values, panel): (Vec<u32>, Vec<f32>, Vec<f32>)) -> [f32; kernels::PANEL_WIDTH] {
    black_box(kernels::sparse_times_panel(black_box(&rows), &values, &panel))
}

fn fitted_slist() -> Option<Scoring<Slist>> {
    Slist::fit(&dataset(), &slist::Params { input_decay: 20.0, ..slist::Params::default() }).ok().map(Scoring::warm)
}

#[library_benchmark(setup = fitted_slist)]
fn slist_score(scoring: Option<Scoring<Slist>>) -> Option<Scoring<Slist>> {
    scoring.map(Scoring::scored)
}

fn fitted_ials() -> Option<Scoring<Ials>> {
    Ials::fit(&dataset(), &ials::Params { epochs: 1, ..ials::Params::default() }).ok().map(Scoring::warm)
}

#[library_benchmark(setup = fitted_ials)]
fn ials_score(scoring: Option<Scoring<Ials>>) -> Option<Scoring<Ials>> {
    scoring.map(Scoring::scored)
}

fn fitted_linear() -> Option<Scoring<LinearModel>> {
    LinearModel::fit(&dataset(), &linear::Params::default()).ok().map(Scoring::warm)
}

#[library_benchmark(setup = fitted_linear)]
fn linear_score(scoring: Option<Scoring<LinearModel>>) -> Option<Scoring<LinearModel>> {
    scoring.map(Scoring::scored)
}

fn fitted_cooccurrence() -> Scoring<Cooccurrence> {
    Scoring::warm(Cooccurrence::fit(&dataset(), &cooccurrence::Params::default()))
}

#[library_benchmark(setup = fitted_cooccurrence)]
fn cooccurrence_score(scoring: Scoring<Cooccurrence>) -> Scoring<Cooccurrence> {
    scoring.scored()
}

library_benchmark_group!(
    name = hot_loops,
    benchmarks = [
        dot,
        axpy,
        sum_and_sum_of_squares,
        sparse_times_panel,
        slist_score,
        ials_score,
        linear_score,
        cooccurrence_score,
    ]
);
main!(library_benchmark_groups = [hot_loops]);
