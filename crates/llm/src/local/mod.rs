//! GGUF models in this process, through `zhiyin-decoder`.
//!
//! One thread owns the model. Requests wait in a bounded queue; as many as `parallel` are worked on side by side: every step of the model
//! carries one token of each text being written, then continuations to be scored, then stretches of new prompts. Requests come and go
//! between steps. Beginnings of prompts stay in memory for the next prompt that begins the same.

mod chooser;
mod inbox;
mod prefixes;
mod prompt;
mod slot;
mod ticket;
mod worker;

use crate::budget::{Budget, BudgetLimits, Prices};
use crate::status::{Availability, Counter, Runtime, RuntimeStatus};
use crate::validate::check_output;
use crate::waiting::{Told, wait};
pub use prompt::chat_tokens;

use inbox::Inbox;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use ticket::Ticket;
use worker::Worker;
use zhiyin_core::Clock;
use zhiyin_core::language::{
    GenerateRequest, Generated, LanguageError, LanguageModel, ScoreRequest, Scored, TokenUsage, UsageLedger,
};
use zhiyin_decoder::{Adapter, Decoder};

/// Requests worked on side by side at most.
pub const PARALLEL_MAX: u32 = 64;
/// Kept beginnings of prompts at most.
pub const PREFIXES_MAX: u32 = 32;

/// One local model. Its file and version are no settings: whoever knows where models lie fills them in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// Its name in status, logs and the ledger of use.
    pub model: String,
    /// The GGUF file.
    #[serde(skip)]
    pub path: PathBuf,
    /// The file's version, such as the beginning of its hash: stored with results, and part of the key of cached ones.
    #[serde(skip)]
    pub version: String,
    /// Name of an adapter that `zhiyin llm finetune` made, for what somebody chooses next; empty: the newest for this model; `none`.
    pub adapter: String,
    /// The adapter's folder, if this instance of the model has one.
    #[serde(skip)]
    pub adapter_folder: Option<PathBuf>,
    /// Threads of one step; 0: half of those that the process may use, so that requests to the server find the rest.
    pub threads: u32,
    /// Tokens of memory that all requests and kept beginnings share.
    pub context_tokens: u32,
    /// Tokens of one step. Larger is faster for long prompts, and lets texts being written wait longer.
    pub batch_tokens: u32,
    /// Requests worked on side by side, up to [`PARALLEL_MAX`].
    pub parallel: u32,
    /// Beginnings of prompts that are kept, up to [`PREFIXES_MAX`].
    pub prefixes: u32,
    /// Requests that may wait.
    pub waiting_max: u32,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            model: String::new(),
            path: PathBuf::new(),
            version: String::new(),
            adapter: String::new(),
            adapter_folder: None,
            threads: 0,
            context_tokens: 4_096,
            batch_tokens: 256,
            parallel: 8,
            prefixes: 4,
            waiting_max: 64,
        }
    }
}

/// What callers and the model's thread both see.
struct Shared {
    inbox: Inbox,
    availability: Mutex<Availability>,
    running: AtomicUsize,
}

/// A local model; its thread ends when this is dropped.
pub struct Local {
    config: LocalConfig,
    shared: Arc<Shared>,
    budget: Arc<Budget>,
    counter: Counter,
    thread: Option<JoinHandle<()>>,
}

impl Local {
    /// Starts to load the model and returns at once. Requests wait for it; if it can't be loaded they fail, and the status says why.
    ///
    /// # Errors
    /// [`LanguageError::Unavailable`] if the configuration is out of bounds or the thread can't be started.
    pub fn start(
        config: LocalConfig,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn UsageLedger>,
    ) -> Result<Self, LanguageError> {
        check(&config)?;
        let shared = Arc::new(Shared {
            inbox: Inbox::new(config.waiting_max as usize),
            availability: Mutex::new(Availability::Loading),
            running: AtomicUsize::new(0),
        });
        let budget = Budget::new(&config.model, BudgetLimits::default(), Prices::default(), clock, ledger);
        let (of_thread, with) = (Arc::clone(&shared), config.clone());
        let thread = std::thread::Builder::new().name("llm-local".to_owned()).spawn(move || run(&with, &of_thread));
        let thread = thread.map_err(|e| LanguageError::unavailable(format!("its thread can't be started: {e}")))?;
        Ok(Self { config, shared, budget, counter: Counter::default(), thread: Some(thread) })
    }

