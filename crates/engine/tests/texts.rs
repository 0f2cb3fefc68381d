//! Item texts in a running engine: encoded beside the requests, once, and served, with an encoder that counts what it is asked.

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use support::{at, block_on, event, item};
use zhiyin_core::{
    EncodeError, Encoder, Item, TestClock, VectorCache, VectorKey, language::KeepError, storage::Storage,
};
use zhiyin_engine::{
    Engine, EngineConfig, RecommendRequest, TextEncoding, config::TrainConfig, progress::Silent, request::Explain,
};
use zhiyin_store::FaultyStorage;

const TASTES: [&str; 4] = ["mug", "lamp", "chair", "carpet"];
const ITEMS_PER_TASTE: usize = 20;

/// Knows what a title is about by its first word, and something of its own by the rest.
struct FirstWords {
    version: &'static str,
    encoded: AtomicUsize,
}

impl Encoder for FirstWords {
    fn name(&self) -> &str {
        "first-words"
    }

    fn version(&self) -> &str {
        self.version
    }

    fn dims(&self) -> usize {
        12
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        self.encoded.fetch_add(texts.len(), Ordering::Relaxed);
        let row = |text: &&str| {
            assert!(!text.contains("poison"), "a text that the encoder dies of");
            let hash = blake3::hash(text.as_bytes());
            let mut row: Vec<f32> = hash.as_bytes()[..12].iter().map(|byte| f32::from(*byte) / 512.0 - 0.25).collect();
            if let Some(taste) = TASTES.iter().position(|taste| text.starts_with(taste)) {
                row[taste] += 1.0;
            }
            row
        };
        Ok(texts.iter().flat_map(row).collect())
    }
}

#[derive(Default)]
struct Kept(Mutex<BTreeMap<VectorKey, Vec<f32>>>);

impl VectorCache for Kept {
    fn get(&self, keys: &[VectorKey]) -> Result<Vec<Option<Vec<f32>>>, KeepError> {
        let kept = self.0.lock();
        Ok(keys.iter().map(|key| kept.get(key).cloned()).collect())
    }

    fn put(&self, vectors: &[(VectorKey, &[f32])]) -> Result<(), KeepError> {
        self.0.lock().extend(vectors.iter().map(|(key, row)| (*key, row.to_vec())));
        Ok(())
    }
}

struct Shop {
    storage: Arc<FaultyStorage>,
    folder: tempfile::TempDir,
    cache: Arc<Kept>,
}

impl Shop {
    fn new() -> Self {
        Self { storage: Arc::default(), folder: tempfile::tempdir().unwrap(), cache: Arc::default() }
    }

    fn open(&self, version: &'static str) -> (Arc<Engine>, Arc<FirstWords>) {
        let encoder = Arc::new(FirstWords { version, encoded: AtomicUsize::new(0) });
        let encoding =
            TextEncoding { encoder: Ok(Arc::clone(&encoder) as _), cache: Some(Arc::clone(&self.cache) as _) };
        (self.open_with(encoding), encoder)
    }

    fn open_with(&self, encoding: TextEncoding) -> Arc<Engine> {
        let config = EngineConfig {
            train: TrainConfig { events_min: 100, ..TrainConfig::default() },
            ..EngineConfig::default()
        };
        let clock = Arc::new(TestClock::at(support::NOW_MS));
        let storage = Arc::clone(&self.storage) as Arc<dyn Storage>;
        Engine::open_with(storage, self.folder.path(), config, clock, encoding).unwrap()
    }
}

fn title(taste: &str, number: usize) -> Item {
    item(&format!("{taste}-{number}"), &format!("{taste} model{number}"))
}

fn encoded(engine: &Engine) {
    assert!(engine.await_encoding(Duration::from_secs(20)), "{:?}", engine.status().texts);
}

