//! The OpenAPI document: what the annotations of the handlers say, and what holds for all of them.
//!
//! Who may use a route is stated once, where the route is added (`router.rs`); from there it gets into the document and in front of
//! the handler.

use std::{collections::BTreeMap, sync::Arc};

use axum::http::Method;
use serde_json::json;
use utoipa::{
    OpenApi as _,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, ParameterIn, PathItem, Paths},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    Scope,
    fault::{FaultKind, ProblemBody},
    router::{Access, api},
    routes::events::EventsBody,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Zhiyin",
        description = "Events in, recommendations out.\n\nEvery refusal is a problem (RFC 9457) that names the field, the rule and the remedy, and changes nothing. Requests carry an API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; the scope that a route needs stands with it, and `admin` implies the others.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "events", description = "Taking events in, and what cleaning did with them"),
        (name = "recommendations", description = "Lists of items, each a recorded decision"),
        (name = "texts", description = "Explanations, headlines and blurbs from exact reasons, checked"),
        (name = "catalogue", description = "Items"),
        (name = "users", description = "Users and their erasure"),
        (name = "observation", description = "What decisions led to"),
        (name = "operation", description = "Health, status, training")
    ),
    components(schemas(ProblemBody<'_>, EventsBody))
)]
struct Base;

/// The document without paths.
pub(crate) fn base() -> OpenApi {
    let mut document = Base::openapi();
    let components = document.components.get_or_insert_with(Default::default);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key")).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let header = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key"));
    components.add_security_scheme("header", SecurityScheme::ApiKey(header));
    for kind in FaultKind::ALL {
        components.responses.insert(kind.name().into(), RefOr::T(problem(kind)));
    }
    document
}

/// The whole document.
pub fn document() -> OpenApi {
    api(&mut |_, routes| routes).into_openapi()
}

/// The whole document as JSON text, as it is served and checked in.
pub fn text() -> String {
    let mut text = document().to_pretty_json().unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document could not be written");
        "{}".into()
    });
    text.push('\n');
    text
}

/// The path template of handlers that share one path.
pub(crate) fn template(paths: &Paths) -> String {
    paths.paths.keys().next().cloned().unwrap_or_default()
}

/// Methods of a path that know query parameters.
pub(crate) fn queried(paths: &Paths) -> Arc<[Method]> {
    let is_queried = |operation: &Option<Operation>| {
        let mut parameters = operation.iter().flat_map(|operation| operation.parameters.iter().flatten());
        parameters
            .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query))
    };
    let methods = |item: &PathItem| {
        let all = [
            (Method::GET, is_queried(&item.get)),
            (Method::POST, is_queried(&item.post)),
            (Method::PUT, is_queried(&item.put)),
            (Method::PATCH, is_queried(&item.patch)),
            (Method::DELETE, is_queried(&item.delete)),
        ];
        all.into_iter().filter(|(_, is_queried)| *is_queried).map(|(method, _)| method)
    };
    paths.paths.values().flat_map(methods).collect()
}

/// Writes into the operations of a path what `access` means for them and which problems they may answer with.
pub(crate) fn secure(paths: &mut Paths, access: Access) {
    for (method, operation) in paths.paths.values_mut().flat_map(operations) {
        let kinds = possible_problems(method, operation, access);
        let responses = &mut operation.responses.responses;
        describe_problems(responses);
        kinds.into_iter().for_each(|kind| add_problem(responses, kind));
        if let Access::Needs(scope) = access {
            let either = ["bearer", "header"].map(|scheme| SecurityRequirement::new(scheme, [scope.name()]));
            operation.security = Some(either.into());
        }
    }
}

/// Which problems an operation may answer with besides those that its handler names.
fn possible_problems(method: &str, operation: &Operation, access: Access) -> Vec<FaultKind> {
    let mut kinds = vec![FaultKind::Internal];
    let has_body = operation.request_body.is_some();
    if has_body {
        kinds.extend([FaultKind::Timeout, FaultKind::TooLarge, FaultKind::UnsupportedMediaType]);
    }
    // A parameter that a route doesn't know is refused.
    if has_body || access != Access::Open {
        kinds.push(FaultKind::BadRequest);
    }
    if access != Access::Needs(Scope::Recommend) && (has_body || method == "delete") {
        kinds.extend([FaultKind::Busy, FaultKind::Stopping, FaultKind::StorageFull]);
    }
    if let Access::Needs(_) = access {
        kinds.extend([FaultKind::NoKey, FaultKind::WrongScope]);
    }
    kinds
}

type Responses = BTreeMap<String, RefOr<Response>>;

/// Gives the problems that handlers name themselves the body that all problems have.
fn describe_problems(responses: &mut Responses) {
    for (status, response) in responses {
        let kind = FaultKind::ALL.into_iter().find(|kind| kind.status().as_str() == status);
        if let (Some(kind), RefOr::T(response)) = (kind, response) {
            response.content = problem(kind).content;
        }
    }
}

fn add_problem(responses: &mut Responses, kind: FaultKind) {
    let reference = || RefOr::Ref(Ref::from_response_name(kind.name()));
    responses.entry(kind.status().as_str().to_owned()).or_insert_with(reference);
}

fn problem(kind: FaultKind) -> Response {
    let fault = kind.example();
    let example = json!({
        "type": kind.uri(), "title": kind.title(), "status": kind.status().as_u16(), "detail": fault.to_string(),
        "field": fault.field, "rule": fault.rule, "remedy": fault.remedy,
    });
    let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
    content.example = Some(example);
    ResponseBuilder::new().description(kind.title()).content("application/problem+json", content).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
