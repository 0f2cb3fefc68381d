//! Texts that are understood: search, similar items, status, with an encoder that knows two languages and three things.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{Api, NOW_MS, TestKeys};
use serde_json::{Value, json};
use zhiyin_core::{EncodeError, Encoder};
use zhiyin_engine::TextEncoding;
use zhiyin_server::{AuthMode, ServerConfig};

/// Gives every text the direction of the things that it names, and a little of its own.
#[derive(Default)]
struct Things {
    fails: AtomicBool,
    sleeps: AtomicBool,
}

const THINGS: [[&str; 3]; 3] = [["lamp", "lantern", "灯"], ["mug", "cup", "杯"], ["chair", "seat", "椅"]];

impl Encoder for Things {
    fn name(&self) -> &str {
        "things"
    }

    fn version(&self) -> &str {
        "things/1"
    }

    fn dims(&self) -> usize {
        8
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        if self.sleeps.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(300));
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(EncodeError { encoder: "things".into(), detail: "it was told to".into() });
        }
        let row = |text: &&str| {
            let bytes = text.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
            let mut row: Vec<f32> = (0..8).map(|at| ((bytes >> (at * 4)) % 16) as f32 / 160.0).collect();
            for (place, names) in THINGS.iter().enumerate() {
                row[place] += if names.iter().any(|name| text.contains(name)) { 1.0 } else { 0.0 };
            }
            row
        };
        Ok(texts.iter().flat_map(row).collect())
    }
}

struct Shop {
    api: Api,
    encoder: Arc<Things>,
}

impl Shop {
    async fn open() -> Self {
        let encoder = Arc::new(Things::default());
        let encoding = TextEncoding { encoder: Ok(Arc::clone(&encoder) as _), cache: None };
        let api = Api::with_encoding(ServerConfig::new(AuthMode::Keys(Arc::new(TestKeys))), encoding);
        let shop = Self { api, encoder };
        let titles = ["brass lamp", "garden lantern", "tea cup", "blue mug", "oak chair", "folding seat"];
        let items: Vec<Value> =
            titles.iter().enumerate().map(|(n, title)| json!({"id": format!("item-{n}"), "title": title})).collect();
        shop.api.send("POST", "/v1/items", json!(items).to_string()).await.assert_status(200);
        shop.encoded(6).await;
        shop
    }

    async fn encoded(&self, items: usize) {
        self.api
            .until("encoding", |engine| engine.status().texts.encoded == items && engine.await_encoding(Duration::ZERO))
            .await;
    }

    async fn names(&self, path: &str) -> (Vec<String>, Value) {
        let answer = self.api.get(path).await;
        let answer = answer.assert_status(200).json();
        let name = |item: &Value| item["item"].as_str().unwrap().to_owned();
        (answer["items"].as_array().unwrap().iter().map(name).collect(), answer)
    }
}

#[tokio::test]
async fn a_search_finds_by_meaning_what_shares_no_word() {
    let shop = Shop::open().await;
    // 灯 is a lamp; no title has the word.
    let (found, answer) = shop.names("/v1/search?q=%E7%81%AF&limit=2").await;
    assert_eq!(answer["fallback"], Value::Null, "{answer}");
    assert_eq!(answer["items"][0]["source"], "meaning");
    let found: std::collections::BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["item-0", "item-1"].into());
    let (filtered, _) = shop.names("/v1/search?q=lamp&filter=id+!%3D+%22item-0%22&limit=1").await;
    assert_eq!(filtered, ["item-1"]);
    // A search is a decision that outcomes can be joined to.
    let event = json!({"type": "click", "user": "user-1", "item": "item-1", "decision": answer["decision_id"]});
    shop.api
        .until("the decision", |engine| engine.metrics(0..NOW_MS + 1).unwrap().iter().any(|row| row.name == "meaning"))
        .await;
    shop.api.send("POST", "/v1/events", event.to_string()).await.assert_status(202);
    let metrics = shop.api.get("/v1/metrics").await.json();
    let meaning = metrics["rows"].as_array().unwrap().iter().find(|row| row["name"] == "meaning").unwrap();
    assert_eq!(meaning["clicks"], 1, "{metrics}");
}

#[tokio::test]
async fn what_cannot_be_searched_is_refused() {
    let shop = Shop::open().await;
    shop.api.get("/v1/search").await.assert_problem(400, "q");
    shop.api.get("/v1/search?q=+").await.assert_problem(400, "q");
    shop.api.get(&format!("/v1/search?q={}", "x".repeat(1025))).await.assert_problem(400, "q");
    shop.api.get("/v1/search?q=lamp&limit=0").await.assert_problem(400, "limit");
    shop.api.get("/v1/search?q=lamp&deadline_ms=5001").await.assert_problem(400, "deadline_ms");
    shop.api.get("/v1/search?q=lamp&filter=price+%3C").await.assert_problem(400, "filter");
}

