//! A database of every released schema version still opens, with everything in it.

mod common;

use common::*;
use rusqlite::Connection;
use zhiyin_core::{
    Event, Kind,
    storage::{Appended, Batch, Erased, HighWater, ItemRow, RejectedEvent, StagedEvent, Storage},
};
use zhiyin_store::{Scope, Scopes, Store};

/// A store whose file an older program wrote.
fn written_by(golden: &str) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join("zhiyin.db")).unwrap().execute_batch(golden).unwrap();
    let store = open(folder.path());
    (folder, store)
}

fn check(store: &Store) {
    let shown = decision(START, 1, Some(0), "m-1", &[(0, "popular"), (1, "slist")]);
    let mut full = after(shown.id, paid(2.5, 2.0, event("e-3", Kind::Purchase, 0, 1)));
    full.event.session = Some(id("session-9"));
    full.event.details.surface = Some("home".into());
    let kind = Kind::Custom("wishlist".into());
    let of_session = Event { user: None, session: Some(id("session-2")), ..event("e-2", kind, 0, 0).event };
    let of_session = StagedEvent { event: of_session, actor: 2, item: Some(0) };
    let logged: Vec<_> = store.events_after(0, 10).unwrap().into_iter().map(|logged| logged.staged).collect();
    assert_eq!(logged, [after(shown.id, event("e-1", Kind::Click, 0, 0)), of_session, full]);
    assert_eq!(store.actors_from(0, 10).unwrap(), [user(0), session(2, Some(0))]);
    let mut named = item(0);
    named.item.as_mut().unwrap().title = "Tea & 茶".into();
    assert_eq!(store.items_from(0, 10).unwrap(), [named, item(1), ItemRow { ix: 2, item: None }]);
    let unseen = decision(START + HOUR, 2, None, "none", &[(2, "popular")]);
    assert_eq!(store.decisions(ALWAYS, None, 10).unwrap(), [shown, unseen]);
    assert_eq!(store.outcomes(ALWAYS).unwrap().len(), 4);
    assert_eq!(store.outcomes(ALWAYS).unwrap(), store.recount_outcomes(ALWAYS).unwrap());
    let refused = RejectedEvent {
        received_ms: 5,
        rule: "range".into(),
        reason: "price is negative".into(),
        body: "{\"price\":-1}".into(),
    };
    assert_eq!(store.rejected(None, 10).unwrap(), [(1, refused)]);
    assert_eq!(store.high_water().unwrap(), HighWater { next_actor: 3, next_item: 3, next_position: 5 });
    assert_eq!(store.import_progress("abc").unwrap(), Some(7));
    assert_eq!(store.setting("colour").unwrap().as_deref(), Some("red"));
    assert_eq!(store.live_model("ranker").unwrap().unwrap().path, "v-1.bin");
    let key = store.verify_key(&format!("zy_{}", "0123456789abcdef".repeat(4))).unwrap().unwrap();
    assert_eq!((key.id, key.name.as_str(), key.scopes), (1, "shop", Scopes::of(&[Scope::Ingest, Scope::Recommend])));
}

#[test]
fn a_store_of_each_schema_version_opens_and_goes_on() {
    let goldens = [include_str!("golden/v1.sql"), include_str!("golden/v2.sql"), include_str!("golden/v3.sql")];
    for (version, golden) in (1..).zip(goldens) {
        let (folder, store) = written_by(golden);
        check(&store);
        let taught = store.teacher_scores("teacher@1").unwrap();
        if version < 3 {
            assert!(taught.is_empty());
        } else {
            assert_eq!((taught[0].actor, taught[0].length, &taught[0].labels), (0, 2, &vec![(1, 0.5), (0, -0.25)]));
        }
        let batch =
            Batch { events: vec![event("e-5", Kind::View, 0, 0), event("e-1", Kind::View, 0, 0)], ..Batch::default() };
        assert_eq!(store.commit(&batch).unwrap(), [Appended::At(5), Appended::Duplicate]);
        drop(store);
        let store = open(folder.path());
        assert_eq!(store.last_position().unwrap(), 5);
        assert_eq!(store.erase(&[0]).unwrap(), Erased { events: 3, decisions: 1, actors: 1 });
        assert_eq!(store.decisions(ALWAYS, None, 10).unwrap().len(), 1, "that of nobody in particular");
        assert!(store.teacher_scores("teacher@1").unwrap().is_empty());
        assert_eq!(store.outcomes(ALWAYS).unwrap(), store.recount_outcomes(ALWAYS).unwrap());
    }
}
