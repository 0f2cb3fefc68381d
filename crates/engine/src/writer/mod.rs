//! The writer: the one thread that changes durable data and the online state.
//!
//! It takes everything that waits, cleans it by habits, collects it into one transaction, commits, folds, and then answers. An
//! answer is sent only after its events are durable *and* visible to the next request. When a commit fails nothing was applied, and
//! everyone whose work was in it is told. When reading the log fails while folding, the state can no longer follow the log: the writer
//! stops, and a restart replays.

pub(crate) mod decisions;
pub(crate) mod queue;
mod staging;

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::RwLockWriteGuard;
use zhiyin_core::{
    ActorIx, Decision,
    storage::{Appended, Batch, ItemRow, Position, StagedEvent},
};
use zhiyin_intake::clean::{Finding, Habits, Judgement, Rule, Screened, rules::Refused};

pub(crate) use staging::Free;
use staging::Staging;

use crate::{
    engine::Core,
    error::EngineError,
    request::{EventOutcome, EventStatus},
    state::{Folded, Sequence, snapshot},
};
use queue::{Candidate, Events, Reply, Work};

/// Events, items and users in one transaction, unless a single caller sends more.
const TRANSACTION_MAX: usize = 8_192;
/// Events that are folded before requests get a chance to read the state.
pub(crate) const FOLD_CHUNK: usize = 64;
/// Items from which on the content model is updated on a copy.
const ITEMS_IN_PLACE_MAX: usize = 16;
/// How long decisions wait for company, and how long those that are written wait to be made durable.
const IDLE: Duration = Duration::from_millis(100);

/// The writer's own state.
pub(crate) struct Writer {
    pub core: Arc<Core>,
    pub work: Receiver<Work>,
    pub decisions: Receiver<Decision>,
    pub habits: Habits,
    pub free: Free,
    pub since_snapshot: u64,
    /// An erasure removed the snapshots: the next idle moment takes a new one.
    pub snapshot_due: bool,
    /// Whether decisions were written that a power loss may still take.
    pub unsynced: bool,
    /// When all decisions were durable last.
    pub synced: Instant,
}

/// What is to be answered about one event.
enum Slot {
    /// Settled without the log.
    Settled(EventOutcome),
    /// At this place among the batch's events.
    Staged { at: usize, id: String, repairs: Vec<Finding> },
}

/// Who waits for a batch.
enum Waiting {
    Events(Vec<Slot>, Reply<Vec<EventOutcome>>),
    Change(Reply<()>),
}

/// Whether the writer goes on.
#[derive(PartialEq)]
enum Next {
    GoOn,
    Stop,
}

impl Writer {
    /// Works until it is told to stop or everyone who could send work is gone.
    pub(crate) fn run(mut self) {
        loop {
            let next = match self.work.recv_timeout(IDLE) {
                Ok(first) => self.serve(first),
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => Ok(Next::Stop),
            };
            match next {
                Ok(Next::GoOn) if self.synced.elapsed() < IDLE => {}
                Ok(Next::GoOn) => self.commit_decisions_or_warn(),
                Ok(Next::Stop) => break,
                Err(error) => {
                    tracing::error!(%error, "the writer stops because the state can no longer follow the log; restart the server");
                    break;
                }
            }
        }
        self.commit_decisions_or_warn();
        self.core.running.store(false, Ordering::Release);
    }

    /// Takes what waits and does it in order.
    fn serve(&mut self, first: Work) -> Result<Next, EngineError> {
        let mut group = Vec::new();
        let mut size = 0;
        let mut next = Some(first);
        while let Some(work) = next.take() {
            if !work.is_batched() {
                self.batch(std::mem::take(&mut group))?;
                return self.single(work);
            }
            if matches!(work, Work::Decisions) {
                // Events that come with it take the decisions along.
                next = self.work.try_recv().ok();
                continue;
            }
            size += work.size();
            // A mark belongs to exactly the events that it was sent with.
            let ends = size >= TRANSACTION_MAX || matches!(&work, Work::Events(events) if events.import_mark.is_some());
            group.push(work);
            if !ends {
                next = self.work.try_recv().ok();
            }
        }
        if group.is_empty() {
            self.write_pieces_or_warn();
        }
        self.batch(group)?;
        self.snapshot_if_due();
        Ok(Next::GoOn)
    }

