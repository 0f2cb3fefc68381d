//! What must hold for whole engines: restarts, erasures, evictions and exchanges of models leave the state that the log gives.

use std::{path::Path, sync::Arc};

use proptest::prelude::*;
use zhiyin_core::{Event, EventInput, ExternalId, Item, TestClock, TimeInput, User, limits, storage::Storage};
use zhiyin_store::MemoryStorage;

use crate::{
    Engine, EngineConfig,
    online::{OnlineModels, OnlineParams},
    request::EventStatus,
    writer::queue::Replacement,
};

const NOW_MS: i64 = 1_800_000_000_000;
const START_MS: i64 = NOW_MS - 30 * 86_400_000;

fn open(storage: &Arc<MemoryStorage>, folder: &Path, config: &EngineConfig) -> Arc<Engine> {
    let storage: Arc<dyn Storage> = Arc::clone(storage) as Arc<dyn Storage>;
    Engine::open(storage, folder, config.clone(), Arc::new(TestClock::at(NOW_MS))).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn id(text: &str) -> ExternalId {
    ExternalId::parse("id", text).unwrap()
}

/// Models, histories, counts: everything, once the content model has no older frequencies than a fit.
fn assert_same(a: &Engine, b: &Engine) {
    a.core.state.write().rebuild_content();
    b.core.state.write().rebuild_content();
    assert!(*a.state() == *b.state());
}

fn assert_is_fit(engine: &Engine) {
    engine.core.state.write().rebuild_content();
    let frozen = engine.freeze().unwrap();
    let params = engine.state().models.params();
    assert!(engine.state().models == OnlineModels::fit(&frozen.data, &params));
}

/// What happens to an engine.
#[derive(Clone, Debug)]
enum Action {
    Events(Vec<EventInput>),
    Profile(u32, Option<&'static str>),
    Item(u32, bool),
    Erase(u32),
    Snapshot,
    Restart,
}

fn event() -> impl Strategy<Value = EventInput> {
    let who = (0..4u32, prop::sample::select(vec!["user", "session", "both"]));
    let kinds = vec!["view", "cart", "purchase", "purchase", "rating", "dislike", "impression"];
    let what =
        (0..6u32, prop::sample::select(kinds), 0..2_000i64, prop::sample::select(vec![-1.0, 1.0, 4.0]), 0..60u32);
    (who, what).prop_map(|((who, names), (item, kind, seconds, number, key))| EventInput {
        id: Some(format!("event-{key}-{kind}-{item}")),
        kind: kind.into(),
        user: (names != "session").then(|| format!("user-{who}")),
        session: (names != "user").then(|| format!("session-{who}-{}", item % 2)),
        item: Some(format!("item-{item}")),
        time: Some(TimeInput::Millis(START_MS + seconds * 1_000)),
        value: (kind == "rating").then_some(f64::abs(number)),
        quantity: (kind == "purchase").then_some(number),
        ..EventInput::default()
    })
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => prop::collection::vec(event(), 1..12).prop_map(Action::Events),
        1 => (0..4u32, prop::sample::select(vec![None, Some("France"), Some("Japan")])).prop_map(|(user, country)| Action::Profile(user, country)),
        1 => (0..6u32, any::<bool>()).prop_map(|(item, kept)| Action::Item(item, kept)),
        1 => (0..4u32).prop_map(Action::Erase),
        1 => Just(Action::Snapshot),
        1 => Just(Action::Restart),
    ];
    prop::collection::vec(action, 1..14)
}

/// Does it; a restart gives another engine on the same storage.
fn act(
    engine: Arc<Engine>,
    action: Action,
    storage: &Arc<MemoryStorage>,
    folder: &Path,
    config: &EngineConfig,
) -> Arc<Engine> {
    match action {
        Action::Events(events) => {
            engine.ingest_blocking(events, None).unwrap();
        }
        Action::Profile(user, country) => {
            let attributes = country.map(|country| ("country".to_owned(), country.into())).into_iter().collect();
            let friends = vec![id(&format!("user-{}", (user + 1) % 4))];
            block_on(engine.put_users(vec![User { attributes, friends, ..User::bare(id(&format!("user-{user}"))) }]))
                .unwrap();
        }
        Action::Item(item, true) => {
            let title = format!("lantern {item}");
            block_on(engine.put_items(vec![Item { title, ..Item::bare(id(&format!("item-{item}"))) }])).unwrap();
        }
        Action::Item(item, false) => {
            block_on(engine.delete_item(&format!("item-{item}"))).unwrap();
        }
        Action::Erase(user) => {
            let _ = block_on(engine.delete_user(&format!("user-{user}")));
        }
        Action::Snapshot => engine.snapshot().unwrap(),
        Action::Restart => {
            drop(engine);
            return open(storage, folder, config);
        }
    }
    engine
}

/// An engine that has both segments numbered in the same order as every other one.
fn prepared(storage: &Arc<MemoryStorage>, folder: &Path, config: &EngineConfig) -> Arc<Engine> {
    let engine = open(storage, folder, config);
    let user = |name: &str, country: &str| User {
        attributes: std::iter::once(("country".to_owned(), country.into())).collect(),
        ..User::bare(id(name))
    };
    block_on(engine.put_users(vec![user("user-fr", "France"), user("user-jp", "Japan")])).unwrap();
    engine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn restarts_give_what_a_full_replay_gives(actions in actions()) {
        let (storage, folder, config) = (Arc::default(), tempfile::tempdir().unwrap(), EngineConfig::default());
        let mut engine = prepared(&storage, folder.path(), &config);
        for action in actions {
            engine = act(engine, action, &storage, folder.path(), &config);
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let replayed = open(&storage, elsewhere.path(), &config);
        assert_same(&engine, &replayed);
        assert_is_fit(&engine);
        engine.shutdown().unwrap();
        prop_assert!(engine.ingest_blocking(Vec::new(), None).is_err());
        drop(engine);
        assert_same(&open(&storage, folder.path(), &config), &replayed);
    }

    #[test]
    fn evictions_leave_no_trace_in_the_models(actions in actions()) {
        let (storage, folder) = (Arc::default(), tempfile::tempdir().unwrap());
        let mut config = EngineConfig::default();
        config.state.histories_bytes_max = 300;
        let mut engine = prepared(&storage, folder.path(), &config);
        for action in actions {
            engine = act(engine, action, &storage, folder.path(), &config);
            let evicted: Vec<u32> = engine.state().actors.iter().filter(|(_, actor)| actor.evicted).map(|(ix, _)| ix).collect();
            engine.hydrate(&evicted[..evicted.len() / 2]).unwrap();
        }
        assert_is_fit(&engine);
        prop_assert!(engine.state().actors.history_bytes() <= 300);
        let unbounded = open(&storage, tempfile::tempdir().unwrap().path(), &EngineConfig::default());
        for (ix, actor) in unbounded.state().actors.iter() {
            let (_, sequence) = engine.core.sequences(&[ix]).unwrap().remove(0);
            prop_assert_eq!((&sequence.history, &sequence.negatives), (&actor.history, &actor.extras.negatives));
        }
    }

    #[test]
    fn sending_again_changes_nothing(events in prop::collection::vec(event(), 1..40)) {
        let (storage, folder, config) = (Arc::default(), tempfile::tempdir().unwrap(), EngineConfig::default());
        let engine = prepared(&storage, folder.path(), &config);
        engine.ingest_blocking(events.clone(), None).unwrap();
        let replayed = open(&storage, tempfile::tempdir().unwrap().path(), &config);
        let again = engine.ingest_blocking(events, None).unwrap();
        prop_assert!(again.iter().all(|outcome| outcome.status == EventStatus::Duplicate));
        assert_same(&engine, &replayed);
    }
}

/// Events of one user, longer than memory keeps, with late ones and returns all over the place.
fn long_history() -> Vec<EventInput> {
    let number = |at: u32, salt: u32| (at.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 7) % 1_000;
    let event = |at: u32| {
        let late = number(at, 1) < 60;
        let seconds = if late { i64::from(number(at, 2)) * i64::from(at) / 1_000 } else { i64::from(at) };
        let purchase = number(at, 3) < 500;
        EventInput {
            id: Some(format!("event-{at}")),
            kind: if purchase { "purchase" } else { "view" }.into(),
            user: Some("user-42".into()),
            item: Some(format!("item-{}", number(at, 4) % 40)),
            time: Some(TimeInput::Millis(START_MS + seconds * 60_000)),
            quantity: purchase.then(|| if number(at, 5) < 200 { -1.0 } else { 1.0 }),
            ..EventInput::default()
        }
    };
    (0..1_200).map(event).collect()
}

#[test]
fn a_history_longer_than_memory_keeps_is_exact() {
    let (storage, folder, config) = (Arc::default(), tempfile::tempdir().unwrap(), EngineConfig::default());
    let engine = open(&storage, folder.path(), &config);
    for batch in long_history().chunks(90) {
        engine.ingest_blocking(batch.to_vec(), None).unwrap();
        if engine.state().position.is_multiple_of(4) {
            engine.snapshot().unwrap();
        }
    }
    let actor = engine.state().actors.get(0).unwrap().clone();
    assert!(actor.cut && actor.history.len() == limits::HISTORY_MAX);
    let frozen = engine.freeze().unwrap();
    assert!(frozen.data.interactions.len() > 2 * limits::HISTORY_MAX);
    assert!(frozen.data.interactions.ends_with(&actor.history));
    assert_is_fit(&engine);
    drop(engine);
    let restarted = open(&storage, folder.path(), &config);
    assert_same(&restarted, &open(&storage, tempfile::tempdir().unwrap().path(), &config));
    block_on(restarted.delete_user("user-42")).unwrap();
    assert!(restarted.state().models.popularity == OnlineModels::new(&OnlineParams::default()).popularity);
    assert_eq!((restarted.state().events, restarted.state().newest_s), (0, 0));
    assert!((0..40).all(|ix| restarted.state().items.interactions(ix) == 0));
}

#[test]
fn models_that_were_fitted_a_while_ago_catch_up() {
    let (storage, folder, config) = (Arc::default(), tempfile::tempdir().unwrap(), EngineConfig::default());
    let engine = open(&storage, folder.path(), &config);
    let events = long_history();
    let of = |user: &str, from: &EventInput| EventInput {
        id: from.id.as_ref().map(|id| format!("{user}-{id}")),
        user: Some(user.into()),
        ..from.clone()
    };
    let users = ["user-1", "user-2", "user-3"];
    let some: Vec<_> = events[..300].iter().enumerate().map(|(at, event)| of(users[at % 3], event)).collect();
    engine.ingest_blocking(some, None).unwrap();
    let frozen = engine.freeze().unwrap();
    let mut params = OnlineParams::default();
    params.cooccurrence = params.cooccurrence.axes().remove(0).remove(0);
    let models = OnlineModels::fit(&frozen.data, &params);
    // Meanwhile: events, one user goes, one comes, one moves, an item changes and another goes.
    let more: Vec<_> =
        events[300..700].iter().enumerate().map(|(at, event)| of(["user-1", "user-4"][at % 2], event)).collect();
    engine.ingest_blocking(more, None).unwrap();
    block_on(engine.delete_user("user-2")).unwrap();
    let attributes = std::iter::once(("country".to_owned(), "France".into())).collect();
    block_on(engine.put_users(vec![User { attributes, ..User::bare(id("user-3")) }])).unwrap();
    block_on(engine.put_items(vec![Item { title: "new lantern".into(), ..Item::bare(id("item-1")) }])).unwrap();
    block_on(engine.delete_item("item-2")).unwrap();
    let listener = engine.state().listener().clone();
    engine.replace_models(Replacement { frozen, models, listener }).unwrap();
    assert_eq!(engine.state().models.params(), params);
    assert_is_fit(&engine);
    // The chosen hyper-parameters outlive the snapshots.
    drop(engine);
    fs_err::remove_dir_all(folder.path().join("snapshots")).unwrap();
    let restarted = open(&storage, folder.path(), &config);
    assert_eq!(restarted.state().models.params(), params);
    assert_is_fit(&restarted);
}

#[test]
fn what_was_said_while_a_reader_was_learned_is_read_by_it_too() {
    let (storage, folder, config) = (Arc::default(), tempfile::tempdir().unwrap(), EngineConfig::default());
    let engine = open(&storage, folder.path(), &config);
    let review = |(n, user): (usize, usize)| EventInput {
        kind: "review".into(),
        user: Some(format!("user-{user}")),
        item: Some(format!("item-{}", n % 7)),
        value: Some(if n % 3 == 0 { 1.0 } else { 5.0 }),
        text: Some((if n % 3 == 0 { "The lid is terrible." } else { "The lid is great, it pours well." }).into()),
        ..EventInput::default()
    };
    engine.ingest_blocking((0..120).map(|n| review((n, n % 5))).collect(), None).unwrap();
    let mut frozen = engine.freeze().unwrap();
    let untrained = engine.state().listener().clone();
    let listener = untrained.with_reader(engine.reviews(&frozen).unwrap().learn(&untrained));
    frozen.data.opinions = engine.all_said(&frozen, &listener).unwrap().into();
    let models = OnlineModels::fit(&frozen.data, &OnlineParams::default());
    // Meanwhile somebody goes, somebody says more, and somebody new comes.
    block_on(engine.delete_user("user-1")).unwrap();
    engine.ingest_blocking((0..30).map(|n| review((n, 4 + n % 3))).collect(), None).unwrap();
    engine.replace_models(Replacement { frozen, models, listener }).unwrap();
    let aspects = engine.state().listener().reader().aspects().to_vec();
    assert!(aspects.contains(&"lid".to_owned()), "{aspects:?}");
    let (version, heard) = {
        let state = engine.state();
        (state.listener().version().to_owned(), state.models.feedback.clone())
    };
    assert_eq!(heard.overall().reviews.total(), 96 + 30);
    assert!(heard.overall().aspects.values().all(|balance| balance.total() == 126));
    drop(engine);
    for snapshots in ["with", "without"] {
        if snapshots == "without" {
            fs_err::remove_dir_all(folder.path().join("snapshots")).unwrap();
        }
        let restarted = open(&storage, folder.path(), &config);
        assert_eq!(restarted.state().listener().version(), version);
        assert_eq!(restarted.state().models.feedback, heard, "{snapshots} snapshots");
    }
}

#[test]
fn many_senders_at_once_lose_and_mix_nothing() {
    let (storage, folder, config) = (Arc::default(), tempfile::tempdir().unwrap(), EngineConfig::default());
    let engine = open(&storage, folder.path(), &config);
    let events = long_history();
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let (engine, events) = (&engine, &events);
            scope.spawn(move || {
                for event in events.iter().skip(sender).step_by(8) {
                    let event = EventInput { user: Some(format!("user-{}", sender / 2)), ..event.clone() };
                    let outcome = engine.ingest_blocking(vec![event], None).unwrap().remove(0);
                    assert!(matches!(outcome.status, EventStatus::Accepted | EventStatus::Repaired));
                    assert!(
                        engine
                            .state()
                            .actors
                            .find(zhiyin_core::storage::ActorKind::User, &format!("user-{}", sender / 2))
                            .is_some()
                    );
                }
            });
        }
    });
    assert_eq!(engine.status().events, 1_200);
    assert_eq!(engine.status().queued_events, 0);
    assert_is_fit(&engine);
    let logged: Vec<Event> =
        storage.events_after(0, 2_000).unwrap().into_iter().map(|event| event.staged.event).collect();
    assert_eq!(logged.len(), 1_200);
}
