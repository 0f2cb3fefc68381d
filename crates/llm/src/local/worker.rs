//! The loop of the model's thread: requests are taken in, a step is put together and computed, results are read.

use crate::local::chooser::{Chooser, Grammars};
use crate::local::prefixes::Prefixes;
use crate::local::prompt::chat_tokens;
use crate::local::slot::{Scoring, Slot, Task, Writing};
use crate::local::ticket::Ticket;
use crate::local::{LocalConfig, Shared};
use std::ops::Range;
use std::sync::atomic::Ordering;
use zhiyin_core::language::{Continuation, LanguageError, ScoreRequest};
use zhiyin_decoder::{Decoder, Memory, Run};

/// Tokens of a continuation at most.
const CONTINUATION_TOKENS_MAX: usize = 128;
/// Rows of logits of one step; each takes memory of the size of the vocabulary.
const LOGITS_MAX: usize = 192;

/// The model's thread.
pub(super) struct Worker<'a> {
    config: &'a LocalConfig,
    shared: &'a Shared,
    decoder: Decoder,
    grammars: Grammars,
    slots: Vec<Slot>,
    prefixes: Prefixes,
    /// Taken from the queue, but too large for the memory that is free.
    held: Option<(Ticket, Vec<u32>, usize)>,
}

/// What one slot adds to a step.
enum Part {
    /// A stretch of its prompt, or the token that was written last.
    Own(Range<usize>),
    /// Some of its continuations.
    Continuations(Range<usize>),
}

impl<'a> Worker<'a> {
    pub(super) fn new(config: &'a LocalConfig, shared: &'a Shared, decoder: Decoder) -> Result<Self, LanguageError> {
        let grammars = Grammars::new(decoder.tokens())?;
        let prefixes = Prefixes::new(config.prefixes as usize);
        Ok(Self { config, shared, decoder, grammars, slots: Vec::new(), prefixes, held: None })
    }

    /// Works until the inbox is closed.
    pub(super) fn serve(mut self) {
        while !self.shared.inbox.is_closed() {
            self.drop_unwanted();
            self.admit();
            self.shared.running.store(self.slots.len(), Ordering::Release);
            if self.slots.is_empty() {
                self.shared.inbox.wait();
            } else {
                self.step();
            }
        }
        let down = || LanguageError::unavailable("it is shut down");
        self.slots.drain(..).for_each(|slot| slot.fail(down()));
        if let Some((ticket, ..)) = self.held.take() {
            ticket.fail(down());
        }
    }

    fn drop_unwanted(&mut self) {
        for at in (0..self.slots.len()).rev() {
            if let Err(e) = self.slots[at].limits().check() {
                self.slots.swap_remove(at).fail(e);
            }
        }
        self.held.take_if(|(ticket, ..)| !ticket.is_wanted());
    }

    /// Takes requests in while there is a place and memory for them, in the order of the queue.
    fn admit(&mut self) {
        while self.slots.len() < self.config.parallel as usize {
            let next = self.held.take().or_else(|| {
                let ticket = self.shared.inbox.pop()?;
                Some((ticket, Vec::new(), 0))
            });
            let Some((ticket, prompt, reserved)) = next else { return };
            let sized = if prompt.is_empty() { self.size(&ticket) } else { Ok((prompt, reserved)) };
            match sized {
                Err(e) => ticket.fail(e),
                Ok((prompt, reserved)) if !self.make_room(reserved) => {
                    self.held = Some((ticket, prompt, reserved));
                    return;
                }
                Ok((prompt, reserved)) => self.occupy(ticket, prompt, reserved),
            }
        }
    }

    /// The tokens of the prompt, and the tokens of memory that the request may take.
    fn size(&self, ticket: &Ticket) -> Result<(Vec<u32>, usize), LanguageError> {
        let (messages, extra) = match ticket {
            Ticket::Generate(request, _) => (&request.messages, request.tokens_max as usize),
            Ticket::Score(request, _) => (&request.messages, self.config.batch_tokens as usize),
        };
        let prompt = chat_tokens(&self.decoder, messages);
        let most = (self.config.context_tokens as usize).min(self.decoder.shape().context);
        if prompt.is_empty() || prompt.len() + extra > most {
            return Err(LanguageError::invalid_request(format!(
                "{} tokens of prompt and {extra} to come don't fit into the context of {most}; shorten the prompt",
                prompt.len(),
            )));
        }
        let reserved = prompt.len() + extra;
        Ok((prompt, reserved))
    }

