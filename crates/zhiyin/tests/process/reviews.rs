//! Reviews through the program: measured, imported, learned from, and read while a server runs.

use std::{path::Path, time::Instant};

use serde_json::{Value, json};

use super::harness::{Server, path, succeed};

const GOOD: [&str; 4] = [
    "The handle is great and it pours well.",
    "Great lid, nice handle!",
    "I love it, the lid is solid.",
    "The spout is perfect, but I wish it came in red.",
];
const BAD: [&str; 4] = [
    "The handle is terrible, it broke after a week.",
    "Poor lid. I returned it.",
    "The lid is flimsy, an awful thing.",
    "It doesn't fit and the spout is bad.",
];

/// Six hundred invented reviews of kettles, a third of them bad, in the layout of Amazon's.
fn reviews() -> String {
    let line = |n: usize| {
        let is_bad = n.is_multiple_of(3);
        json!({
            "reviewerID": format!("user-{}", n % 40), "asin": format!("kettle-{}", (n * 7 + n / 40) % 20),
            "overall": if is_bad { 1.0 } else { 5.0 }, "summary": "",
            "reviewText": if is_bad { BAD[n / 3 % 4] } else { GOOD[n % 4] }, "unixReviewTime": 1_700_000_000 + n * 3_600,
        })
        .to_string()
    };
    (0..600).map(line).collect::<Vec<_>>().join("\n")
}

fn file(folder: &Path) -> String {
    let file = folder.join("reviews.jsonl");
    fs_err::write(&file, reviews()).unwrap();
    path(&file).to_owned()
}

#[test]
fn polarity_is_measured_on_the_newest_fifth() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path());
    let arguments = ["reviews", "evaluate", "--data", &file, "--format", "amazon-reviews", "--encoder", "none"];
    let report: Value = serde_json::from_str(&succeed(&[&arguments[..], &["--json"]].concat())).unwrap();
    assert_eq!((&report["reviews"], &report["measured"], &report["negative"]), (&json!(600), &json!(120), &json!(40)));
    let rows = report["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["features"], &rows[0]["auc"]["mean"]), (1, &json!("words"), &json!(1.0)));
    assert!(report["aspects"].as_array().unwrap().contains(&json!("handle")), "{report}");
    assert!(succeed(&arguments).contains("AUC"));
}

#[test]
fn a_running_server_shows_a_review_within_five_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    succeed(&["import", "--format", "amazon-reviews", &file(folder.path()), "--data", path(&data)]);
    let config = folder.path().join("zhiyin.toml");
    fs_err::write(&config, "[train]\ntune = \"none\"\nevents_min = 100\n").unwrap();
    succeed(&["train", "--data", path(&data), "--config", path(&config)]);
    let server = Server::open(&data);
    let route = "/v1/items/kettle-3/feedback";
    let before = server.get(route, None).body;
    assert_ne!(before["reader"], "none", "{before}");
    let handle = |report: &Value| {
        let aspects = report["aspects"].as_array().unwrap();
        aspects.iter().find(|row| row["aspect"] == "handle").cloned().unwrap_or_default()
    };
    let started = Instant::now();
    let text = "The handle is terrible, it broke after a week.";
    let review = json!({"id": "bad-1", "type": "review", "user": "user-42", "item": "kettle-3", "text": text});
    assert_eq!(server.post("/v1/events", None, &review).status, 202);
    let after = server.get(route, None).body;
    assert!(started.elapsed().as_secs() < 5);
    assert_eq!(after["negative"].as_u64(), before["negative"].as_u64().map(|n| n + 1), "{after}");
    assert!(after["share"].as_f64() < before["share"].as_f64(), "{after}");
    assert_eq!(
        handle(&after)["negative"].as_u64(),
        Some(handle(&before)["negative"].as_u64().unwrap_or(0) + 1),
        "{after}"
    );
    assert_eq!((&after["newest"][0]["event"], &after["newest"][0]["quote"]), (&json!("bad-1"), &Value::Null));
    let own = server.get("/v1/users/user-42/feedback", None).body;
    assert_eq!((&own["reviews"], &own["basis"]["learned"]), (&json!(1), &json!(1)), "{own}");
}
