//! What must hold for every log: the state is a function of the effective sequences.

use proptest::prelude::*;
use zhiyin_core::{
    ActorIx, Event, ExternalId, Item, ItemIx, Kind, User,
    event::EventDetails,
    storage::{ActorKind, ActorRow, LoggedEvent, StagedEvent},
};

use super::{
    Actor, Folded, OnlineState, Sequence, append_complete, dataset,
    snapshot::{self, Snapshot},
};
use crate::{
    config::EngineConfig,
    online::{OnlineModels, OnlineParams},
};

const ACTORS: ActorIx = 5;
const ITEMS: ItemIx = 6;
const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 20_000 * DAY_MS;

fn id(text: &str) -> ExternalId {
    ExternalId::parse("id", text).unwrap()
}

/// Users 0, 1 and 2 (the first two in segments, 1 is a friend of 0), session 3 tied to user 0, session 4 tied to nobody.
fn rows() -> Vec<ActorRow> {
    let user = |ix: ActorIx, country: Option<&str>, friends: &[&str]| {
        let name = id(&format!("user-{ix}"));
        let attributes = country.map(|country| ("country".to_owned(), country.into())).into_iter().collect();
        let friends = friends.iter().map(|friend| id(friend)).collect();
        let user = User { id: name.clone(), attributes, friends };
        ActorRow { ix, kind: ActorKind::User, id: name, linked_user: None, user: Some(user) }
    };
    let session = |ix: ActorIx, linked_user| {
        let id = id(&format!("session-{ix}"));
        ActorRow { ix, kind: ActorKind::Session, id, linked_user, user: None }
    };
    vec![
        user(0, Some("France"), &["user-1", "user-9"]),
        user(1, Some("Japan"), &[]),
        user(2, None, &["user-0"]),
        session(3, Some(0)),
        session(4, None),
    ]
}

fn empty(config: &EngineConfig) -> OnlineState {
    let mut state = OnlineState::new(config, &OnlineParams::default()).unwrap();
    for ix in 0..ITEMS {
        let title = format!("lantern number {ix}");
        state.put_item(ix, Some(Item { title, ..Item::bare(id(&format!("item-{ix}"))) }));
    }
    state.put_actors(&rows());
    state.rebuild_content();
    state
}

fn staged(actor: ActorIx, item: ItemIx, kind: Kind, time_ms: i64, value: f64, quantity: f64) -> StagedEvent {
    let number = |wanted: bool, number: f64| wanted.then_some(number);
    let details = EventDetails {
        value: number(kind == Kind::Rating, value),
        quantity: number(kind == Kind::Purchase, quantity),
        ..EventDetails::default()
    };
    let id = id(&format!("{actor}-{item}-{time_ms}-{kind}"));
    let event = Event { id, kind, user: None, session: None, item: None, time_ms, details };
    StagedEvent { event, actor, item: Some(item) }
}

/// Logs with late events, returns with and without purchase, ratings of both kinds, and events that are only recorded.
fn logs() -> impl Strategy<Value = Vec<StagedEvent>> {
    let kinds =
        vec![Kind::View, Kind::Click, Kind::Purchase, Kind::Purchase, Kind::Rating, Kind::Dislike, Kind::Impression];
    let event = (
        0..ACTORS,
        0..ITEMS,
        prop::sample::select(kinds),
        prop::sample::select(vec![0, 0, 0, 1_000, 90_000, DAY_MS, -3_000, -2 * DAY_MS]),
        prop::sample::select(vec![1.0, 5.0]),
        prop::sample::select(vec![1.0, 3.0, -1.0]),
    );
    prop::collection::vec(event, 0..80).prop_map(|events| {
        let mut time_ms = START_MS;
        let place = |(actor, item, kind, pause_ms, value, quantity)| {
            time_ms += i64::max(pause_ms, 0);
            staged(actor, item, kind, time_ms + i64::min(pause_ms, 0), value, quantity)
        };
        events.into_iter().map(place).collect()
    })
}