    /// Gives up kept beginnings until these tokens fit. Returns false if they don't even then.
    fn make_room(&mut self, tokens: usize) -> bool {
        let most = self.config.context_tokens as usize;
        let wanted = tokens + self.slots.iter().map(|slot| slot.reserved).sum::<usize>();
        while wanted <= most && wanted + self.prefixes.tokens() > most && self.prefixes.evict() {}
        wanted <= most
    }

    fn occupy(&mut self, ticket: Ticket, prompt: Vec<u32>, reserved: usize) {
        let task = match ticket {
            Ticket::Generate(request, sender) => match Chooser::new(&self.grammars, &request, &self.config.model) {
                Ok(chooser) => Task::Write(Box::new(Writing::new(request, sender, chooser))),
                Err(e) => return Ticket::Generate(request, sender).fail(e),
            },
            Ticket::Score(request, sender) => match self.continuations(&request) {
                Ok(continuations) => Task::Score(Scoring {
                    request,
                    sender,
                    continuations,
                    past: None,
                    first: Vec::new(),
                    scored: Vec::new(),
                }),
                Err(e) => return Ticket::Score(request, sender).fail(e),
            },
        };
        let past = self.prefixes.find(&prompt);
        let memory = past.map_or_else(Memory::default, Memory::from);
        self.slots.push(Slot { cached: memory.tokens(), prompt, memory, reserved, task });
    }

    fn continuations(&self, request: &ScoreRequest) -> Result<Vec<Vec<u32>>, LanguageError> {
        let longest = CONTINUATION_TOKENS_MAX.min(self.config.batch_tokens as usize / 2);
        let tokens: Vec<_> = request.continuations.iter().map(|part| self.decoder.tokens().of(&part.text)).collect();
        match tokens.iter().find(|tokens| tokens.is_empty() || tokens.len() > longest) {
            None => Ok(tokens),
            Some(bad) => Err(LanguageError::invalid_request(format!(
                "a continuation has {} tokens; it has to be 1 to {longest}",
                bad.len()
            ))),
        }
    }

    fn step(&mut self) {
        let mut parts = self.plan();
        let mut scratch: Vec<Vec<Memory>> = self.scratch(&parts);
        let mut runs = Vec::new();
        let slots = self.slots.iter_mut().zip(&parts).zip(&mut scratch);
        for ((slot, part), scratch) in slots {
            let Slot { prompt, memory, task, .. } = slot;
            match (part, task) {
                (Some(Part::Continuations(range)), Task::Score(scoring)) => {
                    for (tokens, memory) in scoring.continuations[range.clone()].iter().zip(scratch) {
                        if let [before @ .., _] = tokens.as_slice()
                            && !before.is_empty()
                        {
                            runs.push(Run { tokens: before, memory, wanted_from: 0 });
                        }
                    }
                }
                (Some(Part::Own(_)), Task::Write(writing)) if writing.next.is_some() => {
                    let tokens = writing.next.as_slice();
                    runs.push(Run { tokens, memory, wanted_from: 0 });
                }
                (Some(Part::Own(range)), _) => {
                    let tokens = &prompt[range.clone()];
                    let is_last = range.end == prompt.len();
                    runs.push(Run { tokens, memory, wanted_from: tokens.len() - usize::from(is_last) });
                }
                (Some(Part::Continuations(_)) | None, _) => {}
            }
        }
        let states = if runs.is_empty() { Vec::new() } else { self.decoder.read(&mut runs) };
        drop(runs);
        self.read(&mut parts, &states);
    }

