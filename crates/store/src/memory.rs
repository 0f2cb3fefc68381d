//! The store without a disk: the same answers, lost when it is dropped. For tests and for evaluations that throw their log away.
//!
//! It is written for plainness, not speed: outcome counts are made anew for each answer, which makes it the yardstick for the sums that
//! [`crate::Store`] keeps.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    ops::Range,
};

use parking_lot::Mutex;
use zhiyin_core::{
    ActorIx, Decision, DecisionId, ExternalId, ItemIx,
    clock::Millis,
    ids_within, limits,
    storage::{
        ActorKind, ActorRow, Appended, Batch, Erased, HighWater, ItemRow, LoggedEvent, OutcomeRow, Position,
        RejectedEvent, StagedEvent, Storage, StorageError,
    },
};

use crate::{
    encode::Shown,
    outcomes::{self, Claim, Counts, Described, Totals},
    store,
};

/// Storage in memory.
#[derive(Debug, Default)]
pub struct MemoryStorage(Mutex<State>);

#[derive(Clone, Debug)]
struct State {
    actors: BTreeMap<ActorIx, ActorRow>,
    actor_names: Names<(ActorKind, ExternalId)>,
    items: BTreeMap<ItemIx, ItemRow>,
    item_names: Names<ExternalId>,
    events: BTreeMap<Position, StagedEvent>,
    event_ids: HashSet<ExternalId>,
    rejected: BTreeMap<u64, RejectedEvent>,
    rejected_next: u64,
    decisions: BTreeMap<DecisionId, Decision>,
    imports: HashMap<String, u64>,
    marks: HighWater,
}

impl Default for State {
    fn default() -> Self {
        Self {
            actors: BTreeMap::new(),
            actor_names: Names::default(),
            items: BTreeMap::new(),
            item_names: Names::default(),
            events: BTreeMap::new(),
            event_ids: HashSet::new(),
            rejected: BTreeMap::new(),
            rejected_next: 1,
            decisions: BTreeMap::new(),
            imports: HashMap::new(),
            marks: HighWater { next_actor: 0, next_item: 0, next_position: 1 },
        }
    }
}

/// A unique index: who has which name.
#[derive(Clone, Debug)]
struct Names<K> {
    by_name: HashMap<K, u32>,
    by_ix: HashMap<u32, K>,
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), by_ix: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Names<K> {
    /// Whether these rows could be written one after the other; else the name that is taken.
    fn check(&self, rows: impl Iterator<Item = (u32, Option<K>)>) -> Result<(), K> {
        let mut owners: HashMap<K, Option<u32>> = HashMap::new();
        let mut names: HashMap<u32, Option<K>> = HashMap::new();
        for (ix, name) in rows {
            let old = names.get(&ix).cloned().unwrap_or_else(|| self.by_ix.get(&ix).cloned());
            if let Some(old) = old {
                owners.insert(old, None);
            }
            if let Some(name) = &name {
                let owner = owners.get(name).copied().unwrap_or_else(|| self.by_name.get(name).copied());
                if owner.is_some_and(|owner| owner != ix) {
                    return Err(name.clone());
                }
                owners.insert(name.clone(), Some(ix));
            }
            names.insert(ix, name);
        }
        Ok(())
    }

    fn set(&mut self, (ix, name): (u32, Option<K>)) {
        if let Some(old) = self.by_ix.remove(&ix) {
            self.by_name.remove(&old);
        }
        if let Some(name) = name {
            self.by_name.insert(name.clone(), ix);
            self.by_ix.insert(ix, name);
        }
    }
}

fn actor_name(row: &ActorRow) -> (ActorIx, Option<(ActorKind, ExternalId)>) {
    (row.ix, Some((row.kind, row.id.clone())))
}