fn fold_all<'a>(state: &mut OnlineState, events: impl IntoIterator<Item = &'a StagedEvent>) {
    for event in events {
        assert!(!state.needs_log(event));
        state.fold(state.position + 1, event);
    }
    state.settle();
}

fn folded(events: &[StagedEvent]) -> OnlineState {
    let mut state = empty(&EngineConfig::default());
    fold_all(&mut state, events);
    state
}

fn logged(events: &[StagedEvent]) -> Vec<LoggedEvent> {
    events.iter().zip(1..).map(|(event, position)| LoggedEvent { position, staged: event.clone() }).collect()
}

fn erase(state: &mut OnlineState, log: &[StagedEvent], actor: ActorIx) {
    let own: Vec<StagedEvent> = log.iter().filter(|event| event.actor == actor).cloned().collect();
    let sequence = Sequence::of(state.meaning(), &logged(&own));
    state.unfold(actor, &sequence.history, 0..sequence.history.len());
    state.remove_actor(actor, own.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_models_are_a_fit_on_the_effective_sequences(log in logs()) {
        let state = folded(&log);
        let (data, incomplete) = dataset(&state);
        prop_assert!(incomplete.is_empty());
        prop_assert!(state.models == OnlineModels::fit(&data, &OnlineParams::default()));
        let counts: Vec<u64> = data.item_counts().into_iter().map(u64::from).collect();
        prop_assert_eq!(state.items.all_interactions(), counts);
        for (ix, actor) in state.actors.iter() {
            let own: Vec<_> = log.iter().filter(|event| event.actor == ix).cloned().collect();
            let sequence = Sequence::of(state.meaning(), &logged(&own));
            prop_assert_eq!((&actor.history, &actor.extras.negatives), (&sequence.history, &sequence.negatives));
            prop_assert!(actor.history.is_sorted_by_key(|event| event.time_s));
        }
    }

    #[test]
    fn the_order_of_different_actors_leaves_no_trace(log in logs()) {
        let mut by_actor = log.clone();
        by_actor.sort_by_key(|event| event.actor);
        prop_assert!(folded(&log) == folded(&by_actor));
    }

    #[test]
    fn an_erased_actor_was_never_there(log in logs(), gone in 0..ACTORS, again in any::<bool>()) {
        let mut state = folded(&log);
        erase(&mut state, &log, gone);
        let mut never = empty(&EngineConfig::default());
        never.actors.remove(gone);
        fold_all(&mut never, log.iter().filter(|event| event.actor != gone));
        never.position = state.position;
        prop_assert!(state == never);
        if again {
            // The name may come back under a new number, with the friends who named it.
            let row = ActorRow { ix: ACTORS, linked_user: None, ..rows()[gone as usize].clone() };
            state.put_actors(std::slice::from_ref(&row));
            never.put_actors(&[row]);
            prop_assert!(state == never);
        }
    }

    #[test]
    fn a_snapshot_and_the_rest_of_the_log_give_the_state(log in logs(), cut in 0..80usize) {
        let whole = folded(&log);
        let (before, after) = log.split_at(cut.min(log.len()));
        let bytes = snapshot_of(&folded(before));
        let mut state = OnlineState::new(&EngineConfig::default(), &OnlineParams::default()).unwrap();
        state.load_items(whole.items.rows_for_checks());
        let snapshot = Snapshot::decode(&bytes).unwrap();
        snapshot.check(&state, &rows()).unwrap();
        prop_assert!(snapshot.restore(&mut state, &rows()).is_empty());
        fold_all(&mut state, after);
        prop_assert!(state == whole);
    }

    #[test]
    fn a_changed_segment_moves_what_was_counted(log in logs(), cut in 0..80usize) {
        let moved = ActorRow { user: Some(User { attributes: rows()[1].user.clone().unwrap().attributes, ..User::bare(id("user-0")) }), ..rows()[0].clone() };
        let mut late = empty(&EngineConfig::default());
        let (before, after) = log.split_at(cut.min(log.len()));
        fold_all(&mut late, before);
        prop_assert!(late.changes_segment(&moved));
        late.put_actors(std::slice::from_ref(&moved));
        fold_all(&mut late, after);
        let mut early = empty(&EngineConfig::default());
        early.put_actors(&[moved]);
        fold_all(&mut early, &log);
        prop_assert!(late == early);
    }

    #[test]
    fn bytes_of_histories_are_counted_exactly(log in logs(), gone in 0..ACTORS) {
        let mut state = folded(&log);
        erase(&mut state, &log, gone);
        let counted: usize = state.actors.iter().map(|(_, actor)| {
            actor.history.capacity() * 12 + actor.extras.negatives.capacity() * 8
        }).sum();
        prop_assert_eq!(state.actors.history_bytes(), counted);
    }
}

#[test]
fn a_return_takes_back_the_latest_earlier_purchase_only() {
    let purchase = |time_ms| staged(2, 1, Kind::Purchase, time_ms, 0.0, 2.0);
    let give_back = |time_ms| staged(2, 1, Kind::Purchase, time_ms, 0.0, -2.0);
    let at = |seconds: i64| START_MS + seconds * 1_000;
    let mut state =
        folded(&[purchase(at(0)), staged(2, 3, Kind::View, at(1), 0.0, 0.0), purchase(at(2)), purchase(at(9))]);
    assert_eq!(state.fold(5, &give_back(at(3))), Folded::Counted);
    let times = |actor: &Actor| {
        actor.history.iter().map(|event| i64::from(event.time_s) - START_MS / 1_000).collect::<Vec<_>>()
    };
    assert_eq!(times(state.actors.get(2).unwrap()), [0, 1, 9]);
    assert_eq!(state.items.interactions(1), 2);
    assert_eq!(state.fold(6, &give_back(at(4))), Folded::Counted);
    assert_eq!(state.fold(7, &give_back(at(4))), Folded::ReturnWithoutPurchase);
    assert_eq!(times(state.actors.get(2).unwrap()), [1, 9]);
    assert_eq!((state.events, state.position), (7, 7));
}

#[test]
fn a_rating_counts_for_or_against_by_its_stars() {
    let rating = |actor, stars| staged(actor, 0, Kind::Rating, START_MS, stars, 0.0);
    let state = folded(&[rating(0, 3.0), rating(1, 4.5), rating(2, 2.5)]);
    let weight = |actor| state.actors.get(actor).unwrap().history[0].weight.to_f32();
    assert_eq!((weight(0), weight(1)), (2.0, 3.0));
    let against = state.actors.get(2).unwrap();
    assert_eq!((against.history.len(), &against.extras.negatives[..]), (0, &[(0, (START_MS / 1_000) as u32)][..]));
}

#[test]
fn friends_and_sessions_follow_those_who_come_and_go() {
    let mut state = empty(&EngineConfig::default());
    assert_eq!(state.actors.get(0).unwrap().extras.friends, [1]);
    assert_eq!(state.actors.group(3), [0, 3]);
    assert_eq!(state.actors.group(4), [4]);
    // A friend who was named before he existed.
    let late = ActorRow { ix: 7, kind: ActorKind::User, id: id("user-9"), linked_user: None, user: None };
    state.put_actors(&[late]);
    assert_eq!(state.actors.get(0).unwrap().extras.friends, [1, 7]);
    state.remove_actor(7, 0);
    assert_eq!(state.actors.get(0).unwrap().extras.friends, [1]);
    // The first tie wins.
    state.put_actors(&[ActorRow { linked_user: Some(1), ..rows()[3].clone() }]);
    assert_eq!(state.actors.get(3).unwrap().linked_user, Some(0));
    state.remove_actor(0, 0);
    assert_eq!(state.actors.get(3).unwrap().linked_user, None);
    assert_eq!(state.actors.find(ActorKind::User, "user-0"), None);
    assert_eq!((state.actors.users(), state.actors.sessions()), (2, 2));
}

#[test]
fn histories_beyond_the_bound_are_dropped_and_read_from_the_log() {
    let mut config = EngineConfig::default();
    config.state.histories_bytes_max = 400;
    let mut state = empty(&config);
    let log: Vec<StagedEvent> = (0..60)
        .map(|at| staged(at % ACTORS, at % ITEMS, Kind::View, START_MS + i64::from(at) * 1_000, 0.0, 0.0))
        .collect();
    for (event, position) in log.iter().zip(1..) {
        if state.needs_log(event) {
            let own: Vec<_> = log[..position - 1].iter().filter(|known| known.actor == event.actor).cloned().collect();
            state.load(event.actor, Sequence::of(state.meaning(), &logged(&own)));
        }
        state.fold(position as u64, event);
        state.settle();
        assert!(state.actors.history_bytes() <= 400);
    }
    assert!(state.actors.evictions() > 0);
    let unbounded = folded(&log);
    assert!(state.models == unbounded.models && state.items == unbounded.items);
    let (data, incomplete) = dataset(&state);
    let whole: Vec<_> = incomplete.iter().map(|&ix| (ix, unbounded.actors.get(ix).unwrap().history.clone())).collect();
    assert!(!whole.is_empty());
    // An unknown price is no number and equals nothing, so the facts are compared without it.
    assert_eq!(append_complete(data, &whole).interactions, dataset(&unbounded).0.interactions);
}

fn snapshot_of(state: &OnlineState) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    snapshot::write(state, &mut file).unwrap();
    file.into_inner()
}

