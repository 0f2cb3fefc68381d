//! The document is the one that is checked in, it is consistent, and every route is documented.

use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(&zhiyin_server::openapi::text()).unwrap()
}

/// Calls `visit` for every object of the document.
fn each_object<'d>(value: &'d Value, visit: &mut dyn FnMut(&'d serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|field| each_object(field, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| each_object(value, visit)),
        _ => {}
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let generated = zhiyin_server::openapi::text();
    if std::env::var_os("ZHIYIN_UPDATE_OPENAPI").is_some() {
        fs_err::write(path, &generated).unwrap();
    }
    let checked_in = fs_err::read_to_string(path).unwrap();
    let same = checked_in == generated;
    assert!(same, "docs/openapi.json is old: run this test with ZHIYIN_UPDATE_OPENAPI=1 and look at the difference");
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut references = 0;
    each_object(&document, &mut |fields| {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            references += 1;
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some(), "{reference} leads nowhere");
        }
    });
    assert!(references > 100);
}

#[test]
fn every_operation_is_documented_with_answers_errors_and_examples() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}: its id is taken");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        assert!(operation["tags"][0].is_string(), "{name} has no tag");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{name}: {} is not described", parameter["name"]);
        }
        for (media, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            assert!(!body["example"].is_null(), "{name}: no example of {media}");
        }
        check_answers(&document, &name, operation);
    }
}

fn check_answers(document: &Value, name: &str, operation: &Value) {
    let answers = operation["responses"].as_object().unwrap();
    let expected: &[&str] = if operation["security"].is_array() { &["401", "403", "500"] } else { &["500"] };
    for status in expected {
        assert!(answers.contains_key(*status), "{name} has no answer {status}");
    }
    for (status, answer) in answers {
        let reference = answer["$ref"].as_str().map(|reference| document.pointer(&reference[1..]).unwrap());
        let answer = reference.unwrap_or(answer);
        let content = answer["content"].as_object();
        if status == "204" {
            continue;
        }
        let (media, body) =
            content.and_then(|content| content.iter().next()).unwrap_or_else(|| panic!("{name} {status}"));
        assert_eq!(media == "application/problem+json", status.as_str() >= "400", "{name} {status}: {media}");
        let referenced = body["schema"]["$ref"].as_str();
        assert!(!body["example"].is_null() || referenced.is_some(), "{name} {status} has no example");
    }
}

#[test]
fn the_types_in_the_document_are_the_types_in_the_code() {
    let document = document();
    let item = serde_json::json!({
        "id": "mug", "title": "a", "description": "b", "categories": ["c"], "tags": ["d"], "price": 1.0, "available": true,
        "published_ms": 1, "expires_ms": 2, "attributes": {"e": 1}, "vector": [1.0]
    });
    let parsed: zhiyin_core::Item = serde_json::from_value(item.clone()).unwrap();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let schema = &document["components"]["schemas"]["Item"];
    assert_eq!(fields(&schema["properties"]), fields(&serde_json::to_value(parsed).unwrap()));
    assert_eq!(schema["required"], serde_json::json!(["id"]));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = include_str!("../src/docs.html");
    for foreign in ["http://", "https://", "src=", "@import", "innerHTML"] {
        assert!(!page.contains(foreign), "{foreign} is in the page");
    }
}
