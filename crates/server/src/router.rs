//! Which route exists, what it needs, and what all of them share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::{Router, extract::Request, handler::Handler, http::Method};
use bytes::Bytes;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};
use zhiyin_assistant::Assistant;
use zhiyin_core::Problem;
use zhiyin_engine::Engine;

use crate::{
    Scope, ServerConfig,
    access::Gate,
    fault::{Fault, FaultKind},
    guard::Guard,
    openapi,
    routes::{events, generate, intent, items, jobs, language, observe, open, recommend, search, users},
    telemetry::{IngestTelemetry, RouteTelemetry},
};

/// What handlers share.
pub(crate) type Shared = Arc<App>;

/// What handlers share.
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) assistant: Arc<Assistant>,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    /// Held for reading by writes of the catalogue and for writing by a PATCH, which reads before it writes.
    pub(crate) catalogue: tokio::sync::RwLock<()>,
    /// Whether a training runs.
    pub(crate) training: Arc<AtomicBool>,
    /// Room for searches that are being encoded.
    pub(crate) searches: Arc<tokio::sync::Semaphore>,
    pub(crate) ingest: IngestTelemetry,
    pub(crate) routes: Vec<Arc<RouteTelemetry>>,
    pub(crate) document: Bytes,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Open,
    Needs(Scope),
}

/// The whole interface as a service.
pub fn router(engine: Arc<Engine>, config: &ServerConfig) -> Router {
    let gate = Arc::new(Gate::new(config.auth.clone()));
    let mut telemetry = Vec::new();
    let mut guard = |route: &str, access: Access, queried: Option<Arc<[Method]>>| {
        let counters = Arc::new(RouteTelemetry::new(route));
        telemetry.push(counters.clone());
        let scope = match access {
            Access::Open => None,
            Access::Needs(_) if route == "/metrics" && config.metrics_open => None,
            Access::Needs(scope) => Some(scope),
        };
        Guard { gate: gate.clone(), scope, queried, telemetry: counters }
    };
    let api = api(&mut |access, routes| {
        let queried = (access != Access::Open).then(|| openapi::queried(&routes.1));
        let guard = guard(&openapi::template(&routes.1), access, queried);
        let (schemas, paths, methods) = routes;
        (schemas, paths, methods.layer(guard))
    });
    let unknown = guard("unknown", Access::Open, None);
    let wrong_method = guard("wrong-method", Access::Open, None);
    let assistant = config.assistant.clone().unwrap_or_else(|| Arc::new(Assistant::without_model()));
    let app = App {
        engine,
        assistant,
        body_bytes_max: config.body_bytes_max,
        body_timeout: config.body_timeout,
        catalogue: tokio::sync::RwLock::default(),
        training: Arc::default(),
        searches: Arc::new(tokio::sync::Semaphore::new(search::ENCODED_AT_ONCE)),
        ingest: IngestTelemetry::default(),
        routes: telemetry,
        document: openapi::text().into(),
    };
    let (router, _) = api.split_for_parts();
    router
        .fallback(no_such_route.layer(unknown))
        .method_not_allowed_fallback(no_such_method.layer(wrong_method))
        .with_state(Arc::new(app))
}

/// Handlers of one path, with their documentation.
pub(crate) type Routes = UtoipaMethodRouter<Shared>;

/// All routes with what they need. `finish` wraps the handlers of each path.
pub(crate) fn api(finish: &mut dyn FnMut(Access, Routes) -> Routes) -> OpenApiRouter<Shared> {
    let needs = Access::Needs;
    let mut api = OpenApiRouter::with_openapi(openapi::base());
    let mut add = |access: Access, mut routes: Routes| {
        openapi::secure(&mut routes.1, access);
        let routes = finish(access, routes);
        api = std::mem::take(&mut api).routes(routes);
    };
    add(needs(Scope::Ingest), routes!(events::ingest));
    add(needs(Scope::Recommend), routes!(recommend::recommend));
    add(needs(Scope::Recommend), routes!(recommend::for_user));
    add(needs(Scope::Recommend), routes!(recommend::for_session));
    add(needs(Scope::Recommend), routes!(recommend::similar));
    add(needs(Scope::Recommend), routes!(recommend::popular));
    add(needs(Scope::Recommend), routes!(search::search));
    add(needs(Scope::Recommend), routes!(intent::search));
    add(needs(Scope::Recommend), routes!(language::explanations));
    add(needs(Scope::Recommend), routes!(generate::generate));
    add(needs(Scope::Admin), routes!(language::status));
    add(needs(Scope::Admin), routes!(jobs::list, jobs::submit));
    add(needs(Scope::Admin), routes!(jobs::read));
    add(needs(Scope::Admin), routes!(jobs::pause));
    add(needs(Scope::Admin), routes!(jobs::resume));
    add(needs(Scope::Admin), routes!(jobs::cancel));
    add(needs(Scope::Catalog), routes!(items::list, items::put_batch));
    add(needs(Scope::Catalog), routes!(items::read, items::put, items::patch, items::delete));
    add(needs(Scope::Catalog), routes!(items::feedback));
    add(needs(Scope::Catalog), routes!(users::list, users::put_batch));
    add(needs(Scope::Catalog), routes!(users::read, users::put, users::patch, users::erase));
    add(needs(Scope::Catalog), routes!(users::feedback));
    add(needs(Scope::Admin), routes!(observe::metrics));
    add(needs(Scope::Admin), routes!(observe::rejected));
    add(needs(Scope::Admin), routes!(observe::cleaning));
    add(needs(Scope::Admin), routes!(observe::status));
    add(needs(Scope::Admin), routes!(observe::train));
    add(needs(Scope::Admin), routes!(observe::prometheus));
    add(Access::Open, routes!(open::healthz));
    add(Access::Open, routes!(open::readyz));
    add(Access::Open, routes!(open::openapi_json));
    add(Access::Open, routes!(open::docs));
    api
}

async fn no_such_route(request: Request) -> Fault {
    let path: String = request.uri().path().chars().take(200).collect();
    Fault::new(
        FaultKind::NotFound,
        Problem::field("path", format!("{path:?} is not a route"), "see /docs for the routes"),
    )
}

async fn no_such_method(request: Request) -> Fault {
    let rule = format!("{} is not allowed for this path", request.method());
    let remedy = "use a method of the `allow` header; see /docs";
    Fault::new(FaultKind::MethodNotAllowed, Problem::field("method", rule, remedy))
}
