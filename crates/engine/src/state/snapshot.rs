//! The part of the state that a snapshot keeps, and its bytes.
//!
//! A snapshot saves replaying the log; the log stays the truth. The catalogue, profiles and ties are not in it: they are rows of the
//! store, and what the content model knows is rebuilt from them. Layout: [`MAGIC`], version (u32), length of the payload (u64),
//! BLAKE3 of the payload (32 bytes), payload (postcard); numbers are little-endian. Files are [`crate::snapshots`]' business.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zhiyin_core::{
    ActorIx, Interaction, ItemIx, Problem,
    storage::{ActorRow, Position},
};
use zhiyin_models::{content::Content, dataset::Labels};

use super::{Actor, OnlineState, Sequence};
use crate::online::OnlineModels;

/// First bytes of every snapshot.
pub(crate) const MAGIC: [u8; 8] = *b"ZHIYINST";
/// Version of the payload's layout. It changes with any change of what is serialised, models included.
pub(crate) const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;

/// What an actor contributed and is remembered for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ActorPart {
    segment: Option<u32>,
    history: Vec<Interaction>,
    negatives: Vec<(ItemIx, u32)>,
    evicted: bool,
    cut: bool,
    last_s: u32,
}

/// The payload.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Place of the last event that it holds.
    pub position: Position,
    events: u64,
    newest_s: u32,
    meaning: String,
    segments: Labels,
    /// By number; none for erased ones.
    actors: Vec<Option<ActorPart>>,
    interactions: Vec<u64>,
    models: OnlineModels,
}

/// Why bytes are no usable snapshot.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The bytes are no snapshot, or not a whole one, or changed.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Another version of the program wrote them.
    #[error("it has version {found}, this program reads version {VERSION}")]
    Version {
        /// The version that they have.
        found: u32,
    },
    /// It is sound but doesn't belong to this store and configuration.
    #[error("it does not fit: {0}")]
    Misfit(&'static str),
}

impl Snapshot {
    fn of(state: &OnlineState) -> Self {
        let mut models = state.models.clone();
        models.content = Content::new(models.content.params().clone());
        let part = |actor: &Actor| ActorPart {
            segment: actor.segment,
            history: actor.history.clone(),
            negatives: actor.negatives.clone(),
            evicted: actor.evicted,
            cut: actor.cut,
            last_s: actor.last_s,
        };
        let numbers = 0..ActorIx::try_from(state.actors.len()).unwrap_or(ActorIx::MAX);
        Self {
            position: state.position,
            events: state.events,
            newest_s: state.newest_s,
            meaning: state.meaning.fingerprint(),
            segments: state.items.segments().clone(),
            actors: numbers.map(|ix| state.actors.get(ix).map(part)).collect(),
            interactions: state.items.all_interactions().to_vec(),
            models,
        }
    }

    /// Reads and checks bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (header, payload) = bytes.split_at_checked(HEADER_BYTES).ok_or(Unreadable::Damaged("it is cut off"))?;
        if header[..8] != MAGIC {
            return Err(Unreadable::Damaged("it does not begin like a snapshot"));
        }
        let found = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if found != VERSION {
            return Err(Unreadable::Version { found });
        }
        if header[12..20] != (payload.len() as u64).to_le_bytes() {
            return Err(Unreadable::Damaged("its length is not what it says"));
        }
        if header[20..] != blake3::hash(payload).as_bytes()[..] {
            return Err(Unreadable::Damaged("its checksum is not what it says"));
        }
        postcard::from_bytes(payload).map_err(|_| Unreadable::Damaged("its content cannot be decoded"))
    }

    /// Puts it into a state that has the catalogue and nothing else, together with the rows of the actors. It must have passed
    /// [`Snapshot::check`].
    ///
    /// Returns the rows whose profile puts the user into another segment than the snapshot does; they must be put again once the
    /// users are complete.
    pub(crate) fn restore(self, state: &mut OnlineState, rows: &[ActorRow]) -> Vec<ActorRow> {
        state.position = self.position;
        state.events = self.events;
        state.newest_s = self.newest_s;
        *state.items.segments_mut() = self.segments;
        state.items.set_all_interactions(self.interactions);
        let content = std::mem::replace(&mut state.models, self.models).content;
        state.models.content = content;
        // Names and segments first, so that putting the profiles folds nothing.
        for row in rows {
            state.actors.insert(row);
        }
        for (ix, part) in (0..).zip(self.actors) {
            if let Some(part) = part {
                restore_actor(state, ix, part);
            }
        }
        let (moved, same): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(|row| state.changes_segment(row));
        state.put_actors(&same);
        moved
    }

    /// Whether it belongs to this store (its catalogue is in `state`, its actors are `rows`) and configuration.
    pub(crate) fn check(&self, state: &OnlineState, rows: &[ActorRow]) -> Result<(), Unreadable> {
        if self.meaning != state.meaning.fingerprint() {
            return Err(Unreadable::Misfit("the configuration of events has changed since"));
        }
        if self.models.params() != state.models.params() {
            return Err(Unreadable::Misfit("the hyper-parameters have changed since"));
        }
        if self.interactions.len() > state.items.len() {
            return Err(Unreadable::Misfit("it knows items that the store doesn't have"));
        }
        let exists = |ix: ActorIx| rows.binary_search_by_key(&ix, |row| row.ix).is_ok();
        if (0..).zip(&self.actors).any(|(ix, part)| part.is_some() && !exists(ix)) {
            return Err(Unreadable::Misfit("it knows actors that the store doesn't have"));
        }
        Ok(())
    }
}

fn restore_actor(state: &mut OnlineState, ix: ActorIx, part: ActorPart) {
    state.actors.load(ix, Sequence { history: part.history, negatives: part.negatives });
    if let Some(actor) = state.actors.get_mut(ix) {
        actor.segment = part.segment;
        actor.evicted = part.evicted;
        actor.cut = part.cut;
        actor.last_s = part.last_s;
    }
}

/// The bytes of a state's snapshot.
///
/// # Errors
/// A model that cannot be serialised, which is a defect.
pub(crate) fn encode(state: &OnlineState) -> Result<Vec<u8>, Problem> {
    let payload = postcard::to_stdvec(&Snapshot::of(state))
        .map_err(|error| Problem::field("snapshot", format!("cannot be serialised: {error}"), "report this defect"))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(blake3::hash(&payload).as_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}