fn fill(engine: &Engine) {
    let items = TASTES.iter().flat_map(|taste| (0..ITEMS_PER_TASTE).map(|number| title(taste, number)));
    block_on(engine.put_items(items.collect())).unwrap();
    let mut events = Vec::new();
    for customer in 0..60_usize {
        let taste = TASTES[customer % TASTES.len()];
        for step in 0..8 {
            // Everybody stays with one taste, and nobody meets the last items of any.
            let number = (customer * 7 + step * 3) % (ITEMS_PER_TASTE - 4);
            let viewed = event("view", &format!("user-{customer}"), &format!("{taste}-{number}"));
            events.push(at(viewed, support::NOW_MS - 100_000_000 + (step * 100 + customer) as i64 * 1000));
        }
    }
    engine.ingest_blocking(events, None).unwrap();
}

fn ask(engine: &Engine, request: RecommendRequest) -> Vec<(String, String)> {
    let answer = engine.recommend(&request).unwrap();
    answer.items.into_iter().map(|item| (item.item, item.source.into_owned())).collect()
}

fn of(user: &str) -> RecommendRequest {
    RecommendRequest { user: Some(user.to_owned()), limit: Some(10), ..RecommendRequest::default() }
}

#[test]
fn a_restart_encodes_nothing_again_and_another_encoder_everything() {
    let shop = Shop::new();
    let (engine, encoder) = shop.open("1");
    fill(&engine);
    encoded(&engine);
    let all = TASTES.len() * ITEMS_PER_TASTE;
    assert_eq!((encoder.encoded.load(Ordering::Relaxed), engine.status().texts.encoded), (all, all));
    engine.shutdown().unwrap();
    drop(engine);
    let (engine, encoder) = shop.open("1");
    encoded(&engine);
    assert_eq!((encoder.encoded.load(Ordering::Relaxed), engine.status().texts.encoded), (0, all));
    // The same text again is nothing new, a changed one is.
    block_on(engine.put_items(vec![title("mug", 1), item("mug-2", "lamp instead")])).unwrap();
    encoded(&engine);
    assert_eq!(encoder.encoded.load(Ordering::Relaxed), 1);
    drop(engine);
    let (engine, encoder) = shop.open("2");
    encoded(&engine);
    assert_eq!(encoder.encoded.load(Ordering::Relaxed), all);
}

#[test]
fn items_of_events_get_their_vectors_when_their_texts_come() {
    let shop = Shop::new();
    let (engine, _) = shop.open("1");
    fill(&engine);
    engine.ingest_blocking(vec![event("view", "user-1", "unheard")], None).unwrap();
    encoded(&engine);
    let before = engine.status().texts.encoded;
    block_on(engine.put_items(vec![item("unheard", "lamp unheard")])).unwrap();
    encoded(&engine);
    assert_eq!(engine.status().texts.encoded, before + 1);
    assert!(block_on(engine.delete_item("unheard")).unwrap());
    encoded(&engine);
    assert_eq!(engine.status().texts.encoded, before);
}

#[test]
fn a_new_item_is_recommended_by_its_text_and_so_it_is_after_a_restart() {
    let shop = Shop::new();
    let (engine, encoder) = shop.open("1");
    fill(&engine);
    engine.train(&Silent).unwrap();
    let version = engine.status().model;
    let chairs = RecommendRequest { sources: Some(vec!["text".into()]), ..of("user-2") };
    let posted = Instant::now();
    // No word in common with any other: only the vector knows what it is.
    block_on(engine.put_items(vec![item("new", "chairlike")])).unwrap();
    while !ask(&engine, chairs.clone()).iter().any(|(item, _)| item == "new") {
        assert!(posted.elapsed() < Duration::from_secs(2), "{:?}", ask(&engine, chairs));
        std::thread::sleep(Duration::from_millis(5));
    }
    let lamps = RecommendRequest { sources: Some(vec!["text".into()]), ..of("user-1") };
    let score = |request: &RecommendRequest| {
        let all = RecommendRequest { limit: Some(100), ..request.clone() };
        let answer = engine.recommend(&all).unwrap();
        answer.items.iter().find(|item| item.item == "new").map_or(0.0, |item| item.score)
    };
    assert!(score(&chairs) > score(&lamps), "{} {}", score(&chairs), score(&lamps));
    let before = ask(&engine, chairs.clone());
    encoded(&engine);
    drop(engine);
    let encodings = encoder.encoded.load(Ordering::Relaxed);
    assert_eq!(encodings, TASTES.len() * ITEMS_PER_TASTE + 1, "training encodes nothing");
    let (engine, _) = shop.open("1");
    assert_eq!(engine.status().model, version);
    encoded(&engine);
    assert_eq!(ask(&engine, chairs), before);
    // Without the encoder the model isn't served, and everything else is.
    drop(engine);
    let engine = shop.open_with(TextEncoding::none("a test"));
    assert_eq!(engine.status().texts.reason.as_deref(), Some("a test"));
    assert!(ask(&engine, lamps).iter().all(|(_, source)| source == "backfill"));
    assert_eq!(ask(&engine, of("user-1")).len(), 10);
    assert!(engine.status().failed_sources.is_empty());
}

