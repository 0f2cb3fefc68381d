//! Opening the engine: catalogue and actors from storage, the newest snapshot that fits, and the rest of the log.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use crossbeam_channel::Receiver;
use parking_lot::{Mutex, RwLock};
use zhiyin_core::{
    ActorIx, Clock, Decision, ItemIx, Problem,
    storage::{ActorRow, HighWater, ItemRow, LoggedEvent, Position, Storage, StorageError},
};
use zhiyin_intake::clean::{Counters, Habits};

use crate::{
    config::EngineConfig,
    engine::Core,
    error::EngineError,
    listen::Listener,
    online::OnlineParams,
    snapshots::{Snapshots, write_durably},
    state::{
        OnlineState, Sequence,
        snapshot::{Snapshot, Unreadable},
    },
    texts::Texts,
    writer::{FOLD_CHUNK, Free, Writer, queue::Gauge, queue::Work},
};

/// Rows of storage that are read at once.
const ROWS: usize = 8_192;
/// Events at the end of the log from which usual quantities are learned anew.
const HABIT_EVENTS: u64 = 100_000;
/// File with the hyper-parameters that training chose.
const PARAMS_FILE: &str = "online-params.json";

/// The parts of an engine before its writer runs.
pub(crate) struct Opened {
    pub core: Arc<Core>,
    habits: Habits,
    free: Free,
    replayed: u64,
}

impl Opened {
    /// The writer.
    pub(crate) fn writer(self, work: Receiver<Work>, decisions: Receiver<Decision>) -> Writer {
        let Self { core, habits, free, replayed } = self;
        Writer {
            core,
            work,
            decisions,
            habits,
            free,
            since_snapshot: replayed,
            snapshot_due: false,
            unsynced: false,
            synced: Instant::now(),
        }
    }
}

pub(crate) fn open(
    storage: Arc<dyn Storage>,
    folder: &Path,
    config: EngineConfig,
    clock: Arc<dyn Clock>,
    texts: Texts,
) -> Result<Opened, EngineError> {
    let snapshots = Snapshots::open(folder.join("snapshots"))?;
    let params_file = folder.join(PARAMS_FILE);
    let params = read_params(&params_file)?;
    let high_water = storage.high_water()?;
    let (mut state, warnings) = restored(&*storage, folder, &snapshots, &config, &params, high_water)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let from = state.position;
    replay(&mut state, &*storage)?;
    // Places at the end whose events were erased since are behind us too.
    state.position = state.position.max(high_water.next_position.saturating_sub(1));
    let replayed = state.position - from;
    tracing::info!(position = state.position, replayed, items = state.items.live(), "the state is up to date");
    let habits = habits(&*storage, &config, high_water.next_position)?;
    let free = Free { actor: high_water.next_actor, item: high_water.next_item };
    let core = Core {
        config,
        storage,
        state: RwLock::new(state),
        clock,
        snapshots,
        cleaning: Counters::default(),
        queued: Gauge::default(),
        running: AtomicBool::new(true),
        decisions_called: AtomicBool::new(false),
        failed_sources: Mutex::default(),
        texts,
        warnings,
        params_file,
    };
    Ok(Opened { core: Arc::new(core), habits, free, replayed })
}

/// The state as of the newest snapshot that fits, or of an empty log, with today's catalogue and actors.
fn restored(
    storage: &dyn Storage,
    folder: &Path,
    snapshots: &Snapshots,
    config: &EngineConfig,
    params: &OnlineParams,
    high_water: HighWater,
) -> Result<(OnlineState, Vec<String>), EngineError> {
    let mut state = OnlineState::new(config, params)?;
    state.set_listener(Listener::new(&config.events).load(folder)?);
    state.load_items(all_items(storage)?);
    let rows = all_actors(storage)?;
    let latest = snapshots.latest(|snapshot| {
        let ahead = snapshot.position >= high_water.next_position;
        if ahead {
            Err(Unreadable::Misfit("the log of the store ends before it"))
        } else {
            snapshot.check(&state, &rows)
        }
    })?;
    let moved = match latest.snapshot {
        Some(snapshot) => restore(snapshot, &mut state, &rows, storage)?,
        None => {
            state.put_actors(&rows);
            Vec::new()
        }
    };
    state.put_actors(&moved);
    state.settle();
    Ok((state, latest.warnings))
}

