//! Every route does what it says.

mod common;

use std::sync::Arc;

use axum::{body::Body, http::Request};
use common::{Api, NOW_MS};
use serde_json::{Value, json};
use zhiyin_server::{AuthMode, ServerConfig};

fn statuses(answer: &Value) -> Vec<&str> {
    answer["outcomes"].as_array().unwrap().iter().map(|outcome| outcome["status"].as_str().unwrap()).collect()
}

fn items(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect()
}

/// Forty sessions that view a mug, then a bowl, then sometimes a plate.
async fn shop() -> Api {
    let api = Api::open();
    let catalogue: Vec<Value> = ["mug", "bowl", "plate", "lamp"]
        .iter()
        .map(|id| json!({"id": id, "title": format!("a {id}"), "price": 5.0}))
        .collect();
    api.send("POST", "/v1/items", json!(catalogue).to_string()).await.assert_status(200);
    let mut events = Vec::new();
    for session in 0..40_i64 {
        let path = if session % 4 == 0 { vec!["mug", "bowl", "plate"] } else { vec!["mug", "bowl"] };
        for (step, item) in path.into_iter().enumerate() {
            let time = NOW_MS - 86_400_000 + session * 600_000 + step as i64 * 1_000;
            events.push(json!({"type": "view", "session": format!("session-{session}"), "item": item, "time": time}));
        }
    }
    let answer = api.send("POST", "/v1/events", json!(events).to_string()).await.assert_status(202).json();
    assert_eq!(answer["accepted"], events.len());
    api
}

#[tokio::test]
async fn events_are_taken_as_object_array_and_lines() {
    let api = Api::open();
    let one = json!({"id": "e1", "type": "view", "user": "user-42", "item": "mug"}).to_string();
    let two = json!({"id": "e2", "type": "cart", "user": "user-42", "item": "mug"}).to_string();
    let three = json!({"id": "e3", "type": "view", "user": "user-7", "item": "bowl"}).to_string();
    let pretty = "{\n \"id\": \"e4\",\n \"type\": \"view\",\n \"user\": \"user-7\",\n \"item\": \"mug\"\n}";
    for (body, expected) in [
        (one.clone(), vec!["accepted"]),
        (format!("[{one},{two}]"), vec!["duplicate", "accepted"]),
        (format!("{two}\n\n{three}\r\n"), vec!["duplicate", "accepted"]),
        (pretty.to_owned(), vec!["accepted"]),
        ("[]".to_owned(), vec![]),
    ] {
        let answer = api.send("POST", "/v1/events", body).await.assert_status(202).json();
        assert_eq!(statuses(&answer), expected);
    }
    assert_eq!(api.held().events, 4);
}

#[tokio::test]
async fn ndjson_is_taken_by_its_media_type_too() {
    let api = Api::open();
    let request = Request::builder().method("POST").uri("/v1/events").header("x-api-key", "zy_ingest");
    let body = "{\"type\":\"view\",\"user\":\"user-42\",\"item\":\"mug\"}\nnonsense\n";
    let request = request.header("content-type", "application/x-ndjson; charset=utf-8").body(Body::from(body)).unwrap();
    let answer = api.raw(request).await.assert_status(202).json();
    assert_eq!(statuses(&answer), ["accepted", "rejected"]);
}

#[tokio::test]
async fn one_bad_event_of_a_batch_is_rejected_with_its_field_and_kept_apart() {
    let api = Api::open();
    let batch = json!([
        {"type": "view", "user": "user-42", "item": "mug"},
        {"type": "view", "user": "user-42", "item": "mug", "quantity": "two"},
        {"type": "view", "user": "user-42", "item": "mug", "colour": "red"},
        17,
        ["view", "user-42"],
        {"type": "dance", "user": "user-42", "item": "mug"},
        {"type": "view", "user": "user-42"},
    ]);
    let answer = api.send("POST", "/v1/events", batch.to_string()).await.assert_status(202).json();
    assert_eq!(statuses(&answer), ["accepted", "rejected", "rejected", "rejected", "rejected", "rejected", "rejected"]);
    let of = |at: usize, member: &str| answer["outcomes"][at][member].as_str().unwrap().to_owned();
    assert_eq!(
        (of(1, "rule"), of(2, "rule"), of(5, "rule")),
        ("schema".into(), "schema".into(), "unknown-type".into())
    );
    assert!(of(1, "reason").starts_with("quantity: "), "{}", of(1, "reason"));
    assert!(of(2, "reason").starts_with("colour: "), "{}", of(2, "reason"));
    assert_eq!(api.held().events, 1);

    let page = api.get("/v1/events/rejected?limit=3").await.assert_status(200).json();
    let next = page["next"].as_u64().unwrap();
    let rest = api.get(&format!("/v1/events/rejected?limit=3&before={next}")).await.json();
    let rows: Vec<&Value> = [&page, &rest].into_iter().flat_map(|page| page["rows"].as_array().unwrap()).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows.iter().filter(|row| row["rule"] == "schema").count(), 4);
    assert!(rows.iter().any(|row| row["body"].as_str().unwrap().contains("\"two\"")));

    let cleaning = api.get("/v1/cleaning").await.json();
    assert_eq!(cleaning["accepted"], 1);
    assert_eq!(cleaning["rules"]["schema"], json!({"repaired": 0, "rejected": 4}));
}

