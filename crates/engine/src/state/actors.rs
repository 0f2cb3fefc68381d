//! Users and anonymous sessions in memory, by dense number, with their histories.
//!
//! Histories are the part whose size is bounded in bytes: beyond the bound those that were not used for longest are dropped from
//! memory ([`Actor::evicted`]) and read from the log when they are needed again.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use ahash::{AHashMap, RandomState};
use hashbrown::HashTable;
use zhiyin_core::{
    ActorIx, ExternalId, Interaction, User,
    capacity::make_room,
    limits,
    storage::{ActorKind, ActorRow},
};
use zhiyin_models::Histories;

use super::{Actor, actor::Extra, sequence::Sequence};

/// Share of the bytes bound that is left after an eviction, so that evictions come in bulk.
const KEPT_PERCENT: usize = 90;

/// All actors. Numbers of erased ones stay empty.
#[derive(Debug, Default)]
pub struct Actors {
    rows: Vec<Option<Actor>>,
    names: HashTable<ActorIx>,
    hasher: RandomState,
    /// Users who named a friend that doesn't exist (yet), by the friend's name.
    awaited: AHashMap<ExternalId, Vec<ActorIx>>,
    /// When each actor was used last, in ticks. Readers write it too.
    used: Vec<AtomicU32>,
    tick: u32,
    users: usize,
    sessions: usize,
    history_bytes: usize,
    evictions: u64,
}

impl Actors {
    /// The number of a user or session.
    pub fn find(&self, kind: ActorKind, id: &str) -> Option<ActorIx> {
        let named = |&ix: &ActorIx| self.get(ix).is_some_and(|actor| actor.kind == kind && actor.id.as_str() == id);
        self.names.find(self.hasher.hash_one((kind, id)), named).copied()
    }

    /// An actor; none if it was erased or is unknown.
    pub fn get(&self, ix: ActorIx) -> Option<&Actor> {
        self.rows.get(ix as usize)?.as_ref()
    }

    /// Size of arrays by actor: erased ones count.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there never was an actor.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Users that exist.
    pub fn users(&self) -> usize {
        self.users
    }

    /// Sessions that exist.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Bytes of histories in memory.
    pub fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// Bytes of everything else, approximately.
    pub fn row_bytes(&self) -> usize {
        // Names take their text and an entry of the table besides the row; profiles and friends are few.
        self.rows.capacity() * (size_of::<Option<Actor>>() + size_of::<AtomicU32>()) + self.names.len() * (32 + 8)
    }

    /// How many histories were dropped from memory since the start.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Notes that an actor's history is used, so that it stays in memory.
    pub fn touch(&self, ix: ActorIx) {
        if let Some(used) = self.used.get(ix as usize) {
            used.store(self.tick, Ordering::Relaxed);
        }
    }

    /// Whether the histories of all these actors are in memory. Notes that they are used.
    pub fn are_in_memory(&self, actors: &[ActorIx]) -> bool {
        actors.iter().for_each(|&ix| self.touch(ix));
        actors.iter().all(|&ix| self.get(ix).is_none_or(|actor| !actor.evicted))
    }

    /// The user and all tied sessions that belong together with an actor, the user first.
    pub fn group(&self, ix: ActorIx) -> Vec<ActorIx> {
        let main = self.get(ix).and_then(|actor| actor.linked_user).unwrap_or(ix);
        let sessions = self.get(main).map_or(&[][..], |actor| &actor.extras.sessions);
        std::iter::once(main).chain(sessions.iter().copied()).collect()
    }

    pub(super) fn get_mut(&mut self, ix: ActorIx) -> Option<&mut Actor> {
        self.rows.get_mut(ix as usize)?.as_mut()
    }

    /// Creates an actor that doesn't exist.
    pub(super) fn insert(&mut self, row: &ActorRow) {
        let at = row.ix as usize;
        if at >= self.rows.len() {
            make_room(&mut self.rows);
            make_room(&mut self.used);
            self.rows.resize_with(at + 1, || None);
            self.used.resize_with(at + 1, AtomicU32::default);
        }
        if self.rows[at].is_some() {
            return;
        }
        self.rows[at] = Some(Actor::new(row));
        self.touch(row.ix);
        let (rows, hasher) = (&self.rows, &self.hasher);
        let hash = |&ix: &ActorIx| {
            rows[ix as usize].as_ref().map_or(0, |actor| hasher.hash_one((actor.kind, actor.id.as_str())))
        };
        self.names.insert_unique(hash(&row.ix), row.ix, hash);
        match row.kind {
            ActorKind::User => self.users += 1,
            ActorKind::Session => self.sessions += 1,
        }
        if row.kind == ActorKind::User {
            self.welcome(row.ix, &row.id);
        }
    }

