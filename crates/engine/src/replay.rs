//! Replay of a stretch of time: predict every event from what was known before it, then learn it. It is how the system is used, so
//! training weighs the sources by it and the prequential evaluation reports it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zhiyin_core::{ActorIx, Interaction, ItemIx, limits};
use zhiyin_models::{Dataset, Histories, Model, Query, Scores, Step, dataset::latest};

use crate::{learn::Learned, rank::Case};

/// How events of one timestamp are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// In the order of the data: each is known when the next is predicted (completing a basket).
    Sequence,
    /// At once: none is known when another is predicted (the next basket).
    Simultaneous,
}

impl Reading {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Reading::Sequence => "sequence",
            Reading::Simultaneous => "simultaneous",
        }
    }
}

/// An event of a data set: whose, and its place in their history.
type EventRef = (ActorIx, u32);

/// The histories of a data set up to a moment.
pub struct Prefixes<'a> {
    data: &'a Dataset,
    lengths: Vec<u32>,
}

impl<'a> Prefixes<'a> {
    /// What was known before the events from `order[cut]` on.
    pub fn before(data: &'a Dataset, order: &[EventRef], cut: usize) -> Self {
        let mut lengths = vec![0; data.n_actors()];
        for &(actor, _) in &order[..cut] {
            lengths[actor as usize] += 1;
        }
        Self { data, lengths }
    }

    fn advance(&mut self, actor: ActorIx) {
        self.lengths[actor as usize] += 1;
    }

    /// The known part of a history, with the lifetime of the data.
    pub fn known(&self, actor: ActorIx) -> &'a [Interaction] {
        let length = self.lengths.get(actor as usize).copied().unwrap_or(0);
        &self.data_of(actor)[..length as usize]
    }

    fn data_of(&self, actor: ActorIx) -> &'a [Interaction] {
        self.data.of(actor)
    }

    /// The known parts as a data set of their own, for fitting.
    pub fn dataset(&self) -> Dataset {
        let histories = (0..self.data.n_actors() as ActorIx).map(|actor| self.known(actor));
        let mut set = Dataset::from_histories(self.data.items.clone(), histories);
        set.segments.clone_from(&self.data.segments);
        set.friends.clone_from(&self.data.friends);
        set.vectors.clone_from(&self.data.vectors);
        set.opinions = Arc::clone(&self.data.opinions);
        set
    }
}

impl Histories for Prefixes<'_> {
    fn of(&self, actor: ActorIx) -> &[Interaction] {
        self.known(actor)
    }
}

/// A stretch of events to replay: `order[from..to]`, of which every `every`-th is predicted.
#[derive(Clone, Copy)]
pub struct Stretch<'a> {
    /// The data.
    pub data: &'a Dataset,
    /// All its events by time, see [`Dataset::in_time_order`].
    pub order: &'a [EventRef],
    /// First event of the stretch.
    pub from: usize,
    /// End of the stretch.
    pub to: usize,
    /// How events of one timestamp are read.
    pub reading: Reading,
    /// Distance of predicted events.
    pub every: usize,
}

/// A prediction that is due: the case, and the scores that each source of the line-up gave, in its order.
pub struct Prediction<'a> {
    /// The case.
    pub case: Case<'a>,
    /// Scores by source.
    pub per_source: &'a [Scores],
    /// Number of the prediction within the stretch.
    pub number: u64,
}