    fn idle(&mut self) -> Result<Next, EngineError> {
        self.commit_decisions_or_warn();
        if std::mem::take(&mut self.snapshot_due) {
            self.snapshot_or_warn();
        }
        Ok(Next::GoOn)
    }

    fn single(&mut self, work: Work) -> Result<Next, EngineError> {
        match work {
            Work::DeleteItem(id, reply) => answer(reply, self.delete_item(&id)),
            Work::DeleteUser(id, reply) => answer(reply, self.delete_user(&id)),
            Work::Replace(swap, reply) => {
                answer(reply, self.replace(*swap));
            }
            Work::Snapshot(reply) => answer(reply, self.snapshot()),
            Work::Stop(reply) => {
                let done = self.commit_decisions().and_then(|()| self.snapshot());
                self.core.running.store(false, Ordering::Release);
                answer(reply, done);
                return Ok(Next::Stop);
            }
            batched => self.batch(vec![batched])?,
        }
        Ok(Next::GoOn)
    }

    /// Commits and folds a group of work in one transaction. Fails only if folding does.
    fn batch(&mut self, group: Vec<Work>) -> Result<(), EngineError> {
        if group.is_empty() {
            return Ok(());
        }
        let size = group.iter().map(Work::size).sum();
        let core = Arc::clone(&self.core);
        let (mut batch, free, waiting) = {
            let state = core.state.read();
            let mut staging = Staging::new(&state, &core.config.events, self.free);
            let waiting: Vec<Waiting> = group.into_iter().map(|work| self.stage(&mut staging, work)).collect();
            (staging.batch, staging.free, waiting)
        };
        batch.decisions = self.waiting_decisions();
        let committed = core.storage.commit(&batch);
        core.queued.leave(size);
        match committed {
            Ok(appended) => {
                self.free = free;
                let noted = self.apply(batch, &appended)?;
                answer_all(&core, waiting, &appended, &noted);
            }
            Err(error) => {
                self.habits.forget_retries();
                let error = EngineError::from(error);
                tracing::error!(%error, events = batch.events.len(), "a batch could not be written; its senders were told");
                refuse_all(waiting, &error);
            }
        }
        Ok(())
    }

    fn stage(&mut self, staging: &mut Staging<'_>, work: Work) -> Waiting {
        match work {
            Work::Events(Events { candidates, received_ms, import_mark, reply }) => {
                let slots = candidates.into_iter().map(|event| self.stage_event(staging, event, received_ms)).collect();
                staging.batch.import_mark = import_mark.or(staging.batch.import_mark.take());
                Waiting::Events(slots, reply)
            }
            Work::Items(items, reply) => {
                items.into_iter().for_each(|item| staging.put_item(item));
                Waiting::Change(reply)
            }
            Work::Users(users, reply) => {
                users.into_iter().for_each(|user| staging.put_user(user));
                Waiting::Change(reply)
            }
            // The caller passes batched work only; dropping the reply tells the sender that nothing was done.
            _ => Waiting::Events(Vec::new(), tokio::sync::oneshot::channel().0),
        }
    }

    fn stage_event(&mut self, staging: &mut Staging<'_>, candidate: Candidate, received_ms: i64) -> Slot {
        let mut screened = match candidate {
            Ok(screened) => screened,
            Err(refused) => return self.refuse(staging, refused, received_ms),
        };
        match self.habits.judge(&mut screened) {
            Judgement::Pass => {}
            Judgement::Repeated(finding) => {
                self.core.cleaning.reject(finding.rule);
                return Slot::Settled(outcome(
                    Some(screened.event.id.as_str().to_owned()),
                    EventStatus::Duplicate,
                    Some(&finding),
                ));
            }
            Judgement::Refused(finding) => return self.refuse(staging, refused_later(&screened, finding), received_ms),
        }
        match staging.event(&mut screened) {
            Ok(at) => Slot::Staged { at, id: screened.event.id.into(), repairs: screened.repairs },
            Err(finding) => {
                let refused = refused_later(&screened, finding);
                self.refuse(staging, refused, received_ms)
            }
        }
    }

