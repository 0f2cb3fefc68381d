//! A whole engine through its public methods: taking in, catalogue, erasing, failing, restarting.

mod support;

use proptest::prelude::*;
use support::{Bench, NOW_MS, at, block_on, bought, event, id, item, user};
use zhiyin_core::{
    EventInput, Item, User, limits,
    storage::{Storage, StorageError},
};
use zhiyin_engine::{
    EngineConfig, EngineError, Incoming,
    request::{EventOutcome, EventStatus, RecommendRequest},
};

fn statuses(outcomes: &[EventOutcome]) -> Vec<EventStatus> {
    outcomes.iter().map(|outcome| outcome.status).collect()
}

fn recommended(bench: &Bench, user: Option<&str>, session: Option<&str>) -> Vec<String> {
    let request = RecommendRequest {
        user: user.map(str::to_owned),
        session: session.map(str::to_owned),
        ..RecommendRequest::default()
    };
    bench.engine.recommend(&request).unwrap().items.into_iter().map(|item| item.item).collect()
}

#[test]
fn every_event_gets_its_own_answer_in_order() {
    let bench = Bench::new(EngineConfig::default());
    let named = |name: &str, input| EventInput { id: Some(name.into()), ..input };
    let incoming = vec![
        Incoming::Event(Box::new(named("a", event("view", "user-1", "mug")))),
        Incoming::Malformed { body: "{\"type\":1}".into(), reason: "type is no text; send text".into() },
        Incoming::Event(Box::new(named("b", event("wish", "user-1", "mug")))),
        Incoming::Event(Box::new(named("a", event("view", "user-1", "mug")))),
        Incoming::Event(Box::new(at(named("c", event("view", "user-1", "mug")), NOW_MS + 1_000))),
        Incoming::Event(Box::new(named("d", bought(-1.0, "user-1", "mug")))),
        Incoming::Event(Box::new(event("view", "user-1", "mug"))),
    ];
    let outcomes = block_on(bench.engine.ingest_incoming(incoming)).unwrap();
    use EventStatus::{Accepted, Duplicate, Rejected, Repaired};
    assert_eq!(statuses(&outcomes), [Accepted, Rejected, Rejected, Duplicate, Repaired, Accepted, Accepted]);
    let rules: Vec<_> = outcomes.iter().map(|outcome| outcome.rule.as_deref()).collect();
    let noted = Some("return-without-purchase");
    assert_eq!(rules, [None, Some("schema"), Some("unknown-type"), None, Some("future-time"), noted, None]);
    assert!(outcomes[6].id.as_ref().is_some_and(|id| id.len() == 36));
    let counters = bench.engine.cleaning_counters();
    let counted: Vec<_> = counters.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
    assert_eq!(counted, [("future-time", 1), ("return-without-purchase", 1), ("schema", 1), ("unknown-type", 1)]);
    assert_eq!((bench.engine.cleaning().accepted(), bench.engine.cleaning().duplicates()), (4, 1));
    let rejected = bench.engine.rejected(None, 10).unwrap();
    assert_eq!(rejected.len(), 2);
    assert_eq!(rejected[1].1.body, "{\"type\":1}");
    assert!(rejected[0].1.body.contains("wish"));
    let status = bench.engine.status();
    assert_eq!((status.events, status.users, status.items, status.ready), (4, 1, 1, true));
}

#[test]
fn the_next_request_sees_what_was_acknowledged() {
    let bench = Bench::new(EngineConfig::default());
    for number in 0..5 {
        let other = format!("user-{number}");
        bench
            .engine
            .ingest_blocking(vec![event("view", &other, "mug"), event("view", &other, "kettle")], None)
            .unwrap();
    }
    assert!(bench.engine.user("user-42").is_none());
    bench.engine.ingest_blocking(vec![event("view", "user-42", "mug")], None).unwrap();
    let list = recommended(&bench, Some("user-42"), None);
    assert_eq!(list.first().map(String::as_str), Some("kettle"), "{list:?}");
}