/// A disk with no room.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // The header still finds room.
        if bytes.iter().all(|byte| *byte == 0) { Ok(bytes.len()) } else { Err(std::io::ErrorKind::StorageFull.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Seek for Full {
    fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn a_full_disk_is_told_as_such() {
    let error = snapshot::write(&folded(&[]), &mut Full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
}

#[test]
fn bytes_that_are_no_sound_snapshot_are_refused_with_the_reason() {
    let bytes = snapshot_of(&folded(&[]));
    let wrong = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        Snapshot::decode(&bytes).err().unwrap().to_string()
    };
    assert!(Snapshot::decode(&bytes).is_ok());
    assert!(wrong(&|bytes| bytes.truncate(20)).contains("cut off"));
    assert!(wrong(&|bytes| bytes[0] = b'X').contains("does not begin like a snapshot"));
    assert!(wrong(&|bytes| bytes[8] = 0).contains("version 0, this program reads version 2"));
    assert!(wrong(&|bytes| bytes.truncate(bytes.len() - 1)).contains("length"));
    assert!(wrong(&|bytes| *bytes.last_mut().unwrap() ^= 1).contains("checksum"));
}

#[test]
fn a_snapshot_of_another_store_or_configuration_does_not_fit() {
    let snapshot = || Snapshot::decode(&snapshot_of(&folded(&[]))).unwrap();
    let mut state = empty(&EngineConfig::default());
    assert!(snapshot().check(&state, &rows()).is_ok());
    assert!(snapshot().check(&state, &rows()[1..]).unwrap_err().to_string().contains("actors"));
    let mut config = EngineConfig::default();
    config.events.weights.insert("wish".into(), 1.0);
    assert!(snapshot().check(&empty(&config), &rows()).unwrap_err().to_string().contains("configuration"));
    state.models = OnlineModels::new(&other_params());
    assert!(snapshot().check(&state, &rows()).unwrap_err().to_string().contains("hyper-parameters"));
}

fn other_params() -> OnlineParams {
    let mut params = OnlineParams::default();
    params.content.decay += 1.0;
    params
}
