//! The port to durable storage: one writer that commits batches, any number of readers.
//!
//! Every change of durable data goes through [`Storage::commit`], which is one transaction. After it returned, the batch survives a
//! crash of the process and of the machine.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ActorIx, Decision, Event, ExternalId, Item, ItemIx, User, clock::Millis};

/// Place of an event in the log. Rises strictly; the first is 1.
pub type Position = u64;

/// A user or an anonymous session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActorKind {
    /// A user, known across sessions.
    User,
    /// An anonymous session.
    Session,
}

/// A row of the table of actors.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorRow {
    /// Dense number.
    pub ix: ActorIx,
    /// User or session. Their names live in separate spaces.
    pub kind: ActorKind,
    /// The client's name.
    pub id: ExternalId,
    /// For a session: the user whom it was tied to.
    pub linked_user: Option<ActorIx>,
    /// For a user: what is known besides events. None for sessions.
    pub user: Option<User>,
}

/// A row of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRow {
    /// Dense number.
    pub ix: ItemIx,
    /// The item; none if it was deleted (its number stays taken).
    pub item: Option<Item>,
}

/// An event with the dense numbers that the engine resolved for it.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedEvent {
    /// The event.
    pub event: Event,
    /// Whose history it belongs to: the user if one is named, else the session.
    pub actor: ActorIx,
    /// The item's number.
    pub item: Option<ItemIx>,
}

/// An event as it is read back from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    /// Its place.
    pub position: Position,
    /// The event and its numbers.
    pub staged: StagedEvent,
}

/// An event that cleaning refused, kept apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RejectedEvent {
    /// When it arrived.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub received_ms: Millis,
    /// Name of the rule that refused it.
    pub rule: String,
    /// What was wrong, for a person.
    pub reason: String,
    /// The event as it was sent (JSON, cut at a limit).
    pub body: String,
}

/// Everything that one transaction writes, in this order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New or changed actors (by `ix`).
    pub actors: Vec<ActorRow>,
    /// New, changed or deleted items (by `ix`).
    pub items: Vec<ItemRow>,
    /// Events to append. One whose id the log already has is skipped.
    pub events: Vec<StagedEvent>,
    /// Refused events to keep apart.
    pub rejected: Vec<RejectedEvent>,
    /// Decisions to append. One whose id is known is skipped, and so is one for an actor that does not exist (any more): erasure is
    /// final.
    pub decisions: Vec<Decision>,
    /// How far an import has come with this batch: hash of the file, and the line to go on from.
    pub import_mark: Option<(String, u64)>,
    /// Whether a power loss may still take the batch until [`Storage::sync`] or a later batch that isn't deferred.
    pub deferred: bool,
}

/// The first numbers that were never given out. What lies below stays taken, even when what carried it was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HighWater {
    /// Number for the next new actor; 0 in an empty store.
    pub next_actor: ActorIx,
    /// Number for the next new item; 0 in an empty store.
    pub next_item: ItemIx,
    /// Place that the next event will get; 1 in an empty store.
    pub next_position: Position,
}

/// What became of one event of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, at this place.
    At(Position),
    /// The log already had an event with its id.
    Duplicate,
}

/// Counts of decisions and their outcomes for one name within a window. An outcome counts once per decision and item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Items shown.
    pub impressions: u64,
    /// Shown items that were clicked or viewed afterwards.
    pub clicks: u64,
    /// Shown items that were put into a cart.
    pub carts: u64,
    /// Shown items that were bought. A return does not take this back.
    pub purchases: u64,
    /// Money from all purchases of shown items, repeated ones included, returns subtracted; kept in whole millionths.
    pub revenue: f64,
}

impl OutcomeCounts {
    /// Click-through rate: clicks per impression, 0 without impressions.
    pub fn ctr(&self) -> f64 {
        ratio(self.clicks, self.impressions)
    }