#[test]
fn a_session_and_the_user_it_is_tied_to_know_each_others_past() {
    let bench = Bench::new(EngineConfig::default());
    for number in 0..5 {
        let other = format!("user-{number}");
        let pairs = ["mug", "kettle", "saw", "hammer"];
        let events = pairs.chunks(2).flat_map(|pair| {
            let name = format!("{other}-{}", pair[0]);
            [event("view", &name, pair[0]), event("view", &name, pair[1])]
        });
        bench.engine.ingest_blocking(events.collect(), None).unwrap();
    }
    let session = |input: EventInput, name: &str| EventInput { session: Some(name.into()), ..input };
    let anonymous = |item: &str, name: &str| EventInput { user: None, ..session(event("view", "", item), name) };
    bench.engine.ingest_blocking(vec![anonymous("mug", "session-1")], None).unwrap();
    let tie = session(event("impression", "user-42", "mug"), "session-1");
    bench.engine.ingest_blocking(vec![tie, event("view", "user-43", "saw")], None).unwrap();
    assert_eq!(recommended(&bench, Some("user-42"), None)[0], "kettle");
    assert_eq!(recommended(&bench, None, Some("session-1"))[0], "kettle");
    // A later event with another user belongs to that user and doesn't tie again.
    bench.engine.ingest_blocking(vec![session(event("view", "user-43", "hammer"), "session-1")], None).unwrap();
    assert_eq!(recommended(&bench, None, Some("session-1"))[0], "kettle");
    let erased = block_on(bench.engine.delete_user("user-42")).unwrap();
    assert_eq!((erased.actors, erased.events), (2, 2));
    assert!(matches!(block_on(bench.engine.delete_user("user-42")), Err(EngineError::NotFound(_))));
    assert!(bench.engine.user("user-43").is_some());
}

#[test]
fn unknown_names_are_refused_when_creating_is_off() {
    let mut config = EngineConfig::default();
    (config.events.create_unknown_users, config.events.create_unknown_items) = (false, false);
    let bench = Bench::new(config);
    block_on(bench.engine.put_items(vec![item("mug", "mug")])).unwrap();
    block_on(bench.engine.put_users(vec![user("user-1", "France")])).unwrap();
    let events = vec![event("view", "user-1", "mug"), event("view", "user-2", "mug"), event("view", "user-1", "cup")];
    let outcomes = bench.engine.ingest_blocking(events, None).unwrap();
    let rules: Vec<_> = outcomes.iter().map(|outcome| outcome.rule.as_deref()).collect();
    assert_eq!(rules, [None, Some("unknown-user"), Some("unknown-item")]);
    assert!(bench.engine.user("user-2").is_none() && bench.engine.item("cup").is_none());
}

#[test]
fn a_failed_commit_changes_nothing_and_can_be_sent_again() {
    let bench = Bench::new(EngineConfig::default());
    bench.storage.fill(true);
    let input = || EventInput { id: Some("event-1".into()), ..event("purchase", "user-1", "mug") };
    let failed = bench.engine.ingest_blocking(vec![input()], None).unwrap_err();
    assert!(matches!(&failed, EngineError::Storage(error) if matches!(**error, StorageError::Full { .. })), "{failed}");
    assert!(block_on(bench.engine.put_items(vec![item("cup", "cup")])).is_err());
    let status = bench.engine.status();
    assert_eq!((status.events, status.users, status.items, status.queued_events, status.ready), (0, 0, 0, 0, true));
    bench.storage.fill(false);
    assert_eq!(statuses(&bench.engine.ingest_blocking(vec![input()], None).unwrap()), [EventStatus::Accepted]);
    assert_eq!(bench.engine.status().events, 1);
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_there_is_room() {
    let bench = Bench::new(EngineConfig::default());
    let batch = |size: usize| vec![event("impression", "user-1", "mug"); size];
    assert!(matches!(block_on(bench.engine.ingest(batch(limits::BATCH_MAX + 1))), Err(EngineError::Bad(_))));
    bench.storage.block(true);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..limits::QUEUED_EVENTS_MAX / limits::BATCH_MAX)
            .map(|_| scope.spawn(|| bench.engine.ingest_blocking(batch(limits::BATCH_MAX), None)))
            .collect();
        while bench.engine.status().queued_events < limits::QUEUED_EVENTS_MAX / limits::BATCH_MAX * limits::BATCH_MAX {
            std::thread::yield_now();
        }
        let refused = bench.engine.ingest_blocking(batch(limits::BATCH_MAX), None);
        assert!(matches!(refused, Err(EngineError::Busy { retry_after_seconds: 1 })), "{refused:?}");
        bench.storage.block(false);
        senders.into_iter().for_each(|sender| assert!(sender.join().unwrap().is_ok()));
    });
    assert!(bench.engine.ingest_blocking(batch(1), None).is_ok());
    assert_eq!(bench.engine.status().queued_events, 0);
}