fn item_name(row: &ItemRow) -> (ItemIx, Option<ExternalId>) {
    (row.ix, row.item.as_ref().map(|item| item.id.clone()))
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    /// Refuses what the tables of the database would refuse, before anything is changed.
    fn check(&self, batch: &Batch) -> Result<(), StorageError> {
        store::check_events(&batch.events)?;
        store::check_numbers(batch, |ix| self.actors.contains_key(&ix), |ix| self.items.contains_key(&ix))?;
        self.check_names(batch)
    }

    /// No two actors of a kind and no two items that are not deleted may share a name.
    fn check_names(&self, batch: &Batch) -> Result<(), StorageError> {
        let taken = |name: &ExternalId| StorageError::Other(format!("two rows have the name {name}"));
        self.actor_names.check(batch.actors.iter().map(actor_name)).map_err(|(_, name)| taken(&name))?;
        self.item_names.check(batch.items.iter().map(item_name)).map_err(|name| taken(&name))
    }

    fn apply(&mut self, batch: &Batch) -> Vec<Appended> {
        for row in &batch.actors {
            self.marks.next_actor = self.marks.next_actor.max(row.ix.saturating_add(1));
            self.actor_names.set(actor_name(row));
            self.actors.insert(row.ix, row.clone());
        }
        for row in &batch.items {
            self.marks.next_item = self.marks.next_item.max(row.ix.saturating_add(1));
            self.item_names.set(item_name(row));
            self.items.insert(row.ix, row.clone());
        }
        let appended = batch.events.iter().map(|staged| self.append(staged)).collect();
        for event in &batch.rejected {
            self.rejected.insert(self.rejected_next, event.clone());
            self.rejected_next += 1;
        }
        while self.rejected.len() > limits::REJECTED_ROWS_MAX {
            self.rejected.pop_first();
        }
        for decision in &batch.decisions {
            self.append_decision(decision);
        }
        if let Some((file_hash, line)) = &batch.import_mark {
            self.imports.insert(file_hash.clone(), *line);
        }
        appended
    }

    fn append(&mut self, staged: &StagedEvent) -> Appended {
        if !self.event_ids.insert(staged.event.id.clone()) {
            return Appended::Duplicate;
        }
        let position = self.marks.next_position;
        self.marks.next_position += 1;
        self.events.insert(position, staged.clone());
        Appended::At(position)
    }

    fn append_decision(&mut self, decision: &Decision) {
        let is_erased = decision.actor.is_some_and(|actor| !self.actors.contains_key(&actor));
        if is_erased || self.decisions.contains_key(&decision.id) {
            return;
        }
        self.decisions.insert(decision.id, decision.clone());
    }

    fn erase(&mut self, actor: ActorIx) -> Erased {
        let theirs = self.events.iter().filter(|(_, staged)| staged.actor == actor);
        let positions: Vec<Position> = theirs.map(|(&position, _)| position).collect();
        for staged in positions.iter().filter_map(|position| self.events.remove(position)) {
            self.event_ids.remove(&staged.event.id);
        }
        let theirs = self.decisions.iter().filter(|(_, decision)| decision.actor == Some(actor));
        let decisions: Vec<_> = theirs.map(|(&key, _)| key).collect();
        for key in &decisions {
            self.decisions.remove(key);
        }
        let row = self.actors.remove(&actor);
        if let Some(row) = &row {
            self.actor_names.set((actor, None));
            let name = serde_json::Value::from(row.id.as_str()).to_string();
            self.rejected.retain(|_, event| !event.body.contains(&name));
        }
        for session in self.actors.values_mut().filter(|row| row.linked_user == Some(actor)) {
            session.linked_user = None;
        }
        Erased { events: positions.len() as u64, decisions: decisions.len() as u64, actors: u64::from(row.is_some()) }
    }

    fn claims(&self) -> HashMap<DecisionId, Vec<Claim>> {
        let mut claims: HashMap<DecisionId, Vec<Claim>> = HashMap::new();
        for staged in self.events.values() {
            if let Some(claim) = Claim::of(&staged.event.kind, &staged.event.details, staged.item) {
                claims.entry(claim.decision).or_default().push(claim);
            }
        }
        claims
    }

    fn outcomes(&self, window_ms: &Range<Millis>) -> Vec<OutcomeRow> {
        let Some((first, last)) = outcomes::hours(window_ms) else { return Vec::new() };
        let claims = self.claims();
        let mut totals = Totals::default();
        for decision in self.decisions.values() {
            let hour = outcomes::hour_of(decision.id);
            if !(first..=last).contains(&hour) {
                continue;
            }
            let shown = Shown::of(&decision.items);
            let described = Described { id: decision.id, hour, model: decision.model.clone(), shown };
            totals.add_impressions(&described, 1);
            let mut seen = HashSet::new();
            for claim in claims.get(&decision.id).into_iter().flatten() {
                let Some(source) = described.shown.source_of(claim.item) else { continue };
                let times = i64::from(seen.insert((claim.item, claim.outcome)));
                totals.add_outcome(&described, source, Counts::outcome(claim.outcome, times, claim.revenue_micros));
            }
        }
        totals.rows()
    }
}