#[test]
fn what_is_served_for_cold_items_is_the_sum_of_its_parts() {
    let shop = Shop::new();
    let (engine, _) = shop.open("1");
    fill(&engine);
    let report = engine.train(&Silent).unwrap();
    assert!(report.weights.iter().any(|(name, _)| name == "text"));
    let request = RecommendRequest { explain: Explain::Trace, limit: Some(60), ..of("user-3") };
    let trace = engine.recommend(&request).unwrap().trace.unwrap();
    let is_cold = |item: &str| item.rsplit('-').next().unwrap().parse::<usize>().unwrap() >= ITEMS_PER_TASTE - 4;
    let (weight_of, boosted) = match &report.cold_weight {
        Some((source, weight)) => (*weight, source.as_str()),
        None => (0.0, "text"),
    };
    let plain = report.weights.iter().find(|(name, _)| name == boosted).map_or(0.0, |(_, weight)| *weight);
    let mut seen = 0;
    for score in &trace.scores {
        let sum: f32 = score.contributions.values().sum();
        assert!((sum - score.score).abs() < 1e-4, "{score:?}");
        let (Some(value), Some(part)) = (score.values.get(boosted), score.contributions.get(boosted)) else { continue };
        if is_cold(&score.item) && *value > 0.0 && plain > 0.0 {
            // In units of the plain weight a cold item has more of the source than a warm one.
            let warm = trace.scores.iter().find(|other| !is_cold(&other.item) && other.values[boosted] > 0.0).unwrap();
            let per_value = warm.contributions[boosted] / warm.values[boosted] / plain;
            assert!((part / value / per_value - (plain + weight_of)).abs() < 1e-3 * (plain + weight_of), "{score:?}");
            seen += 1;
        }
    }
    assert!(seen > 0 || plain == 0.0, "{:?}", report.weights);
}

#[test]
fn a_text_that_kills_the_encoder_leaves_the_others_alone() {
    let shop = Shop::new();
    let (engine, _) = shop.open("1");
    fill(&engine);
    encoded(&engine);
    let before = engine.status().texts.encoded;
    block_on(engine.put_items(vec![item("a", "mug a"), item("b", "poison"), item("c", "mug c")])).unwrap();
    encoded(&engine);
    let status = engine.status().texts;
    assert_eq!((status.encoded, status.failed), (before + 2, 1), "{status:?}");
    assert!(status.error.unwrap().contains("panicked"));
}

#[test]
fn diverse_lists_mix_meanings() {
    let shop = Shop::new();
    let (engine, _) = shop.open("1");
    fill(&engine);
    encoded(&engine);
    engine.ingest_blocking(TASTES.map(|taste| event("view", "user-77", &format!("{taste}-1"))).to_vec(), None).unwrap();
    let tastes = |diversity: f32| {
        let request = RecommendRequest {
            diversity: Some(diversity),
            limit: Some(8),
            sources: Some(vec!["text".into()]),
            ..of("user-77")
        };
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for (item, _) in ask(&engine, request) {
            *count.entry(item.split('-').next().unwrap().to_owned()).or_default() += 1;
        }
        count.values().copied().max().unwrap()
    };
    assert!(tastes(0.9) < tastes(0.0), "{} against {} of one kind", tastes(0.9), tastes(0.0));
}
