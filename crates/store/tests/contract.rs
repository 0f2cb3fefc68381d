//! What every implementation of the port must do, run on the durable store and on its twin in memory.

#![allow(clippy::print_stdout, reason = "the name of the clause under test explains a failure")]

mod common;

use common::*;
use serde_json::json;
use zhiyin_core::{
    Event, Item, Kind,
    event::EventDetails,
    limits,
    storage::{Appended, Batch, Erased, HighWater, ItemRow, OutcomeCounts, RejectedEvent, StagedEvent, Storage},
};
use zhiyin_store::MemoryStorage;

type Clause = (&'static str, fn(&dyn Storage));

const CONTRACT: &[Clause] = &[
    ("an empty storage is empty", empty),
    ("a batch comes back as it went in", round_trip),
    ("an event counts once", idempotent),
    ("the log is read in pages", pages),
    ("rows are changed by number", changes),
    ("names are unique while they are in use", unique_names),
    ("an event about something unknown changes nothing", unknown_numbers),
    ("refused events are kept, the newest first", rejected),
    ("only the newest refused events are kept", rejected_trimmed),
    ("decisions are read in order of time", decision_pages),
    ("a deferred batch is there at once", deferred),
    ("outcomes are joined whichever came first", outcomes),
    ("an outcome counts once, money each time", money),
    ("outcomes are summed by whole hours", hours),
    ("erasure takes everything of an actor and nothing else", erasure),
    ("numbers and places are not given out again", high_water),
    ("an import goes on where its last batch ended", import_progress),
];

#[test]
fn the_durable_store_keeps_the_contract() {
    for (name, check) in CONTRACT {
        let folder = tempfile::tempdir().unwrap();
        println!("{name}");
        check(&open(folder.path()));
    }
}

#[test]
fn the_storage_in_memory_keeps_the_contract() {
    for (name, check) in CONTRACT {
        println!("{name}");
        check(&MemoryStorage::new());
    }
}

fn empty(storage: &dyn Storage) {
    assert_eq!(storage.commit(&Batch::default()).unwrap(), []);
    assert_eq!(storage.events_after(0, 10).unwrap(), []);
    assert_eq!(storage.events_of(&[0, 1]).unwrap(), []);
    assert_eq!(storage.last_position().unwrap(), 0);
    assert_eq!(storage.actors_from(0, 10).unwrap(), []);
    assert_eq!(storage.items_from(0, 10).unwrap(), []);
    assert_eq!(storage.decisions(ALWAYS, None, 10).unwrap(), []);
    assert_eq!(storage.outcomes(ALWAYS).unwrap(), []);
    assert_eq!(storage.rejected(None, 10).unwrap(), []);
    assert_eq!(storage.erase(&[7]).unwrap(), Erased::default());
    assert_eq!(storage.high_water().unwrap(), HighWater { next_actor: 0, next_item: 0, next_position: 1 });
}

/// An event that uses every field, with numbers that a careless reader of JSON gets wrong in the last bit.
fn full_event() -> StagedEvent {
    let details = EventDetails {
        value: Some(0.1 + 0.2),
        quantity: Some(-1.0 / 3.0),
        price: Some(5e-324),
        dwell_seconds: Some(1.797_693_134_862_315_7e308),
        query: Some("红色 \"jacket\"\n'; DROP TABLE events; --".into()),
        text: Some("\u{1F600}\0".into()),
        surface: Some("home".into()),
        decision: Some(decision_id(START, 9)),
        attributes: json!({"nested": {"list": [1, null, 2.5, 9_007_199_254_740_993_u64]}}).as_object().unwrap().clone(),
    };
    let event = Event {
        id: id("event 1 / ü"),
        kind: Kind::Custom("wishlist".into()),
        user: Some(id("user-0")),
        session: Some(id("a session that has no row of its own")),
        item: Some(id("item-1")),
        time_ms: -5,
        details,
    };
    StagedEvent { event, actor: 0, item: Some(1) }
}

fn round_trip(storage: &dyn Storage) {
    let mut item_0 = Item::bare(id("item-0"));
    item_0.title = "Tea & 茶".into();
    item_0.price = Some(0.1 + 0.7);
    item_0.vector = Some(vec![0.1, -1e-30, 3.4e38]);
    item_0.attributes = json!({"colour": "red"}).as_object().unwrap().clone();
    let mut user_0 = user(0);
    user_0.user.as_mut().unwrap().friends = vec![id("user-1"), id("nobody")];
    let bare = Event { item: None, kind: Kind::Search, ..event("event-2", Kind::View, 0, 0).event };
    let of_session = Event { user: None, session: Some(id("session-1")), ..event("event-3", Kind::View, 1, 0).event };
    let mut shown = decision(START, 1, Some(0), "m-1", &[(0, "a"), (1, "b"), (2, "a")]);
    shown.items[1].propensity = 0.1;
    shown.arm = Some("b".into());
    let batch = Batch {
        actors: vec![user_0, session(1, Some(0))],
        items: vec![ItemRow { ix: 0, item: Some(item_0) }, item(1)],
        events: vec![
            full_event(),
            StagedEvent { event: bare, actor: 0, item: None },
            StagedEvent { event: of_session, actor: 1, item: Some(0) },
        ],
        decisions: vec![shown, decision(START, 2, None, "none", &[])],
        ..Batch::default()
    };
    assert_eq!(storage.commit(&batch).unwrap(), [1, 2, 3].map(Appended::At));
    let logged = storage.events_after(0, 10).unwrap();
    assert_eq!(logged.iter().map(|logged| logged.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(logged.iter().map(|logged| logged.staged.clone()).collect::<Vec<_>>(), batch.events);
    assert_eq!(storage.actors_from(0, 10).unwrap(), batch.actors);
    assert_eq!(storage.items_from(0, 10).unwrap(), batch.items);
    assert_eq!(storage.decisions(ALWAYS, None, 10).unwrap(), batch.decisions);
    assert_eq!(storage.last_position().unwrap(), 3);
}

fn idempotent(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let one = event("e-1", Kind::View, 0, 0);
    let other = Event { time_ms: 5, ..event("e-1", Kind::Cart, 1, 1).event };
    let again = StagedEvent { event: other, actor: 1, item: Some(1) };
    let batch = events(vec![one.clone(), again.clone(), event("e-2", Kind::View, 0, 0)]);
    let appended = storage.commit(&batch).unwrap();
    assert_eq!(appended, [Appended::At(1), Appended::Duplicate, Appended::At(2)]);
    assert_eq!(storage.commit(&batch).unwrap(), [Appended::Duplicate; 3]);
    assert_eq!(storage.events_after(0, 1).unwrap()[0].staged, one);
    assert_eq!(storage.last_position().unwrap(), 2);
    assert_eq!(storage.events_of(&[1]).unwrap(), []);
}

fn pages(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let batch = (0..50).map(|n| event(&format!("e-{n}"), Kind::View, n % 4, n % 6)).collect();
    storage.commit(&events(batch)).unwrap();
    let positions = |after, limit| -> Vec<u64> {
        storage.events_after(after, limit).unwrap().iter().map(|logged| logged.position).collect()
    };
    assert_eq!(positions(0, 3), [1, 2, 3]);
    assert_eq!(positions(48, 10), [49, 50]);
    assert_eq!(positions(50, 10), [] as [u64; 0]);
    assert_eq!(positions(u64::MAX, 10), [] as [u64; 0]);
    let of: Vec<u64> = storage.events_of(&[3, 1, 3, 99]).unwrap().iter().map(|logged| logged.position).collect();
    let odd: Vec<u64> = (1..=50).filter(|position| position % 2 == 0).collect();
    assert_eq!(of, odd, "events of actors 1 and 3, in order, each once");
}

fn changes(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    storage.commit(&events(vec![event("e-1", Kind::View, 0, 2)])).unwrap();
    let linked = session(9, None);
    storage.commit(&Batch { actors: vec![linked.clone()], ..Batch::default() }).unwrap();
    let mut priced = item(1);
    priced.item.as_mut().unwrap().price = Some(3.5);
    let gone = ItemRow { ix: 2, item: None };
    let again = ItemRow { ix: 6, ..item(2) };
    let batch = Batch {
        actors: vec![session(9, Some(1))],
        items: vec![priced.clone(), gone.clone(), again.clone()],
        ..Batch::default()
    };
    storage.commit(&batch).unwrap();
    assert_eq!(storage.actors_from(4, 10).unwrap(), [session(9, Some(1))]);
    assert_eq!(storage.actors_from(1, 2).unwrap(), [user(1), user(2)]);
    assert_eq!(storage.items_from(1, 2).unwrap(), [priced, gone]);
    assert_eq!(storage.items_from(6, 2).unwrap(), [again]);
    let logged = &storage.events_after(0, 10).unwrap()[0].staged;
    assert_eq!(*logged, event("e-1", Kind::View, 0, 2), "the log keeps the name of a deleted item");
}

fn unique_names(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let twin = ItemRow { ix: 7, ..item(2) };
    assert!(storage.commit(&Batch { items: vec![twin.clone()], ..Batch::default() }).is_err());
    let mut namesake = user(7);
    namesake.id = id("user-1");
    assert!(storage.commit(&Batch { actors: vec![namesake.clone()], ..Batch::default() }).is_err());
    assert_eq!(storage.items_from(6, 10).unwrap(), []);
    assert_eq!(storage.high_water().unwrap().next_actor, 4, "a refused batch leaves nothing");
    namesake.kind = session(7, None).kind;
    namesake.user = None;
    let batch = Batch { actors: vec![namesake], items: vec![ItemRow { ix: 2, item: None }, twin], ..Batch::default() };
    storage.commit(&batch).unwrap();
}

fn unknown_numbers(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let mut unnumbered = event("e-2", Kind::View, 0, 0);
    unnumbered.item = None;
    for bad in [event("e-2", Kind::View, 8, 0), event("e-2", Kind::View, 0, 8), unnumbered] {
        let batch =
            Batch { actors: vec![user(5)], events: vec![event("e-1", Kind::View, 0, 0), bad], ..Batch::default() };
        let error = storage.commit(&batch).unwrap_err().to_string();
        assert!(error.contains("e-2"), "{error}");
        assert_eq!(storage.last_position().unwrap(), 0);
        assert_eq!(storage.actors_from(4, 1).unwrap(), []);
    }
    assert_eq!(storage.commit(&events(vec![event("e-1", Kind::View, 0, 0)])).unwrap(), [Appended::At(1)]);
}

fn refused(n: usize) -> RejectedEvent {
    let body = format!("{{\"user\":\"user-{}\",\"n\":{n}", n % 3);
    RejectedEvent { received_ms: n as i64, rule: "range".into(), reason: "too far".into(), body }
}

fn rejected(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    storage.commit(&Batch { rejected: (0..5).map(refused).collect(), ..Batch::default() }).unwrap();
    let page = storage.rejected(None, 2).unwrap();
    assert_eq!(page.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), [refused(4), refused(3)]);
    let rest = storage.rejected(Some(page[1].0), 10).unwrap();
    assert_eq!(rest.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), [refused(2), refused(1), refused(0)]);
    storage.erase(&[1]).unwrap();
    let left = storage.rejected(None, 10).unwrap();
    assert_eq!(left.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), [refused(3), refused(2), refused(0)]);
}

