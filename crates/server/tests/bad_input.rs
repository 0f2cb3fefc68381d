//! Bad input gets a problem that names the field, and changes nothing.

mod common;

use axum::{body::Body, http::Request};
use common::Api;
use zhiyin_core::limits;

/// Method, path, body, expected status, expected field.
type Case = (&'static str, &'static str, String, u16, &'static str);

fn case(method: &'static str, path: &'static str, body: impl Into<String>, status: u16, field: &'static str) -> Case {
    (method, path, body.into(), status, field)
}

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

fn shapes() -> Vec<Case> {
    const EVENTS: &str = "/v1/events";
    const LIST: &str = "/v1/recommendations";
    let long = "x".repeat(limits::BODY_BYTES_MAX + 1);
    vec![
        // Not JSON at all.
        case("POST", EVENTS, "", 400, "body"),
        case("POST", EVENTS, "hello", 400, "body"),
        case("POST", EVENTS, "5", 400, "body"),
        case("POST", EVENTS, r#""text""#, 400, "body"),
        case("POST", EVENTS, "null", 400, "body"),
        case("POST", EVENTS, r#"{"type":"view""#, 400, "body"),
        case("POST", EVENTS, r#"[{"type":"view"}"#, 400, "body"),
        case("POST", EVENTS, r#"[{"type":"view"},]"#, 400, "body"),
        case("POST", EVENTS, r#"{"type":"view","value":NaN}"#, 400, "value"),
        case("POST", EVENTS, r#"{"type":"view","value":1e999}"#, 400, "value"),
        case("POST", LIST, "", 400, "body"),
        case("POST", LIST, "{", 400, "body"),
        case("POST", LIST, "{}{}", 400, "body"),
        case("POST", LIST, r#"{"diversity":NaN}"#, 400, "diversity"),
        case("POST", LIST, r#"{"diversity":Infinity}"#, 400, "diversity"),
        case("POST", "/v1/items", r#"[{"id":"a"},"#, 400, "body"),
        case("PUT", "/v1/items/a", "[]", 400, "body"),
        case("PATCH", "/v1/items/mug", "7", 400, "body"),
        // Wrong types, unknown and missing fields.
        case("POST", EVENTS, r#"{"type":"view","user":5}"#, 400, "user"),
        case("POST", EVENTS, r#"{"type":"view","colour":"red"}"#, 400, "colour"),
        case("POST", EVENTS, r#"{"user":"user-42"}"#, 400, "type"),
        case("POST", EVENTS, r#"{"type":"view","attributes":[]}"#, 400, "attributes"),
        case("POST", LIST, "[]", 400, "body"),
        case("POST", "/v1/items", r#"[{"id":"a"},["b"]]"#, 400, "[1]"),
        case("POST", LIST, r#"{"users":"user-42"}"#, 400, "users"),
        case("POST", LIST, r#"{"limit":-1}"#, 400, "limit"),
        case("POST", LIST, r#"{"limit":1.5}"#, 400, "limit"),
        case("POST", LIST, r#"{"limit":"ten"}"#, 400, "limit"),
        case("POST", LIST, r#"{"explain":"all"}"#, 400, "explain"),
        case("POST", LIST, r#"{"exclude":["a",5]}"#, 400, "exclude[1]"),
        case("POST", LIST, r#"{"user":"user-42","user":"user-7"}"#, 400, "user"),
        case("PUT", "/v1/items/a", r#"{"price":"cheap"}"#, 400, "price"),
        case("PUT", "/v1/items/a", r#"{"colour":"red"}"#, 400, "colour"),
        case("PUT", "/v1/items/a", r#"{"id":"b"}"#, 400, "id"),
        case("PUT", "/v1/items/a", r#"{"id":7}"#, 400, "id"),
        case("POST", "/v1/items", r#"{"id":"a"}"#, 400, "body"),
        case("POST", "/v1/items", r#"[{"id":"a"},{"id":"b","price":[]}]"#, 400, "[1].price"),
        case("POST", "/v1/items", r#"[{"id":"a"},{"title":"b"}]"#, 400, "[1].id"),
        case("POST", "/v1/users", r#"[{"id":"a","friends":"b"}]"#, 400, "[0].friends"),
        case("PATCH", "/v1/items/mug", r#"{"price":"cheap"}"#, 400, "price"),
        case("PATCH", "/v1/items/mug", r#"{"colour":"red"}"#, 400, "colour"),
        case("PATCH", "/v1/items/mug", r#"{"id":"cup"}"#, 400, "id"),
        // Nesting and size.
        case("POST", EVENTS, format!(r#"{{"type":"view","attributes":{{"a":{}}}}}"#, nested(99)), 400, "body"),
        case("POST", LIST, nested(100_000), 400, "body"),
        case("POST", LIST, format!(r#"{{"user":"{long}"}}"#), 413, "body"),
        case("POST", EVENTS, format!(r#"{{"type":"{long}"}}"#), 413, "body"),
        case("PUT", "/v1/items/a", format!(r#"{{"title":"{long}"}}"#), 413, "body"),
        case("POST", EVENTS, format!("[{}1]", "1,".repeat(limits::BATCH_MAX)), 413, "body"),
        case("POST", EVENTS, "{\"type\":\"view\"}\n".repeat(limits::BATCH_MAX + 1), 413, "body"),
        case(
            "POST",
            "/v1/items",
            format!("[{}{{\"id\":\"a\"}}]", "{\"id\":\"a\"},".repeat(limits::BATCH_MAX)),
            413,
            "body",
        ),
    ]
}

fn values() -> Vec<Case> {
    const LIST: &str = "/v1/recommendations";
    let long_title = "x".repeat(limits::TEXT_BYTES_MAX + 1);
    let long_id = "x".repeat(limits::ID_BYTES_MAX + 1);
    vec![
        case("POST", LIST, r#"{"limit":0}"#, 400, "limit"),
        case("POST", LIST, r#"{"limit":201}"#, 400, "limit"),
        case("POST", LIST, r#"{"diversity":1.5}"#, 400, "diversity"),
        case("POST", LIST, r#"{"diversity":1e39}"#, 400, "diversity"),
        case("POST", LIST, r#"{"filter":"price <"}"#, 400, "filter"),
        case("POST", LIST, r#"{"filter":"colour = 1"}"#, 400, "filter"),
        case("POST", LIST, r#"{"page":"not a token"}"#, 400, "page"),
        case("POST", LIST, r#"{"sources":["oracle"]}"#, 400, "sources"),
        case("PUT", "/v1/items/a", r#"{"price":-1}"#, 400, "items[a].price"),
        case("PUT", "/v1/items/a", r#"{"vector":[1e39]}"#, 400, "items[a].vector"),
        case("PUT", "/v1/items/a", format!(r#"{{"title":"{long_title}"}}"#), 400, "items[a].title"),
        case("POST", "/v1/items", r#"[{"id":"a"},{"id":""}]"#, 400, "[1].id"),
        case("POST", "/v1/items", format!(r#"[{{"id":"{long_id}"}}]"#), 400, "[0].id"),
        case("PUT", "/v1/users/a%00b", "{}", 400, "id"),
        case("GET", "/v1/sessions/s/recommendations?limit=-1", "", 400, "limit"),
        case("GET", "/v1/sessions/s/recommendations?limit=0", "", 400, "limit"),
        case("GET", "/v1/sessions/s/recommendations?limit=99999999999999999999", "", 400, "limit"),
        case("GET", "/v1/sessions/s/recommendations?limit=5&limit=6", "", 400, "limit"),
        case("GET", "/v1/sessions/s/recommendations?segment=x", "", 400, "segment"),
        case("GET", "/v1/users/u/recommendations?diversity=NaN", "", 400, "diversity"),
        case("GET", "/v1/users/u/recommendations?explore=maybe", "", 400, "explore"),
        case("GET", "/v1/users/u/recommendations?explain=all", "", 400, "explain"),
        case("GET", "/v1/users/u/recommendations?filter=%FF", "", 400, "filter"),
        case("GET", "/v1/users/%FF/recommendations", "", 400, "path"),
        case("GET", "/v1/popular?colour=red", "", 400, "colour"),
        case("GET", "/v1/items/mug/similar?item=cup", "", 400, "item"),
        case("GET", "/v1/items?limit=0", "", 400, "limit"),
        case("GET", "/v1/items?limit=1001", "", 400, "limit"),
        case("GET", "/v1/items?after=x", "", 400, "after"),
        case("GET", "/v1/users?before=x", "", 400, "before"),
        case("GET", "/v1/events/rejected?before=x", "", 400, "before"),
        case("GET", "/v1/events/rejected?limit=-5", "", 400, "limit"),
        case("GET", "/v1/metrics?from=yesterday", "", 400, "from"),
        // Routes without parameters refuse all.
        case("GET", "/v1/status?verbose=true", "", 400, "verbose"),
        case("GET", "/v1/language?colour=red", "", 400, "colour"),
        case("GET", "/v1/items/mug?fields=title", "", 400, "fields"),
        case("POST", "/v1/recommendations?limit=5", "{}", 400, "limit"),
        case("POST", "/v1/items?limit=5", "[]", 400, "limit"),
        case("DELETE", "/v1/items/mug?dry=true", "", 400, "dry"),
        // A name that is too long is no unknown one.
        case("POST", LIST, format!(r#"{{"user":"{long_id}"}}"#), 400, "user"),
        case("POST", LIST, format!(r#"{{"session":"{long_id}"}}"#), 400, "session"),
        case("POST", LIST, format!(r#"{{"item":"{long_id}"}}"#), 400, "item"),
        case("POST", "/v1/explanations", format!(r#"{{"user":"{long_id}","items":["mug"]}}"#), 400, "user"),
        case("POST", "/v1/generate", format!(r#"{{"kind":"blurb","user":"{long_id}","items":["mug"]}}"#), 400, "user"),
        case("GET", "/v1/metrics?from=2&to=1", "", 400, "from"),
        case("POST", "/v1/train", "", 400, "train"),
        // What isn't there.
        case("GET", "/v1/items/cup", "", 404, "item"),
        case("DELETE", "/v1/items/cup", "", 404, "item"),
        case("PATCH", "/v1/items/cup", "{}", 404, "item"),
        case("GET", "/v1/users/user-7", "", 404, "user"),
        case("DELETE", "/v1/users/user-7", "", 404, "user"),
        case("PATCH", "/v1/users/user-7", "{}", 404, "user"),
        case("GET", "/v1/items/cup/similar", "", 404, "item"),
        case("GET", "/v2/items", "", 404, "path"),
        case("GET", "/", "", 404, "path"),
        case("DELETE", "/v1/events", "", 405, "method"),
        case("GET", "/v1/recommendations", "", 405, "method"),
        case("BREW", "/v1/items", "", 405, "method"),
        case("POST", "/healthz", "", 405, "method"),
    ]
}

async fn check(cases: Vec<Case>) {
    let api = Api::open();
    api.send("PUT", "/v1/items/mug", r#"{"title":"a mug","price":3}"#).await.assert_status(201);
    let (before, mug) = (api.held(), api.engine.item("mug"));
    for (method, path, body, status, field) in cases {
        let shown: String = body.chars().take(60).collect();
        let mut reply = api.send(method, path, body).await;
        reply.request = format!("{} {shown}", reply.request);
        reply.assert_problem(status, field);
        assert_eq!((api.held(), api.engine.item("mug")), (before.clone(), mug.clone()), "something changed");
    }
}

#[tokio::test]
async fn wrong_shapes_are_refused_and_change_nothing() {
    check(shapes()).await;
}

#[tokio::test]
async fn wrong_values_are_refused_and_change_nothing() {
    check(values()).await;
}

#[tokio::test]
async fn a_problem_repeats_no_megabytes_of_what_was_sent() {
    let api = Api::open();
    let long = "灯".repeat(1_000_000);
    for (path, body) in [
        ("/v1/recommendations", format!(r#"{{"item":"{long}"}}"#)),
        ("/v1/recommendations", format!(r#"{{"{long}":1}}"#)),
        ("/v1/recommendations", format!(r#"{{"explain":"{long}"}}"#)),
        ("/v1/recommendations", format!(r#"{{"sources":["{long}"]}}"#)),
        ("/v1/explanations", format!(r#"{{"items":["{long}"]}}"#)),
        ("/v1/generate", format!(r#"{{"kind":"blurb","items":["{long}"]}}"#)),
    ] {
        let reply = api.send("POST", path, body).await;
        assert!(reply.json()["rule"].as_str().unwrap().chars().count() <= limits::PROBLEM_CHARS_MAX);
        assert!(reply.text.len() < 10_000, "{path} answers with {} bytes", reply.text.len());
    }
    let variants = api.send("POST", "/v1/recommendations", format!(r#"{{"explain":"{long}"}}"#)).await;
    assert!(variants.text.contains("`none`, `reasons`"), "the end, what is allowed, stays: {}", variants.text);
}

#[tokio::test]
async fn rules_speak_of_json_and_remedies_fit() {
    let api = Api::open();
    for (path, body, rule, remedy) in [
        ("/v1/recommendations", r#"{"limit":-1}"#, "a whole number, 0 or greater", "/docs"),
        ("/v1/recommendations", r#"{"diversity":"much"}"#, "expected a number", "/docs"),
        ("/v1/recommendations", r#"{"exclude":"mug"}"#, "expected an array", "/docs"),
        ("/v1/recommendations", r#"{"limit":0}"#, "from 1 to 200", "in that range"),
        ("/v1/explanations", r#"{"items":[]}"#, "must have 1 to 50", "name what it is about"),
        ("/v1/generate", r#"{"kind":"blurb","items":["mug"],"variants":0}"#, "is 0, must be 1 to 8", "in that range"),
    ] {
        let problem = api.send("POST", path, body).await.json();
        assert!(problem["rule"].as_str().unwrap().contains(rule), "{problem}");
        assert!(problem["remedy"].as_str().unwrap().contains(remedy), "{problem}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let api = Api::open();
    let before = api.held();
    for body in [&b"{\"type\":\"view\",\"user\":\"\xff\"}"[..], b"[{\"type\":\"view\",\"user\":\"\xff\"}]", b"\xff"] {
        api.send("POST", "/v1/events", body).await.assert_problem(400, "body");
    }
    api.send("POST", "/v1/recommendations", &b"{\"user\":\"\xc3\x28\"}"[..]).await.assert_problem(400, "body");
    assert_eq!(api.held(), before);
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let api = Api::open();
    let routes = [
        ("POST", "/v1/events", "text/xml"),
        ("POST", "/v1/events", "application/merge-patch+json"),
        ("POST", "/v1/recommendations", "application/x-www-form-urlencoded"),
        ("POST", "/v1/recommendations", "application/x-ndjson"),
        ("PATCH", "/v1/items/mug", "application/x-ndjson"),
        ("PUT", "/v1/items/mug", "application/merge-patch+json"),
    ];
    for (method, path, media) in routes {
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.header("x-api-key", "zy_all").body(Body::from("{}")).unwrap();
        api.raw(request).await.assert_problem(415, "content-type");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let api = Api::open();
    let reply = api.send("POST", "/v1/status", "").await;
    reply.assert_problem(405, "method");
    assert!(reply.header("allow").contains("GET"), "{:?}", reply.headers);
}

#[tokio::test]
async fn a_path_with_a_name_that_is_too_long_is_refused() {
    let (api, long) = (Api::open(), "x".repeat(limits::ID_BYTES_MAX + 1));
    for path in ["users/NAME/recommendations", "users/NAME", "items/NAME/similar", "sessions/NAME/recommendations"] {
        api.get(&format!("/v1/{}", path.replace("NAME", &long))).await.assert_problem(400, "id");
    }
}