#[test]
fn an_import_mark_is_written_with_its_events() {
    let bench = Bench::new(EngineConfig::default());
    let events = || vec![event("view", "user-1", "mug")];
    assert_eq!(bench.engine.import_progress("file").unwrap(), None);
    bench.engine.ingest_blocking(events(), Some(("file".into(), 17))).unwrap();
    bench.storage.fill(true);
    assert!(bench.engine.ingest_blocking(events(), Some(("file".into(), 18))).is_err());
    assert_eq!(bench.engine.import_progress("file").unwrap(), Some(17));
}

#[test]
fn shutdown_writes_everything_and_stops() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.engine.ingest_blocking(vec![event("view", "user-1", "mug")], None).unwrap();
    let decision = bench.engine.recommend(&RecommendRequest::default()).unwrap().decision_id;
    bench.engine.shutdown().unwrap();
    assert!(!bench.engine.ready());
    assert!(matches!(block_on(bench.engine.ingest(vec![event("view", "user-1", "mug")])), Err(EngineError::Stopped)));
    assert!(matches!(bench.engine.shutdown(), Err(EngineError::Stopped)));
    assert_eq!(bench.snapshots().len(), 1);
    let decisions = bench.storage.decisions(0..i64::MAX, None, 10).unwrap();
    assert_eq!(decisions.iter().map(|decision| decision.id).collect::<Vec<_>>(), [decision]);
    bench.restart();
    assert_eq!((bench.engine.status().events, bench.engine.status().warnings.len()), (1, 0));
}

#[test]
fn damaged_snapshots_are_named_passed_over_and_left_alone() {
    let mut bench = Bench::new(EngineConfig::default());
    for number in 0..4 {
        bench.engine.ingest_blocking(vec![event("view", &format!("user-{number}"), "mug")], None).unwrap();
        bench.engine.snapshot().unwrap();
    }
    let kept = bench.snapshots();
    assert_eq!(kept.len(), 2, "older ones are removed");
    let mut damaged = fs_err::read(&kept[1]).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs_err::write(&kept[1], &damaged).unwrap();
    bench.restart();
    let status = bench.engine.status();
    assert_eq!((status.events, status.position, status.warnings.len()), (4, 4, 1));
    let file = kept[1].file_name().unwrap().to_str().unwrap();
    assert!(status.warnings[0].contains(file) && status.warnings[0].contains("checksum"), "{}", status.warnings[0]);
    assert_eq!(fs_err::read(&kept[1]).unwrap(), damaged, "it is left as it is");
    // Both gone bad: the log has everything.
    fs_err::write(&kept[0], b"ZHIYINST\0\0\0\0").unwrap();
    bench.restart();
    assert_eq!((bench.engine.status().events, bench.engine.status().warnings.len()), (4, 2));
    assert_eq!(bench.snapshots(), kept);
}