fn rejected_trimmed(storage: &dyn Storage) {
    let last = limits::REJECTED_ROWS_MAX + 7;
    for range in [0..10, 10..last - 3, last - 3..last] {
        storage.commit(&Batch { rejected: range.map(refused).collect(), ..Batch::default() }).unwrap();
    }
    let all = storage.rejected(None, usize::MAX).unwrap();
    assert_eq!(all.len(), limits::REJECTED_ROWS_MAX);
    assert_eq!((&all[0].1, &all[all.len() - 1].1), (&refused(last - 1), &refused(7)), "the oldest went");
}

fn decision_pages(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let made = |time, n| decision(START + time, n, Some(0), "m", &[(0, "a")]);
    let batch = vec![made(5, 1), made(1, 2), made(5, 0), made(9, 4)];
    storage.commit(&decisions(batch.clone())).unwrap();
    storage.commit(&decisions(vec![made(5, 1), decision(START, 7, Some(99), "m", &[(0, "a")])])).unwrap();
    let sorted = [1, 2, 0, 3].map(|at: usize| batch[at].clone());
    assert_eq!(storage.decisions(ALWAYS, None, 10).unwrap(), sorted);
    assert_eq!(storage.decisions(ALWAYS, Some(sorted[1].id), 1).unwrap(), sorted[2..3]);
    assert_eq!(storage.decisions(START + 5..START + 9, None, 10).unwrap(), sorted[1..3]);
    assert_eq!(storage.decisions(START + 6..START + 9, Some(sorted[0].id), 10).unwrap(), []);
    let vanished = decision_id(START + 5, 0xFF);
    assert_eq!(storage.decisions(ALWAYS, Some(vanished), 10).unwrap(), sorted[3..], "a cursor needn't exist");
}