    fn refuse(&mut self, staging: &mut Staging<'_>, refused: Refused, received_ms: i64) -> Slot {
        self.core.cleaning.reject(refused.finding.rule);
        staging.refused(&refused, received_ms);
        Slot::Settled(outcome(refused.id, EventStatus::Rejected, Some(&refused.finding)))
    }

    /// Applies a committed batch. Gives the places of returns without a purchase among the batch's events.
    fn apply(&mut self, mut batch: Batch, appended: &[Appended]) -> Result<Vec<usize>, EngineError> {
        self.apply_rows(&mut batch)?;
        let mut noted = Vec::new();
        let events: Vec<(usize, Position, &StagedEvent)> = batch
            .events
            .iter()
            .enumerate()
            .zip(appended)
            .filter_map(|((at, event), appended)| match appended {
                Appended::At(position) => Some((at, *position, event)),
                Appended::Duplicate => None,
            })
            .collect();
        for chunk in events.chunks(FOLD_CHUNK) {
            self.fold_chunk(chunk, &mut noted)?;
        }
        self.since_snapshot += events.len() as u64;
        Ok(noted)
    }

    /// Applies new and changed actors and items.
    pub(crate) fn apply_rows(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        let items = std::mem::take(&mut batch.items);
        self.apply_items(items);
        if batch.actors.is_empty() {
            return Ok(());
        }
        let moved: Vec<ActorIx> = {
            let state = self.core.state.read();
            let incomplete = |ix: ActorIx| state.actors.get(ix).is_some_and(|actor| actor.is_incomplete());
            batch
                .actors
                .iter()
                .filter(|row| incomplete(row.ix) && state.changes_segment(row))
                .map(|row| row.ix)
                .collect()
        };
        let sequences = self.core.sequences(&moved)?;
        let mut state = self.core.state.write();
        for (ix, sequence) in sequences {
            state.load(ix, sequence);
        }
        state.put_actors(&batch.actors);
        state.settle();
        Ok(())
    }

    fn apply_items(&mut self, rows: Vec<ItemRow>) {
        let changed: Vec<_> = rows.iter().map(|row| row.ix).collect();
        self.change_items(rows);
        self.core.texts.changed(changed.into_iter());
    }

    fn change_items(&mut self, rows: Vec<ItemRow>) {
        if rows.len() <= ITEMS_IN_PLACE_MAX {
            let mut state = self.core.state.write();
            for row in rows {
                state.put_item(row.ix, row.item);
            }
            return;
        }
        let changed: Vec<_> = rows.iter().map(|row| row.ix).collect();
        self.core.state.write().put_items(rows);
        let content = self.core.state.read().content_with(&changed);
        self.core.state.write().set_content(content);
    }

    fn fold_chunk(
        &mut self,
        chunk: &[(usize, Position, &StagedEvent)],
        noted: &mut Vec<usize>,
    ) -> Result<(), EngineError> {
        let (mut needed, listener): (Vec<ActorIx>, _) = {
            let state = self.core.state.read();
            let needs_log =
                chunk.iter().filter(|(_, _, event)| state.needs_log(event)).map(|(_, _, event)| event.actor);
            (needs_log.collect(), state.listener().clone())
        };
        // Reading takes longer than folding, so that it is done before the state is locked.
        let said: Vec<_> = chunk.iter().filter_map(|(_, position, event)| listener.hear(*position, event)).collect();
        needed.sort_unstable();
        needed.dedup();
        let sequences = self.core.sequences(&needed)?;
        let mut state = self.core.state.write();
        for (ix, sequence) in sequences {
            state.load(ix, sequence);
        }
        for &(at, position, event) in chunk {
            if state.fold(position, event) == Folded::ReturnWithoutPurchase {
                noted.push(at);
            }
        }
        said.into_iter().for_each(|said| state.models.feedback.learn(said));
        state.settle();
        // Requests that wait come first, before the next chunk.
        RwLockWriteGuard::unlock_fair(state);
        Ok(())
    }

