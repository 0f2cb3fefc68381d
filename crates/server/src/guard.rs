//! What stands in front of every route: the key's scope, parameters that it doesn't know, the counters, and a net under panics.
//!
//! One layer instead of a stack, with a future of its own: it adds no allocation to a request.

use std::{
    any::Any,
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    extract::Request,
    http::Method,
    response::{IntoResponse, Response},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::{Scope, access::Gate, fault::Fault, params, telemetry::RouteTelemetry};

/// The layer.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) gate: Arc<Gate>,
    /// The scope that is needed; none for an open route.
    pub(crate) scope: Option<Scope>,
    /// Methods that know query parameters; the others refuse any. None where anything is passed over, as by probes of open routes.
    pub(crate) queried: Option<Arc<[Method]>>,
    pub(crate) telemetry: Arc<RouteTelemetry>,
}

impl Guard {
    fn check(&self, request: &Request, now: Instant) -> Result<(), Fault> {
        if let Some(scope) = self.scope {
            self.gate.check(request.headers(), scope, now)?;
        }
        match (&self.queried, request.uri().query()) {
            (Some(queried), Some(query)) if !queried.contains(request.method()) => params::none(query),
            _ => Ok(()),
        }
    }
}

/// A route behind the layer.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = Infallible;
    type Future = GuardedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let start = Instant::now();
        let method = request.method().clone();
        let (refused, inner) = match self.guard.check(&request, start) {
            Ok(()) => (None, Some(self.inner.call(request))),
            Err(fault) => (Some(fault), None),
        };
        GuardedFuture { inner, refused, start, method, telemetry: self.guard.telemetry.clone() }
    }
}

pin_project! {
    /// The answer in the making.
    pub(crate) struct GuardedFuture<F> {
        #[pin]
        inner: Option<F>,
        refused: Option<Fault>,
        start: Instant,
        method: Method,
        telemetry: Arc<RouteTelemetry>,
    }
}

impl<F, R> Future for GuardedFuture<F>
where
    F: Future<Output = Result<R, Infallible>>,
    R: IntoResponse,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.inner.as_pin_mut() {
            // A handler that panicked is never polled again: the answer is ready at once.
            Some(inner) => match catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
                Ok(polled) => {
                    let Ok(response) = ready!(polled);
                    response.into_response()
                }
                Err(panic) => Fault::internal(&panic_message(panic.as_ref())).into_response(),
            },
            None => this.refused.take().unwrap_or_else(Fault::no_key).into_response(),
        };
        this.telemetry.record(this.method, response.status(), this.start.elapsed());
        Poll::Ready(Ok(response))
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::AuthMode;

    fn guard() -> Guard {
        let gate = Arc::new(Gate::new(AuthMode::Insecure));
        Guard { gate, scope: Some(Scope::Admin), queried: None, telemetry: Arc::new(RouteTelemetry::new("/test")) }
    }

    #[tokio::test]
    async fn a_panic_becomes_a_problem_and_is_counted() {
        let guard = guard();
        let panics = service_fn(|_: Request| async {
            tokio::task::yield_now().await;
            assert_eq!(1 + 1, 3, "arithmetic");
            Ok::<Response, Infallible>(Response::default())
        });
        let Ok(response) = guard.layer(panics).oneshot(Request::new(Body::empty())).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let mut text = crate::telemetry::Exposition::default();
        crate::telemetry::write_routes(&mut text, std::iter::once(&*guard.telemetry));
        let line = r#"zhiyin_http_requests_total{route="/test",method="GET",status="5xx"} 1"#;
        assert!(text.finish().contains(line));
    }
}