fn deferred(storage: &dyn Storage) {
    let shown = decision(START, 1, None, "m", &[(0, "slist"), (1, "slist"), (0, "ease")]);
    let batch = Batch { decisions: vec![shown.clone()], deferred: true, ..Batch::default() };
    storage.commit(&batch).unwrap();
    storage.sync().unwrap();
    assert_eq!(storage.decisions(0..i64::MAX, None, 9).unwrap(), [shown]);
}

fn counts(storage: &dyn Storage, dimension: &str, name: &str) -> OutcomeCounts {
    let rows = storage.outcomes(ALWAYS).unwrap();
    let row = rows.into_iter().find(|row| row.dimension == dimension && row.name == name);
    row.map(|row| row.counts).unwrap_or_default()
}

fn outcomes(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let shown = decision(START, 1, Some(0), "m-1", &[(0, "a"), (1, "b"), (2, "a")]);
    let click = |name: &str, item| after(shown.id, event(name, Kind::Click, 0, item));
    // One event before its decision, one in the same batch, one after it, one about an item that was not shown.
    storage.commit(&events(vec![click("e-1", 0)])).unwrap();
    assert_eq!(storage.outcomes(ALWAYS).unwrap(), []);
    let batch = Batch { events: vec![click("e-2", 1)], decisions: vec![shown.clone()], ..Batch::default() };
    storage.commit(&batch).unwrap();
    let view = after(shown.id, event("e-4", Kind::View, 1, 2));
    storage.commit(&events(vec![click("e-3", 5), view, click("e-1", 0)])).unwrap();
    storage.commit(&decisions(vec![shown.clone()])).unwrap();
    let counted = |impressions, clicks| OutcomeCounts { impressions, clicks, ..OutcomeCounts::default() };
    assert_eq!(counts(storage, "source", "a"), counted(2, 2));
    assert_eq!(counts(storage, "source", "b"), counted(1, 1));
    assert_eq!(counts(storage, "model", "m-1"), counted(3, 3));
    let rows = storage.outcomes(ALWAYS).unwrap();
    let names: Vec<_> = rows.iter().map(|row| (row.dimension.as_str(), row.name.as_str())).collect();
    assert_eq!(names, [("model", "m-1"), ("source", "a"), ("source", "b")]);
}