/// Puts a snapshot in place; gives the rows of users who changed segment since, whose sequences are complete in memory now.
fn restore(
    snapshot: Snapshot<'static>,
    state: &mut OnlineState,
    rows: &[ActorRow],
    storage: &dyn Storage,
) -> Result<Vec<ActorRow>, EngineError> {
    let moved = snapshot.restore(state, rows);
    for row in &moved {
        if state.actors.get(row.ix).is_some_and(|actor| actor.is_incomplete()) {
            load(state, storage, row.ix)?;
        }
    }
    Ok(moved)
}

/// Folds the log from the state's position on.
fn replay(state: &mut OnlineState, storage: &dyn Storage) -> Result<(), EngineError> {
    loop {
        let events = storage.events_after(state.position, ROWS)?;
        if events.is_empty() {
            return Ok(());
        }
        for chunk in events.chunks(FOLD_CHUNK) {
            replay_chunk(state, storage, chunk)?;
        }
    }
}

fn replay_chunk(state: &mut OnlineState, storage: &dyn Storage, chunk: &[LoggedEvent]) -> Result<(), EngineError> {
    for event in chunk {
        if state.needs_log(&event.staged) {
            load(state, storage, event.staged.actor)?;
        }
        state.fold(event.position, &event.staged);
        if let Some(said) = state.listener().hear(event.position, &event.staged) {
            state.models.feedback.learn(said);
        }
    }
    state.settle();
    Ok(())
}

fn load(state: &mut OnlineState, storage: &dyn Storage, actor: ActorIx) -> Result<(), EngineError> {
    let mut events = storage.events_of(&[actor])?;
    events.retain(|event| event.position <= state.position);
    let sequence = Sequence::of(state.meaning(), &events);
    state.load(actor, sequence);
    Ok(())
}

fn all_items(storage: &dyn Storage) -> Result<Vec<ItemRow>, StorageError> {
    let mut all: Vec<ItemRow> = Vec::new();
    loop {
        let from = all.last().map_or(0, |row| row.ix + 1);
        let page = storage.items_from(from as ItemIx, ROWS)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn all_actors(storage: &dyn Storage) -> Result<Vec<ActorRow>, StorageError> {
    let mut all: Vec<ActorRow> = Vec::new();
    loop {
        let from = all.last().map_or(0, |row| row.ix + 1);
        let page = storage.actors_from(from as ActorIx, ROWS)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Habits that know the quantities at the end of the log.
fn habits(storage: &dyn Storage, config: &EngineConfig, next: Position) -> Result<Habits, EngineError> {
    let mut habits = Habits::new(config.cleaning.clone());
    let mut after = next.saturating_sub(1 + HABIT_EVENTS);
    loop {
        let events = storage.events_after(after, ROWS)?;
        let Some(last) = events.last() else { return Ok(habits) };
        after = last.position;
        events.iter().for_each(|event| habits.remember(&event.staged.event));
    }
}

/// The hyper-parameters that training chose, or the default ones.
fn read_params(path: &Path) -> Result<OnlineParams, EngineError> {
    let text = match fs_err::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(OnlineParams::default()),
        Err(error) => return Err(unusable(path, &error.to_string(), "make the file readable")),
    };
    serde_json::from_slice(&text).map_err(|error| {
        unusable(
            path,
            &error.to_string(),
            "restore it from a backup, or move it away to start with default hyper-parameters",
        )
    })
}

/// Keeps hyper-parameters for later starts.
pub(crate) fn write_params(path: &Path, params: &OnlineParams) -> Result<(), EngineError> {
    let text = serde_json::to_vec_pretty(params).map_err(|error| {
        Problem::field("hyper-parameters", format!("cannot be written: {error}"), "report this defect")
    })?;
    write_durably(path, |file| file.write_all(&text))
        .map_err(|error| unusable(path, &error.to_string(), "give the server a folder that it may write"))
}

fn unusable(path: &Path, detail: &str, remedy: &str) -> EngineError {
    StorageError::Unusable { path: path.display().to_string(), detail: detail.into(), remedy: remedy.into() }.into()
}
