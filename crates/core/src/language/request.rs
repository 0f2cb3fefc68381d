//! What a language model is asked.

use crate::language::LanguageError;
use crate::limits::{CONTINUATIONS_MAX, GENERATED_TOKENS_MAX, GRAMMAR_BYTES_MAX, MESSAGES_MAX, PROMPT_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The rules of the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// As chat templates and the OpenAI interface write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// What a piece of data in a prompt is, so that a remote runtime can be told which kinds may leave the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Field {
    /// Title of an item.
    #[serde(rename = "item.title")]
    ItemTitle,
    /// Brand of an item.
    #[serde(rename = "item.brand")]
    ItemBrand,
    /// Categories and tags of an item.
    #[serde(rename = "item.categories")]
    ItemCategories,
    /// Description of an item.
    #[serde(rename = "item.description")]
    ItemDescription,
    /// Price of an item.
    #[serde(rename = "item.price")]
    ItemPrice,
    /// Any other attribute of an item.
    #[serde(rename = "item.attributes")]
    ItemAttributes,
    /// Text of a review or comment.
    #[serde(rename = "review.text")]
    ReviewText,
    /// What a user did: titles of the items in a history.
    #[serde(rename = "user.history")]
    UserHistory,
    /// What a user typed.
    #[serde(rename = "user.query")]
    UserQuery,
    /// What is stored about a user.
    #[serde(rename = "user.profile")]
    UserProfile,
    /// Why an item was recommended to a user.
    #[serde(rename = "user.reasons")]
    UserReasons,
}

impl Field {
    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::ItemTitle => "item.title",
            Self::ItemBrand => "item.brand",
            Self::ItemCategories => "item.categories",
            Self::ItemDescription => "item.description",
            Self::ItemPrice => "item.price",
            Self::ItemAttributes => "item.attributes",
            Self::ReviewText => "review.text",
            Self::UserHistory => "user.history",
            Self::UserQuery => "user.query",
            Self::UserProfile => "user.profile",
            Self::UserReasons => "user.reasons",
        }
    }
}

/// A stretch of a message: written by us, or data of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The kind of data; none for text that is part of a template.
    pub field: Option<Field>,
    /// The text.
    pub text: String,
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text, in order; joined without anything between.
    pub parts: Vec<Part>,
}

impl Message {
    /// A message with text of ours, or nothing.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part { field: None, text: text.into() }] }
    }

    /// Adds text of ours.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part { field: None, text: text.into() });
        self
    }

    /// Adds data, saying what it is.
    #[must_use]
    pub fn data(mut self, field: Field, text: impl Into<String>) -> Self {
        self.parts.push(Part { field: Some(field), text: text.into() });
        self
    }

    /// The whole text.
    pub fn content(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }
}

/// What the output has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// A GBNF grammar whose start symbol is `root`.
    Grammar(String),
    /// A JSON schema, as JSON text.
    JsonSchema(String),
}

/// Which of two waiting requests goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Work that nobody waits for.
    #[default]
    Background,
    /// Somebody waits.
    Interactive,
}

/// Takes a request back: clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Takes the request back, now and for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was taken back.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How long a request may take, and who comes first. No part of what is asked, so caches ignore it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// When the answer is worthless. Without one, only cancellation ends a request early.
    pub deadline: Option<Instant>,
    /// The caller's way to stop it.
    pub cancellation: Cancellation,
    /// Who comes first.
    pub priority: Priority,
}

impl Limits {
    /// Interactive, and over after `span`.
    pub fn within(span: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(span), priority: Priority::Interactive, ..Self::default() }
    }

    /// Fails once the request is cancelled or late.
    ///
    /// # Errors
    /// [`LanguageError::Cancelled`] or [`LanguageError::DeadlinePassed`].
    pub fn check(&self) -> Result<(), LanguageError> {
        if self.cancellation.is_cancelled() {
            return Err(LanguageError::Cancelled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(LanguageError::DeadlinePassed);
        }
        Ok(())
    }
}

/// A text to be written.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// The chat so far.
    pub messages: Vec<Message>,
    /// Tokens to write at most.
    pub tokens_max: u32,
    /// 0 always takes the likeliest token; 1 draws from the model's own distribution.
    pub temperature: f32,
    /// Of the draws. The same request with the same seed gives the same text on a local runtime.
    pub seed: u32,
    /// What the output has to be.
    pub constraint: Option<Constraint>,
    /// How long it may take.
    pub limits: Limits,
}

impl GenerateRequest {
    /// A request at temperature 0 without constraint or deadline.
    pub fn new(messages: Vec<Message>, tokens_max: u32) -> Self {
        Self { messages, tokens_max, temperature: 0.0, seed: 0, constraint: None, limits: Limits::default() }
    }

    /// Checks sizes and numbers against the named limits.
    ///
    /// # Errors
    /// [`LanguageError::InvalidRequest`] with the rule that is broken.
    pub fn check(&self) -> Result<(), LanguageError> {
        check_messages(&self.messages)?;
        bound("tokens_max", self.tokens_max as usize, 1, GENERATED_TOKENS_MAX as usize)?;
        if !(0.0..=2.0).contains(&self.temperature) {
            return Err(LanguageError::invalid_request(format!("temperature {} is outside 0 to 2", self.temperature)));
        }
        match &self.constraint {
            Some(Constraint::Grammar(text) | Constraint::JsonSchema(text)) => {
                bound("bytes of the grammar or schema", text.len(), 1, GRAMMAR_BYTES_MAX)
            }
            None => Ok(()),
        }
    }
}

/// Continuations to be scored after a shared prefix.
#[derive(Clone, Debug)]
pub struct ScoreRequest {
    /// The chat that comes before.
    pub messages: Vec<Message>,
    /// What the model might say next, each non-empty.
    pub continuations: Vec<Part>,
    /// How long it may take.
    pub limits: Limits,
}

impl ScoreRequest {
    /// Checks sizes against the named limits.
    ///
    /// # Errors
    /// [`LanguageError::InvalidRequest`] with the rule that is broken.
    pub fn check(&self) -> Result<(), LanguageError> {
        check_messages(&self.messages)?;
        bound("continuations", self.continuations.len(), 1, CONTINUATIONS_MAX)?;
        self.continuations.iter().try_for_each(|c| bound("bytes of a continuation", c.text.len(), 1, PROMPT_BYTES_MAX))
    }
}

/// How likely one continuation is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
    /// Natural logarithm of the probability of all its tokens, each given those before it.
    pub log_probability: f64,
    /// Its tokens.
    pub tokens: u32,
}

fn check_messages(messages: &[Message]) -> Result<(), LanguageError> {
    bound("messages", messages.len(), 1, MESSAGES_MAX)?;
    let bytes = messages.iter().flat_map(|message| &message.parts).map(|part| part.text.len()).sum();
    bound("bytes of all messages", bytes, 1, PROMPT_BYTES_MAX)
}

fn bound(what: &str, value: usize, min: usize, max: usize) -> Result<(), LanguageError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(LanguageError::invalid_request(format!("{what}: {value} is outside {min} to {max}")))
}
