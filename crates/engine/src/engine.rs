//! The engine: one object that takes events, keeps the state and answers.
//!
//! Everything that changes something goes through the queue to the writer thread (`writer`); everything else reads the
//! state under a lock that many share. The methods that recommend are in `pipeline`, training is in [`crate::train`].

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, TrySendError};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::oneshot;
use zhiyin_core::{
    ActorIx, Clock, Decision, EventInput, ItemIx, KindWeights, Problem,
    clock::Millis,
    limits,
    storage::{OutcomeRow, Position, RejectedEvent, Storage},
};
use zhiyin_intake::clean::{Counters, Rules, rules::Refused};
use zhiyin_models::{Dataset, Histories};

use crate::{
    config::EngineConfig,
    error::EngineError,
    experiment::ExperimentData,
    request::EventOutcome,
    snapshots::Snapshots,
    state::{OnlineState, Sequence, append_complete, dataset},
    texts::{EncodingThread, TextEncoding, Texts},
    trained::{TextsRead, Trained},
    writer::{
        decisions::DECISIONS_PIECE,
        queue::{Events, Gauge, Replacement, Reply, Work},
    },
};

/// One thing of a request for ingestion: an event, or something that could not be read as one.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// An event.
    Event(Box<EventInput>),
    /// Not an event; it is kept apart under the rule `schema`.
    Malformed {
        /// What was sent.
        body: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
}

/// What the writer and the requests share.
pub(crate) struct Core {
    pub config: EngineConfig,
    pub storage: Arc<dyn Storage>,
    pub state: RwLock<OnlineState>,
    pub clock: Arc<dyn Clock>,
    pub snapshots: Snapshots,
    pub cleaning: Counters,
    pub queued: Gauge,
    pub running: AtomicBool,
    /// Whether the writer was sent for to write decisions.
    pub decisions_called: AtomicBool,
    pub failed_sources: Mutex<BTreeMap<String, u64>>,
    pub texts: Texts,
    pub warnings: Vec<String>,
    pub params_file: std::path::PathBuf,
}

impl Core {
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// The whole effective sequences of some actors, as far as the state has folded the log.
    pub(crate) fn sequences(&self, actors: &[ActorIx]) -> Result<Vec<(ActorIx, Sequence)>, EngineError> {
        if actors.is_empty() {
            return Ok(Vec::new());
        }
        let (meaning, position) = {
            let state = self.state.read();
            (state.meaning().clone(), state.position)
        };
        let mut sequences = Vec::with_capacity(actors.len());
        for &ix in actors {
            let mut events = self.storage.events_of(&[ix])?;
            events.retain(|event| event.position <= position);
            sequences.push((ix, Sequence::of(&meaning, &events)));
        }
        Ok(sequences)
    }
}

/// A copy of everything that models are fitted on, as of a place in the log.
pub struct Frozen {
    /// Place of the last event that it holds.
    pub position: Position,
    /// Events in the log up to there.
    pub events: u64,
    /// The interactions and items, with their vectors if there is an encoder.
    pub data: Dataset,
    /// What the vectors were made from.
    pub texts: TextsRead,
}

/// The engine. See the module.
pub struct Engine {
    pub(crate) core: Arc<Core>,
    /// The models that serve.
    pub(crate) trained: ArcSwap<Trained>,
    pub(crate) started_ms: Millis,
    rules: Rules,
    kinds: KindWeights,
    work: Sender<Work>,
    decisions: Sender<Decision>,
    decisions_dropped: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
    encoding: EncodingThread,
}

