//! Refusals and failures as RFC 9457 problem details.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use zhiyin_core::{Problem, limits::PROBLEM_CHARS_MAX, storage::StorageError};
use zhiyin_engine::{EngineError, request::EventOutcome};

use crate::{Scope, answer};

/// The kinds of problems that the interface knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    BadRequest,
    NoKey,
    WrongScope,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Busy,
    Internal,
    Stopping,
    StorageFull,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::NoKey,
        Self::WrongScope,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Busy,
        Self::Internal,
        Self::Stopping,
        Self::StorageFull,
    ];

    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        self.row().0
    }

    /// The problem type, a URI (RFC 9457, section 3.1.1).
    pub(crate) fn uri(self) -> &'static str {
        self.row().1
    }

    /// The last part of the problem type.
    pub(crate) fn name(self) -> &'static str {
        self.uri().rsplit(':').next().unwrap_or_default()
    }

    /// The kind of problem for a person.
    pub(crate) fn title(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => (S::BAD_REQUEST, "urn:zhiyin:problem:bad-request", "The request breaks a rule"),
            Self::NoKey => (S::UNAUTHORIZED, "urn:zhiyin:problem:no-key", "A valid API key is needed"),
            Self::WrongScope => (S::FORBIDDEN, "urn:zhiyin:problem:wrong-scope", "The API key lacks a scope"),
            Self::NotFound => (S::NOT_FOUND, "urn:zhiyin:problem:not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "urn:zhiyin:problem:method-not-allowed", "The method is not allowed here")
            }
            Self::Timeout => (S::REQUEST_TIMEOUT, "urn:zhiyin:problem:timeout", "The request took too long to arrive"),
            Self::Conflict => (S::CONFLICT, "urn:zhiyin:problem:conflict", "What is there doesn't allow it"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "urn:zhiyin:problem:too-large", "The request is too large"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "urn:zhiyin:problem:unsupported-media-type",
                "The content type is not supported",
            ),
            Self::Busy => (S::TOO_MANY_REQUESTS, "urn:zhiyin:problem:busy", "The queue is full"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "urn:zhiyin:problem:internal", "Something went wrong inside"),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "urn:zhiyin:problem:stopping", "The server is not ready"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "urn:zhiyin:problem:storage-full", "The disk is full"),
        }
    }

    /// A problem of this kind as the documentation shows it.
    pub(crate) fn example(self) -> Problem {
        match self {
            Self::BadRequest => {
                Problem::field("limit", "is 500, it must be from 1 to 200", "choose a limit in that range")
            }
            Self::NoKey => Fault::no_key().0.problem,
            Self::WrongScope => Fault::scope_missing(Scope::Recommend).0.problem,
            Self::NotFound => Fault::not_found("item", "85123A").0.problem,
            Self::MethodNotAllowed => Problem::field("method", "TRACE is not allowed for this path", "see /docs"),
            Self::Timeout => {
                Problem::field("body", "did not arrive within 30 s", "send it faster or in smaller batches")
            }
            Self::Conflict => Problem::field("train", "is running already", "wait until it is done"),
            Self::TooLarge => Problem::field("body", "has more than 8388608 bytes", "send it in smaller batches"),
            Self::UnsupportedMediaType => {
                Problem::field("content-type", "is \"text/xml\", which is not supported here", "send JSON")
            }
            Self::Busy => Fault::busy(1).0.problem,
            Self::Internal => failed_inside(),
            Self::Stopping => Fault::stopping().0.problem,
            Self::StorageFull => disk_full(),
        }
    }
}

/// A request that could not be served, ready to become a response. Boxed, because it travels in the error of every handler.
#[derive(Debug)]
pub(crate) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: FaultKind,
    problem: Problem,
    retry_after_seconds: Option<u32>,
    outcomes: Vec<EventOutcome>,
}

/// The JSON of a problem (RFC 9457), with the members `field`, `rule` and `remedy` of our own.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Identifies the kind of problem.
    #[schema(example = "urn:zhiyin:problem:bad-request")]
    r#type: &'a str,
    /// The kind of problem for a person.
    #[schema(example = "The request breaks a rule")]
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What happened, in one sentence.
    #[schema(example = "limit: is 500, it must be from 1 to 200; choose a limit in that range")]
    detail: String,
    /// The field, parameter or header that is wrong.
    #[schema(example = "limit")]
    field: &'a str,
    /// The rule that it breaks.
    #[schema(example = "is 500, it must be from 1 to 200")]
    rule: &'a str,
    /// What to do about it.
    #[schema(example = "choose a limit in that range")]
    remedy: &'a str,
    /// For events: what became of each.
    #[serde(skip_serializing_if = "<[EventOutcome]>::is_empty")]
    #[schema(required = false)]
    outcomes: &'a [EventOutcome],
}

