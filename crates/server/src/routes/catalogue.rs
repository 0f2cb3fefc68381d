//! What items and users have in common: reading, creating, replacing, amending and listing by name.

use std::{future::Future, sync::Arc};

use axum::{http::StatusCode, response::Response};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use zhiyin_core::{Item, User, limits};
use zhiyin_engine::{Engine, EngineError};

use crate::{
    answer::{Answer, json},
    body::{Media, Object, RawBody, check_batch, from_value, parse},
    fault::Fault,
    params,
    router::App,
};

/// Rows of a page when the request doesn't say.
const PAGE_ROWS_DEFAULT: usize = 100;

/// A row of the catalogue or of the users.
pub(crate) trait Entry: Serialize + DeserializeOwned + Send {
    /// What it is called in messages.
    const NAME: &'static str;
    fn find(engine: &Engine, id: &str) -> Option<Arc<Self>>;
    fn put(engine: &Engine, entries: Vec<Self>) -> impl Future<Output = Result<(), EngineError>> + Send;
    fn page(
        engine: &Engine,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Arc<Self>>, Option<String>), EngineError>;
}

impl Entry for Item {
    const NAME: &'static str = "item";

    fn find(engine: &Engine, id: &str) -> Option<Arc<Self>> {
        engine.item(id)
    }

    fn put(engine: &Engine, entries: Vec<Self>) -> impl Future<Output = Result<(), EngineError>> + Send {
        engine.put_items(entries)
    }

    fn page(
        engine: &Engine,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Arc<Self>>, Option<String>), EngineError> {
        engine.items(after, limit).map(|page| (page.rows, page.next))
    }
}

impl Entry for User {
    const NAME: &'static str = "user";

    fn find(engine: &Engine, id: &str) -> Option<Arc<Self>> {
        engine.user(id)
    }

    fn put(engine: &Engine, entries: Vec<Self>) -> impl Future<Output = Result<(), EngineError>> + Send {
        engine.put_users(entries)
    }

    fn page(
        engine: &Engine,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Arc<Self>>, Option<String>), EngineError> {
        engine.users(after, limit).map(|page| (page.rows, page.next))
    }
}

/// How many rows a batch stored.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Stored {
    /// Rows that were created or replaced.
    stored: usize,
}

#[derive(Serialize)]
struct PageBody<T> {
    rows: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Answers with the entry.
pub(crate) fn read<E: Entry>(app: &App, id: &str) -> Answer {
    let entry = E::find(&app.engine, id).ok_or_else(|| Fault::not_found(E::NAME, id))?;
    Ok(json(StatusCode::OK, &*entry, 512))
}

/// Creates or replaces one entry; its `id` may be left out of the body.
pub(crate) async fn put<E: Entry>(app: &App, id: &str, body: &RawBody) -> Answer {
    body.expect(Media::Json)?;
    let entry: E = with_id(parse(&body.bytes)?, id)?;
    let answer = text_of(&entry)?;
    let _shared = app.catalogue.read().await;
    let status = if E::find(&app.engine, id).is_some() { StatusCode::OK } else { StatusCode::CREATED };
    E::put(&app.engine, vec![entry]).await?;
    Ok(json(status, &answer, 512))
}

/// Changes the fields that a merge patch (RFC 7396) names, and no others.
pub(crate) async fn patch<E: Entry>(app: &App, id: &str, body: &RawBody) -> Answer {
    body.expect(Media::MergePatch)?;
    let patch: Map<String, Value> = parse(&body.bytes)?;
    let _alone = app.catalogue.write().await;
    let entry = E::find(&app.engine, id).ok_or_else(|| Fault::not_found(E::NAME, id))?;
    let mut value = text_of(&*entry)?;
    merge(&mut value, Value::Object(patch));
    let Value::Object(fields) = value else { return Err(Fault::internal(&"an entry is not an object")) };
    let changed: E = with_id(fields, id)?;
    let answer = text_of(&changed)?;
    E::put(&app.engine, vec![changed]).await?;
    Ok(json(StatusCode::OK, &answer, 512))
}

/// Creates or replaces many entries in one transaction.
pub(crate) async fn put_batch<E: Entry>(app: &App, body: &RawBody) -> Answer {
    body.expect(Media::Json)?;
    let entries: Vec<Object<E>> = parse(&body.bytes)?;
    check_batch(entries.len())?;
    let stored = entries.len();
    let _shared = app.catalogue.read().await;
    E::put(&app.engine, entries.into_iter().map(|Object(entry)| entry).collect()).await?;
    Ok(json(StatusCode::OK, &Stored { stored }, 32))
}

/// Lists entries, page by page.
pub(crate) fn list<E: Entry>(app: &App, query: Option<&str>) -> Answer {
    let (after, limit) = params::page(query, "after", PAGE_ROWS_DEFAULT, limits::PAGE_ROWS_MAX)?;
    let (rows, next) = E::page(&app.engine, after.as_deref(), limit)?;
    let rows: Vec<&E> = rows.iter().map(|row| &**row).collect();
    let bytes = 64 + 256 * rows.len();
    Ok(page_of(rows, next, bytes))
}

fn page_of<T: Serialize>(rows: Vec<T>, next: Option<String>, bytes: usize) -> Response {
    json(StatusCode::OK, &PageBody { rows, next }, bytes)
}

fn text_of<E: Entry>(entry: &E) -> Result<Value, Fault> {
    serde_json::to_value(entry).map_err(|error| Fault::internal(&error))
}

/// Reads an entry whose name stands in the path; a different one in the body is refused.
fn with_id<E: Entry>(mut fields: Map<String, Value>, id: &str) -> Result<E, Fault> {
    let named = fields.entry("id").or_insert_with(|| Value::from(id));
    if named.as_str() != Some(id) {
        let rule = format!("is {named}, but the path names {id:?}");
        return Err(Fault::bad("id", rule, "leave `id` out of the body, or give the one of the path"));
    }
    Ok(from_value(Value::Object(fields))?)
}

/// Merges a patch into a value as RFC 7396 says.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, change) in patch {
        if change.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merging_follows_the_examples_of_the_standard() {
        // RFC 7396, appendix A: original, patch, result.
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut original, patch, result) in cases {
            merge(&mut original, patch);
            assert_eq!(original, result);
        }
    }
}
