//! A small blocking client of our own HTTP interface: what the demo's self-check and the preparations of the benchmarks talk through.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::{Agent, http::Response};

/// Seconds after which an answer is given up.
const ANSWER_SECONDS_MAX: u64 = 60;
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Talks to one server with one API key.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr, key: Option<&str>) -> Self {
        let timeout = Duration::from_secs(ANSWER_SECONDS_MAX);
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).build();
        Self { agent: config.into(), base: format!("http://{address}"), key: key.map(str::to_owned) }
    }

    /// `GET path`; the answer's JSON.
    ///
    /// # Errors
    /// No answer, or one whose status isn't a success; its problem is in the message.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(bearer) = self.bearer() {
            request = request.header("authorization", bearer);
        }
        answer("GET", path, request.call())
    }

    /// `POST path` with JSON; the answer's JSON.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        if let Some(bearer) = self.bearer() {
            request = request.header("authorization", bearer);
        }
        answer("POST", path, request.send(body.to_string()))
    }

    fn bearer(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Bearer {key}"))
    }
}

fn answer(method: &str, path: &str, sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value> {
    let mut response = sent.with_context(|| format!("{method} {path} got no answer"))?;
    let status = response.status();
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let text = text.with_context(|| format!("the answer to {method} {path} cannot be read"))?;
    if !status.is_success() {
        bail!("{method} {path} was answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("the answer to {method} {path} is no JSON"))
}
