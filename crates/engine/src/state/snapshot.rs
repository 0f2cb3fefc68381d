//! The part of the state that a snapshot keeps, and its bytes.
//!
//! A snapshot saves replaying the log; the log stays the truth. The catalogue, profiles and ties are not in it: they are rows of the
//! store, and what the content model knows is rebuilt from them. Layout: [`MAGIC`], version (u32), length of the payload (u64),
//! BLAKE3 of the payload (32 bytes), payload (postcard); numbers are little-endian. Files are [`crate::snapshots`]' business.

use std::{
    borrow::Cow,
    io::{self, BufWriter, Seek, SeekFrom, Write},
};

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
use zhiyin_core::{
    ActorIx, Interaction, ItemIx,
    storage::{ActorRow, Position},
};
use zhiyin_models::dataset::Labels;

use super::{Actor, Actors, OnlineState, Sequence};
use crate::online::OnlineModels;

/// First bytes of every snapshot.
pub(crate) const MAGIC: [u8; 8] = *b"ZHIYINST";
/// Version of the payload's layout. It changes with any change of what is serialised, models included.
pub(crate) const VERSION: u32 = 2;
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;
/// Bytes that go to the file at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What an actor contributed and is remembered for.
#[derive(Serialize, Deserialize)]
pub(crate) struct ActorPart<'a> {
    segment: Option<u32>,
    history: Cow<'a, [Interaction]>,
    negatives: Cow<'a, [(ItemIx, u32)]>,
    evicted: bool,
    cut: bool,
    last_s: u32,
}

impl<'a> ActorPart<'a> {
    fn of(actor: &'a Actor) -> Self {
        Self {
            segment: actor.segment,
            history: Cow::Borrowed(&actor.history),
            negatives: Cow::Borrowed(&actor.extras.negatives),
            evicted: actor.evicted,
            cut: actor.cut,
            last_s: actor.last_s,
        }
    }
}

/// The parts of all actors, made one after the other while they are written.
struct PartsOf<'a>(&'a Actors);

impl Serialize for PartsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = 0..ActorIx::try_from(self.0.len()).unwrap_or(ActorIx::MAX);
        serializer.collect_seq(numbers.map(|ix| self.0.get(ix).map(ActorPart::of)))
    }
}

/// The payload. It borrows from the state that it is made of, which may be most of the memory there is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot<'a, Parts = Vec<Option<ActorPart<'a>>>> {
    /// Place of the last event that it holds.
    pub position: Position,
    events: u64,
    newest_s: u32,
    meaning: String,
    reader: String,
    segments: Cow<'a, Labels>,
    /// By number; none for erased ones.
    actors: Parts,
    interactions: Cow<'a, [u64]>,
    models: Cow<'a, OnlineModels>,
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

impl<'a> Snapshot<'a, PartsOf<'a>> {
    fn of(state: &'a OnlineState) -> Self {
        Self {
            position: state.position,
            events: state.events,
            newest_s: state.newest_s,
            meaning: state.meaning.fingerprint(),
            reader: state.listener.version().to_owned(),
            segments: Cow::Borrowed(state.items.segments()),
            actors: PartsOf(&state.actors),
            interactions: Cow::Borrowed(state.items.all_interactions()),
            models: Cow::Borrowed(&state.models),
        }
    }
}

impl Snapshot<'_> {
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
        *state.items.segments_mut() = self.segments.into_owned();
        state.items.set_all_interactions(self.interactions.into_owned());
        let content = std::mem::replace(&mut state.models, self.models.into_owned()).content;
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
        if self.reader != state.listener.version() {
            return Err(Unreadable::Misfit("reviews are read by another reader since"));
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

fn restore_actor(state: &mut OnlineState, ix: ActorIx, part: ActorPart<'_>) {
    let (history, negatives) = (part.history.into_owned(), part.negatives.into_owned());
    state.actors.load(ix, Sequence { history, negatives });
    if let Some(actor) = state.actors.get_mut(ix) {
        actor.segment = part.segment;
        actor.evicted = part.evicted;
        actor.cut = part.cut;
        actor.last_s = part.last_s;
    }
}

/// Writes a state's snapshot without holding a copy of it: the payload goes through the hash to the file, the header follows at the end.
///
/// # Errors
/// `out` cannot be written, or a model cannot be serialised, which is a defect.
pub(crate) fn write(state: &OnlineState, out: &mut (impl Write + Seek)) -> io::Result<()> {
    out.write_all(&[0; HEADER_BYTES])?;
    let mut hashed = Hashed { out: &mut *out, hasher: blake3::Hasher::new(), bytes: 0, failure: None };
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut hashed);
    let written = postcard::to_io(&Snapshot::of(state), &mut buffered).map(|_| ()).map_err(io::Error::other);
    let written = written.and_then(|()| buffered.flush());
    // Otherwise the buffer would try once more.
    drop(buffered.into_parts());
    // The serialiser hides why it couldn't write, and a full disk has to be told apart.
    written.map_err(|error| hashed.failure.take().unwrap_or(error))?;
    let (bytes, hash) = (hashed.bytes, hashed.hasher.finalize());
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&[&MAGIC[..], &VERSION.to_le_bytes(), &bytes.to_le_bytes(), hash.as_bytes()].concat())
}

/// Hashes and counts what passes through.
struct Hashed<'a, W> {
    out: &'a mut W,
    hasher: blake3::Hasher,
    bytes: u64,
    /// What went wrong last.
    failure: Option<io::Error>,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(error);
            io::Error::from(kind)
        })?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