fn money(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let shown = decision(START, 1, None, "m-1", &[(0, "a")]);
    storage.commit(&decisions(vec![shown.clone()])).unwrap();
    let buy = |name: &str, price, pieces| after(shown.id, paid(price, pieces, event(name, Kind::Purchase, 0, 0)));
    let cart = |name: &str| after(shown.id, event(name, Kind::Cart, 0, 0));
    let ignored = after(shown.id, event("e-6", Kind::Rating, 0, 0));
    let batch =
        vec![cart("e-1"), cart("e-2"), buy("e-3", 0.1, 3.0), buy("e-4", 2.5, 1.0), buy("e-5", 2.5, -1.0), ignored];
    storage.commit(&events(batch)).unwrap();
    let expected = OutcomeCounts { impressions: 1, clicks: 0, carts: 1, purchases: 1, revenue: 0.3 };
    assert_eq!(counts(storage, "model", "m-1"), expected);
    storage.commit(&events(vec![buy("e-7", f64::MAX, 1e300), buy("e-8", -1e300, 1e9)])).unwrap();
    assert_eq!(counts(storage, "model", "m-1"), expected, "absurd sums are cut to the same size");
}

fn hours(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let at = |time, n| decision(time, n, None, "m", &[(0, "a")]);
    storage
        .commit(&decisions(vec![at(START, 1), at(START + HOUR - 1, 2), at(START + HOUR, 3), at(START - 1, 4)]))
        .unwrap();
    let shown = |window| storage.outcomes(window).unwrap().first().map_or(0, |row| row.counts.impressions);
    assert_eq!(shown(START..START + HOUR), 2);
    assert_eq!(shown(START + 5..START + 6), 2, "a window is widened to whole hours");
    assert_eq!(shown(START + HOUR - 1..START + HOUR + 1), 3);
    assert_eq!(shown(START + HOUR..START + HOUR), 0);
    assert_eq!(shown(START - 1..START), 1);
    assert_eq!(shown(ALWAYS), 4);
}

