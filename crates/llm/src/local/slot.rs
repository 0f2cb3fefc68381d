//! A request being worked on.

use crate::local::chooser::Chooser;
use crate::waiting::Told;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use zhiyin_core::language::{
    Continuation, Finish, GenerateRequest, Generated, LanguageError, Limits, ScoreRequest, Scored, TokenUsage,
};
use zhiyin_decoder::{Decoder, Memory, Past};

/// A request with its prompt.
pub(super) struct Slot {
    pub(super) prompt: Vec<u32>,
    /// What of the prompt, and of what was written after it, was read.
    pub(super) memory: Memory,
    /// Tokens of memory that it may take.
    pub(super) reserved: usize,
    /// Tokens of the prompt that an earlier request had read.
    pub(super) cached: usize,
    pub(super) task: Task,
}

/// What is to be done after the prompt.
pub(super) enum Task {
    Write(Box<Writing>),
    Score(Scoring),
}

impl Slot {
    pub(super) fn limits(&self) -> &Limits {
        match &self.task {
            Task::Write(writing) => &writing.request.limits,
            Task::Score(scoring) => &scoring.request.limits,
        }
    }

    /// Whether all of the prompt was read.
    pub(super) fn is_read(&self) -> bool {
        self.memory.tokens() >= self.prompt.len()
    }

    pub(super) fn fail(self, error: LanguageError) {
        match self.task {
            Task::Write(writing) => drop(writing.sender.send(Told::Done(Err(error)))),
            Task::Score(scoring) => drop(scoring.sender.send(Told::Done(Err(error)))),
        }
    }

    /// Makes what was read a past that others may share. It has to be read as a whole.
    pub(super) fn share(&mut self) -> Arc<Past> {
        let past = Arc::new(std::mem::take(&mut self.memory).into_own());
        self.memory = Memory::after(Arc::clone(&past));
        past
    }

    pub(super) fn usage(&self, completion: usize) -> TokenUsage {
        TokenUsage { prompt: self.prompt.len() as u64, cached: self.cached as u64, completion: completion as u64 }
    }
}

/// A text being written.
pub(super) struct Writing {
    pub(super) request: GenerateRequest,
    pub(super) sender: Sender<Told<Generated>>,
    pub(super) chooser: Chooser,
    /// Chosen, but not read yet.
    pub(super) next: Option<u32>,
    pub(super) written: usize,
    text: String,
    /// Bytes of a character that isn't whole yet.
    pending: Vec<u8>,
}

impl Writing {
    pub(super) fn new(request: GenerateRequest, sender: Sender<Told<Generated>>, chooser: Chooser) -> Self {
        Self { request, sender, chooser, next: None, written: 0, text: String::new(), pending: Vec::new() }
    }

    /// Goes on by one token. Returns how it ended, if it did.
    pub(super) fn advance(&mut self, decoder: &Decoder, logits: &mut [f32]) -> Result<Option<Finish>, LanguageError> {
        let tokens = decoder.tokens();
        let chosen = self.chooser.choose(logits)?;
        // What steers has no text: an end, or nonsense that is as good as one.
        let Some(token) = chosen.filter(|token| *token != tokens.end() && !tokens.bytes(*token).is_empty()) else {
            return Ok(Some(Finish::Stop));
        };
        self.written += 1;
        self.pending.extend_from_slice(tokens.bytes(token));
        let whole = match std::str::from_utf8(&self.pending) {
            Ok(text) => text.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            // No character at all, whatever comes.
            Err(_) => self.pending.len(),
        };
        let piece = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        self.text.push_str(&piece);
        if !piece.is_empty() {
            // Fails only if nobody listens, which the limits tell.
            let _ = self.sender.send(Told::Piece(piece));
        }
        self.next = Some(token);
        Ok((self.written >= self.request.tokens_max as usize).then_some(Finish::Length))
    }

    pub(super) fn finish(self, finish: Finish, usage: TokenUsage) {
        let generated = Generated { text: self.text, finish, usage, money: 0.0, model: String::new() };
        let _ = self.sender.send(Told::Done(Ok(generated)));
    }
}

/// Continuations being scored.
pub(super) struct Scoring {
    pub(super) request: ScoreRequest,
    pub(super) sender: Sender<Told<Scored>>,
    pub(super) continuations: Vec<Vec<u32>>,
    /// The prompt, once it was read.
    pub(super) past: Option<Arc<Past>>,
    /// Logarithms of the probabilities of all tokens after the prompt.
    pub(super) first: Vec<f32>,
    pub(super) scored: Vec<Continuation>,
}

impl Scoring {
    pub(super) fn finish(self, usage: TokenUsage) {
        let scored = Scored { continuations: self.scored, usage, model: String::new() };
        let _ = self.sender.send(Told::Done(Ok(scored)));
    }
}
