//! Instruction counts of whole answers under callgrind, see the benchmark of the same name in `zhiyin-models`. The shop is made up in the
//! proportions of the clicks of yoochoose-100k: short sessions on few thousand items, of which some are on everybody's way.
#![allow(missing_docs, reason = "the macros write functions that nobody calls")]

use std::{hint::black_box, sync::Arc};

use gungraun::{library_benchmark, library_benchmark_group, main};
use zhiyin_core::{EventInput, SystemClock, TimeInput};
use zhiyin_engine::{Engine, EngineConfig, EngineError, RecommendRequest, request::Explain};
use zhiyin_store::MemoryStorage;

const SESSIONS: u64 = 4_000;
const ITEMS: u64 = 1_000;
/// The last minute of the clicks, which the cleaning must find in the past.
const END_MS: i64 = 1_700_000_000_000;
/// Requests of one count: sessions differ in length and popularity.
const REQUESTS: u64 = 16;

/// Mixes a number (`SplitMix64`).
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The item of a click: a product of two evenly drawn numbers is small far more often than large.
fn item(session: u64, click: u64) -> u64 {
    let drawn = scatter(session * 64 + click);
    // Items of one session are neighbours half of the time.
    let near = scatter(session) % ITEMS * (scatter(session + SESSIONS) % ITEMS) / ITEMS;
    let far = drawn % ITEMS * (drawn / ITEMS % ITEMS) / ITEMS;
    if drawn >> 40 & 1 == 0 { (near + drawn % 8) % ITEMS } else { far }
}

fn clicks(session: u64) -> impl Iterator<Item = EventInput> {
    let count = 1 + scatter(session) % 8;
    (0..count).map(move |click| EventInput {
        kind: "click".into(),
        session: Some(format!("session-{session}")),
        item: Some(format!("item-{}", item(session, click))),
        time: Some(TimeInput::Millis(END_MS - ((SESSIONS - session) * 30_000 + (count - click) * 60_000) as i64)),
        ..EventInput::default()
    })
}

/// An engine with requests to it.
struct Served {
    engine: Arc<Engine>,
    requests: Vec<RecommendRequest>,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Answers once before the count, so that no buffer grows within it.
    fn new(sources: Option<&str>, explain: Explain) -> Result<Self, EngineError> {
        let folder = tempfile::tempdir().map_err(|error| EngineError::Internal(error.to_string()))?;
        let storage = Arc::new(MemoryStorage::default());
        let engine = Engine::open(storage, folder.path(), EngineConfig::default(), Arc::new(SystemClock))?;
        let events: Vec<EventInput> = (0..SESSIONS).flat_map(clicks).collect();
        for batch in events.chunks(5_000) {
            engine.ingest_blocking(batch.to_vec(), None)?;
        }
        let request = |number: u64| {
            let session = number * SESSIONS / REQUESTS;
            RecommendRequest {
                session: Some(format!("session-{session}")),
                item: Some(format!("item-{}", item(session, 0))),
                limit: Some(21),
                sources: sources.map(|name| vec![name.to_owned()]),
                explain,
                ..RecommendRequest::default()
            }
        };
        let served = Self { engine, requests: (0..REQUESTS).map(request).collect(), _folder: folder };
        served.answer()?;
        Ok(served)
    }

    /// The number of items in all answers.
    fn answer(&self) -> Result<usize, EngineError> {
        let lengths = self.requests.iter().map(|request| Ok(self.engine.recommend(request)?.items.len()));
        lengths.sum()
    }
}

fn session_knn() -> Result<Served, EngineError> {
    Served::new(Some("session-knn"), Explain::None)
}

fn all_sources() -> Result<Served, EngineError> {
    Served::new(None, Explain::None)
}

fn with_reasons() -> Result<Served, EngineError> {
    Served::new(None, Explain::Reasons)
}

/// Hands the engine back, so that stopping it isn't counted.
fn answered(served: Result<Served, EngineError>) -> Result<(Served, usize), EngineError> {
    let served = served?;
    let items = black_box(served.answer()?);
    Ok((served, items))
}

#[library_benchmark(setup = session_knn)]
fn recommend_session_knn(served: Result<Served, EngineError>) -> Result<(Served, usize), EngineError> {
    answered(served)
}

#[library_benchmark(setup = all_sources)]
fn recommend_all_sources(served: Result<Served, EngineError>) -> Result<(Served, usize), EngineError> {
    answered(served)
}

#[library_benchmark(setup = with_reasons)]
fn recommend_with_reasons(served: Result<Served, EngineError>) -> Result<(Served, usize), EngineError> {
    answered(served)
}

library_benchmark_group!(
    name = answers,
    benchmarks = [recommend_session_knn, recommend_all_sources, recommend_with_reasons]
);
main!(library_benchmark_groups = [answers]);