impl Fault {
    /// A problem that repeats what was sent, such as an identifier of some megabytes, is shortened.
    pub(crate) fn new(kind: FaultKind, mut problem: Problem) -> Self {
        shorten(&mut problem.field);
        shorten(&mut problem.rule);
        Self(Box::new(Inner { kind, problem, retry_after_seconds: None, outcomes: Vec::new() }))
    }

    pub(crate) fn bad(field: impl Into<String>, rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(FaultKind::BadRequest, Problem::field(field, rule, remedy))
    }

    pub(crate) fn no_key() -> Self {
        let remedy = "send `Authorization: Bearer KEY` or `X-API-Key: KEY`";
        Self::new(FaultKind::NoKey, Problem::field("authorization", "is missing", remedy))
    }

    pub(crate) fn unknown_key() -> Self {
        let remedy = "use a key that `zhiyin keys create` gave and that wasn't revoked";
        Self::new(FaultKind::NoKey, Problem::field("authorization", "is not a known key", remedy))
    }

    pub(crate) fn scope_missing(needed: Scope) -> Self {
        let rule = format!("lacks the scope `{needed}`");
        let remedy = format!("use a key with the scope `{needed}`");
        Self::new(FaultKind::WrongScope, Problem::field("authorization", rule, remedy))
    }

    pub(crate) fn not_found(field: &str, id: &str) -> Self {
        let problem = Problem::field(field, format!("{id:?} is not known"), "check the identifier");
        Self::new(FaultKind::NotFound, problem)
    }

    /// A failure inside; the cause is logged, not told.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(FaultKind::Internal, failed_inside())
    }

    /// Adds what became of each event.
    pub(crate) fn with_outcomes(mut self, outcomes: Vec<EventOutcome>) -> Self {
        self.0.outcomes = outcomes;
        self
    }

    fn busy(retry_after_seconds: u32) -> Self {
        let remedy = format!("send the same request again in {retry_after_seconds} s");
        let mut fault = Self::new(FaultKind::Busy, Problem::field("queue", "is full", remedy));
        fault.0.retry_after_seconds = Some(retry_after_seconds);
        fault
    }

    fn storage(error: &StorageError) -> Self {
        let StorageError::Full { .. } = error else { return Self::internal(error) };
        tracing::error!(cause = %error, "the disk is full");
        Self::new(FaultKind::StorageFull, disk_full())
    }

    fn stopping() -> Self {
        let problem = Problem::field("server", "is stopping", "send the request again in a moment");
        let mut fault = Self::new(FaultKind::Stopping, problem);
        fault.0.retry_after_seconds = Some(1);
        fault
    }
}

/// Leaves out the middle of a text that is too long: the end often says what is allowed.
fn shorten(text: &mut String) {
    // Bytes first: they are cheap to count, and there are at least as many.
    if text.len() <= PROBLEM_CHARS_MAX || text.chars().count() <= PROBLEM_CHARS_MAX {
        return;
    }
    let half = PROBLEM_CHARS_MAX / 2;
    let start: String = text.chars().take(half - 1).collect();
    let end: String = text.chars().rev().take(half).collect();
    *text = start + "…" + &end.chars().rev().collect::<String>();
}

fn failed_inside() -> Problem {
    Problem::field("server", "failed to serve the request", "look into the server's log and try again")
}

fn disk_full() -> Problem {
    Problem::field("storage", "has no space left; nothing was written", "free some space on the server and send again")
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Bad(problem) => Self::new(FaultKind::BadRequest, problem),
            EngineError::NotFound(problem) => Self::new(FaultKind::NotFound, problem),
            EngineError::Busy { retry_after_seconds } => Self::busy(retry_after_seconds),
            EngineError::Storage(error) => Self::storage(&error),
            EngineError::Stopped => Self::stopping(),
            EngineError::Internal(cause) => Self::internal(&cause),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Inner { kind, problem, retry_after_seconds, outcomes } = *self.0;
        let body = ProblemBody {
            r#type: kind.uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: problem.to_string(),
            field: &problem.field,
            rule: &problem.rule,
            remedy: &problem.remedy,
            outcomes: &outcomes,
        };
        let mut response = answer::json_as(answer::PROBLEM_JSON, kind.status(), &body, 512);
        let headers = response.headers_mut();
        if kind == FaultKind::NoKey {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"zhiyin\""));
        }
        if let Some(seconds) = retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
