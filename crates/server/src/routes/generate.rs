//! Headlines and blurbs for an item or a list, from what the catalogue says and why the user would be shown it.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use zhiyin_assistant::{Order, Text};
use zhiyin_core::{Item, Problem, language::Limits};
use zhiyin_engine::RecommendRequest;
use zhiyin_writing::{Claim, Evidence, Fact, Kind};

use super::language::{ITEMS_MAX, Reader, check_count, check_wait, evidence, named};
use crate::{
    answer::{self, Answer},
    body::JsonBody,
    fault::{Fault, FaultKind},
    router::{App, Shared},
};

/// Texts that differ, of one request.
const VARIANTS_MAX: u32 = 8;

/// What to write about.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateRequest {
    /// `headline` or `blurb`.
    kind: Kind,
    /// The items, 1 to 50: one, or a list that gets one text.
    items: Vec<String>,
    /// Known user, whose history may be told of where it is a reason for these items.
    #[serde(default)]
    user: Option<String>,
    /// BCP 47 tag of the language; see `POST /v1/explanations`.
    #[serde(default)]
    language: Option<String>,
    /// Texts that differ, 1 to 8; 1 when absent. Each has a number that an experiment can be run with.
    #[serde(default)]
    variants: Option<u32>,
    /// Milliseconds, up to 60,000, to wait for a language model; 0 when absent.
    #[serde(default)]
    wait_ms: u32,
}

/// Texts.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct GenerateAnswer {
    /// The texts by variant.
    variants: Vec<Variant>,
}

/// One of several texts.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Variant {
    /// Its number. The same request gives the same text for it as long as the model stays.
    variant: u32,
    /// The text and who wrote it.
    #[serde(flatten)]
    text: Text,
}

/// Write headlines and blurbs
///
/// For an item or a list, from what the catalogue says of it and why the user would be shown it. As with explanations, the answer comes at once,
/// in the form of a template if no model wrote it yet. Texts are kept, and are the same when they are asked for again.
#[utoipa::path(post, path = "/v1/generate", tag = "texts", request_body(content = GenerateRequest,
    example = json!({"kind": "headline", "items": ["22423"], "user": "user-42", "variants": 2})),
    responses((status = 200, description = "Texts", body = GenerateAnswer, example = json!({"variants": [
        {"variant": 0, "text": "For you: “REGENCY CAKESTAND 3 TIER”", "origin": "template", "pending": true}]})),
        (status = 404, description = "An item is not known")))]
pub(crate) async fn generate(
    State(app): State<Shared>,
    reader: Reader,
    JsonBody(request): JsonBody<GenerateRequest>,
) -> Answer {
    check_count("items", request.items.len(), ITEMS_MAX)?;
    check_wait("wait_ms", request.wait_ms)?;
    let count = request.variants.unwrap_or(1);
    if request.kind == Kind::Explanation {
        let rule = "is `explanation`, must be `headline` or `blurb`";
        return Err(Fault::bad("kind", rule, "ask `POST /v1/explanations` for explanations"));
    }
    if !(1..=VARIANTS_MAX).contains(&count) {
        let rule = format!("is {count}, must be 1 to {VARIANTS_MAX}");
        return Err(Fault::bad("variants", rule, "choose a number in that range"));
    }
    let language = reader.language(&app, request.user.as_deref(), request.language.as_deref());
    let evidence = facts(&app, &request)?;
    let order = |variant| Order { kind: request.kind, evidence: evidence.clone(), language, variant };
    let orders: Vec<Order> = (0..count).map(order).collect();
    let within = (request.wait_ms > 0).then(|| Limits::within(Duration::from_millis(request.wait_ms.into())));
    let app = Arc::clone(&app);
    let write = move || match within {
        Some(within) => orders.iter().map(|order| app.assistant.text_within(order, within.clone())).collect(),
        None => app.assistant.texts(&orders),
    };
    let texts: Vec<Text> = tokio::task::spawn_blocking(write).await.map_err(|error| Fault::internal(&error))?;
    let variants = (0..).zip(texts).map(|(variant, text)| Variant { variant, text }).collect();
    Ok(answer::json(StatusCode::OK, &GenerateAnswer { variants }, 1_024))
}

/// What may be said of the items together: the strongest reasons for the user, and what the catalogue says.
fn facts(app: &App, request: &GenerateRequest) -> Result<Evidence, Fault> {
    let known = |id: &String| {
        app.engine.item(id).ok_or_else(|| {
            let rule = format!("{id:?} is not in the catalogue");
            Fault::new(FaultKind::NotFound, Problem::field("items", rule, "create the item first"))
        })
    };
    let items = request.items.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    let mut evidence = catalogued(&items);
    if request.user.is_some() {
        let asker = RecommendRequest { user: request.user.clone(), ..RecommendRequest::default() };
        let reasons = app.engine.explain(&asker, &request.items[..1])?;
        evidence.facts.extend(reasons.iter().flat_map(|item| self::evidence(item).facts));
    }
    Ok(evidence)
}

/// What the catalogue says of items together: what all of them belong to, then the price of a single one.
pub(super) fn catalogued(items: &[Arc<Item>]) -> Evidence {
    let first = &items[0];
    let shared = first.categories.iter().filter(|category| items.iter().all(|item| item.categories.contains(category)));
    let belongs = shared.rev().map(|category| Fact {
        claim: Claim::Belongs,
        thing: Some(category.clone()),
        weight: f64::MIN_POSITIVE,
    });
    let mut names = items.iter().map(|item| named(&item.title, item.id.as_str()));
    let item = names.next().unwrap_or_default();
    let numbers = if let [single] = items { price(single).into_iter().collect() } else { Vec::new() };
    Evidence { item, others: names.collect(), facts: belongs.collect(), numbers }
}

fn price(item: &Item) -> Option<String> {
    item.price.map(|price| format!("{price:.2}"))
}
