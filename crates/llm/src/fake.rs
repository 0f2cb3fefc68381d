//! A deterministic model for tests: answers by rule or by hash, fails on demand, never waits longer than told.

use crate::status::{Availability, Counter, Runtime, RuntimeStatus};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use zhiyin_core::language::{
    Constraint, Continuation, Finish, GenerateRequest, Generated, LanguageError, LanguageModel, Limits, Message,
    ScoreRequest, Scored, TokenUsage,
};

/// How long the fake sleeps between looks at the deadline.
const STEP: Duration = Duration::from_millis(1);

type Reply = Result<String, LanguageError>;

/// Answers with queued replies first, then by the rule, then with an echo of the newest message.
pub struct Fake {
    name: String,
    delay: Duration,
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Vec<Message>>>,
    counter: Counter,
}

impl Fake {
    /// A fake that echoes at once.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            delay: Duration::ZERO,
            replies: Mutex::default(),
            requests: Mutex::default(),
            counter: Counter::default(),
        }
    }

    /// Takes this long for each answer.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers one of the next requests with this, in order.
    pub fn reply(&self, reply: Reply) {
        self.replies.lock().push_back(reply);
    }

    /// The chats that it was asked, in order.
    pub fn requests(&self) -> Vec<Vec<Message>> {
        self.requests.lock().clone()
    }

    fn answer(&self, messages: &[Message], limits: &Limits) -> Reply {
        self.requests.lock().push(messages.to_vec());
        self.sleep(limits)?;
        self.replies.lock().pop_front().unwrap_or_else(|| Ok(echo(messages)))
    }

    fn sleep(&self, limits: &Limits) -> Result<(), LanguageError> {
        let end = std::time::Instant::now() + self.delay;
        while std::time::Instant::now() < end {
            limits.check()?;
            std::thread::sleep(STEP);
        }
        limits.check()
    }
}

impl LanguageModel for Fake {
    fn model(&self) -> String {
        format!("{}@1", self.name)
    }

    fn generate(&self, request: &GenerateRequest, on_piece: &mut dyn FnMut(&str)) -> Result<Generated, LanguageError> {
        let answer = request.check().and_then(|()| self.answer(&request.messages, &request.limits));
        let whole = self.counter.count(answer.and_then(|text| constrained(text, request)))?;
        let words: Vec<&str> = whole.split_inclusive(' ').collect();
        let kept = &words[..words.len().min(request.tokens_max as usize)];
        kept.iter().for_each(|word| on_piece(word));
        Ok(Generated {
            text: kept.concat(),
            finish: if kept.len() < words.len() { Finish::Length } else { Finish::Stop },
            usage: usage(&request.messages, kept.len()),
            money: 0.0,
            model: self.model(),
        })
    }

    fn log_probabilities(&self, request: &ScoreRequest) -> Result<Scored, LanguageError> {
        let answer = request.check().and_then(|()| self.answer(&request.messages, &request.limits));
        self.counter.count(answer)?;
        let prefix = echo(&request.messages);
        let continuations: Vec<_> = request.continuations.iter().map(|part| score(&prefix, &part.text)).collect();
        let tokens = continuations.iter().map(|c| c.tokens as usize).sum();
        Ok(Scored { continuations, usage: usage(&request.messages, tokens), model: self.model() })
    }
}

impl Runtime for Fake {
    fn status(&self) -> RuntimeStatus {
        RuntimeStatus {
            name: self.name.clone(),
            kind: "fake",
            model: self.model(),
            availability: Availability::Ready,
            circuit: None,
            queued: 0,
            queue_capacity: 0,
            running: 0,
            counts: self.counter.snapshot(),
            budget: None,
        }
    }
}

fn echo(messages: &[Message]) -> String {
    messages.last().map(Message::content).unwrap_or_default()
}

/// A schema is answered with an empty object, unless a reply was queued that is JSON.
fn constrained(text: String, request: &GenerateRequest) -> Reply {
    let wants_json = matches!(request.constraint, Some(Constraint::JsonSchema(_)));
    let is_json = serde_json::from_str::<serde_json::Value>(&text).is_ok();
    Ok(if wants_json && !is_json { "{}".to_owned() } else { text })
}

fn usage(messages: &[Message], completion: usize) -> TokenUsage {
    let prompt = messages.iter().map(|m| m.content().split_whitespace().count() as u64).sum();
    TokenUsage { prompt, cached: 0, completion: completion as u64 }
}

/// A made-up but fixed log-probability: −1 to −2 per word, by hash.
fn score(prefix: &str, text: &str) -> Continuation {
    let tokens = text.split_whitespace().count().max(1) as u32;
    let hash = blake3::hash(format!("{prefix}\u{0}{text}").as_bytes());
    let fraction = f64::from(hash.as_bytes()[0]) / 255.0;
    Continuation { log_probability: -f64::from(tokens) * (1.0 + fraction), tokens }
}