#[tokio::test]
async fn a_single_event_of_a_wrong_shape_is_a_problem_and_kept_apart() {
    let api = Api::open();
    let reply = api.send("POST", "/v1/events", r#"{"type":"view","user":5}"#).await;
    reply.assert_problem(400, "user");
    assert_eq!(statuses(&reply.json()), ["rejected"]);
    assert_eq!(api.held().events, 0);
    assert_eq!(api.get("/v1/events/rejected").await.json()["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_next_recommendation_knows_every_acknowledged_event() {
    let api = shop().await;
    let unknown = api.get("/v1/sessions/session-new/recommendations?explain=trace").await.assert_status(200).json();
    assert!(unknown["fallback"].is_string(), "{unknown}");
    let event = json!({"type": "view", "session": "session-new", "item": "mug"}).to_string();
    api.send("POST", "/v1/events", event).await.assert_status(202);
    let answer = api.get("/v1/sessions/session-new/recommendations?explain=trace&limit=1").await.json();
    assert_eq!(answer["trace"]["hydrate"]["history"], json!(["mug"]));
    assert_eq!(items(&answer), ["bowl"], "{answer}");
}

#[tokio::test]
async fn lists_can_be_asked_for_in_every_way() {
    let api = shop().await;
    let body = json!({"session": "session-1", "limit": 2, "exclude": ["mug"], "explain": "none"}).to_string();
    let posted = api.send("POST", "/v1/recommendations", body).await.assert_status(200).json();
    let got = api.get("/v1/sessions/session-1/recommendations?limit=2&exclude=mug&explain=none").await.json();
    assert_eq!(items(&posted), items(&got));
    assert_ne!(posted["decision_id"], got["decision_id"]);
    assert_eq!(items(&got).len(), 2);
    let user = api.get("/v1/users/user-42/recommendations?item=mug&sources=cooccurrence&limit=1").await.json();
    assert_eq!(items(&user), ["bowl"]);
    let similar = api.get("/v1/items/mug/similar?limit=1").await.json();
    assert_eq!(items(&similar), ["bowl"]);
    let popular = api.get("/v1/popular?limit=4&filter=price+%3E+1&segment=Germany").await.assert_status(200).json();
    assert!(!items(&popular).is_empty());
}

#[tokio::test]
async fn pages_never_repeat() {
    let api = shop().await;
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..3 {
        let page = token.as_ref().map(|token| format!("&page={token}")).unwrap_or_default();
        let answer =
            api.get(&format!("/v1/sessions/session-0/recommendations?limit=1&include_seen=true{page}")).await.json();
        seen.extend(items(&answer).into_iter().map(str::to_owned));
        token = answer["next_page"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((unique.len(), seen.len()), (3, 3), "{seen:?}");
}

#[tokio::test]
async fn items_are_created_replaced_amended_hidden_and_deleted() {
    let api = Api::open();
    let mug = json!({"title": "a mug", "price": 3.5, "tags": ["red"]});
    let created = api.send("PUT", "/v1/items/a%2Fb", mug.to_string()).await.assert_status(201).json();
    assert_eq!(created["id"], "a/b");
    api.send("PUT", "/v1/items/a%2Fb", mug.to_string()).await.assert_status(200);
    let patched =
        api.send("PATCH", "/v1/items/a%2Fb", r#"{"available":false,"tags":null}"#).await.assert_status(200).json();
    assert_eq!(patched, json!({"id": "a/b", "title": "a mug", "price": 3.5, "available": false}));
    assert_eq!(api.get("/v1/items/a%2Fb").await.json(), patched);
    assert_eq!(api.send("DELETE", "/v1/items/a%2Fb", "").await.assert_status(204).text, "");
    api.get("/v1/items/a%2Fb").await.assert_problem(404, "item");
}

#[tokio::test]
async fn a_hidden_item_is_gone_from_the_next_list() {
    let api = shop().await;
    let path = "/v1/items/mug/similar?limit=3";
    assert!(items(&api.get(path).await.json()).contains(&"bowl"));
    api.send("PATCH", "/v1/items/bowl", r#"{"available":false}"#).await.assert_status(200);
    assert!(!items(&api.get(path).await.json()).contains(&"bowl"));
    api.send("PATCH", "/v1/items/bowl", r#"{"available":true}"#).await.assert_status(200);
    assert!(items(&api.get(path).await.json()).contains(&"bowl"));
}

#[tokio::test]
async fn listings_go_through_all_rows_once() {
    let api = Api::open();
    for kind in ["items", "users"] {
        let rows: Vec<Value> = (0..25).map(|n| json!({"id": format!("{kind}-{n:02}")})).collect();
        let stored = api.send("POST", &format!("/v1/{kind}"), json!(rows).to_string()).await.assert_status(200).json();
        assert_eq!(stored["stored"], 25);
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/v1/{kind}?limit=10{after}")).await.assert_status(200).json();
            ids.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let expected: Vec<String> = (0..25).map(|n| format!("{kind}-{n:02}")).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn patches_at_the_same_time_lose_nothing() {
    let api = Arc::new(Api::open());
    api.send("PUT", "/v1/items/mug", "{}").await.assert_status(201);
    let patches = (0..16).map(|n| {
        let api = api.clone();
        tokio::spawn(async move {
            let patch = json!({"attributes": {format!("field-{n}"): n}}).to_string();
            api.send("PATCH", "/v1/items/mug", patch).await.assert_status(200);
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap();
    }
    assert_eq!(api.engine.item("mug").unwrap().attributes.len(), 16);
}

#[tokio::test]
async fn users_are_kept_and_erased_with_a_receipt() {
    let api = Api::open();
    let user = json!({"attributes": {"country": "Germany"}, "friends": ["user-7"]});
    api.send("PUT", "/v1/users/user-42", user.to_string()).await.assert_status(201);
    api.send("PATCH", "/v1/users/user-42", r#"{"attributes":{"country":"France"}}"#).await.assert_status(200);
    assert_eq!(api.get("/v1/users/user-42").await.json()["attributes"]["country"], "France");
    let event = json!({"type": "view", "user": "user-42", "session": "session-1", "item": "mug"});
    api.send("POST", "/v1/events", event.to_string()).await.assert_status(202);
    let erased = api.send("DELETE", "/v1/users/user-42", "").await.assert_status(200).json();
    assert_eq!((&erased["events"], &erased["actors"]), (&json!(1), &json!(2)), "{erased}");
    api.get("/v1/users/user-42").await.assert_problem(404, "user");
    api.send("DELETE", "/v1/users/user-42", "").await.assert_problem(404, "user");
}

#[tokio::test]
async fn metrics_count_what_a_decision_led_to() {
    let api = shop().await;
    let answer = api.get("/v1/sessions/session-1/recommendations?limit=2&include_seen=true").await.json();
    let (decision, first) = (answer["decision_id"].clone(), items(&answer)[0].to_owned());
    let path = format!("/v1/metrics?from={}&to={}", NOW_MS - 3_600_000, NOW_MS + 3_600_000);
    let shown = |metrics: &Value| {
        let rows = metrics["rows"].as_array().unwrap().iter().filter(|row| row["dimension"] == "model");
        rows.map(|row| row["impressions"].as_u64().unwrap()).sum::<u64>()
    };
    let mut metrics = Value::Null;
    for _ in 0..100 {
        metrics = api.get(&path).await.assert_status(200).json();
        if shown(&metrics) == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(shown(&metrics), 2, "{metrics}");
    let bought = json!([
        {"type": "click", "session": "session-1", "item": first, "decision": decision},
        {"type": "purchase", "session": "session-1", "item": first, "decision": decision, "quantity": 2, "price": 4.5},
    ]);
    api.send("POST", "/v1/events", bought.to_string()).await.assert_status(202);
    let metrics = api.get(&path).await.json();
    let row = metrics["rows"].as_array().unwrap().iter().find(|row| row["dimension"] == "model").unwrap();
    assert_eq!((&row["clicks"], &row["purchases"], &row["revenue"]), (&json!(1), &json!(1), &json!(9.0)));
    assert_eq!((&row["ctr"], &row["cvr"]), (&json!(0.5), &json!(0.5)));
    let default = api.get("/v1/metrics").await.json();
    assert_eq!(default["rows"], metrics["rows"]);
    assert_eq!(default["to_ms"], NOW_MS + 1);
}

#[tokio::test]
async fn health_status_and_prometheus_tell_the_truth() {
    let api = shop().await;
    assert_eq!(api.get("/healthz").await.assert_status(200).json()["status"], "ok");
    assert_eq!(api.get("/readyz").await.assert_status(200).json()["status"], "ready");
    let status = api.get("/v1/status").await.assert_status(200).json();
    assert_eq!((&status["events"], &status["items"], &status["sessions"]), (&json!(90), &json!(4), &json!(40)));
    api.get("/v1/items/none").await.assert_status(404);
    api.get("/nowhere").await.assert_status(404);
    let reply = api.get("/metrics").await;
    assert!(reply.assert_status(200).header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        r#"zhiyin_http_requests_total{route="/v1/events",method="POST",status="2xx"} 1"#,
        r#"zhiyin_http_requests_total{route="/v1/items/{id}",method="GET",status="4xx"} 1"#,
        r#"zhiyin_http_requests_total{route="unknown",method="GET",status="4xx"} 1"#,
        r#"zhiyin_ingest_events_total{status="accepted"} 90"#,
        r#"zhiyin_rows{kind="events"} 90"#,
        r#"zhiyin_model_info{version="none"} 1"#,
        "zhiyin_ready 1",
    ] {
        assert!(reply.text.lines().any(|found| found == line), "{line} is not in\n{}", reply.text);
    }
    let engine = api.engine.clone();
    tokio::task::spawn_blocking(move || engine.shutdown()).await.unwrap().unwrap();
    api.get("/readyz").await.assert_problem(503, "server");
    let event = json!({"type": "view", "user": "user-42", "item": "mug"}).to_string();
    api.send("POST", "/v1/events", event).await.assert_problem(503, "server");
}

#[tokio::test]
async fn metrics_can_be_opened_for_scrapers() {
    let config = ServerConfig { metrics_open: true, ..ServerConfig::new(AuthMode::Keys(Arc::new(common::TestKeys))) };
    let api = Api::with(config);
    api.raw(Request::get("/metrics").body(Body::empty()).unwrap()).await.assert_status(200);
    api.raw(Request::get("/v1/status").body(Body::empty()).unwrap()).await.assert_status(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_when_to_come_again() {
    let api = Arc::new(Api::open());
    let batch: Vec<Value> =
        (0..10_000).map(|n| json!({"type": "view", "user": format!("user-{n}"), "item": "mug"})).collect();
    let batch = Arc::new(json!(batch).to_string());
    api.storage.block(true);
    let senders: Vec<_> = (0..6)
        .map(|_| {
            let (api, batch) = (api.clone(), batch.clone());
            tokio::spawn(async move { api.send("POST", "/v1/events", batch.to_string()).await })
        })
        .collect();
    api.until("60,000 events in the queue", |engine| engine.status().queued_events >= 60_000).await;
    let reply = api.send("POST", "/v1/events", batch.to_string()).await;
    reply.assert_problem(429, "queue");
    assert!(reply.header("retry-after").parse::<u32>().unwrap() >= 1);
    api.storage.block(false);
    for sender in senders {
        sender.await.unwrap().assert_status(202);
    }
    assert_eq!(api.held().events, 60_000);
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_taken() {
    let api = Api::open();
    api.storage.fill(true);
    let event = json!({"id": "e1", "type": "view", "user": "user-42", "item": "mug"}).to_string();
    let reply = api.send("POST", "/v1/events", event.clone()).await;
    reply.assert_problem(507, "storage");
    assert!(!reply.text.contains("zhiyin.db"), "paths of the server stay inside");
    assert_eq!(api.held().events, 0);
    api.storage.fill(false);
    let answer = api.send("POST", "/v1/events", event).await.assert_status(202).json();
    assert_eq!(statuses(&answer), ["accepted"], "what failed can be sent again");
}

#[tokio::test]
async fn reviews_are_counted_for_the_item_and_the_user() {
    let api = Api::open();
    let reviews = json!([
        {"id": "r1", "type": "review", "user": "user-42", "item": "mug", "text": "It broke. I wish it had a lid."},
        {"id": "r2", "type": "review", "user": "user-7", "item": "mug", "value": 5, "text": "Love it!"},
    ]);
    api.send("POST", "/v1/events", reviews.to_string()).await.assert_status(202);
    let report = api.get("/v1/items/mug/feedback").await.assert_status(200).json();
    assert_eq!((&report["reviews"], &report["positive"], &report["negative"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(
        report["complaints"],
        json!([{"name": "broke", "count": 1, "reviews": [{"event": "r1", "sentiment": "negative"}]}])
    );
    assert_eq!(report["basis"], json!({"lexicon": 1, "stars": 1}));
    let own = api.get("/v1/users/user-42/feedback").await.assert_status(200).json();
    assert_eq!((&own["id"], &own["reviews"], &own["needs"][0]["name"]), (&json!("user-42"), &json!(1), &json!("wish")));
    api.get("/v1/items/bowl/feedback").await.assert_status(404);
    api.get("/v1/users/user-9/feedback").await.assert_status(404);
}