    /// Blocks until the model is loaded or can't be.
    ///
    /// # Errors
    /// [`LanguageError::Unavailable`] with the reason.
    pub fn wait_until_loaded(&self) -> Result<(), LanguageError> {
        loop {
            match self.shared.availability.lock().clone() {
                Availability::Ready => return Ok(()),
                Availability::Unavailable { reason } => return Err(LanguageError::unavailable(reason)),
                Availability::Loading => {}
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn write(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        request.check()?;
        request.limits.check()?;
        let (sender, receiver) = told();
        self.shared.inbox.push(Ticket::Generate(request.clone(), sender))?;
        let generated = Generated { model: self.model(), ..wait(&receiver, &request.limits, on_piece)? };
        self.book(generated.usage);
        check_output(&generated, request.constraint.as_ref())?;
        Ok(generated)
    }

    fn score(&self, request: &ScoreRequest) -> Result<Scored, LanguageError> {
        request.check()?;
        request.limits.check()?;
        let (sender, receiver) = told();
        self.shared.inbox.push(Ticket::Score(request.clone(), sender))?;
        let scored = Scored { model: self.model(), ..wait(&receiver, &request.limits, &mut |_| {})? };
        self.book(scored.usage);
        Ok(scored)
    }

    fn book(&self, usage: TokenUsage) {
        if let Ok(mut reservation) = self.budget.reserve(TokenUsage::default()) {
            reservation.spent(usage);
        }
    }
}

impl LanguageModel for Local {
    fn model(&self) -> String {
        let adapter = self.config.adapter_folder.as_ref().and_then(|folder| folder.file_name());
        let adapter = adapter.map(|name| format!("+{}", name.to_string_lossy())).unwrap_or_default();
        format!("{}@{}{adapter}", self.config.model, self.config.version)
    }

    fn generate(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        self.counter.count(self.write(request, on_piece))
    }

    fn log_probabilities(&self, request: &ScoreRequest) -> Result<Scored, LanguageError> {
        self.counter.count(self.score(request))
    }
}

impl Runtime for Local {
    fn status(&self) -> RuntimeStatus {
        RuntimeStatus {
            name: self.config.model.clone(),
            kind: "local",
            model: self.model(),
            availability: self.shared.availability.lock().clone(),
            circuit: None,
            queued: self.shared.inbox.len(),
            queue_capacity: self.config.waiting_max as usize,
            running: self.shared.running.load(Ordering::Acquire),
            counts: self.counter.snapshot(),
            budget: self.budget.status().ok(),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shared.inbox.close("it is shut down");
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the local model {} had panicked", self.config.model);
        }
    }
}

/// Loads the model and serves until the inbox is closed. A panic costs what is being asked, and the model, never the program.
fn run(config: &LocalConfig, shared: &Shared) {
    let served = catch_unwind(AssertUnwindSafe(|| serve(config, shared)));
    let failure = served.unwrap_or_else(|_| Err(LanguageError::unavailable("its thread panicked; see the log")));
    let reason = match failure {
        Ok(()) => "it is shut down".to_owned(),
        Err(LanguageError::Unavailable { reason }) => reason,
        Err(other) => other.to_string(),
    };
    *shared.availability.lock() = Availability::Unavailable { reason: reason.clone() };
    shared.inbox.close(&reason);
}

fn serve(config: &LocalConfig, shared: &Shared) -> Result<(), LanguageError> {
    let unusable = |e: &dyn std::fmt::Display| LanguageError::unavailable(e.to_string());
    let mut decoder = Decoder::load(&config.path).map_err(|e| unusable(&e))?;
    if let Some(folder) = &config.adapter_folder {
        let adapter = Adapter::read(folder, decoder.shape()).map_err(|e| unusable(&e))?;
        decoder.adapt(Some(adapter)).map_err(|e| unusable(&e))?;
    }
    let worker = Worker::new(config, shared, decoder)?;
    let half = || std::thread::available_parallelism().map_or(1, |threads| threads.get().div_ceil(2));
    let threads = if config.threads == 0 { half() } else { config.threads as usize };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("llm-local-{n}")).build();
    let pool = pool.map_err(|e| unusable(&e))?;
    *shared.availability.lock() = Availability::Ready;
    pool.install(|| worker.serve());
    Ok(())
}

fn told<T>() -> (Sender<Told<T>>, Receiver<Told<T>>) {
    channel()
}

fn check(config: &LocalConfig) -> Result<(), LanguageError> {
    let rules = [
        ("parallel", config.parallel, 1, PARALLEL_MAX),
        ("prefixes", config.prefixes, 0, PREFIXES_MAX),
        ("batch_tokens", config.batch_tokens, 2 * config.parallel, 8_192),
        ("context_tokens", config.context_tokens, config.batch_tokens, 1_048_576),
        ("waiting_max", config.waiting_max, 1, 1_000_000),
    ];
    match rules.iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
        None => Ok(()),
        Some((name, value, min, max)) => Err(LanguageError::unavailable(format!(
            "{name} of {} is {value}; it has to be {min} to {max}",
            config.model
        ))),
    }
}