impl Storage for MemoryStorage {
    fn commit(&self, batch: &Batch) -> Result<Vec<Appended>, StorageError> {
        let mut state = self.0.lock();
        state.check(batch)?;
        Ok(state.apply(batch))
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StorageError> {
        let state = self.0.lock();
        let later = state.events.range(after.saturating_add(1)..).take(limit);
        Ok(later.map(|(&position, staged)| LoggedEvent { position, staged: staged.clone() }).collect())
    }

    fn events_of(&self, actors: &[ActorIx]) -> Result<Vec<LoggedEvent>, StorageError> {
        let state = self.0.lock();
        let theirs = state.events.iter().filter(|(_, staged)| actors.contains(&staged.actor));
        Ok(theirs.map(|(&position, staged)| LoggedEvent { position, staged: staged.clone() }).collect())
    }

    fn last_position(&self) -> Result<Position, StorageError> {
        Ok(self.0.lock().events.last_key_value().map_or(0, |(&position, _)| position))
    }

    fn actors_from(&self, from: ActorIx, limit: usize) -> Result<Vec<ActorRow>, StorageError> {
        Ok(self.0.lock().actors.range(from..).take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn items_from(&self, from: ItemIx, limit: usize) -> Result<Vec<ItemRow>, StorageError> {
        Ok(self.0.lock().items.range(from..).take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn rejected(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, RejectedEvent)>, StorageError> {
        let state = self.0.lock();
        let older = state.rejected.range(..before.unwrap_or(u64::MAX)).rev().take(limit);
        Ok(older.map(|(&row, event)| (row, event.clone())).collect())
    }

    fn decisions(
        &self,
        window_ms: Range<Millis>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Vec<Decision>, StorageError> {
        let state = self.0.lock();
        let Some((first, last)) = ids_within(&window_ms) else { return Ok(Vec::new()) };
        let later = state.decisions.range(first..=last).filter(|(id, _)| after.is_none_or(|after| **id > after));
        Ok(later.take(limit).map(|(_, decision)| decision.clone()).collect())
    }

    fn outcomes(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, StorageError> {
        Ok(self.0.lock().outcomes(&window_ms))
    }

    fn erase(&self, actors: &[ActorIx]) -> Result<Erased, StorageError> {
        let mut state = self.0.lock();
        let mut erased = Erased::default();
        for &actor in actors {
            let one = state.erase(actor);
            erased.events += one.events;
            erased.decisions += one.decisions;
            erased.actors += one.actors;
        }
        Ok(erased)
    }

    fn high_water(&self) -> Result<HighWater, StorageError> {
        Ok(self.0.lock().marks)
    }

    fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, StorageError> {
        Ok(self.0.lock().imports.get(file_hash).copied())
    }
}
