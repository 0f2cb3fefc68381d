//! Keys, model pointers, settings, backups, and reading beside writing.

mod common;

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use common::*;
use zhiyin_core::{
    Kind,
    storage::{Batch, Storage, StorageError},
};
use zhiyin_store::{Access, KeyError, LiveModel, Scope, Scopes, Store, StoreOptions, TeacherScores};

#[test]
fn a_key_is_shown_once_and_kept_as_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let scopes = Scopes::of(&[Scope::Ingest, Scope::Recommend]);
    let new = store.create_key("shop", scopes, 5).unwrap();
    assert!(new.plain.starts_with("zy_") && new.plain.len() == 67, "{}", new.plain);
    assert!(!format!("{new:?}").contains(&new.plain));
    assert_eq!(store.verify_key(&new.plain).unwrap().unwrap(), new.key);
    assert_eq!(store.keys().unwrap(), std::slice::from_ref(&new.key));
    assert_eq!((new.key.scopes, new.key.created_ms, new.key.revoked_ms), (scopes, 5, None));
    drop(store);
    let secret = &new.plain.as_bytes()[3..];
    for entry in fs_err::read_dir(folder.path()).unwrap() {
        let bytes = fs_err::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "the plain key is nowhere on the disk");
    }
}

#[test]
fn only_the_very_key_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let new = store.create_key("shop", Scopes::of(&[Scope::Ingest]), 0).unwrap();
    let flipped = new.plain.replace(|c: char| c.is_ascii_hexdigit(), "0");
    let upper = format!("zy_{}", new.plain[3..].to_uppercase());
    let long = format!("{}0", new.plain);
    for wrong in ["", "zy_", &flipped, &upper, &long, &new.plain[3..], &new.plain[..66], "é".repeat(34).as_str()] {
        assert_eq!(store.verify_key(wrong).unwrap(), None, "{wrong}");
    }
    let plain: HashSet<String> =
        (0..20).map(|n| store.create_key(&format!("k-{n}"), Scopes::of(&[Scope::Admin]), 0).unwrap().plain).collect();
    assert_eq!(plain.len(), 20);
}

#[test]
fn a_revoked_key_is_worth_nothing_and_frees_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let scopes = Scopes::of(&[Scope::Catalog]);
    let first = store.create_key("shop", scopes, 1).unwrap();
    assert!(matches!(store.create_key("shop", scopes, 2), Err(KeyError::Refused(_))));
    let revoked = store.revoke_key("shop", 3).unwrap().unwrap();
    assert_eq!((revoked.id, revoked.revoked_ms), (first.key.id, Some(3)));
    assert_eq!(store.verify_key(&first.plain).unwrap(), None);
    assert_eq!(store.revoke_key("shop", 4).unwrap(), None);
    let second = store.create_key("shop", scopes, 5).unwrap();
    assert_ne!(second.key.id, first.key.id);
    assert_eq!(store.revoke_key(&second.key.id.to_string(), 6).unwrap().unwrap().name, "shop");
    assert_eq!(store.keys().unwrap().len(), 2, "revoked keys stay in the list");
}

#[test]
fn scopes_are_read_and_written_as_names() {
    let scopes = Scopes::parse("recommend, ingest").unwrap();
    assert_eq!(scopes.to_string(), "ingest,recommend");
    assert!(scopes.allow(Scope::Ingest) && !scopes.allow(Scope::Catalog) && !scopes.allow(Scope::Admin));
    assert!(Scope::ALL.into_iter().all(|scope| Scopes::of(&[Scope::Admin]).allow(scope)));
    assert!(Scopes::parse("ingest,root").unwrap_err().to_string().contains("root"));
    assert!(Scopes::parse(" , ").is_err());
    let folder = tempfile::tempdir().unwrap();
    let refused = open(folder.path()).create_key("shop", Scopes::default(), 0);
    assert!(matches!(refused, Err(KeyError::Refused(problem)) if problem.field == "scopes"));
}

#[test]
fn a_guest_makes_keys_that_the_owner_knows_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let owner = open(folder.path());
    let guest = Store::open(folder.path(), StoreOptions { access: Access::Guest, ..StoreOptions::default() }).unwrap();
    let new = guest.create_key("shop", Scopes::of(&[Scope::Ingest]), 0).unwrap();
    assert!(owner.verify_key(&new.plain).unwrap().is_some());
}

