//! Keys and ports: nobody gets in without a key, and leaving the door open must be spelled out.

use std::{net::TcpListener, time::Duration};

use serde_json::{Value, json};

use super::harness::{Server, fail, path, succeed};

/// The key in a server's greeting.
fn greeted_key(server: &Server) -> Option<String> {
    let line = server.greeting.iter().find(|line| line.contains("API key"))?;
    line.split_whitespace().last().map(str::to_owned)
}

#[test]
fn the_first_start_shows_a_key_once_and_keys_open_what_their_scopes_say() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[], &[]);
    let admin = greeted_key(&server).expect("no key was shown");
    let event = json!({ "type": "view", "user": "user-42", "item": "mug-1" });
    let recommendations = "/v1/users/user-42/recommendations";

    for key in [None, Some(""), Some("zy_wrong")] {
        assert_eq!(server.post("/v1/events", key, &event).status, 401, "{key:?}");
        assert_eq!(server.get(recommendations, key).status, 401, "{key:?}");
    }
    assert_eq!(server.get("/healthz", None).status, 200);

    let data = path(folder.path());
    let reader = succeed(&["keys", "create", "reader", "--scopes", "recommend", "--data", data]);
    let reader = Some(reader.trim());
    assert_eq!(server.get(recommendations, reader).status, 200);
    assert_eq!(server.post("/v1/events", reader, &event).status, 403);
    assert_eq!(server.get("/v1/status", reader).status, 403);

    assert_eq!(server.post("/v1/events", Some(&admin), &event).status, 202);
    assert_eq!(server.get(recommendations, Some(&admin)).status, 200);
    assert_eq!(server.get("/v1/status", Some(&admin)).status, 200);

    succeed(&["keys", "revoke", "reader", "--data", data]);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while server.get(recommendations, reader).status != 401 {
        assert!(std::time::Instant::now() < deadline, "a revoked key still opens");
        std::thread::sleep(Duration::from_millis(200));
    }
    let remarks = server.stop();
    assert!(!remarks.contains(&admin), "a key reached the log: {remarks}");

    let again = Server::start(folder.path(), &[], &[]);
    assert_eq!(greeted_key(&again), None, "a key is shown again");
    assert_eq!(again.get("/v1/status", Some(&admin)).status, 200);
}

#[test]
fn the_keys_are_listed_without_their_text() {
    let folder = tempfile::tempdir().unwrap();
    drop(Server::start(folder.path(), &[], &[]));
    let data = path(folder.path());
    let made: Value =
        serde_json::from_str(&succeed(&["keys", "create", "till", "--scopes", "ingest", "--json", "--data", data]))
            .unwrap();
    let listed = succeed(&["keys", "list", "--json", "--data", data]);
    assert!(listed.contains("till") && !listed.contains(made["key"].as_str().unwrap()), "{listed}");
    assert!(fail(&["keys", "revoke", "nobody", "--data", data], 2).contains("nobody"));
    assert!(fail(&["keys", "create", "x", "--scopes", "everything", "--data", data], 2).contains("everything"));
}

#[test]
fn leaving_the_door_open_must_be_spelled_out() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--insecure", "--insecure-no", "--no-auth"] {
        fail(&["serve", flag, "--listen", "127.0.0.1:0", "--data", path(folder.path())], 2);
    }
    let server = Server::open(folder.path());
    assert_eq!(server.get("/v1/status", None).status, 200);
    assert!(server.stop().contains("--insecure-no-auth"), "no warning");
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = fail(&["serve", "--listen", &address, "--data", path(folder.path())], 1);
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
}

#[test]
fn by_default_only_this_machine_is_listened_to() {
    let printed = succeed(&["config", "print", "--defaults"]);
    assert!(printed.contains("listen = \"127.0.0.1:8723\""), "{printed}");
}