    fn snapshot_if_due(&mut self) {
        if self.since_snapshot >= self.core.config.state.snapshot_every_events {
            self.snapshot_or_warn();
        }
    }

    pub(crate) fn snapshot_or_warn(&mut self) {
        if let Err(error) = self.snapshot() {
            // Trying again with every batch would only burn time; nothing is lost without a snapshot.
            self.since_snapshot = 0;
            tracing::warn!(%error, "no snapshot could be written; a restart will take longer");
        }
    }

    /// Writes a snapshot. Requests go on meanwhile, events wait.
    pub(crate) fn snapshot(&mut self) -> Result<(), EngineError> {
        let core = Arc::clone(&self.core);
        // Only this thread moves the position. The lock is held until all is handed to the system, not until it is on the disk.
        let position = core.state.read().position;
        core.snapshots.write(position, core.clock.now_ms(), |file| snapshot::write(&core.state.read(), file))?;
        (self.since_snapshot, self.snapshot_due) = (0, false);
        Ok(())
    }

    /// Unfolds a whole sequence in pieces, so that requests are answered in between.
    pub(crate) fn unfold(&mut self, ix: ActorIx, sequence: &Sequence) {
        let mut end = sequence.history.len();
        while end > 0 {
            let places: Range<usize> = end.saturating_sub(FOLD_CHUNK)..end;
            end = places.start;
            let mut state = self.core.state.write();
            state.unfold(ix, &sequence.history, places);
            RwLockWriteGuard::unlock_fair(state);
        }
    }
}

/// A refusal of an event that passed the first rules.
fn refused_later(screened: &Screened, finding: Finding) -> Refused {
    let body = serde_json::to_string(&screened.event).unwrap_or_default();
    Refused::later(finding, screened.event.id.as_str(), body)
}

fn outcome(id: Option<String>, status: EventStatus, finding: Option<&Finding>) -> EventOutcome {
    EventOutcome {
        id,
        status,
        rule: finding.map(|finding| finding.rule.name().to_owned()),
        reason: finding.map(|finding| finding.reason.clone()),
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, EngineError>) {
    // A caller that stopped waiting has no use for the answer.
    let _ = reply.send(result);
}

fn refuse_all(waiting: Vec<Waiting>, error: &EngineError) {
    for waiting in waiting {
        match waiting {
            Waiting::Events(_, reply) => answer(reply, Err(error.clone())),
            Waiting::Change(reply) => answer(reply, Err(error.clone())),
        }
    }
}

fn answer_all(core: &Core, waiting: Vec<Waiting>, appended: &[Appended], noted: &[usize]) {
    for waiting in waiting {
        match waiting {
            Waiting::Change(reply) => answer(reply, Ok(())),
            Waiting::Events(slots, reply) => {
                let outcomes = slots.into_iter().map(|slot| settle(core, slot, appended, noted)).collect();
                answer(reply, Ok(outcomes));
            }
        }
    }
}

fn settle(core: &Core, slot: Slot, appended: &[Appended], noted: &[usize]) -> EventOutcome {
    let (at, id, repairs) = match slot {
        Slot::Settled(outcome) => return outcome,
        Slot::Staged { at, id, repairs } => (at, id, repairs),
    };
    if appended.get(at) == Some(&Appended::Duplicate) {
        core.cleaning.duplicate();
        return outcome(Some(id), EventStatus::Duplicate, None);
    }
    core.cleaning.accept(&repairs);
    if let Some(first) = repairs.first() {
        let reasons: Vec<&str> = repairs.iter().map(|repair| repair.reason.as_str()).collect();
        let all = Finding::new(first.rule, reasons.join("; "));
        return outcome(Some(id), EventStatus::Repaired, Some(&all));
    }
    if noted.binary_search(&at).is_ok() {
        core.cleaning.note(Rule::ReturnWithoutPurchase);
        let reason = "no earlier purchase of the item by this actor is known; the return is kept and changes nothing";
        return outcome(Some(id), EventStatus::Accepted, Some(&Finding::new(Rule::ReturnWithoutPurchase, reason)));
    }
    outcome(Some(id), EventStatus::Accepted, None)
}