    /// Conversion rate: purchases per impression, 0 without impressions. Per impression and not per click, because a shown item may be
    /// bought without a click on it; so it is at most 1.
    pub fn cvr(&self) -> f64 {
        ratio(self.purchases, self.impressions)
    }
}

#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Outcome counts by source or by model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRow {
    /// `source` or `model`.
    pub dimension: String,
    /// Name of the source or version of the model.
    pub name: String,
    /// The counts.
    pub counts: OutcomeCounts,
}

/// What a deletion removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Erased {
    /// Events removed from the log.
    pub events: u64,
    /// Decisions removed from the log.
    pub decisions: u64,
    /// Actors (the user and the tied sessions) removed.
    pub actors: u64,
}

/// Durable storage.
pub trait Storage: Send + Sync {
    /// Writes a batch in one transaction; durable when it returns (unless it is deferred), nothing is written when it fails. Appending events is idempotent
    /// by their id. The answer has one entry per event of the batch. Events may only name actors and items that this batch or an
    /// earlier one wrote, and an event that names an item must carry its number.
    fn commit(&self, batch: &Batch) -> Result<Vec<Appended>, StorageError>;

    /// Makes all batches durable that were deferred.
    fn sync(&self) -> Result<(), StorageError>;

    /// Up to `limit` events after `after`, in order.
    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StorageError>;

    /// All events of these actors, in order of position.
    fn events_of(&self, actors: &[ActorIx]) -> Result<Vec<LoggedEvent>, StorageError>;

    /// Position of the last event, 0 for an empty log. Erasure may lower it; [`HighWater::next_position`] never falls.
    fn last_position(&self) -> Result<Position, StorageError>;

    /// Up to `limit` actors with `ix >= from`, by number.
    fn actors_from(&self, from: ActorIx, limit: usize) -> Result<Vec<ActorRow>, StorageError>;

    /// Up to `limit` items with `ix >= from`, by number, deleted ones included.
    fn items_from(&self, from: ItemIx, limit: usize) -> Result<Vec<ItemRow>, StorageError>;

    /// Up to `limit` rejected events, newest first, older than `before` (a row number from an earlier answer) if given.
    fn rejected(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, RejectedEvent)>, StorageError>;

    /// Up to `limit` decisions made within the window, in order of time, after `after` if given.
    fn decisions(
        &self,
        window_ms: Range<Millis>,
        after: Option<crate::DecisionId>,
        limit: usize,
    ) -> Result<Vec<Decision>, StorageError>;

    /// Outcome counts of the decisions made within the window (widened to whole hours), by source and by model, sorted by dimension
    /// and name. An event belongs to the decision that it names if that decision exists and shows the event's item, in whatever
    /// order the two arrived, and counts in the hour of the decision.
    fn outcomes(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, StorageError>;

    /// Removes these actors, their events, decisions and outcome counts in one transaction, and the rejected events that name them.
    /// Sessions of others that were tied to one of them are untied. Numbers that are not known are passed over.
    fn erase(&self, actors: &[ActorIx]) -> Result<Erased, StorageError>;

    /// The first actor, item and place that are free. The engine numbers new actors and items from here on.
    fn high_water(&self) -> Result<HighWater, StorageError>;

    /// How far the import of the file with this hash has come ([`Batch::import_mark`]), if it was begun.
    fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, StorageError>;
}

/// Why storage failed.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The disk has no room. Nothing was written; free some space and send again.
    #[error("no space left for {path}: nothing was written; free some space and try again")]
    Full {
        /// The file that could not grow.
        path: String,
    },
    /// The file is damaged. Nothing is overwritten.
    #[error("{path} is damaged ({detail}): nothing was changed; {remedy}")]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        detail: String,
        /// The way out.
        remedy: String,
    },
    /// The file or its folder cannot be written or opened.
    #[error("cannot open {path}: {detail}; {remedy}")]
    Unusable {
        /// The file.
        path: String,
        /// What the system said.
        detail: String,
        /// The way out.
        remedy: String,
    },
    /// Anything else that the database reports.
    #[error("storage failed: {0}")]
    Other(String),
}
