#![allow(missing_docs, clippy::print_stdout)]
use std::{sync::Arc, time::Instant};
use zhiyin_core::storage::*;
use zhiyin_core::*;
use zhiyin_datasets::{Format, Record, Source};
use zhiyin_engine::{clean::*, online::*, state::*, *};
use zhiyin_store::*;
fn main() {
    let mut events = Vec::new();
    let mut items = Vec::new();
    let mut users = Vec::new();
    for r in zhiyin_datasets::open(&Source::new(Format::OnlineRetail, "data/online-retail")).unwrap().flatten() {
        match r {
            Record::Event(e) => events.push(e),
            Record::Item(i) => items.push(i),
            Record::User(u) => users.push(u),
        }
    }
    let n = events.len() as f64;
    let config = EngineConfig::default();
    let t = Instant::now();
    let mut cleaner = Cleaner::new(&config).unwrap();
    let now = 1_900_000_000_000;
    let clean: Vec<Event> = events
        .iter()
        .cloned()
        .filter_map(|e| match cleaner.check(e, now) {
            Verdict::Clean(s) => Some(s.event),
            _ => None,
        })
        .collect();
    println!("clean   {:>9.0}/s ({} of {})", n / t.elapsed().as_secs_f64(), clean.len(), events.len());
    // staging by hand
    let mut state = OnlineState::new(&config, &OnlineParams::default()).unwrap();
    let mut ids = std::collections::HashMap::new();
    let mut its = std::collections::HashMap::new();
    let mut rows = Vec::new();
    let mut irows = Vec::new();
    let staged: Vec<StagedEvent> = clean
        .into_iter()
        .map(|event| {
            let (kind, id) = match &event.user {
                Some(u) => (ActorKind::User, u.clone()),
                None => (ActorKind::Session, event.session.clone().unwrap()),
            };
            let len = ids.len() as u32;
            let actor = *ids.entry((kind, id.clone())).or_insert_with(|| {
                rows.push(ActorRow { ix: len, kind, id, linked_user: None, user: None });
                len
            });
            let ilen = its.len() as u32;
            let item = *its.entry(event.item.clone().unwrap()).or_insert_with(|| {
                irows.push(ItemRow { ix: ilen, item: Some(Item::bare(event.item.clone().unwrap())) });
                ilen
            });
            StagedEvent { event, actor, item: Some(item) }
        })
        .collect();
    state.put_actors(&rows);
    state.load_items(irows);
    let t = Instant::now();
    for c in staged.chunks(64).zip(0u64..) {
        for (e, k) in c.0.iter().zip(1..) {
            if !state.needs_log(e) {
                state.fold(c.1 * 64 + k, e);
            }
        }
        state.settle();
    }
    println!(
        "fold    {:>9.0}/s  models {} MB, histories {} MB",
        n / t.elapsed().as_secs_f64(),
        state.models.bytes() >> 20,
        state.actors.history_bytes() >> 20
    );
    for name in ["memory", "sqlite", "sqlite-2senders"] {
        let folder = tempfile::tempdir_in("target").unwrap();
        let storage: Arc<dyn Storage> = if name == "memory" {
            Arc::new(MemoryStorage::new())
        } else {
            Arc::new(Store::open(folder.path(), StoreOptions::default()).unwrap())
        };
        let engine = Engine::open(storage, folder.path(), config.clone(), Arc::new(SystemClock)).unwrap();
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for c in items.chunks(5000) {
            rt.block_on(engine.put_items(c.to_vec())).unwrap();
        }
        for c in users.chunks(5000) {
            rt.block_on(engine.put_users(c.to_vec())).unwrap();
        }
        let senders = if name.ends_with("2senders") { 2 } else { 1 };
        let chunks: Vec<Vec<EventInput>> = events.chunks(1000).map(<[_]>::to_vec).collect();
        let t = Instant::now();
        let c0 = cpu();
        let queue = std::sync::Mutex::new(chunks.into_iter());
        std::thread::scope(|s| {
            for _ in 0..senders {
                s.spawn(|| {
                    loop {
                        let Some(c) = queue.lock().unwrap().next() else { break };
                        engine.ingest_blocking(c, None).unwrap();
                    }
                });
            }
        });
        println!("{name:<16}{:>9.0}/s wall, {:>9.0}/s per cpu second", n / t.elapsed().as_secs_f64(), n / (cpu() - c0));
        let t = Instant::now();
        engine.snapshot().unwrap();
        println!("  snapshot {:.2} s", t.elapsed().as_secs_f64());
        drop(engine);
    }
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
