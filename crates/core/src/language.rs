//! The port to language models: what may be asked, what comes back, and how it fails. Runtimes live in the crate `llm`.
//!
//! Calls block the thread that makes them until the answer, the deadline or the cancellation, whichever comes first; asynchronous code
//! calls them from a thread of its own. Nothing here knows a prompt, a tokenizer or a network.

mod failure;
mod ports;
mod request;

pub use failure::{BudgetKind, LanguageError};
pub use ports::{
    CacheStatus, DayUsage, JobRecord, JobState, JobStore, JobTask, KeepError, ResultCache, ResultKey, UsageLedger,
};
pub use request::{
    Cancellation, Constraint, Continuation, Field, GenerateRequest, Limits, Message, Part, Priority, Role, ScoreRequest,
};

use serde::{Deserialize, Serialize};

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said that it is done, or the grammar allows nothing more.
    Stop,
    /// `tokens_max` was reached: the text may be cut.
    Length,
}

/// Tokens that a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Tokens of the prompt, those taken from a cache included.
    pub prompt: u64,
    /// Tokens of the prompt that needed no computation, since an earlier request shared them.
    pub cached: u64,
    /// Tokens generated, or scored.
    pub completion: u64,
}

impl TokenUsage {
    /// Prompt and completion together: what budgets count.
    pub fn total(&self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

impl std::ops::AddAssign for TokenUsage {
    fn add_assign(&mut self, other: Self) {
        self.prompt += other.prompt;
        self.cached += other.cached;
        self.completion += other.completion;
    }
}

/// A finished generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The whole text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it took.
    pub usage: TokenUsage,
    /// What that cost, in the currency of the configured prices.
    #[serde(default)]
    pub money: f64,
    /// Name and version of the model that wrote it.
    pub model: String,
}

/// How likely the given continuations are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// One per continuation, in the order of the request.
    pub continuations: Vec<Continuation>,
    /// What it took.
    pub usage: TokenUsage,
    /// Name and version of the model that scored.
    pub model: String,
}

/// A language model that answers.
pub trait LanguageModel: Send + Sync {
    /// Name and version of the model behind it, as stored with everything it produces.
    fn model(&self) -> String;

    /// Writes a continuation of a chat. `on_piece` gets the text as it comes, in order; joined, the pieces are [`Generated::text`].
    /// After an error, the pieces given so far are worthless to callers that wanted the whole.
    ///
    /// # Errors
    /// See [`LanguageError`]; the deadline is never passed by more than the time of one step of the runtime.
    fn generate(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError>;

    /// Natural logarithms of the probabilities of given continuations after a shared prefix, without writing anything.
    ///
    /// # Errors
    /// See [`LanguageError`]; [`LanguageError::Unsupported`] where a runtime can't.
    fn log_probabilities(&self, request: &ScoreRequest) -> Result<Scored, LanguageError>;
}