    /// A user came into being: those who named them as a friend have them as a friend now.
    fn welcome(&mut self, ix: ActorIx, id: &ExternalId) {
        for waiting in self.awaited.remove(id.as_str()).unwrap_or_default() {
            if let Some(actor) = self.get_mut(waiting) {
                actor.extras.change(|extra| insert_sorted(&mut extra.friends, ix));
            }
        }
    }

    /// Ties a session to a user for good; a session that is tied already stays with its first user.
    pub(super) fn tie(&mut self, session: ActorIx, user: ActorIx) {
        let free = self.get(session).is_some_and(|actor| actor.linked_user.is_none());
        if !free || self.get(user).is_none() {
            return;
        }
        if let Some(actor) = self.get_mut(session) {
            actor.linked_user = Some(user);
        }
        if let Some(actor) = self.get_mut(user) {
            actor.extras.change(|extra| insert_sorted(&mut extra.sessions, session));
        }
    }

    /// Sets what is known of a user.
    pub(super) fn set_profile(&mut self, ix: ActorIx, user: &User) {
        self.forget_friends(ix);
        for friend in &user.friends {
            match self.find(ActorKind::User, friend.as_str()) {
                Some(friend) => {
                    if let Some(actor) = self.get_mut(ix) {
                        actor.extras.change(|extra| insert_sorted(&mut extra.friends, friend));
                    }
                }
                None => insert_sorted(self.awaited.entry(friend.clone()).or_default(), ix),
            }
        }
        let known = !user.attributes.is_empty() || !user.friends.is_empty();
        if let Some(actor) = self.get_mut(ix) {
            actor.extras.change(|extra| extra.profile = known.then(|| Arc::new(user.clone())));
        }
    }

    fn forget_friends(&mut self, ix: ActorIx) {
        let Some(actor) = self.get_mut(ix) else { return };
        let forget = |extra: &mut Extra| {
            extra.friends.clear();
            extra.profile.take()
        };
        let Some(profile) = actor.extras.change(forget) else { return };
        for friend in &profile.friends {
            if let Some(waiting) = self.awaited.get_mut(friend.as_str()) {
                waiting.retain(|&known| known != ix);
                if waiting.is_empty() {
                    self.awaited.remove(friend.as_str());
                }
            }
        }
    }

    /// Removes an actor without a trace but its number.
    pub(super) fn remove(&mut self, ix: ActorIx) {
        self.forget_friends(ix);
        let Some(actor) = self.rows.get_mut(ix as usize).and_then(Option::take) else { return };
        self.history_bytes -= actor.history_bytes();
        let hash = self.hasher.hash_one((actor.kind, actor.id.as_str()));
        if let Ok(entry) = self.names.find_entry(hash, |&known| known == ix) {
            entry.remove();
        }
        match actor.kind {
            ActorKind::User => self.users -= 1,
            ActorKind::Session => self.sessions -= 1,
        }
        self.untie(ix, &actor);
    }

    fn untie(&mut self, ix: ActorIx, gone: &Actor) {
        if let Some(user) = gone.linked_user.and_then(|user| self.get_mut(user)) {
            user.extras.change(|extra| extra.sessions.retain(|&session| session != ix));
        }
        for &session in &gone.extras.sessions {
            if let Some(session) = self.get_mut(session) {
                session.linked_user = None;
            }
        }
        if gone.kind == ActorKind::User {
            self.unfriend(ix, &gone.id);
        }
    }

    /// Takes a user out of the friends of all others. Those whose profile still names them wait for a later user of that name.
    fn unfriend(&mut self, ix: ActorIx, id: &ExternalId) {
        let mut former = Vec::new();
        for (actor, number) in self.rows.iter_mut().zip(0..) {
            let Some(actor) = actor else { continue };
            if let Ok(at) = actor.extras.friends.binary_search(&ix) {
                actor.extras.change(|extra| extra.friends.remove(at));
                former.push(number);
            }
        }
        if !former.is_empty() {
            self.awaited.insert(id.clone(), former);
        }
    }