#[tokio::test]
async fn without_an_encoder_or_past_the_deadline_the_words_decide() {
    let plain = Api::open();
    plain
        .send("POST", "/v1/items", json!([{"id": "item-0", "title": "brass lamp"}]).to_string())
        .await
        .assert_status(200);
    let answer = plain.get("/v1/search?q=lamp").await.json();
    assert_eq!(
        (&answer["fallback"], &answer["items"][0]["item"]),
        (&json!("no-encoder"), &json!("item-0")),
        "{answer}"
    );
    assert!(plain.get("/v1/status").await.json()["texts"]["reason"].as_str().is_some());
    let shop = Shop::open().await;
    shop.encoder.sleeps.store(true, Ordering::Relaxed);
    let (found, answer) = shop.names("/v1/search?q=lamp&deadline_ms=20").await;
    assert_eq!((found, &answer["fallback"]), (vec!["item-0".to_owned()], &json!("deadline")));
    // More at once than are encoded side by side: those before are still at it.
    let asked = (0..8).map(|_| shop.api.get("/v1/search?q=lamp&deadline_ms=1"));
    let mut reasons = Vec::new();
    for answer in asked {
        reasons.push(answer.await.json()["fallback"].clone());
    }
    assert!(reasons.contains(&json!("busy")), "{reasons:?}");
}

#[tokio::test]
async fn an_item_that_arrives_or_changes_is_similar_by_meaning_at_once() {
    let shop = Shop::open().await;
    let api = &shop.api;
    let put = async |title: &str| api.send("PUT", "/v1/items/item-9", json!({ "title": title }).to_string()).await;
    put("落地灯").await.assert_status(201);
    shop.encoded(7).await;
    let first = |answer: Vec<String>| answer.into_iter().take(2).collect::<std::collections::BTreeSet<_>>();
    let (similar, answer) = shop.names("/v1/items/item-0/similar").await;
    assert!(first(similar).contains("item-9"), "{answer}");
    put("椅子").await.assert_status(200);
    shop.encoded(7).await;
    let (similar, answer) = shop.names("/v1/items/item-4/similar").await;
    assert!(first(similar).contains("item-9"), "{answer}");
    let (similar, answer) = shop.names("/v1/items/item-0/similar?limit=1").await;
    assert_eq!(similar, ["item-1"], "{answer}");
    shop.api.send("DELETE", "/v1/items/item-9", String::new()).await.assert_status(204);
    shop.encoded(6).await;
}

#[tokio::test]
async fn a_failing_encoder_is_seen_and_everything_else_works() {
    let shop = Shop::open().await;
    shop.encoder.fails.store(true, Ordering::Relaxed);
    let item = json!([{"id": "item-7", "title": "hanging lamp"}]);
    shop.api.send("POST", "/v1/items", item.to_string()).await.assert_status(200);
    shop.api.until("the failure", |engine| engine.status().texts.failed == 1).await;
    let status = shop.api.get("/v1/status").await.json();
    assert!(status["texts"]["error"].as_str().unwrap().contains("told to"), "{status}");
    let metrics = shop.api.get("/metrics").await.text;
    assert!(
        metrics.contains("zhiyin_texts{state=\"failed\"} 1") && metrics.contains("zhiyin_texts{state=\"encoded\"} 6"),
        "{metrics}"
    );
    let (found, answer) = shop.names("/v1/search?q=hanging+lamp&limit=1").await;
    assert_eq!((found, &answer["fallback"]), (vec!["item-7".to_owned()], &json!("encoder-failed")));
    let (similar, answer) = shop.names("/v1/items/item-7/similar?limit=1").await;
    assert_eq!(similar, ["item-0"], "by words: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_wish_count_by_their_meaning_too() {
    let shop = Shop::open().await;
    let wish = async |api: &Api, body: Value| {
        let reply = api.send("POST", "/v1/search/recommendations", body.to_string()).await;
        reply.assert_status(200);
        reply.json()
    };
    let chairs = wish(&shop.api, json!({"query": "我想要 椅子", "limit": 6})).await;
    assert!(chairs["left_out"].as_array().unwrap().contains(&json!("椅子")), "no title has the word: {chairs}");
    let items = chairs["recommendations"]["items"].as_array().unwrap();
    let mut first: Vec<&str> = items[..2].iter().map(|item| item["title"].as_str().unwrap()).collect();
    first.sort_unstable();
    assert_eq!(first, ["folding seat", "oak chair"], "{chairs}");
    assert_eq!((&items[0]["source"], &items[0]["reasons"][0]["kind"]), (&json!("wish"), &json!("wish")), "{chairs}");
    shop.encoder.sleeps.store(true, Ordering::Relaxed);
    let hurried = wish(&shop.api, json!({"query": "我想要 椅子", "deadline_ms": 20})).await;
    assert_eq!(hurried["without_meaning"], "deadline", "{hurried}");
    let without = Api::open();
    assert_eq!(wish(&without, json!({"query": "a chair"})).await["without_meaning"], "no-encoder");
}