#[test]
fn a_snapshot_of_an_older_version_is_refused_with_the_way_out() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.engine.ingest_blocking(vec![event("view", "user-1", "mug")], None).unwrap();
    bench.engine.snapshot().unwrap();
    let path = bench.snapshots().remove(0);
    let mut old = fs_err::read(&path).unwrap();
    old[8..12].copy_from_slice(&0u32.to_le_bytes());
    fs_err::write(&path, old).unwrap();
    bench.restart();
    let warnings = bench.engine.status().warnings;
    assert!(warnings[0].contains("version 0") && warnings[0].contains("rebuilt from the log"), "{warnings:?}");
    assert_eq!(bench.engine.status().events, 1);
}

#[test]
fn erasing_removes_the_snapshots_that_hold_the_user() {
    let mut bench = Bench::new(EngineConfig::default());
    let name = "user-to-be-erased";
    bench.engine.ingest_blocking(vec![event("view", name, "mug"), event("view", "user-2", "mug")], None).unwrap();
    bench.engine.snapshot().unwrap();
    bench.storage.fail_erasures(true);
    assert!(matches!(block_on(bench.engine.delete_user(name)), Err(EngineError::Storage(_))));
    assert_eq!((bench.engine.status().events, bench.engine.status().users), (2, 2), "nothing was changed");
    bench.storage.fail_erasures(false);
    assert_eq!(block_on(bench.engine.delete_user(name)).unwrap().events, 1);
    assert_eq!((bench.engine.status().events, bench.engine.status().users), (1, 1));
    // Killed right after: no snapshot remembers what the log forgot.
    bench.restart();
    assert!(bench.engine.user(name).is_none());
    assert_eq!((bench.engine.status().events, bench.engine.status().users), (1, 1));
    // The number of the erased user is not given to the next one.
    bench.engine.ingest_blocking(vec![event("view", "user-3", "mug")], None).unwrap();
    let numbers: Vec<u32> = bench.storage.actors_from(0, 10).unwrap().iter().map(|row| row.ix).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn items_are_created_replaced_hidden_and_deleted() {
    let bench = Bench::new(EngineConfig::default());
    let engine = &bench.engine;
    block_on(engine.put_items(vec![item("mug", "white mug"), item("cup", "cup")])).unwrap();
    block_on(engine.put_items(vec![item("mug", "blue mug")])).unwrap();
    assert_eq!((engine.item("mug").unwrap().title.as_str(), engine.status().items), ("blue mug", 2));
    engine.ingest_blocking(vec![event("view", "user-1", "mug"), event("view", "user-1", "cup")], None).unwrap();
    assert!(recommended(&bench, None, None).contains(&"mug".to_owned()));
    block_on(engine.put_items(vec![Item { available: false, ..item("mug", "blue mug") }])).unwrap();
    assert_eq!(recommended(&bench, None, None), ["cup"], "hidden from the next request on");
    assert!(block_on(engine.delete_item("cup")).unwrap());
    assert!(!block_on(engine.delete_item("cup")).unwrap());
    assert!(engine.item("cup").is_none() && recommended(&bench, None, None).is_empty());
}

#[test]
fn bad_items_and_users_are_refused_as_a_whole() {
    let bench = Bench::new(EngineConfig::default());
    let bad_items: [(&str, Item); 6] = [
        ("title", item("bad", &"x".repeat(limits::TEXT_BYTES_MAX + 1))),
        ("price", Item { price: Some(-1.0), ..item("bad", "") }),
        ("price", Item { price: Some(f64::NAN), ..item("bad", "") }),
        ("tags", Item { tags: vec!["x".into(); limits::LABELS_MAX + 1], ..item("bad", "") }),
        ("categories", Item { categories: vec![String::new()], ..item("bad", "") }),
        ("vector", Item { vector: Some(vec![1.0, f32::INFINITY]), ..item("bad", "") }),
    ];
    for (field, bad) in bad_items {
        match block_on(bench.engine.put_items(vec![item("good", ""), bad])) {
            Err(EngineError::Bad(problem)) => assert_eq!(problem.field, format!("items[bad].{field}")),
            other => panic!("{field}: {other:?}"),
        }
    }
    let crowd = User { friends: vec![id("user-2"); limits::FRIENDS_MAX + 1], ..User::bare(id("user-1")) };
    assert!(matches!(block_on(bench.engine.put_users(vec![crowd])), Err(EngineError::Bad(_))));
    assert_eq!((bench.engine.status().items, bench.engine.status().users), (0, 0));
}

#[test]
fn a_user_is_known_by_events_or_by_profile() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.engine.ingest_blocking(vec![event("view", "user-1", "mug")], None).unwrap();
    assert_eq!(*bench.engine.user("user-1").unwrap(), User::bare(id("user-1")));
    let profile = User { friends: vec![id("user-2")], ..user("user-1", "France") };
    block_on(bench.engine.put_users(vec![profile.clone()])).unwrap();
    bench.restart();
    assert_eq!(*bench.engine.user("user-1").unwrap(), profile);
    block_on(bench.engine.put_users(vec![User::bare(id("user-1"))])).unwrap();
    bench.restart();
    assert_eq!(*bench.engine.user("user-1").unwrap(), User::bare(id("user-1")));
}