    /// Texts being written first: one token each always fits. Then continuations, then prompts, the first ones first.
    fn plan(&self) -> Vec<Option<Part>> {
        let mut room = self.config.batch_tokens as usize;
        let mut rows = LOGITS_MAX;
        let mut parts: Vec<Option<Part>> = self.slots.iter().map(|_| None).collect();
        for (slot, part) in self.slots.iter().zip(&mut parts) {
            if slot.is_read() && matches!(slot.task, Task::Write(_)) {
                (room, rows) = (room.saturating_sub(1), rows.saturating_sub(1));
                *part = Some(Part::Own(0..0));
            }
        }
        for (slot, part) in self.slots.iter().zip(&mut parts) {
            if let (true, Task::Score(scoring)) = (slot.is_read(), &slot.task) {
                let first = scoring.scored.len();
                let mut last = first;
                for tokens in &scoring.continuations[first..] {
                    let takes = tokens.len() - 1;
                    if takes > room || takes > rows {
                        break;
                    }
                    (room, rows, last) = (room - takes, rows - takes, last + 1);
                }
                *part = (last > first).then_some(Part::Continuations(first..last));
            }
        }
        for (slot, part) in self.slots.iter().zip(&mut parts) {
            let done = slot.memory.tokens();
            if !slot.is_read() && room > 0 {
                let end = slot.prompt.len().min(done + room);
                room -= end - done;
                *part = Some(Part::Own(done..end));
            }
        }
        parts
    }

    /// A memory after the prompt for each continuation of the step.
    fn scratch(&self, parts: &[Option<Part>]) -> Vec<Vec<Memory>> {
        let memories = |(slot, part): (&Slot, &Option<Part>)| match (part, &slot.task) {
            (Some(Part::Continuations(range)), Task::Score(Scoring { past: Some(past), .. })) => {
                range.clone().map(|_| Memory::after(past.clone())).collect()
            }
            _ => Vec::new(),
        };
        self.slots.iter().zip(parts).map(memories).collect()
    }

    /// Hands the states of a step out, in the order of its runs.
    fn read(&mut self, parts: &mut [Option<Part>], states: &[f32]) {
        let (hidden, vocabulary) = (self.decoder.shape().hidden, self.decoder.shape().vocabulary);
        let mut logits = self.decoder.logits(states);
        debug_assert_eq!(logits.len() / vocabulary, states.len() / hidden);
        let mut rows = logits.chunks_exact_mut(vocabulary);
        let mut over = Vec::new();
        for (at, part) in parts.iter_mut().enumerate() {
            let slot = &mut self.slots[at];
            match part.take() {
                Some(Part::Own(_)) if slot.is_read() => {
                    let Some(row) = rows.next() else { continue };
                    let is_new = matches!(&slot.task, Task::Write(writing) if writing.written == 0)
                        || matches!(slot.task, Task::Score(_));
                    if is_new {
                        let past = slot.share();
                        self.prefixes.keep(&slot.prompt, &past);
                        if let Task::Score(scoring) = &mut slot.task {
                            self.decoder.log_probabilities(row);
                            (scoring.past, scoring.first) = (Some(past), row.to_vec());
                        }
                    }
                    if let Task::Write(writing) = &mut slot.task {
                        match writing.advance(&self.decoder, row) {
                            Ok(None) => {}
                            Ok(Some(finish)) => over.push((at, Ok(Some(finish)))),
                            Err(e) => over.push((at, Err(e))),
                        }
                    }
                }
                Some(Part::Continuations(range)) => {
                    let Task::Score(scoring) = &mut slot.task else { continue };
                    for tokens in &scoring.continuations[range] {
                        let mut sum = f64::from(scoring.first[tokens[0] as usize]);
                        for (&token, row) in tokens[1..].iter().zip(rows.by_ref()) {
                            self.decoder.log_probabilities(row);
                            sum += f64::from(row[token as usize]);
                        }
                        let scored = Continuation { log_probability: sum, tokens: tokens.len() as u32 };
                        scoring.scored.push(scored);
                    }
                    if scoring.scored.len() == scoring.continuations.len() {
                        over.push((at, Ok(None)));
                    }
                }
                Some(Part::Own(_)) | None => {}
            }
        }
        for (at, how) in over.into_iter().rev() {
            let slot = self.slots.swap_remove(at);
            match how {
                Err(e) => slot.fail(e),
                Ok(finish) => {
                    let counted = match &slot.task {
                        Task::Write(writing) => writing.written,
                        Task::Score(scoring) => scoring.scored.iter().map(|c| c.tokens as usize).sum(),
                    };
                    let usage = slot.usage(counted);
                    match (slot.task, finish) {
                        (Task::Write(writing), Some(finish)) => writing.finish(finish, usage),
                        (Task::Score(scoring), _) => scoring.finish(usage),
                        (Task::Write(_), None) => {}
                    }
                }
            }
        }
    }
}
