//! Files that cannot be used: the error names the file and the way out, and nothing is overwritten.

#![allow(clippy::print_stdout, reason = "a test that skips says so")]

mod common;

use std::{
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use common::*;
use rusqlite::Connection;
use zhiyin_core::{
    Kind,
    storage::{Batch, Storage, StorageError},
};
use zhiyin_store::{Access, Store, StoreOptions};

fn database(folder: &Path) -> PathBuf {
    folder.join("zhiyin.db")
}

/// A folder with a closed store of some pages.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let staged = (0..2_000).map(|n| event(&format!("event-{n}"), Kind::View, n % 4, n % 6)).collect();
    store.commit(&Batch { events: staged, ..cast() }).unwrap();
    folder
}

/// Opens a folder that must be refused, and checks that its database was left as it is.
fn refused(folder: &Path) -> StorageError {
    let before = fs_err::read(database(folder)).ok();
    let error = Store::open(folder, StoreOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(before, fs_err::read(database(folder)).ok(), "nothing may be overwritten");
    assert!(error.to_string().contains("zhiyin.db"), "names the file: {error}");
    error
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    for text in ["x", "This is a shopping list.\n", &"z".repeat(100_000)] {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(database(folder.path()), text).unwrap();
        let error = refused(folder.path());
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("backup"), "names the way out: {error}");
    }
}

#[test]
fn a_damaged_page_is_found_at_the_start() {
    let folder = filled();
    let path = database(folder.path());
    let pages = fs_err::metadata(&path).unwrap().len() / 4096;
    for page in [2, pages / 2, pages - 3] {
        let intact = fs_err::read(&path).unwrap();
        overwrite(&path, page * 4096, &[0xA5; 4096]);
        let error = refused(folder.path());
        assert!(matches!(error, StorageError::Damaged { .. }), "page {page}: {error}");
        fs_err::write(&path, intact).unwrap();
    }
    assert_eq!(open(folder.path()).last_position().unwrap(), 2_000);
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let folder = filled();
    let path = database(folder.path());
    let bytes = fs_err::metadata(&path).unwrap().len();
    fs_err::OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes / 2).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
}

#[test]
fn a_row_that_makes_no_sense_is_reported_when_it_is_read() {
    let folder = filled();
    let raw = Connection::open(database(folder.path())).unwrap();
    raw.execute("UPDATE events SET details = '{\"price\": \"cheap\"}' WHERE position = 7", []).unwrap();
    drop(raw);
    let store = open(folder.path());
    assert_eq!(store.events_after(0, 6).unwrap().len(), 6);
    let error = store.events_after(6, 1).unwrap_err();
    assert!(matches!(&error, StorageError::Damaged { detail, .. } if detail.contains("cheap")), "{error}");
}

#[test]
fn a_database_of_another_application_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(database(folder.path())).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let error = refused(folder.path());
    assert!(error.to_string().contains("another application"), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let folder = filled();
    let raw = Connection::open(database(folder.path())).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = refused(folder.path());
    assert!(error.to_string().contains("version 99"), "{error}");
    assert!(error.to_string().contains("newer program"), "names the way out: {error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = Store::open(file.join("data"), StoreOptions::default()).unwrap_err();
    assert!(matches!(&error, StorageError::Unusable { path, .. } if path.contains("file")), "{error}");
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_to_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = filled();
    let mode = |mode| fs_err::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let allowed = fs_err::write(folder.path().join("probe"), "").is_ok();
    let outcome = Store::open(folder.path(), StoreOptions::default());
    mode(0o755);
    if allowed {
        println!("skipped: this user may write everywhere, whatever the permissions say");
        return;
    }
    // The lock file can still be opened, the database cannot be written beside it.
    let error = outcome.unwrap_err();
    assert!(matches!(error, StorageError::Unusable { .. }), "{error}");
}

#[test]
fn two_owners_are_refused_and_a_guest_is_not() {
    let folder = filled();
    let owner = open(folder.path());
    let error = Store::open(folder.path(), StoreOptions::default()).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    let options = StoreOptions { access: Access::Guest, ..StoreOptions::default() };
    let guest = Store::open(folder.path(), options.clone()).unwrap();
    assert_eq!(guest.last_position().unwrap(), 2_000);
    assert!(matches!(guest.commit(&cast()), Err(StorageError::Unusable { .. })));
    assert!(matches!(guest.erase(&[0]), Err(StorageError::Unusable { .. })));
    owner.commit(&events(vec![event("new", Kind::View, 0, 0)])).unwrap();
    assert_eq!(guest.last_position().unwrap(), 2_001);
    drop(owner);
    drop(open(folder.path()));
    let nowhere = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(nowhere.path(), options), Err(StorageError::Unusable { .. })));
    assert!(!database(nowhere.path()).exists(), "a guest makes nothing");
}

#[test]
fn a_full_disk_loses_nothing_and_can_be_recovered_from() {
    let folder = tempfile::tempdir().unwrap();
    let limited = StoreOptions { max_bytes: Some(512 * 1024), ..StoreOptions::default() };
    let store = Store::open(folder.path(), limited).unwrap();
    store.commit(&cast()).unwrap();
    let batch = |n: u32| events((0..100).map(|at| event(&format!("e-{n}-{at}"), Kind::View, at % 4, at % 6)).collect());
    let (committed, error) = (0..).find_map(|n| store.commit(&batch(n)).err().map(|error| (n, error))).unwrap();
    assert!(matches!(&error, StorageError::Full { path } if path.contains("zhiyin.db")), "{error}");
    assert!(committed > 10, "{committed}");
    let last = u64::from(committed) * 100;
    assert_eq!(store.last_position().unwrap(), last, "the batch that failed left nothing");
    assert_eq!(store.high_water().unwrap().next_position, last + 1);
    assert!(matches!(store.commit(&batch(committed)), Err(StorageError::Full { .. })));
    store.erase(&[0]).unwrap();
    drop(store);
    let store = open(folder.path());
    let appended = store.commit(&Batch { actors: vec![user(0)], ..batch(committed) }).unwrap();
    assert_eq!(appended[0], zhiyin_core::storage::Appended::At(last + 1), "with room it goes on where it was");
}

#[test]
fn an_empty_file_is_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(database(folder.path()), "").unwrap();
    assert_eq!(open(folder.path()).last_position().unwrap(), 0);
}