    /// Rows of all users who name `id` as a friend, without it.
    pub(crate) fn without_friend(&self, id: &str) -> Vec<ActorRow> {
        let rows = self.rows.iter().zip(0..).filter_map(|(actor, ix)| Some((actor.as_ref()?, ix)));
        let naming = rows.filter_map(|(actor, ix)| {
            let mut user = actor.extras.profile.as_deref()?.clone();
            let named = user.friends.len();
            user.friends.retain(|friend| friend.as_str() != id);
            let (kind, id) = (actor.kind, actor.id.clone());
            (user.friends.len() < named).then_some(ActorRow { ix, kind, id, linked_user: None, user: Some(user) })
        });
        naming.collect()
    }

    /// Changes an actor's history and keeps count of the bytes.
    pub(super) fn change<T>(&mut self, ix: ActorIx, change: impl FnOnce(&mut Actor) -> T) -> Option<T> {
        let tick = self.tick;
        let actor = self.rows.get_mut(ix as usize)?.as_mut()?;
        let before = actor.history_bytes();
        let result = change(actor);
        self.history_bytes = self.history_bytes - before + actor.history_bytes();
        self.used[ix as usize].store(tick, Ordering::Relaxed);
        Some(result)
    }

    /// Puts a whole effective sequence back into memory. [`Actors::trim`] cuts it to size.
    pub(super) fn load(&mut self, ix: ActorIx, sequence: Sequence) {
        self.change(ix, |actor| {
            actor.history = sequence.history;
            actor.extras.change(|extra| extra.negatives = sequence.negatives);
            actor.evicted = false;
            actor.cut = false;
        });
    }

    /// Cuts a history to [`limits::HISTORY_MAX`].
    pub(super) fn trim(&mut self, ix: ActorIx) {
        let surplus = self.get(ix).map_or(0, |actor| actor.history.len().saturating_sub(limits::HISTORY_MAX));
        if surplus > 0 {
            self.change(ix, |actor| {
                actor.history.drain(..surplus);
                actor.history.shrink_to(2 * limits::HISTORY_MAX);
                actor.cut = true;
            });
        }
    }

    /// Passes to the next tick and, if histories take more than `bytes_max`, drops those that were not used for longest.
    pub(super) fn evict(&mut self, bytes_max: usize) {
        self.tick = self.tick.wrapping_add(1);
        if self.history_bytes <= bytes_max {
            return;
        }
        let mut candidates: Vec<(u32, ActorIx)> = Vec::new();
        for (ix, actor) in (0..).zip(&self.rows) {
            if actor.as_ref().is_some_and(|actor| actor.history_bytes() > 0) {
                let used = self.used[ix as usize].load(Ordering::Relaxed);
                candidates.push((self.tick.wrapping_sub(used), ix));
            }
        }
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        let target = bytes_max / 100 * KEPT_PERCENT;
        for (_, ix) in candidates {
            if self.history_bytes <= target {
                break;
            }
            self.drop_history(ix);
        }
    }

    fn drop_history(&mut self, ix: ActorIx) {
        self.evictions += 1;
        let Some(actor) = self.rows.get_mut(ix as usize).and_then(Option::as_mut) else { return };
        self.history_bytes -= actor.history_bytes();
        actor.history = Vec::new();
        actor.extras.change(|extra| extra.negatives = Vec::new());
        actor.evicted = true;
        actor.cut = false;
    }

    /// The newest second of any actor.
    pub(super) fn newest_s(&self) -> u32 {
        self.rows.iter().flatten().map(|actor| actor.last_s).max().unwrap_or(0)
    }

    /// All actors by number, erased ones left out.
    pub fn iter(&self) -> impl Iterator<Item = (ActorIx, &Actor)> {
        (0..).zip(&self.rows).filter_map(|(ix, actor)| Some((ix, actor.as_ref()?)))
    }

    /// Actors from a number on, erased ones left out.
    pub fn iter_from(&self, from: ActorIx) -> impl Iterator<Item = (ActorIx, &Actor)> {
        let rows = self.rows.get(from as usize..).unwrap_or_default();
        (from..).zip(rows).filter_map(|(ix, actor)| Some((ix, actor.as_ref()?)))
    }
}

impl Histories for Actors {
    fn of(&self, actor: ActorIx) -> &[Interaction] {
        self.get(actor).map_or(&[], |actor| &actor.history)
    }
}

impl PartialEq for Actors {
    fn eq(&self, other: &Self) -> bool {
        // What is in memory and what was used when is no part of what is known; rows at the end may be erased ones.
        self.iter().eq(other.iter())
    }
}

fn insert_sorted(list: &mut Vec<ActorIx>, ix: ActorIx) {
    if let Err(at) = list.binary_search(&ix) {
        list.insert(at, ix);
    }
}
