//! What went wrong in one attempt, whether another may help, and what it says about the endpoint.

use crate::circuit::Outcome;
use reqwest::StatusCode;
use std::time::Duration;
use zhiyin_core::language::LanguageError;

/// Characters of a server's message that are passed on.
const MESSAGE_CHARS_MAX: usize = 300;

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It would fail the same way.
    Never,
    /// After the usual wait.
    Soon,
    /// After the time that the server asked for.
    After(Duration),
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: LanguageError,
    pub again: Again,
    pub outcome: Outcome,
}

impl Failed {
    /// The endpoint is at fault, and another attempt may work.
    pub(super) fn passing(error: LanguageError) -> Self {
        Self { error, again: Again::Soon, outcome: Outcome::Failure }
    }

    /// Our own limits refused it: nothing is learnt about the endpoint.
    pub(super) fn own(error: LanguageError) -> Self {
        Self { error, again: Again::Never, outcome: Outcome::Unknown }
    }

    /// Once text was given out, it can't be taken back: no further attempt.
    pub(super) fn unless_begun(self, begun: bool) -> Self {
        if begun { Self { again: Again::Never, ..self } } else { self }
    }

    /// From a status that isn't a success.
    pub(super) fn from_status(status: StatusCode, message: &str, retry_after: Option<Duration>) -> Self {
        let said: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let again = retry_after.map_or(Again::Soon, Again::After);
        let unavailable = LanguageError::unavailable(format!("the endpoint answered {status}: {said}"));
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self { error: unavailable, again, outcome: Outcome::Unknown },
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => Self {
                error: LanguageError::invalid_request(format!("the endpoint answered {status}: {said}")),
                again: Again::Never,
                outcome: Outcome::Success,
            },
            _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Self { error: unavailable, again, outcome: Outcome::Failure }
            }
            _ => Self { error: unavailable, again: Again::Never, outcome: Outcome::Failure },
        }
    }

    /// From a connection that failed. The address may hold credentials, so it isn't repeated.
    pub(super) fn from_transport(error: reqwest::Error) -> Self {
        let kind = if error.is_connect() {
            "no connection to the endpoint"
        } else if error.is_timeout() {
            "the endpoint fell silent"
        } else {
            "the connection to the endpoint broke"
        };
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::passing(LanguageError::unavailable(format!("{kind}{cause}")))
    }
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Some(Duration::from_millis(date.timestamp().as_millisecond().saturating_sub(now_ms).try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_ask_for_a_wait_in_seconds_or_by_date() {
        assert_eq!(retry_after(" 7 ", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:09 GMT", 2_000), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:01 GMT", 2_000), Some(Duration::ZERO), "past");
        assert_eq!(retry_after("soon", 0), None);
    }
}
