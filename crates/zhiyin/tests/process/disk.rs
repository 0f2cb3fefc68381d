//! A full disk, damaged files, folders that cannot be written.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Server, fail, path};

fn batch(first: usize) -> Value {
    let event = |n| json!({ "id": format!("e{n}"), "type": "view", "user": format!("user-{n}"), "item": "item-1" });
    (first..first + 100).map(event).collect()
}

/// A folder with a few events in it.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::open(folder.path());
    assert_eq!(server.post("/v1/events", None, &batch(0)).status, 202);
    server.stop();
    folder
}

#[test]
fn a_full_disk_refuses_events_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Server::start(folder.path(), &["--insecure-no-auth"], &[("ZHIYIN__DATA__DATABASE_BYTES_MAX", "400000")]);
    let mut acknowledged = 0;
    let refused = loop {
        let answer = server.post("/v1/events", None, &batch(acknowledged));
        if answer.status != 202 {
            break answer;
        }
        acknowledged += 100;
        assert!(acknowledged < 100_000, "the limit has no effect");
    };
    assert_eq!(refused.status, 507, "{}", refused.body);
    assert!(refused.body.to_string().contains("space"), "{}", refused.body);
    assert_eq!(server.events(), acknowledged as u64);
    assert_eq!(server.get("/v1/users/user-1/recommendations", None).status, 200);
    server.kill();
    let server = Server::open(folder.path());
    assert_eq!(server.events(), acknowledged as u64);
    assert_eq!(server.post("/v1/events", None, &batch(acknowledged)).status, 202);
    assert_eq!(server.events(), acknowledged as u64 + 100);
}

/// Overwrites bytes in the middle of a file.
fn damage(path: &Path, at: usize, length: usize) -> Vec<u8> {
    let mut bytes = fs_err::read(path).unwrap();
    let at = at.min(bytes.len().saturating_sub(length));
    let end = (at + length).min(bytes.len());
    bytes[at..end].iter_mut().for_each(|byte| *byte = !*byte);
    fs_err::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_damaged_database_is_named_with_the_way_out_and_left_alone() {
    for (at, length) in [(0, 100), (4_096, 4_096), (8_192, 65_536), (usize::MAX, 4_096)] {
        let folder = filled();
        let database = folder.path().join("zhiyin.db");
        let bytes = damage(&database, at, length);
        let error = fail(&["serve", "--listen", "127.0.0.1:0", "--data", path(folder.path())], 1);
        assert!(error.contains("zhiyin.db") && error.contains("backup"), "damage at {at}: {error}");
        assert!(fs_err::read(&database).unwrap() == bytes, "damage at {at}: the file was changed");
    }
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("zhiyin.db");
    let letter = "Dear shop, please send me a lantern.\n".repeat(500);
    fs_err::write(&database, &letter).unwrap();
    let error = fail(&["serve", "--listen", "127.0.0.1:0", "--data", path(folder.path())], 1);
    assert!(error.contains("zhiyin.db"), "{error}");
    assert_eq!(fs_err::read_to_string(&database).unwrap(), letter);
}

#[test]
fn a_damaged_snapshot_is_named_and_the_log_takes_its_place() {
    let folder = filled();
    let snapshots: Vec<PathBuf> =
        fs_err::read_dir(folder.path().join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!snapshots.is_empty());
    for snapshot in &snapshots {
        let middle = fs_err::metadata(snapshot).unwrap().len() as usize / 2;
        damage(snapshot, middle, 16);
    }
    let server = Server::open(folder.path());
    assert_eq!(server.events(), 100);
    let warnings = server.get("/v1/status", None).body["warnings"].to_string();
    let name = snapshots[0].file_name().unwrap().to_str().unwrap();
    assert!(warnings.contains(name), "{warnings} doesn't name {name}");
    let remarks = server.stop();
    assert!(remarks.contains(name), "{remarks} doesn't name {name}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "a file stands where a folder should").unwrap();
    let below = file.join("data");
    let error = fail(&["serve", "--listen", "127.0.0.1:0", "--data", path(&below)], 1);
    assert!(error.contains(path(&file)) && error.contains("choose"), "{error}");
}

#[cfg(unix)]
#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn a_folder_without_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs_err::create_dir(&closed).unwrap();
    fs_err::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if fs_err::write(closed.join("probe"), "x").is_ok() {
        eprintln!("skipped: permissions don't bind this user (root); a path below a file is tested instead");
        return;
    }
    let error = fail(&["serve", "--listen", "127.0.0.1:0", "--data", path(&closed)], 1);
    assert!(error.contains(path(&closed)), "{error}");
}
