//! One attempt: the request, and the reading of its answer.

use crate::budget::Reservation;
use crate::circuit::Outcome;
use crate::remote::endpoint::{Call, Endpoint, Reply};
use crate::remote::failure::{Again, Failed, retry_after};
use crate::remote::sse::Events;
use crate::remote::wire::{ChatChunk, EmbeddingsAnswer, estimate_text, finish};
use crate::waiting::Told;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use std::time::Duration;
use zhiyin_core::language::{Finish, LanguageError, TokenUsage};

/// Bytes of a whole answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of an answer that only says what went wrong.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;

/// Asks once, under the circuit, the pace, the budget and the time of one attempt.
pub(super) async fn attempt(endpoint: &Endpoint, call: &Call) -> Result<Reply, Failed> {
    endpoint.pace().await;
    let permit = endpoint.circuit.admit().map_err(Failed::own)?;
    let mut reservation = endpoint.budget.reserve(call.estimate).map_err(Failed::own)?;
    let span = Duration::from_millis(endpoint.config.attempt_ms.into());
    let begun = std::sync::atomic::AtomicBool::new(false);
    let exchanged = tokio::time::timeout(span, exchange(endpoint, call, &mut reservation, &begun)).await;
    let result = exchanged.unwrap_or_else(|_| Err(too_slow(span).unless_begun(begun.load(ORDER))));
    permit.end(result.as_ref().map_or_else(|failed| failed.outcome, |_| Outcome::Success));
    result.map_err(|failed| endpoint.scrubbed(failed))
}

const ORDER: std::sync::atomic::Ordering = std::sync::atomic::Ordering::Relaxed;

fn too_slow(span: Duration) -> Failed {
    Failed::passing(LanguageError::unavailable(format!("the endpoint took longer than {} ms", span.as_millis())))
}

async fn exchange(
    endpoint: &Endpoint,
    call: &Call,
    reservation: &mut Reservation,
    begun: &std::sync::atomic::AtomicBool,
) -> Result<Reply, Failed> {
    let response = endpoint.send(call).await.map_err(Failed::from_transport)?;
    if !response.status().is_success() {
        return Err(refusal(endpoint, response).await);
    }
    reservation.spent(TokenUsage { completion: 0, ..call.estimate });
    let Some(pieces) = &call.pieces else { return embeddings(response, call, reservation).await };
    let mut chat = Chat {
        pieces,
        reservation,
        prompt: call.estimate.prompt,
        text: String::new(),
        finish: None,
        usage: None,
        begun,
    };
    let read = chat.read(response).await;
    read.and_then(|()| chat.end()).map_err(|failed| failed.unless_begun(begun.load(ORDER)))
}

async fn refusal(endpoint: &Endpoint, response: Response) -> Failed {
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after(value, endpoint.now_ms()));
    let body = read_whole(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    Failed::from_status(status, &String::from_utf8_lossy(&body), wait)
}

async fn embeddings(response: Response, call: &Call, reservation: &mut Reservation) -> Result<Reply, Failed> {
    let body = read_whole(response, ANSWER_BYTES_MAX).await?;
    let answer: EmbeddingsAnswer = serde_json::from_slice(&body).map_err(|e| not_json(&e))?;
    reservation.spent(answer.usage.map_or(call.estimate, TokenUsage::from));
    let mut rows = answer.data;
    rows.sort_by_key(|row| row.index);
    Ok(Reply::Vectors(rows.into_iter().map(|row| row.embedding).collect()))
}

async fn read_whole(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failed::from_transport)? {
        body.extend_from_slice(&chunk);
        if body.len() > bytes_max {
            return Err(too_long());
        }
    }
    Ok(body)
}

fn too_long() -> Failed {
    let error = LanguageError::invalid_output(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
    Failed { again: Again::Never, ..Failed::passing(error) }
}

fn not_json(error: &serde_json::Error) -> Failed {
    Failed::passing(LanguageError::invalid_output(format!(
        "the endpoint's answer isn't the JSON it should be: {error}"
    )))
}

/// A chat completion while it is read.
struct Chat<'a> {
    pieces: &'a std::sync::mpsc::Sender<Told<Reply>>,
    reservation: &'a mut Reservation,
    prompt: u64,
    text: String,
    finish: Option<Finish>,
    usage: Option<TokenUsage>,
    begun: &'a std::sync::atomic::AtomicBool,
}

impl Chat<'_> {
    /// Servers that don't stream answer with one JSON object.
    async fn read(&mut self, response: Response) -> Result<(), Failed> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            let body = read_whole(response, ANSWER_BYTES_MAX).await?;
            return self.chunk(&String::from_utf8_lossy(&body));
        }
        self.read_stream(response).await
    }

    async fn read_stream(&mut self, mut response: Response) -> Result<(), Failed> {
        let mut events = Events::default();
        while let Some(bytes) = response.chunk().await.map_err(Failed::from_transport)? {
            for data in events.push(&bytes).map_err(|_| too_long())? {
                if data.trim() == "[DONE]" {
                    return Ok(());
                }
                self.chunk(&data)?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, data: &str) -> Result<(), Failed> {
        let chunk: ChatChunk = serde_json::from_str(data).map_err(|e| not_json(&e))?;
        if let Some(error) = chunk.error {
            return Err(Failed::passing(LanguageError::unavailable(format!("the endpoint reported {error}"))));
        }
        for choice in chunk.choices.into_iter().take(1) {
            self.finish = choice.finish_reason.as_deref().map(finish).or(self.finish);
            self.take(choice.delta.and_then(|delta| delta.content).unwrap_or_default())?;
        }
        self.usage = chunk.usage.map(TokenUsage::from).or(self.usage);
        Ok(())
    }

    fn take(&mut self, piece: String) -> Result<(), Failed> {
        if piece.is_empty() {
            return Ok(());
        }
        self.text.push_str(&piece);
        if self.text.len() > ANSWER_BYTES_MAX {
            return Err(too_long());
        }
        self.reservation.spent(self.used());
        self.begun.store(true, ORDER);
        self.pieces.send(Told::Piece(piece)).map_err(|_| Failed::own(LanguageError::Cancelled))
    }

    fn used(&self) -> TokenUsage {
        let estimate = TokenUsage { prompt: self.prompt, cached: 0, completion: estimate_text(&self.text) };
        self.usage.unwrap_or(estimate)
    }

    /// A stream that ends without a reason was cut.
    fn end(&mut self) -> Result<Reply, Failed> {
        let usage = self.used();
        self.reservation.spent(usage);
        let cut = || Failed::passing(LanguageError::unavailable("the endpoint's answer was cut off"));
        let finish = self.finish.ok_or_else(cut)?;
        Ok(Reply::Text { text: std::mem::take(&mut self.text), finish, usage })
    }
}
