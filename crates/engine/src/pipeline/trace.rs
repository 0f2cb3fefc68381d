//! The whole way of one answer, for people who ask why.

use std::{collections::BTreeMap, time::Instant};

use zhiyin_core::ItemIx;

use super::{
    Buffers, Run,
    eligible::Eligibility,
    explain::Explainer,
    select::{Selected, Slot},
    wish::WISH,
};
use crate::{
    rank::{Scratch, best_items, scored},
    request::{Explain, HydrateTrace, RemovedItem, ScoreTrace, SourceTrace, Trace},
};

/// Newest items of the history that a trace names.
const HISTORY_SHOWN: usize = 10;
/// Best items of each source that a trace names.
const BEST_SHOWN: usize = 5;
/// Removed items that a trace names.
const REMOVED_SHOWN: usize = 50;

/// Times the stages, if somebody will look at the times.
pub(super) struct Stopwatch {
    last: Option<Instant>,
    laps: Vec<(&'static str, f32)>,
}

impl Stopwatch {
    pub(super) fn start(explain: Explain) -> Self {
        Self { last: (explain == Explain::Trace).then(Instant::now), laps: Vec::new() }
    }

    /// Ends a stage.
    pub(super) fn lap(&mut self, stage: &'static str) {
        let Some(last) = &mut self.last else { return };
        let now = Instant::now();
        self.laps.push((stage, (now - *last).as_secs_f32() * 1e6));
        *last = now;
    }
}

/// Everything that happened on the way to `list`.
pub(super) fn trace(
    run: &Run<'_>,
    explainer: &Explainer<'_>,
    eligibility: &Eligibility<'_>,
    buffers: &Buffers,
    list: &[Selected],
    watch: Stopwatch,
) -> Trace {
    let scratch = &buffers.scratch;
    Trace {
        hydrate: hydrated(run),
        sources: (0..run.fusion.sources.len()).map(|place| source(run, scratch, place)).collect(),
        removed: removed(run, eligibility, scratch, list),
        scores: list.iter().map(|selected| scores(run, explainer, buffers, selected)).collect(),
        selection: list.iter().enumerate().filter_map(|(place, selected)| note(place, selected)).collect(),
        stage_microseconds: watch.laps.into_iter().map(|(stage, time)| (stage.to_owned(), time)).collect(),
    }
}

fn id(run: &Run<'_>, item: ItemIx) -> String {
    run.state.items.get(item).map_or_else(|| format!("deleted item {item}"), |row| row.id.to_string())
}

fn hydrated(run: &Run<'_>) -> HydrateTrace {
    let newest = run.asker.history.iter().rev().take(HISTORY_SHOWN);
    HydrateTrace {
        actor: run.asker.named.to_owned(),
        history: newest.map(|event| id(run, event.item)).collect(),
        history_length: run.asker.history.len(),
        segment: run.asker.segment.and_then(|number| run.state.items.segments().label(number)).map(str::to_owned),
        friends: run.asker.friends.len(),
        disliked: run.asker.negatives.iter().map(|&item| id(run, item)).collect(),
    }
}

fn source(run: &Run<'_>, scratch: &Scratch, place: usize) -> SourceTrace {
    let scores = &scratch.sources[place];
    let best = best_items(scored(scores.values()), BEST_SHOWN, |item| scores.get(item) != 0.0);
    SourceTrace {
        name: run.fusion.sources[place].clone(),
        status: scratch.status(place, run.fusion.is_used(place)).to_owned(),
        weight: run.fusion.weights[place],
        candidates: scores.values().iter().filter(|&&score| score != 0.0).count(),
        best: best.into_iter().map(|item| (id(run, item), scores.get(item))).collect(),
        microseconds: scratch.microseconds.get(place).copied().unwrap_or(0.0),
    }
}

/// Items that scored as well as the list's worst one but may not be shown.
fn removed(run: &Run<'_>, eligibility: &Eligibility<'_>, scratch: &Scratch, list: &[Selected]) -> Vec<RemovedItem> {
    let ranked = list.iter().filter(|selected| selected.slot == Slot::Ranked);
    let worst = ranked.map(|selected| selected.score).fold(f32::INFINITY, f32::min);
    let would_be_in = |item: ItemIx| scratch.fused.get(item) >= worst || worst.is_infinite();
    let values = scratch.fused.values();
    let candidates =
        best_items(scored(values), REMOVED_SHOWN, |item| would_be_in(item) && eligibility.objection(item).is_some());
    let with_reason =
        candidates.into_iter().filter_map(|item| eligibility.objection(item).map(|reason| (item, reason)));
    with_reason
        .map(|(item, reason)| RemovedItem {
            item: id(run, item),
            score: values[item as usize],
            reason: reason.to_owned(),
        })
        .collect()
}

fn scores(run: &Run<'_>, explainer: &Explainer<'_>, buffers: &Buffers, selected: &Selected) -> ScoreTrace {
    let scratch = &buffers.scratch;
    let mut values = BTreeMap::new();
    let mut contributions = BTreeMap::new();
    for (place, name) in run.fusion.sources.iter().enumerate().filter(|(place, _)| run.fusion.is_used(*place)) {
        values.insert(name.clone(), scratch.sources[place].get(selected.item));
        contributions.insert(name.clone(), explainer.contribution(place, selected.item, scratch));
    }
    let loss = run.engine.config().recommend.dislike_penalty * buffers.dislikes.get(selected.item);
    let score = scratch.fused.get(selected.item);
    if loss != 0.0 && score != 0.0 {
        contributions.insert("dislikes".to_owned(), -loss);
    }
    let likeness = buffers.likeness.get(selected.item);
    if likeness != 0.0 {
        contributions.insert(WISH.to_owned(), likeness);
    }
    ScoreTrace { item: id(run, selected.item), score, values, contributions }
}

fn note(place: usize, selected: &Selected) -> Option<String> {
    match selected.slot {
        Slot::Ranked => None,
        Slot::Cold => Some(format!("position {}: slot for a cold item, propensity {}", place + 1, selected.propensity)),
        Slot::Backfill => Some(format!("position {}: backfilled, no source knew more", place + 1)),
    }
}
