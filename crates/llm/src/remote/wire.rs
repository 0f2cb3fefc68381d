//! The JSON of the OpenAI interface: chat completions and embeddings.

use crate::remote::config::RemoteConfig;
use crate::validate::parse_schema;
use serde::Deserialize;
use serde_json::{Value, json};
use zhiyin_core::language::{Constraint, Finish, GenerateRequest, LanguageError, Message, Part, TokenUsage};

/// Bytes of text per token, low enough that estimates rather exceed what is billed.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens that wrap a message.
const TOKENS_PER_MESSAGE: u64 = 8;

/// One piece of a streamed chat completion, or a whole one.
#[derive(Debug, Deserialize)]
pub(super) struct ChatChunk {
    #[serde(default)]
    pub choices: Vec<Choice>,
    pub usage: Option<WireUsage>,
    pub error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(alias = "message")]
    pub delta: Option<Delta>,
    pub finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta {
    pub content: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct WireUsage {
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
    pub prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct PromptDetails {
    #[serde(default)]
    pub cached_tokens: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct EmbeddingsAnswer {
    pub data: Vec<EmbeddingRow>,
    pub usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct EmbeddingRow {
    pub index: usize,
    pub embedding: Vec<f32>,
}

impl From<WireUsage> for TokenUsage {
    fn from(usage: WireUsage) -> Self {
        let cached = usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens);
        Self { prompt: usage.prompt_tokens, cached, completion: usage.completion_tokens }
    }
}

/// The body of a chat completion.
pub(super) fn chat_body(config: &RemoteConfig, request: &GenerateRequest) -> Result<Value, LanguageError> {
    let messages: Vec<Value> =
        request.messages.iter().map(|m| json!({"role": m.role.name(), "content": m.content()})).collect();
    let mut body = json!({
        "model": config.model, "messages": messages, "temperature": request.temperature, "seed": request.seed,
        "stream": true, "stream_options": {"include_usage": true},
    });
    body[&config.tokens_parameter] = json!(request.tokens_max);
    match &request.constraint {
        None => {}
        Some(Constraint::JsonSchema(schema)) => body["response_format"] = response_format(schema)?,
        Some(Constraint::Grammar(grammar)) if config.grammar => body["grammar"] = json!(grammar),
        Some(Constraint::Grammar(_)) => return Err(no_grammar(config)),
    }
    Ok(body)
}

fn response_format(schema: &str) -> Result<Value, LanguageError> {
    let schema = parse_schema(schema)?;
    Ok(json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema": schema}}))
}

fn no_grammar(config: &RemoteConfig) -> LanguageError {
    LanguageError::Unsupported {
        runtime: config.name.clone(),
        reason: "it takes JSON schemas, not grammars; set grammar = true if the server understands GBNF".to_owned(),
    }
}

/// The body of a request for embeddings.
pub(super) fn embeddings_body(model: &str, texts: &[Part]) -> Value {
    let input: Vec<&str> = texts.iter().map(|part| part.text.as_str()).collect();
    json!({"model": model, "input": input, "encoding_format": "float"})
}

/// Tokens of a chat, estimated without its tokenizer.
pub(super) fn estimate_chat(messages: &[Message]) -> u64 {
    messages.iter().map(|message| TOKENS_PER_MESSAGE + estimate_text(&message.content())).sum()
}

/// Tokens of a text, estimated without its tokenizer.
pub(super) fn estimate_text(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

/// Why a completion ended, by the word of the server.
pub(super) fn finish(reason: &str) -> Finish {
    if reason == "length" { Finish::Length } else { Finish::Stop }
}
