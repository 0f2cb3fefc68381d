//! Any server with the OpenAI interface: chat completions, streamed, and embeddings.
//!
//! Requests run on a small asynchronous runtime of this module; callers wait on their own thread, so that a deadline or a cancellation
//! frees them at once and drops the connection. What may be sent is checked here, at the last place before the network.

mod config;
mod endpoint;
mod exchange;
mod failure;
mod sse;
mod wire;

pub use config::RemoteConfig;

use crate::budget::Budget;
use crate::secret::Secret;
use crate::status::{Availability, Counter, Runtime, RuntimeStatus};
use crate::validate::check_output;
use crate::waiting::{Told, wait};
use endpoint::{Call, Endpoint, Reply};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use tokio::task::JoinHandle;
use zhiyin_core::Clock;
use zhiyin_core::language::{
    GenerateRequest, Generated, LanguageError, LanguageModel, Limits, Message, Part, ScoreRequest, Scored, TokenUsage,
    UsageLedger,
};

/// Texts of one request for embeddings.
pub const EMBEDDED_TEXTS_MAX: usize = 256;

/// A remote endpoint.
pub struct Remote {
    endpoint: Arc<Endpoint>,
    counter: Counter,
    /// Taken out when dropped.
    tasks: Option<tokio::runtime::Runtime>,
}

impl Remote {
    /// Connects nothing yet. `seed` is of the random part of waits between attempts.
    ///
    /// # Errors
    /// [`LanguageError::Unavailable`] if the key is missing from the environment, or the address or the model from the configuration.
    pub fn new(
        config: RemoteConfig,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn UsageLedger>,
        seed: u64,
    ) -> Result<Self, LanguageError> {
        check(&config)?;
        let key = config.key_variable.as_deref().map(Secret::from_environment).transpose();
        let key = key.map_err(|e| LanguageError::unavailable(e.to_string()))?;
        Self::with_key(config, key, clock, ledger, seed)
    }

    /// Like [`Self::new`], with a key that the caller has.
    ///
    /// # Errors
    /// Like [`Self::new`].
    pub fn with_key(
        config: RemoteConfig,
        key: Option<Secret>,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn UsageLedger>,
        seed: u64,
    ) -> Result<Self, LanguageError> {
        check(&config)?;
        let budget = Budget::new(&config.name, config.budget, config.prices, Arc::clone(&clock), ledger);
        let mut tasks = tokio::runtime::Builder::new_multi_thread();
        let tasks = tasks.worker_threads(1).thread_name("llm-remote").enable_all().build();
        let tasks = tasks.map_err(|e| LanguageError::unavailable(format!("its thread can't start: {e}")))?;
        let endpoint = Arc::new(Endpoint::new(config, key, budget, clock, seed)?);
        Ok(Self { endpoint, counter: Counter::default(), tasks: Some(tasks) })
    }

    /// Vectors of texts, in their order, all of one length. At most [`EMBEDDED_TEXTS_MAX`] texts.
    ///
    /// # Errors
    /// See [`LanguageError`].
    pub fn embed(&self, texts: &[Part], limits: &Limits) -> Result<Vec<Vec<f32>>, LanguageError> {
        self.counter.count(self.embed_once(texts, limits))
    }

    fn embed_once(&self, texts: &[Part], limits: &Limits) -> Result<Vec<Vec<f32>>, LanguageError> {
        if texts.is_empty() || texts.len() > EMBEDDED_TEXTS_MAX {
            let reason = format!("{} texts to embed are outside 1 to {EMBEDDED_TEXTS_MAX}", texts.len());
            return Err(LanguageError::invalid_request(reason));
        }
        self.permitted(texts)?;
        let model = self
            .endpoint
            .config
            .embedding_model
            .as_deref()
            .ok_or_else(|| self.unsupported("no embedding_model is configured"))?;
        let prompt = texts.iter().map(|part| wire::estimate_text(&part.text)).sum();
        let estimate = TokenUsage { prompt, ..TokenUsage::default() };
        let body = wire::embeddings_body(model, texts).to_string().into_bytes();
        match self.run("embeddings", body, estimate, false, limits, &mut |_| {})? {
            Reply::Vectors(vectors) => well_formed(vectors, texts.len()),
            Reply::Text { .. } => Err(LanguageError::invalid_output("text instead of vectors")),
        }
    }