#[test]
fn an_erased_user_is_nobody_s_friend_any_more() {
    let mut bench = Bench::new(EngineConfig::default());
    let friends = vec![id("user-2"), id("user-3")];
    let profile = User { friends, ..user("user-1", "France") };
    block_on(bench.engine.put_users(vec![profile, User::bare(id("user-2")), User::bare(id("user-3"))])).unwrap();
    block_on(bench.engine.delete_user("user-2")).unwrap();
    assert_eq!(bench.engine.user("user-1").unwrap().friends, [id("user-3")]);
    bench.restart();
    assert_eq!(bench.engine.user("user-1").unwrap().friends, [id("user-3")]);
}

#[test]
fn a_foreign_cursor_is_refused() {
    let bench = Bench::new(EngineConfig::default());
    for cursor in ["", "7", "nn", "n-1", "n100000000"] {
        assert!(matches!(bench.engine.items(Some(cursor), 10), Err(EngineError::Bad(_))), "{cursor}");
        assert!(matches!(bench.engine.users(Some(cursor), 10), Err(EngineError::Bad(_))), "{cursor}");
    }
    assert_eq!(bench.engine.items(Some("nffff"), 10).unwrap().rows.len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_neither_repeat_nor_skip(count in 0..40usize, limit in 1..9usize, gone in prop::collection::vec(0..40usize, 0..6), when in 0..6usize) {
        let bench = Bench::new(EngineConfig::default());
        let name = |number: usize| format!("item-{number}");
        block_on(bench.engine.put_items((0..count).map(|number| item(&name(number), "")).collect())).unwrap();
        block_on(bench.engine.put_users((0..count).map(|number| user(&format!("user-{number}"), "France")).collect())).unwrap();
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            if pages == when {
                // Items that come and go while somebody pages.
                for number in &gone {
                    block_on(bench.engine.delete_item(&name(*number))).unwrap();
                }
                block_on(bench.engine.put_items(vec![item("late", "")])).unwrap();
            }
            let page = bench.engine.items(cursor.as_deref(), limit).unwrap();
            prop_assert!(page.rows.len() <= limit);
            seen.extend(page.rows.iter().map(|item| item.id.as_str().to_owned()));
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let kept = (0..count).filter(|number| !gone.contains(number)).map(name);
        prop_assert!(kept.into_iter().all(|name| seen.contains(&name)));
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), seen.len());
        let (mut users, mut cursor) = (0, None);
        loop {
            let page = bench.engine.users(cursor.as_deref(), limit).unwrap();
            users += page.rows.len();
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(users, count);
    }
}
