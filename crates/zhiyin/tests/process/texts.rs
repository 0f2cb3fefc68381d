//! Item texts, understood by the running program with the real encoders, which the tests pull by themselves.
//!
//! Without a network and without the weights in `ZHIYIN_MODELS` or the target folder the tests say so and pass.

#![allow(clippy::print_stderr, reason = "a test that can check nothing has to say so")]

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::harness::{Server, path, program, text};

/// Folder of models with the encoder of this name, pulled if it isn't there; none where no source can be reached.
pub fn models(name: &str) -> Option<PathBuf> {
    let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
    let folder = std::env::var_os("ZHIYIN_MODELS").map_or_else(own, PathBuf::from);
    let pulled = program().env("ZHIYIN_MODELS", &folder).args(["llm", "pull", name]).output().unwrap();
    if !pulled.status.success() {
        eprintln!("SKIPPED: {name} could not be pulled: {}", text(&pulled.stderr));
        return None;
    }
    Some(folder)
}

fn serve(data: &Path, models: &Path, encoder: &str) -> Server {
    let variables = [("ZHIYIN_MODELS", path(models)), ("ZHIYIN__TEXT__ENCODER", encoder)];
    Server::start(data, &["--insecure-no-auth"], &variables)
}

fn shop(server: &Server, titles: &[&str]) {
    let item = |(number, title): (usize, &&str)| json!({"id": format!("item-{number}"), "title": title});
    let items: Vec<Value> = titles.iter().enumerate().map(item).collect();
    assert_eq!(server.post("/v1/items", None, &json!(items)).status, 200);
    until(server, titles.len());
}

/// Waits until so many items are encoded.
fn until(server: &Server, items: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let texts = server.get("/v1/status", None).body["texts"].clone();
        if texts["encoded"] == items && texts["queued"] == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{texts}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn names(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect()
}

const TITLES: [&str; 24] = [
    "Stainless steel kitchen knife",
    "Bread knife with a wooden handle",
    "Cast iron frying pan",
    "Non-stick saucepan",
    "Wooden spoon set",
    "Ceramic salad bowl",
    "Running shoes for men",
    "Trail sneakers, waterproof",
    "Women's hiking boots",
    "Leather sandals",
    "Wool winter socks",
    "Rain jacket with hood",
    "Acoustic guitar for beginners",
    "Electric bass strings",
    "Digital piano with 88 keys",
    "Violin bow",
    "Drum sticks, hickory",
    "Microphone stand",
    "Garden hose, 20 metres",
    "Rose fertiliser",
    "Lawn mower, battery powered",
    "Tomato seeds",
    "Pruning shears",
    "Watering can",
];

#[test]
fn an_item_is_recommended_by_its_text_within_two_seconds_of_its_arrival() {
    let Some(models) = models("minilm") else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = serve(&data, &models, "");
    shop(&server, &TITLES);
    let seen = json!([{"type": "purchase", "user": "user-1", "item": "item-12"}, {"type": "purchase", "user": "user-1", "item": "item-14"}]);
    assert_eq!(server.post("/v1/events", None, &seen).status, 202);
    let posted = Instant::now();
    // Not a word in common with anything that is there.
    let new = json!([{"id": "new", "title": "Concert ukulele"}]);
    assert_eq!(server.post("/v1/items", None, &new).status, 200);
    let asked = json!({"user": "user-1", "limit": 3});
    loop {
        let answer = server.post("/v1/recommendations", None, &asked).body;
        let place = names(&answer).iter().position(|name| *name == "new");
        if place.is_some_and(|place| answer["items"][place]["source"] == "text") {
            break;
        }
        assert!(posted.elapsed() < Duration::from_secs(2), "{answer}");
        thread::sleep(Duration::from_millis(10));
    }
    let similar = server.get("/v1/items/new/similar?limit=4", None).body;
    assert!(names(&similar).contains(&"item-12"), "{similar}");
    let found = server.get("/v1/search?q=something+to+cut+bread+with&limit=2&deadline_ms=5000", None).body;
    assert!(found["fallback"].is_null() && names(&found).contains(&"item-1"), "{found}");
    server.stop();
    // The next start finds the vectors that this one left.
    let started = Instant::now();
    let server = serve(&data, &models, "minilm");
    until(&server, TITLES.len() + 1);
    assert!(started.elapsed() < Duration::from_secs(20));
    let similar = server.get("/v1/items/new/similar?limit=4", None).body;
    assert!(names(&similar).contains(&"item-12"), "{similar}");
}

#[test]
fn english_and_chinese_meet() {
    let Some(models) = models("e5-small") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder.path().join("data"), &models, "e5-small");
    let chinese = ["不锈钢菜刀", "男士跑步鞋", "初学者木吉他", "花园浇水软管"];
    shop(&server, &[&TITLES[..], &chinese[..]].concat());
    assert_eq!(server.get("/v1/status", None).body["texts"]["encoder"], "e5-small");
    let first = TITLES.len();
    for (number, twin) in [(first, "item-0"), (first + 1, "item-6"), (first + 2, "item-12"), (first + 3, "item-18")] {
        let similar = server.get(&format!("/v1/items/item-{number}/similar?limit=3"), None).body;
        assert!(names(&similar).contains(&twin), "{number}: {similar}");
    }
    let found = server.get("/v1/search?q=guitar&limit=3&deadline_ms=5000", None).body;
    let chinese_guitar = format!("item-{}", first + 2);
    assert!(names(&found).contains(&"item-12") && names(&found).contains(&chinese_guitar.as_str()), "{found}");
}

#[test]
fn without_or_with_a_damaged_encoder_everything_else_works_and_the_status_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs_err::create_dir_all(models.join("minilm")).unwrap();
    let own = "[[model]]\nname = 'minilm'\nkind = 'encoder'\nabout = 'damaged'\nlicence = 'MIT'\n\
               [[model.file]]\nname = 'tokenizer.json'\nbytes = 3\nsha256 = \
               '0000000000000000000000000000000000000000000000000000000000000000'\nsources = []\n";
    fs_err::write(models.join("catalogue.toml"), own).unwrap();
    for (content, encoder, reason) in
        [("", "", "zhiyin llm pull"), ("{}!", "", "tokenizer.json"), ("{}!", "none", "none"), ("", "bert", "bert")]
    {
        fs_err::write(models.join("minilm/tokenizer.json"), content).unwrap();
        let server = serve(&folder.path().join(format!("data-{}-{encoder}", content.len())), &models, encoder);
        assert_eq!(
            server
                .post(
                    "/v1/items",
                    None,
                    &json!([{"id": "lamp", "title": "red lamp"}, {"id": "other", "title": "blue lamp"}])
                )
                .status,
            200
        );
        let status = server.get("/v1/status", None).body;
        assert!(status["texts"]["reason"].as_str().is_some_and(|why| why.contains(reason)), "{status}");
        let found = server.get("/v1/search?q=red", None).body;
        assert_eq!((names(&found), &found["fallback"]), (vec!["lamp"], &json!("no-encoder")));
        assert_eq!(names(&server.get("/v1/items/lamp/similar", None).body), ["other"]);
        server.stop();
    }
}