impl Engine {
    /// As [`Engine::open_with`], without an encoder of texts.
    ///
    /// # Errors
    /// As [`Engine::open_with`].
    pub fn open(
        storage: Arc<dyn Storage>,
        folder: &Path,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, EngineError> {
        Self::open_with(storage, folder, config, clock, TextEncoding::none("the engine was opened without one"))
    }

    /// Opens the engine on storage: reads the catalogue, the newest sound snapshot of `folder`, replays the rest of the log and
    /// starts the writer and the thread that encodes texts.
    ///
    /// # Errors
    /// The configuration breaks a rule, storage cannot be read, or the folder cannot be used. A damaged snapshot is no error: it is
    /// passed over and named in [`crate::Status::warnings`].
    pub fn open_with(
        storage: Arc<dyn Storage>,
        folder: &Path,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
        encoding: TextEncoding,
    ) -> Result<Arc<Self>, EngineError> {
        let kinds = KindWeights::with(&config.events.weights)?;
        let rules = Rules::new(config.cleaning.clone(), kinds.clone());
        let started_ms = clock.now_ms();
        let mut trained = crate::train::load_trained(folder)?;
        let (texts, read) = Texts::new(encoding, trained.take_text());
        let opened = crate::open::open(storage, folder, config, clock, texts)?;
        let (decisions, recorded) = crossbeam_channel::bounded(limits::QUEUED_DECISIONS_MAX);
        let (work, waiting) = crossbeam_channel::unbounded();
        let core = Arc::clone(&opened.core);
        let writer = opened.writer(waiting, recorded);
        let thread = std::thread::Builder::new().name("zhiyin-writer".into());
        let thread =
            thread.spawn(|| writer.run()).map_err(|error| EngineError::Internal(format!("no thread: {error}")))?;
        let encoding = EncodingThread::start(&core, read)?;
        Ok(Arc::new(Self {
            core,
            trained: ArcSwap::from_pointee(trained),
            started_ms,
            rules,
            kinds,
            work,
            decisions,
            decisions_dropped: AtomicU64::new(0),
            writer: Mutex::new(Some(thread)),
            encoding,
        }))
    }

    /// The configuration.
    pub fn config(&self) -> &EngineConfig {
        &self.core.config
    }

    /// Takes events in. When it returns, they are durable and the next request sees them. Idempotent by the ids of the events.
    ///
    /// # Errors
    /// Too many events for one request ([`limits::BATCH_MAX`]), too many waiting, or storage failed: nothing was taken then.
    pub async fn ingest(&self, events: Vec<EventInput>) -> Result<Vec<EventOutcome>, EngineError> {
        self.ingest_incoming(events.into_iter().map(|event| Incoming::Event(Box::new(event))).collect()).await
    }

    /// As [`Engine::ingest`], for a request some of whose parts could not be read: those are kept apart with what is wrong.
    ///
    /// # Errors
    /// As [`Engine::ingest`].
    pub async fn ingest_incoming(&self, incoming: Vec<Incoming>) -> Result<Vec<EventOutcome>, EngineError> {
        let answer = self.enqueue(incoming, None)?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    /// As [`Engine::ingest`], for threads that may wait. `import_mark` (hash of the file, line to go on from) is written in the same
    /// transaction.
    ///
    /// # Errors
    /// As [`Engine::ingest`].
    pub fn ingest_blocking(
        &self,
        events: Vec<EventInput>,
        import_mark: Option<(String, u64)>,
    ) -> Result<Vec<EventOutcome>, EngineError> {
        let incoming = events.into_iter().map(|event| Incoming::Event(Box::new(event))).collect();
        wait(self.enqueue(incoming, import_mark)?)
    }

    fn enqueue(
        &self,
        incoming: Vec<Incoming>,
        import_mark: Option<(String, u64)>,
    ) -> Result<oneshot::Receiver<Result<Vec<EventOutcome>, EngineError>>, EngineError> {
        check_batch("events", incoming.len())?;
        let room = incoming.len();
        self.core.queued.enter(room)?;
        let received_ms = self.core.clock.now_ms();
        let screen = |incoming| match incoming {
            Incoming::Event(event) => self.rules.screen(*event, received_ms),
            Incoming::Malformed { body, reason } => Err(Refused::malformed(reason, body)),
        };
        let candidates = incoming.into_iter().map(screen).collect();
        let (reply, answer) = oneshot::channel();
        self.send(Work::Events(Events { candidates, received_ms, import_mark, reply }), room)?;
        Ok(answer)
    }

    /// How far the import of the file with this hash has come.
    ///
    /// # Errors
    /// Storage cannot be read.
    pub fn import_progress(&self, file_hash: &str) -> Result<Option<u64>, EngineError> {
        Ok(self.core.storage.import_progress(file_hash)?)
    }

    /// Sends work that takes `room` in the queue, which was taken already.
    pub(crate) fn send(&self, work: Work, room: usize) -> Result<(), EngineError> {
        let sent = if self.core.is_running() { self.work.send(work).is_ok() } else { false };
        if !sent {
            self.core.queued.leave(room);
            return Err(EngineError::Stopped);
        }
        Ok(())
    }

    /// Sends a change of the catalogue or of the users and waits until it is durable and visible.
    pub(crate) async fn change<T>(&self, room: usize, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, EngineError> {
        self.core.queued.enter(room)?;
        let (reply, answer) = oneshot::channel();
        self.send(work(reply), room)?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    fn change_blocking<T>(&self, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(work(reply), 0)?;
        wait(answer)
    }

    /// Counts of decisions and outcomes within a window.
    ///
    /// # Errors
    /// Storage cannot be read.
    pub fn metrics(&self, window_ms: Range<Millis>) -> Result<Vec<OutcomeRow>, EngineError> {
        Ok(self.core.storage.outcomes(window_ms)?)
    }

    /// Refused events, newest first, each with its row number; older than `before` if given. At most [`limits::PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Storage cannot be read.
    pub fn rejected(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, RejectedEvent)>, EngineError> {
        Ok(self.core.storage.rejected(before, limit.min(limits::PAGE_ROWS_MAX))?)
    }

    /// How often each rule acted since the start: repairs and refusals together. Rules that never acted are left out.
    pub fn cleaning_counters(&self) -> BTreeMap<String, u64> {
        let by_rule = self.core.cleaning.by_rule().into_iter();
        let sums = by_rule.map(|(rule, count)| (rule.to_owned(), count.repaired + count.rejected));
        sums.filter(|(_, count)| *count > 0).collect()
    }

    /// What cleaning did since the start, in detail.
    pub fn cleaning(&self) -> &Counters {
        &self.core.cleaning
    }

    /// Writes a snapshot now.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn snapshot(&self) -> Result<(), EngineError> {
        self.change_blocking(Work::Snapshot)
    }

    /// Writes all that waits and a snapshot, and stops the writer. Later calls that change something give [`EngineError::Stopped`];
    /// requests can still be answered.
    ///
    /// # Errors
    /// The snapshot or the last decisions could not be written; the writer has stopped all the same, and no event is lost.
    pub fn shutdown(&self) -> Result<(), EngineError> {
        self.encoding.stop();
        let stopped = self.change_blocking(Work::Stop);
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            return Err(EngineError::Internal("the writer panicked".into()));
        }
        stopped
    }

    /// The state, for reading. Hold it shortly: the writer waits for it.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, OnlineState> {
        self.core.state.read()
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.core.clock
    }

    /// The kinds of events and their weights.
    pub(crate) fn kinds(&self) -> &KindWeights {
        &self.kinds
    }

    /// The models that serve.
    pub(crate) fn trained(&self) -> arc_swap::Guard<Arc<Trained>> {
        self.trained.load()
    }

    /// Records a decision: never waits; it is written within a tenth of a second, and safe from a power loss a tenth later. If too
    /// many wait, it is dropped and counted.
    pub(crate) fn record(&self, decision: Decision) {
        match self.decisions.try_send(decision) {
            Ok(()) => self.call_for_decisions(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.decisions_dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends for the writer when enough decisions wait, once.
    fn call_for_decisions(&self) {
        let called = &self.core.decisions_called;
        let are_enough = self.decisions.len() >= DECISIONS_PIECE && !called.load(Ordering::Relaxed);
        if are_enough && !called.swap(true, Ordering::AcqRel) {
            // A writer that has stopped wrote what it could; what comes later is counted as dropped when the queue is full.
            let _ = self.work.send(Work::Decisions);
        }
    }

    /// Decisions that were dropped since the start.
    pub(crate) fn decisions_dropped(&self) -> u64 {
        self.decisions_dropped.load(Ordering::Relaxed)
    }

    /// Counts a source that failed while answering.
    pub(crate) fn count_failed_source(&self, source: &str) {
        *self.core.failed_sources.lock().entry(source.to_owned()).or_default() += 1;
    }

    /// Brings evicted histories back into memory.
    pub(crate) fn hydrate(&self, actors: &[ActorIx]) -> Result<(), EngineError> {
        let (evicted, evictions): (Vec<ActorIx>, u64) = {
            let state = self.state();
            let is_evicted = |ix: ActorIx| state.actors.get(ix).is_some_and(|actor| actor.evicted);
            (actors.iter().copied().filter(|&ix| is_evicted(ix)).collect(), state.actors.evictions())
        };
        let sequences = self.core.sequences(&evicted)?;
        if sequences.is_empty() {
            return Ok(());
        }
        let mut state = self.core.state.write();
        for (ix, sequence) in sequences {
            // An actor that was reloaded by the writer meanwhile knows more than what was just read; one that was dropped again
            // after that stays dropped until the next request.
            let evicted = state.actors.get(ix).is_some_and(|actor| actor.evicted);
            if evicted && state.actors.evictions() == evictions {
                state.load(ix, sequence);
            }
        }
        state.settle();
        Ok(())
    }

    /// A copy of the state for training. Histories that are not wholly in memory are read from the log.
    pub(crate) fn freeze(&self) -> Result<Frozen, EngineError> {
        let (frozen, incomplete, meaning) = {
            let state = self.state();
            let (data, incomplete) = dataset(&state);
            let texts = TextsRead::default();
            let frozen = Frozen { position: state.position, events: state.events, data, texts };
            (frozen, incomplete, state.meaning().clone())
        };
        let mut whole = Vec::with_capacity(incomplete.len());
        for ix in incomplete {
            let mut events = self.core.storage.events_of(&[ix])?;
            events.retain(|event| event.position <= frozen.position);
            whole.push((ix, Sequence::of(&meaning, &events).history));
        }
        let mut data = append_complete(frozen.data, &whole);
        let (vectors, texts) = self.core.texts.vectors(data.n_items());
        data.vectors = vectors;
        Ok(Frozen { data, texts, ..frozen })
    }

    /// The number of a live item.
    pub fn item_number(&self, id: &str) -> Option<ItemIx> {
        self.state().items.find(id)
    }

    /// Everything that is known now, as data of an experiment: histories, titles and, with an encoder, vectors.
    ///
    /// # Errors
    /// Failing storage.
    pub fn experiment_data(&self) -> Result<ExperimentData, EngineError> {
        let data = self.freeze()?.data;
        let title = |ix: usize| self.state().items.get(ix as ItemIx).map(|item| item.title.clone()).unwrap_or_default();
        Ok(ExperimentData {
            name: "the log".to_owned(),
            titles: (0..data.n_items()).map(title).collect(),
            histories: (0..data.n_actors() as ActorIx).map(|actor| data.of(actor).to_vec()).collect(),
            items: data.items,
            segments: data.segments,
            friends: data.friends,
            vectors: data.vectors,
            ..ExperimentData::default()
        })
    }

    /// Puts online models in place that were fitted on a frozen copy, after bringing them up to date. Their hyper-parameters are kept for
    /// every later start.
    pub(crate) fn replace_models(&self, replacement: Replacement) -> Result<(), EngineError> {
        self.change_blocking(|reply| Work::Replace(Box::new(replacement), reply))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.encoding.stop();
        // Without a shutdown there is no snapshot, but what was sent is still written.
        let (nowhere, _) = crossbeam_channel::unbounded();
        drop(std::mem::replace(&mut self.work, nowhere));
        if let Some(thread) = self.writer.lock().take() {
            let _ = thread.join();
        }
    }
}

/// Refuses requests with more rows than one may have.
pub(crate) fn check_batch(field: &str, rows: usize) -> Result<(), EngineError> {
    if rows > limits::BATCH_MAX {
        let rule = format!("has {rows} rows, at most {} are allowed", limits::BATCH_MAX);
        return Err(Problem::field(field, rule, "send several smaller requests").into());
    }
    Ok(())
}

fn wait<T>(answer: oneshot::Receiver<Result<T, EngineError>>) -> Result<T, EngineError> {
    answer.blocking_recv().unwrap_or(Err(EngineError::Stopped))
}