impl<'a> Stretch<'a> {
    /// The predicted events as cases whose histories are live (up to the event) or frozen (as of the start of the stretch).
    pub fn cases(&self, is_live: bool) -> Vec<Case<'a>> {
        let start = Prefixes::before(self.data, self.order, self.from);
        let predicted = (self.from..self.to).step_by(self.every.max(1)).map(|at| self.order[at]);
        let case = |(actor, place): EventRef| {
            let history = if is_live { self.visible(actor, place) } else { start.known(actor) };
            self.case(actor, place, history)
        };
        predicted.map(case).collect()
    }

    /// Replays the stretch: calls `judge` for every predicted event with the scores of `models`, which then learn it if they can.
    ///
    /// `models` know everything before the stretch when it begins and everything up to its end when it ends.
    pub fn run(&self, models: &mut [Learned], mut judge: impl FnMut(Prediction<'_>)) {
        let mut prefixes = Prefixes::before(self.data, self.order, self.from);
        let mut per_source: Vec<Scores> = models.iter().map(|_| Scores::new(self.data.n_items())).collect();
        let mut at = self.from;
        while at < self.to {
            let end = self.group_end(at);
            for number in (at..end).filter(|number| (number - self.from).is_multiple_of(self.every.max(1))) {
                let (actor, place) = self.order[number];
                let case = self.case(actor, place, self.visible(actor, place));
                self.score(models, &case, &prefixes, &mut per_source);
                let number = ((number - self.from) / self.every.max(1)) as u64;
                judge(Prediction { case, per_source: &per_source, number });
            }
            for &(actor, place) in &self.order[at..end] {
                learn(models, &self.step(actor, place));
                prefixes.advance(actor);
            }
            at = end;
        }
    }

    /// End of the events that are predicted before any of them is learned.
    fn group_end(&self, at: usize) -> usize {
        let time_of = |(actor, place): EventRef| self.data.of(actor)[place as usize].time_s;
        match self.reading {
            Reading::Sequence => at + 1,
            Reading::Simultaneous => {
                let now = time_of(self.order[at]);
                self.order[at..self.to]
                    .iter()
                    .position(|&event| time_of(event) != now)
                    .map_or(self.to, |more| at + more)
            }
        }
    }

    /// What is known of the actor's own history when an event is predicted.
    fn visible(&self, actor: ActorIx, place: u32) -> &'a [Interaction] {
        let history = self.data.of(actor);
        let place = place as usize;
        match self.reading {
            Reading::Sequence => &history[..place],
            Reading::Simultaneous => {
                let now = history[place].time_s;
                &history[..history[..place].partition_point(|event| event.time_s < now)]
            }
        }
    }

    fn case(&self, actor: ActorIx, place: u32, history: &'a [Interaction]) -> Case<'a> {
        let event = self.data.of(actor)[place as usize];
        Case {
            actor: Some(actor),
            segment: self.data.segment(actor),
            history: latest(history, limits::HISTORY_MAX),
            targets: vec![event.item],
            now_s: event.time_s,
        }
    }

    fn step(&self, actor: ActorIx, place: u32) -> Step<'a> {
        let history = self.data.of(actor);
        let past = latest(&history[..place as usize], limits::FOLD_WINDOW_MAX);
        Step { actor, segment: self.data.segment(actor), past, event: history[place as usize] }
    }

    fn score(&self, models: &[Learned], case: &Case<'_>, histories: &Prefixes<'_>, per_source: &mut [Scores]) {
        let query = Query {
            history: case.history,
            actor: case.actor,
            segment: case.segment,
            friends: case.actor.map_or(&[], |actor| self.data.friends_of(actor)),
            now_s: case.now_s,
            histories,
        };
        for (model, scores) in models.iter().zip(per_source) {
            scores.reset(self.data.n_items());
            model.model().score(&query, scores);
        }
    }
}

fn learn(models: &mut [Learned], step: &Step<'_>) {
    for model in models.iter_mut().filter_map(Learned::online) {
        model.fold(step);
    }
}

/// Distinct items of a history, sorted: what a ranking that masks the history leaves out.
pub fn distinct_items(history: &[Interaction]) -> Vec<ItemIx> {
    let mut items: Vec<ItemIx> = history.iter().map(|event| event.item).collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// The line-up of fitted models.
pub fn lineup(models: &[Learned]) -> Vec<Option<&dyn Model>> {
    models.iter().map(|learned| Some(learned.model())).collect()
}