    fn write(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        request.check()?;
        request.limits.check()?;
        self.permitted(parts(&request.messages))?;
        let body = wire::chat_body(&self.endpoint.config, request)?.to_string().into_bytes();
        let prompt = wire::estimate_chat(&request.messages);
        let estimate = TokenUsage { prompt, cached: 0, completion: request.tokens_max.into() };
        let reply = self.run("chat/completions", body, estimate, true, &request.limits, on_piece)?;
        let Reply::Text { text, finish, usage } = reply else {
            return Err(LanguageError::invalid_output("vectors instead of text"));
        };
        let money = self.endpoint.config.prices.cost(&usage);
        let generated = Generated { text, finish, usage, money, model: self.model() };
        check_output(&generated, request.constraint.as_ref())?;
        Ok(generated)
    }

    fn run(
        &self,
        path: &'static str,
        body: Vec<u8>,
        estimate: TokenUsage,
        is_chat: bool,
        limits: &Limits,
        on_piece: &mut dyn FnMut(&str),
    ) -> Result<Reply, LanguageError> {
        let (sender, receiver) = channel();
        let pieces = is_chat.then(|| sender.clone());
        let call = Call { path, body, estimate, deadline: limits.deadline, pieces };
        let endpoint = Arc::clone(&self.endpoint);
        let tasks = self.tasks.as_ref().ok_or_else(|| LanguageError::unavailable("it is shut down"))?;
        let task = tasks.spawn(async move {
            // Nobody listens after a deadline or a cancellation; then the result is dropped.
            let _ = sender.send(Told::Done(endpoint.ask(&call).await));
        });
        let _ends_with_us = AbortOnDrop(task);
        wait(&receiver, limits, on_piece)
    }

    fn permitted<'a>(&self, parts: impl IntoIterator<Item = &'a Part>) -> Result<(), LanguageError> {
        let allowed = &self.endpoint.config.fields;
        let refused = parts.into_iter().filter_map(|part| part.field).find(|field| !allowed.contains(field));
        refused.map_or(Ok(()), |field| {
            let runtime = self.endpoint.config.name.clone();
            Err(LanguageError::NotPermitted { field: field.name().to_owned(), runtime })
        })
    }

    fn unsupported(&self, reason: &str) -> LanguageError {
        LanguageError::Unsupported { runtime: self.endpoint.config.name.clone(), reason: reason.to_owned() }
    }
}

impl LanguageModel for Remote {
    fn model(&self) -> String {
        format!("{}/{}", self.endpoint.config.name, self.endpoint.config.model)
    }

    fn generate(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        self.counter.count(self.write(request, on_piece))
    }

    fn log_probabilities(&self, _: &ScoreRequest) -> Result<Scored, LanguageError> {
        Err(self.unsupported("the chat interface doesn't score given texts; a local model does"))
    }
}

impl Runtime for Remote {
    fn status(&self) -> RuntimeStatus {
        let (config, endpoint) = (&self.endpoint.config, &self.endpoint);
        RuntimeStatus {
            name: config.name.clone(),
            kind: "remote",
            model: self.model(),
            availability: Availability::Ready,
            circuit: Some(endpoint.circuit.state()),
            queued: endpoint.waiting.load(Ordering::Acquire),
            queue_capacity: config.waiting_max as usize,
            running: (config.concurrency_max.max(1) as usize).saturating_sub(endpoint.turns.available_permits()),
            counts: self.counter.snapshot(),
            budget: endpoint.budget.status().ok(),
        }
    }
}

impl Drop for Remote {
    /// Without waiting, so that it may happen on an asynchronous thread as well.
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.take() {
            tasks.shutdown_background();
        }
    }
}

/// Ends the task of a request whose caller is gone.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn parts(messages: &[Message]) -> impl Iterator<Item = &Part> {
    messages.iter().flat_map(|message| &message.parts)
}

fn well_formed(vectors: Vec<Vec<f32>>, texts: usize) -> Result<Vec<Vec<f32>>, LanguageError> {
    let length = vectors.first().map_or(0, Vec::len);
    let finite = vectors.iter().flatten().all(|x| x.is_finite());
    if vectors.len() != texts || length == 0 || !finite || vectors.iter().any(|v| v.len() != length) {
        let reason =
            format!("{} vectors for {texts} texts, of unequal length or with values that aren't finite", vectors.len());
        return Err(LanguageError::invalid_output(reason));
    }
    Ok(vectors)
}

fn check(config: &RemoteConfig) -> Result<(), LanguageError> {
    let address = config.base_url.starts_with("http://") || config.base_url.starts_with("https://");
    if !address || config.model.is_empty() || config.name.is_empty() {
        let reason = format!(
            "the endpoint {:?} needs a name, a model and a base_url that begins with https:// or http://",
            config.name
        );
        return Err(LanguageError::unavailable(reason));
    }
    Ok(())
}
