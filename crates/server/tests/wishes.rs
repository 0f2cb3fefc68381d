//! Wishes that name a time or an item.

mod common;

use common::Api;
use serde_json::{Value, json};

/// Milliseconds of days in 2026 before the tests' now.
const APRIL: i64 = 1_775_500_000_000;
const OCTOBER: i64 = 1_791_500_000_000;

/// user-42 bought a lantern in spring and a kettle last month. Lanterns go with candles, kettles with tea pots.
async fn shop() -> Api {
    let api = Api::open();
    let items = json!([
        {"id": "lantern", "title": "Garden Lantern", "price": 8.0}, {"id": "candle", "title": "Red Candle", "price": 4.0},
        {"id": "kettle", "title": "Blue Kettle", "price": 20.0}, {"id": "pot", "title": "Tea Pot", "price": 12.5},
        {"id": "tray", "title": "Steel Kettle Tray", "price": 25.0}
    ]);
    api.send("POST", "/v1/items", items.to_string()).await.assert_status(200);
    let buy = |user: &str, item: &str, at: i64| json!({"type": "purchase", "user": user, "item": item, "time": at});
    let mut events = vec![buy("user-42", "lantern", APRIL), buy("user-42", "kettle", OCTOBER)];
    for user in 0..20 {
        let (user, pair) =
            (format!("user-{user}"), if user % 2 == 0 { ["lantern", "candle"] } else { ["kettle", "pot"] });
        events.extend(pair.map(|item| buy(&user, item, APRIL)));
        events.push(buy(&format!("{user}-b"), "tray", APRIL));
    }
    api.send("POST", "/v1/events", Value::from(events).to_string()).await.assert_status(202);
    api
}

async fn wish(api: &Api, body: Value) -> Value {
    let reply = api.send("POST", "/v1/search/recommendations", body.to_string()).await;
    reply.assert_status(200);
    reply.json()
}

fn first(answer: &Value) -> &str {
    answer["recommendations"]["items"][0]["item"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_at_a_time_orders_the_list_and_can_be_corrected() {
    let api = shop().await;
    let spring = wish(&api, json!({"query": "something like what I bought in spring", "user": "user-42"})).await;
    let part = json!({"event": "purchase", "from": "2026-03-01", "to": "2026-06-01"});
    assert_eq!((&spring["intent"]["like_own"], &spring["own_interactions"]), (&part, &json!(1)), "{spring}");
    assert_eq!(first(&spring), "candle", "{spring}");
    let chinese = wish(&api, json!({"query": "像我春天买的", "user": "user-42"})).await;
    assert_eq!((&chinese["intent"]["like_own"], first(&chinese)), (&part, "candle"), "{chinese}");
    let month = wish(&api, json!({"query": "like the things I bought last month", "user": "user-42"})).await;
    assert_eq!((&month["own_interactions"], first(&month)), (&json!(1), "pot"), "{month}");
    let mut corrected = spring["intent"].clone();
    (corrected["like_own"]["from"], corrected["like_own"]["to"]) = (json!("2026-10-01"), json!("2026-11-01"));
    let corrected = wish(&api, json!({"intent": corrected, "user": "user-42"})).await;
    assert_eq!((corrected["read_by"].as_str(), first(&corrected)), (Some("request"), "pot"), "{corrected}");
    let never = wish(&api, json!({"query": "like what I bought in 2009", "user": "user-42"})).await;
    assert_eq!(never["own_interactions"], 0, "{never}");
    assert!(!first(&never).is_empty(), "the whole history counts then");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_named_orders_the_list() {
    let api = shop().await;
    let cheaper = wish(&api, json!({"query": "something like the blue kettle but cheaper"})).await;
    assert_eq!(cheaper["like"], json!({"item": "kettle", "title": "Blue Kettle"}), "{cheaper}");
    assert_eq!((cheaper["filter"].as_str(), first(&cheaper)), (Some("price < 20"), "pot"), "{cheaper}");
    assert_eq!((&cheaper["intent"]["like"], &cheaper["intent"]["cheaper"]), (&json!("blue kettle"), &json!(true)));
    let by_name = wish(&api, json!({"intent": {"like": "lantern"}})).await;
    assert_eq!(first(&by_name), "candle", "{by_name}");
    let unknown = wish(&api, json!({"query": "anything similar to xylophones"})).await;
    assert_eq!(unknown["left_out"], json!(["xylophones"]), "{unknown}");
}