fn erasure(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    let theirs = decision(START, 1, Some(1), "m-1", &[(0, "a"), (1, "b")]);
    let others = decision(START, 2, Some(2), "m-1", &[(0, "a")]);
    let before = Batch {
        actors: vec![session(4, Some(1)), session(5, Some(2))],
        events: vec![
            event("e-1", Kind::View, 2, 0),
            after(others.id, event("e-2", Kind::Click, 2, 0)),
            after(theirs.id, event("e-3", Kind::Click, 2, 1)),
        ],
        decisions: vec![others.clone()],
        ..Batch::default()
    };
    storage.commit(&before).unwrap();
    let untouched = storage.outcomes(ALWAYS).unwrap();
    let of_session = Event { user: None, session: Some(id("session-4")), ..event("e-7", Kind::View, 0, 0).event };
    let batch = Batch {
        events: vec![
            after(others.id, event("e-4", Kind::Click, 1, 0)),
            after(others.id, paid(9.5, 1.0, event("e-5", Kind::Purchase, 1, 0))),
            after(theirs.id, event("e-6", Kind::Cart, 1, 1)),
            StagedEvent { event: of_session, actor: 4, item: Some(0) },
        ],
        decisions: vec![theirs.clone()],
        ..Batch::default()
    };
    storage.commit(&batch).unwrap();
    assert_eq!(storage.erase(&[1, 4, 77]).unwrap(), Erased { events: 4, decisions: 1, actors: 2 });
    assert_eq!(storage.outcomes(ALWAYS).unwrap(), untouched, "the second of two clicks is still there");
    assert_eq!(storage.events_of(&[1, 4]).unwrap(), []);
    let left: Vec<_> = storage.events_after(0, 10).unwrap().into_iter().map(|logged| logged.staged).collect();
    assert_eq!(left, before.events);
    assert_eq!(storage.decisions(ALWAYS, None, 10).unwrap(), [others]);
    assert_eq!(storage.actors_from(0, 10).unwrap(), [user(0), user(2), user(3), session(5, Some(2))]);
    storage.commit(&decisions(vec![theirs])).unwrap();
    assert_eq!(storage.outcomes(ALWAYS).unwrap(), untouched, "a decision that comes late is not kept either");
    assert!(storage.commit(&events(vec![event("e-9", Kind::View, 1, 0)])).is_err());
    storage.erase(&[2]).unwrap();
    assert_eq!(storage.actors_from(3, 10).unwrap(), [user(3), session(5, None)], "the session is untied");
    assert_eq!(storage.outcomes(ALWAYS).unwrap(), []);
}

fn high_water(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    storage.commit(&events(vec![event("e-1", Kind::View, 0, 0), event("e-2", Kind::View, 3, 0)])).unwrap();
    let mark = HighWater { next_actor: 4, next_item: 6, next_position: 3 };
    assert_eq!(storage.high_water().unwrap(), mark);
    storage.erase(&[3]).unwrap();
    assert_eq!(storage.high_water().unwrap(), mark);
    assert_eq!(storage.last_position().unwrap(), 1);
    let again = storage.commit(&events(vec![event("e-2", Kind::View, 0, 0)])).unwrap();
    assert_eq!(again, [Appended::At(3)], "the id is free again, the place is not");
    let mut same_name = user(4);
    same_name.id = id("user-3");
    storage.commit(&Batch { actors: vec![same_name.clone()], ..Batch::default() }).unwrap();
    assert_eq!(storage.actors_from(3, 10).unwrap(), [same_name]);
}

fn import_progress(storage: &dyn Storage) {
    storage.commit(&cast()).unwrap();
    assert_eq!(storage.import_progress("hash").unwrap(), None);
    let mark = |line, events| Batch { events, import_mark: Some(("hash".into(), line)), ..Batch::default() };
    storage.commit(&mark(10, vec![event("e-1", Kind::View, 0, 0)])).unwrap();
    assert!(storage.commit(&mark(20, vec![event("e-2", Kind::View, 99, 0)])).is_err());
    assert_eq!(storage.import_progress("hash").unwrap(), Some(10), "the mark goes with the events that it covers");
    storage.commit(&mark(30, vec![])).unwrap();
    assert_eq!(storage.import_progress("hash").unwrap(), Some(30));
    assert_eq!(storage.import_progress("other").unwrap(), None);
}