#[test]
fn the_last_model_of_a_slot_is_live() {
    let folder = tempfile::tempdir().unwrap();
    let model = |slot: &str, n: i64| LiveModel {
        slot: slot.into(),
        version: format!("v-{n}"),
        path: format!("v-{n}.bin"),
        hash: "ab".into(),
        set_ms: n,
    };
    let store = open(folder.path());
    assert_eq!(store.live_model("ranker").unwrap(), None);
    for (slot, n) in [("ranker", 1), ("ranker", 2), ("words", 3), ("ranker", 1)] {
        store.set_live_model(&model(slot, n)).unwrap();
    }
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.live_model("ranker").unwrap(), Some(model("ranker", 1)), "back to an older one is a step too");
    assert_eq!(store.model_history("ranker", 2).unwrap(), [model("ranker", 1), model("ranker", 2)]);
    assert_eq!(store.live_model("words").unwrap(), Some(model("words", 3)));
}

#[test]
fn settings_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert_eq!(store.setting("colour").unwrap(), None);
    store.set_setting("colour", "red").unwrap();
    store.set_setting("colour", "blue").unwrap();
    drop(store);
    assert_eq!(open(folder.path()).setting("colour").unwrap().as_deref(), Some("blue"));
}

#[test]
fn a_backup_is_a_whole_store_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let shown = decision(START, 1, Some(0), "m-1", &[(0, "a")]);
    let batch =
        Batch { events: vec![after(shown.id, event("e-1", Kind::Click, 0, 0))], decisions: vec![shown], ..cast() };
    store.commit(&batch).unwrap();
    store.erase(&[3]).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path().join("zhiyin.db");
    store.backup(&to).unwrap();
    store.commit(&events(vec![event("e-2", Kind::View, 0, 0)])).unwrap();
    assert!(matches!(store.backup(&to), Err(StorageError::Unusable { .. })));
    let restored = open(copy.path());
    assert_eq!(restored.events_after(0, 10).unwrap(), store.events_after(0, 1).unwrap());
    assert_eq!(restored.outcomes(ALWAYS).unwrap(), store.outcomes(ALWAYS).unwrap());
    assert_eq!(restored.high_water().unwrap().next_actor, 4);
}

/// Lets the readers end even when the writer panics, so that a failing test fails and doesn't hang.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_see_whole_batches_while_the_writer_goes_on() {
    const BATCH: u32 = 50;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(&cast()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _finish = Finish(&done);
        for _ in 0..6 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let position = store.last_position().unwrap();
                    assert!(position >= last && position.is_multiple_of(u64::from(BATCH)), "{position} after {last}");
                    assert_eq!(store.events_after(0, usize::MAX).unwrap().len() as u64 % u64::from(BATCH), 0);
                    last = position;
                }
            });
        }
        for n in 0..40 {
            let batch = (0..BATCH).map(|at| event(&format!("e-{n}-{at}"), Kind::View, at % 4, at % 6)).collect();
            store.commit(&events(batch)).unwrap();
        }
    });
    assert_eq!(store.last_position().unwrap(), 2_000);
}

#[test]
fn erased_names_leave_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut secret = event("e-1", Kind::Review, 1, 0);
    secret.event.details.text = Some("tarragon-and-saffron".into());
    store.commit(&Batch { events: vec![secret], ..cast() }).unwrap();
    store.erase(&[1]).unwrap();
    for entry in fs_err::read_dir(folder.path()).unwrap() {
        let bytes = fs_err::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(20).any(|window| window == b"tarragon-and-saffron"), "overwritten, not only unlinked");
    }
}

#[test]
fn soft_labels_are_replaced_by_newer_ones_and_erased_with_their_user() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(&Batch { actors: vec![user(0), user(1)], ..Batch::default() }).unwrap();
    let scores = |actor, made_ms, label| TeacherScores {
        actor,
        model: "teacher@1".to_owned(),
        made_ms,
        length: 2,
        labels: vec![(7, label), (3, -1.25)],
    };
    // Nobody has the number 9.
    store.put_teacher_scores(&[scores(0, 5, 0.1), scores(1, 5, 0.2), scores(9, 5, 0.3)]).unwrap();
    store.put_teacher_scores(&[scores(0, 6, 0.4)]).unwrap();
    assert_eq!(store.teacher_scores("teacher@1").unwrap(), [scores(0, 6, 0.4), scores(1, 5, 0.2)]);
    assert!(store.teacher_scores("teacher@2").unwrap().is_empty());
    store.erase(&[0]).unwrap();
    store.put_teacher_scores(&[scores(0, 7, 0.5)]).unwrap();
    assert_eq!(store.teacher_scores("teacher@1").unwrap(), [scores(1, 5, 0.2)]);
}
