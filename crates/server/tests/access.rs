//! Every route asks for the scope that the document names, and no key gets into an answer.

mod common;

use std::sync::Arc;

use axum::{body::Body, http::Request};
use common::{Api, Reply};
use zhiyin_server::{AuthMode, Scope, ServerConfig};

/// Every operation of the document: method, a path without templates, and the scope if it needs one.
fn operations() -> Vec<(String, String, Option<Scope>)> {
    let document: serde_json::Value = serde_json::from_str(&zhiyin_server::openapi::text()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scope = operation["security"][0]["bearer"][0].as_str();
            let scope = scope.map(|name| Scope::named(name).unwrap());
            operations.push((method.to_uppercase(), path.replace("{id}", "x"), scope));
        }
    }
    operations
}

async fn with_key(api: &Api, method: &str, path: &str, header: Option<(&str, &str)>) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    api.raw(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn routes_need_the_scope_that_the_document_names() {
    let api = Api::open();
    let operations = operations();
    assert!(operations.len() >= 28, "{operations:?}");
    for (method, path, scope) in operations {
        let bare = with_key(&api, &method, &path, None).await;
        let Some(needed) = scope else {
            assert_eq!(bare.status, 200);
            continue;
        };
        bare.assert_problem(401, "authorization");
        assert!(bare.header("www-authenticate").starts_with("Bearer"));
        for other in Scope::ALL {
            let key = format!("zy_{other}");
            let reply = with_key(&api, &method, &path, Some(("x-api-key", &key))).await;
            if other == needed || other == Scope::Admin {
                assert!(![401, 403].contains(&reply.status.as_u16()), "{}", reply.text);
            } else {
                reply.assert_problem(403, "authorization");
                assert!(reply.json()["rule"].as_str().unwrap().contains(&format!("`{needed}`")));
            }
        }
    }
}

#[tokio::test]
async fn keys_are_read_from_both_headers_and_never_told() {
    let api = Api::open();
    for (name, value, status) in [
        ("authorization", "Bearer zy_admin", 200),
        ("authorization", "bearer zy_admin", 200),
        ("x-api-key", "zy_admin", 200),
        ("authorization", "Basic zy_admin", 401),
        ("authorization", "zy_admin", 401),
        ("authorization", "Bearer zy_secret", 401),
        ("x-api-key", "", 401),
    ] {
        let reply = with_key(&api, "GET", "/v1/status", Some((name, value))).await;
        assert_eq!(reply.status.as_u16(), status, "{name}: {value}");
        assert!(!reply.text.contains("secret") && !format!("{:?}", reply.headers).contains("secret"));
    }
    let long = "x".repeat(10_000);
    with_key(&api, "GET", "/v1/status", Some(("x-api-key", &long))).await.assert_problem(401, "authorization");
}

#[tokio::test]
async fn without_authentication_everything_is_open() {
    let api = Api::with(ServerConfig::new(AuthMode::Insecure));
    with_key(&api, "GET", "/v1/status", None).await.assert_status(200);
    // The type of the verifier is an object, so that the binary can bring its own.
    let _: AuthMode = AuthMode::Keys(Arc::new(common::TestKeys));
}
