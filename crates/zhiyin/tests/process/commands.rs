//! The commands on a small shop, as a person types them.

use serde_json::Value;

use super::harness::{Server, fail, path, succeed};

/// Forty customers in two circles of taste, with one line that no reader takes and one event that cleaning refuses.
fn shop() -> String {
    let mut lines = vec!["user,item,type,time,price".to_owned()];
    for n in 0..400 {
        let user = n % 40;
        let item = (n * 7 + n / 40) % 10 + 10 * (user % 2);
        lines.push(format!("user-{user},item-{item},purchase,2026-01-{:02}T08:{:02}:00Z,2.5", 1 + n / 40, n % 60));
    }
    lines.push("user-1,item-1,purchase,not a time,2.5".into());
    lines.push("user-1,item-1,purchase,2026-01-20T08:00:00Z,-3".into());
    lines.join("\n")
}

struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("shop.csv"), shop()).unwrap();
        Self { folder }
    }

    fn file(&self, name: &str) -> String {
        path(&self.folder.path().join(name)).to_owned()
    }

    fn import(&self) -> Value {
        let printed =
            succeed(&["import", "--format", "csv", &self.file("shop.csv"), "--data", &self.file("data"), "--json"]);
        serde_json::from_str(&printed).unwrap()
    }
}

#[test]
fn an_import_reports_what_it_kept_and_dropped_and_does_nothing_twice() {
    let shop = Shop::new();
    let first = shop.import();
    assert_eq!(first["kept"], 400, "{first}");
    assert_eq!(first["dropped"]["bad-time"]["count"], 1, "{first}");
    let dropped: u64 = first["dropped"].as_object().unwrap().values().map(|rule| rule["count"].as_u64().unwrap()).sum();
    assert_eq!(dropped, 2, "{first}");
    let again = shop.import();
    assert_eq!((again["kept"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(0)), "{again}");
    assert_eq!(again["resumed_after"], 402, "{again}");
    let status: Value = serde_json::from_str(&succeed(&["status", "--json", "--data", &shop.file("data")])).unwrap();
    assert_eq!(status["events"], 400, "{status}");
    let refused = succeed(&["events", "rejected", "--data", &shop.file("data")]);
    assert!(refused.contains("price"), "{refused}");
}

#[test]
fn a_list_is_printed_explained_and_drawn() {
    let shop = Shop::new();
    shop.import();
    let data = shop.file("data");
    let printed = succeed(&["recommend", "user-3", "--limit", "3", "--data", &data]);
    assert!(printed.contains("item-") && printed.contains("decision "), "{printed}");
    let picture = shop.file("scores.svg");
    let answer = succeed(&["recommend", "user-3", "--limit", "3", "--json", "--plot", &picture, "--data", &data]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["items"].as_array().unwrap().len(), 3, "{answer}");
    let first = answer["items"][0]["item"].as_str().unwrap();
    assert!(fs_err::read_to_string(&picture).unwrap().contains(first));
    let metrics = succeed(&["metrics", "--json", "--data", &data]);
    assert!(metrics.contains("impressions"), "a list that was shown isn't counted: {metrics}");
}

#[test]
fn what_is_wrong_is_said_with_its_way_out() {
    let shop = Shop::new();
    let data = shop.file("data");
    assert!(fail(&["recommend", "user-3", "--plot", "scores.gif", "--data", &data], 2).contains(".svg"));
    assert!(fail(&["recommend", "user-3", "--filter", "price <", "--data", &data], 2).contains("filter"));
    assert!(fail(&["recommend", "user-3", "--limit", "100000", "--data", &data], 2).contains("200"));
    let missing = fail(&["import", "--format", "csv", &shop.file("no.csv"), "--data", &data], 1);
    assert_eq!(missing.matches("no.csv").count(), 1, "{missing}");
    assert!(fail(&["import", "--format", "parquet", &shop.file("shop.csv"), "--data", &data], 2).contains("jsonl"));
    assert!(fail(&["metrics", "--from", "2026-02-01", "--to", "2026-01-01", "--data", &data], 2).contains("--from"));
    assert!(fail(&["demo", "--once", "--data", &data, "--source", &shop.file("no.csv.xz")], 1).contains("no.csv.xz"));
}

#[test]
fn a_folder_that_is_served_says_where_to_ask() {
    let shop = Shop::new();
    shop.import();
    let data = shop.file("data");
    let server = Server::open(&shop.folder.path().join("data"));
    let error = fail(&["recommend", "user-3", "--data", &data], 1);
    assert!(error.contains(&server.address.to_string()) && error.contains("curl"), "{error}");
    // What only reads, and keys, work beside the server.
    succeed(&["events", "rejected", "--data", &data]);
    succeed(&["metrics", "--data", &data]);
    succeed(&["keys", "list", "--data", &data]);
}

#[test]
fn the_configuration_is_checked_and_printed() {
    let shop = Shop::new();
    let good = shop.file("good.toml");
    fs_err::write(&good, "[recommend]\ndiversity = 0.25\n").unwrap();
    succeed(&["config", "check", "--config", &good]);
    assert!(succeed(&["config", "print", "--config", &good]).contains("diversity = 0.25"));
    let bad = shop.file("bad.toml");
    fs_err::write(&bad, "[recommend]\ndiversty = 0.25\n").unwrap();
    let error = fail(&["config", "check", "--config", &bad], 2);
    assert!(error.contains("bad.toml") && error.contains("diversty"), "{error}");
}

#[test]
fn the_interface_and_the_completions_are_printed() {
    let document: Value = serde_json::from_str(&succeed(&["openapi"])).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert!(succeed(&["completions", "bash"]).contains("zhiyin"));
    assert!(succeed(&["--help"]).contains("recommend"));
}
