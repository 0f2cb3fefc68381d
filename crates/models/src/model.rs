//! What a model is.

use thiserror::Error;
use zhiyin_core::{ActorIx, Interaction, ItemIx};

use crate::{Dataset, Histories, Scores};

/// For whom and when items are scored.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The positive interactions of the actor, oldest first, the current item (if any) last.
    pub history: &'a [Interaction],
    /// The actor, to leave them out of their own neighbours.
    pub actor: Option<ActorIx>,
    /// Segment of the actor, if known.
    pub segment: Option<u32>,
    /// The actor's friends.
    pub friends: &'a [ActorIx],
    /// The time of the request, in seconds since 1970 UTC.
    pub now_s: u32,
    /// Histories of the other actors.
    pub histories: &'a dyn Histories,
}

/// Why an item has its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An item of the actor's history.
    History(ItemIx),
    /// A named feature or prior, such as `popularity` or `price_fit`.
    Feature(&'static str),
    /// What reviews say of an aspect that the actor writes about, by its number in the reader's list.
    Aspect(zhiyin_core::AspectIx),
    /// Other actors whose histories resemble this one's.
    Neighbours,
    /// Friends of the actor.
    Friends,
}

/// A part of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// What it comes from.
    pub cause: Cause,
    /// How much it adds.
    pub amount: f32,
}

/// Scores items. Higher is better; 0 means nothing known. Scores of different models aren't comparable until [`crate::fusion`]
/// standardises them.
pub trait Model: Send + Sync {
    /// The name by which it is chosen and reported.
    fn name(&self) -> &'static str;

    /// Adds this model's scores to `scores`, which the caller has reset to the catalogue's size. Items beyond the catalogue that the
    /// model was fitted on score 0. Costs no allocation that grows with the catalogue.
    fn score(&self, query: &Query<'_>, scores: &mut Scores);

    /// The parts of one item's score; they sum to what [`Model::score`] gives it, up to rounding.
    fn explain(&self, query: &Query<'_>, item: ItemIx) -> Vec<Contribution>;

    /// [`Model::explain`] for each of several items, for models that look up the same things for all of them.
    fn explain_each(&self, query: &Query<'_>, items: &[ItemIx]) -> Vec<Vec<Contribution>> {
        items.iter().map(|&item| self.explain(query, item)).collect()
    }

    /// Bytes of memory that it holds, approximately.
    fn bytes(&self) -> usize;
}

/// One event as online models see it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Whose event it is.
    pub actor: ActorIx,
    /// The actor's segment, if known.
    pub segment: Option<u32>,
    /// The actor's interactions before it, oldest first, at most [`zhiyin_core::limits::FOLD_WINDOW_MAX`].
    pub past: &'a [Interaction],
    /// The event.
    pub event: Interaction,
}

/// A model made of exact counts.
///
/// Folding any sequence of steps and unfolding some of them leaves the state equal (bit for bit) to having folded only the others:
/// an actor is forgotten by unfolding every step of theirs, each with the `past` that it was folded with.
pub trait Online: Model {
    /// Learns one event.
    fn fold(&mut self, step: &Step<'_>);

    /// Forgets one event.
    fn unfold(&mut self, step: &Step<'_>);
}

/// Folds a whole set, in order of time.
pub fn fold_dataset(model: &mut dyn Online, data: &Dataset) {
    for (actor, place) in data.in_time_order() {
        let history = data.of(actor);
        let (past, rest) = history.split_at(place as usize);
        let past = crate::dataset::latest(past, zhiyin_core::limits::FOLD_WINDOW_MAX);
        model.fold(&Step { actor, segment: data.segment(actor), past, event: rest[0] });
    }
}

/// Why a model could not be fitted.
#[derive(Debug, Error, PartialEq)]
pub enum FitError {
    /// There is nothing to learn from.
    #[error(
        "{model} cannot be fitted: the training data has {found}, it needs {needed}; import or collect more events"
    )]
    TooLittleData {
        /// The model's name.
        model: &'static str,
        /// What there is.
        found: String,
        /// What it needs.
        needed: &'static str,
    },
    /// The catalogue exceeds what the model's mathematics affords.
    #[error("{model} handles at most {items_max} items, the catalogue has {items}; use ials for large catalogues")]
    CatalogueTooLarge {
        /// The model's name.
        model: &'static str,
        /// Items there are.
        items: usize,
        /// Items it handles.
        items_max: usize,
    },
    /// The numbers broke down.
    #[error("{model} cannot be fitted: {detail}; raise its regularisation")]
    Numerical {
        /// The model's name.
        model: &'static str,
        /// What happened.
        detail: String,
    },
}
