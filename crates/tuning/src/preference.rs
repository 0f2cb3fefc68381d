//! What a model expects of somebody: the preference for a title is ln p(title | history) − ln p(title), both by the same model.

use std::collections::HashMap;

use zhiyin_assistant::preference::{HISTORY_TITLES_MAX, chosen, next};
use zhiyin_decoder::{After, Decoder, Example};
use zhiyin_llm::local::chat_tokens;

use crate::workers::Workers;

/// Cases that are read at once: the prompt that all begin with is read once for them.
const CASES_AT_ONCE: usize = 2;
/// Titles that are read at once on their own.
const TITLES_AT_ONCE: usize = 64;

/// Somebody's history and titles that they might choose next.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Titles, oldest first.
    pub history: Vec<&'a str>,
    /// Titles to be judged.
    pub candidates: Vec<&'a str>,
}

/// Preferences for the candidates of each case. Each history is read in its order and the other way round, and the two are averaged: what
/// hangs on the order alone cancels in part. `on_done` hears how many cases more are done.
pub fn preferences(
    decoder: &Decoder,
    cases: &[Case<'_>],
    workers: &Workers,
    on_done: &(dyn Fn(usize) + Sync),
) -> Vec<Vec<f64>> {
    let alone = alone(decoder, cases, workers);
    let batches: Vec<&[Case<'_>]> = cases.chunks(CASES_AT_ONCE).collect();
    let judged = workers.map(&batches, |batch| {
        let found = judge(decoder, batch, &alone);
        on_done(batch.len());
        found
    });
    judged.into_iter().flatten().collect()
}

fn judge(decoder: &Decoder, batch: &[Case<'_>], alone: &HashMap<&str, f64>) -> Vec<Vec<f64>> {
    let mut sheet = Sheet::new(decoder);
    for case in batch {
        let mut history = case.history[case.history.len().saturating_sub(HISTORY_TITLES_MAX)..].to_vec();
        for _ in 0..2 {
            let end = sheet.history(&history);
            case.candidates.iter().for_each(|title| sheet.title(title, end));
            history.reverse();
        }
    }
    let mut found = sheet.log_probabilities().into_iter();
    let mut of_case = |case: &Case<'_>| {
        let mut read = || found.by_ref().take(case.candidates.len()).collect::<Vec<f64>>();
        let (forth, back) = (read(), read());
        let both = forth.iter().zip(back).zip(&case.candidates);
        both.map(|((forth, back), title)| (forth + back) / 2.0 - alone[title]).collect()
    };
    batch.iter().map(&mut of_case).collect()
}

/// ln p(title) of every candidate, without a history.
fn alone<'a>(decoder: &Decoder, cases: &[Case<'a>], workers: &Workers) -> HashMap<&'a str, f64> {
    let mut titles: Vec<&str> = cases.iter().flat_map(|case| case.candidates.iter().copied()).collect();
    titles.sort_unstable();
    titles.dedup();
    let chunks: Vec<&[&str]> = titles.chunks(TITLES_AT_ONCE).collect();
    let found = workers.map(&chunks, |titles| {
        let mut sheet = Sheet::new(decoder);
        let end = sheet.history(&[]);
        titles.iter().for_each(|title| sheet.title(title, end));
        sheet.log_probabilities()
    });
    titles.iter().copied().zip(found.into_iter().flatten()).collect()
}

/// Texts that are read together.
struct Sheet<'a> {
    decoder: &'a Decoder,
    prompt: Vec<u32>,
    examples: Vec<Example>,
    titles: u32,
}

impl<'a> Sheet<'a> {
    fn new(decoder: &'a Decoder) -> Self {
        let prompt = chat_tokens(decoder, &chosen::<&str>(&[]));
        Self { decoder, examples: vec![Example::read(prompt.clone(), None)], prompt, titles: 0 }
    }

    /// Writes a history, and returns where it ends.
    fn history(&mut self, titles: &[&str]) -> After {
        let prompt = Some((0, self.prompt.len()));
        let tokens = chat_tokens(self.decoder, &chosen(titles)).split_off(self.prompt.len());
        if tokens.is_empty() {
            return prompt;
        }
        let end = (self.examples.len(), tokens.len());
        self.examples.push(Example::read(tokens, prompt));
        Some(end)
    }

    /// Writes a title that might come after a history.
    fn title(&mut self, title: &str, after: After) {
        let tokens = self.decoder.tokens().of(&next(title).text);
        self.examples.push(Example::foretold(tokens, self.titles, after));
        self.titles += 1;
    }

    /// ln p of each title, in turn.
    fn log_probabilities(&self) -> Vec<f64> {
        self.decoder.losses(&self.examples).into_iter().map(|loss| -loss).collect()
    }
}
