//! An acknowledged event survives `kill -9`, and one that is sent again counts once.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::harness::Server;

/// Times that the server is killed.
const KILLS: usize = 12;
/// Threads that send at once.
const SENDERS: usize = 4;

fn event(id: &str, n: usize) -> Value {
    json!({ "id": id, "type": "view", "user": format!("user-{}", n % 17), "item": format!("item-{}", n % 23) })
}

/// Sends batches until the server goes away; the ids that were sent, and those that were acknowledged.
fn send_until_killed(server: &Server, round: usize) -> (Vec<String>, HashSet<String>) {
    let next = AtomicUsize::new(0);
    let sender = || {
        let (mut sent, mut acknowledged) = (Vec::new(), HashSet::new());
        loop {
            let first = next.fetch_add(1, Ordering::SeqCst);
            let ids: Vec<String> = (0..1 + first % 20).map(|k| format!("r{round}-{first}-{k}")).collect();
            let batch: Vec<Value> = ids.iter().enumerate().map(|(k, id)| event(id, first + k)).collect();
            sent.extend(ids.iter().cloned());
            match server.try_post("/v1/events", None, &batch.into()) {
                Some(answer) if answer.status == 202 => acknowledged.extend(ids),
                Some(answer) => panic!("{}: {}", answer.status, answer.body),
                None => return (sent, acknowledged),
            }
        }
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(sender)).collect();
        // Each time a little later: from before the first batch until well into the stream.
        thread::sleep(Duration::from_millis(3 + 17 * round as u64));
        kill_process(server.pid(), Signal::KILL).unwrap();
        senders.into_iter().fold((Vec::new(), HashSet::new()), |(mut sent, mut acknowledged), sender| {
            let (more, known) = sender.join().unwrap();
            sent.extend(more);
            acknowledged.extend(known);
            (sent, acknowledged)
        })
    })
}

#[test]
fn no_acknowledged_event_is_lost_and_none_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut total = 0;
    let mut acknowledged_in_all = 0;
    for round in 0..KILLS {
        let server = Server::open(folder.path());
        let (sent, acknowledged) = send_until_killed(&server, round);
        drop(server);
        let server = Server::open(folder.path());
        let survived = server.events() - total;
        assert!(
            survived >= acknowledged.len() as u64,
            "round {round}: {survived} of {} acknowledged events",
            acknowledged.len()
        );
        // A client that got no answer sends again: acknowledged events are known, the others count once from now on.
        for ids in sent.chunks(500) {
            let again: Vec<Value> = ids.iter().enumerate().map(|(n, id)| event(id, n)).collect();
            let answer = server.post("/v1/events", None, &again.into());
            assert_eq!(answer.status, 202, "{}", answer.body);
            for (id, outcome) in ids.iter().zip(answer.body["outcomes"].as_array().unwrap()) {
                assert!(
                    outcome["status"] == "duplicate" || !acknowledged.contains(id),
                    "round {round}: {id} was lost: {outcome}"
                );
            }
        }
        total += sent.len() as u64;
        assert_eq!(server.events(), total, "round {round}");
        acknowledged_in_all += acknowledged.len();
        server.kill();
    }
    assert!(acknowledged_in_all > 100, "only {acknowledged_in_all} events were acknowledged, which tests little");
}

#[test]
fn the_state_after_a_kill_answers_as_the_state_before() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::open(folder.path());
    let batch: Vec<Value> = (0..3_000).map(|n| event(&format!("e{n}"), n * n % 1009)).collect();
    for part in batch.chunks(100) {
        assert_eq!(server.post("/v1/events", None, &part.into()).status, 202);
    }
    let ask = |server: &Server| {
        let body = json!({ "user": "user-3", "explain": "none", "include_seen": true, "limit": 20 });
        server.post("/v1/recommendations", None, &body).body["items"].clone()
    };
    let before = ask(&server);
    assert!(!before.as_array().unwrap().is_empty());
    server.kill();
    let server = Server::open(folder.path());
    assert_same_list(&ask(&server), &before);
    server.stop();
    assert_same_list(&ask(&Server::open(folder.path())), &before);
}

/// The same items by the same sources in the same order. The counts behind the scores are equal bit for bit; the caches that are derived
/// from them are summed anew, in another order, so the last digit of a score may differ.
fn assert_same_list(found: &Value, expected: &Value) {
    let parts = |list: &Value| -> Vec<(String, f64)> {
        let items = list.as_array().unwrap().iter();
        items.map(|item| (format!("{} {}", item["item"], item["source"]), item["score"].as_f64().unwrap())).collect()
    };
    let (found, expected) = (parts(found), parts(expected));
    assert_eq!(found.len(), expected.len());
    for ((name, score), (expected_name, expected_score)) in found.iter().zip(&expected) {
        assert_eq!(name, expected_name);
        assert!(
            (score - expected_score).abs() <= 1e-6 * expected_score.abs(),
            "{name}: {score} instead of {expected_score}"
        );
    }
}

#[test]
fn a_polite_stop_answers_what_is_under_way_and_leaves_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::open(folder.path());
    assert_eq!(server.post("/v1/events", None, &event("e", 1)).status, 202);
    server.stop();
    let snapshots = fs_err::read_dir(folder.path().join("snapshots")).unwrap().count();
    assert!(snapshots > 0, "no snapshot");
    assert_eq!(Server::open(folder.path()).events(), 1);
}
