//! What a model expects of somebody: the preference for a title is ln p(title | history) − ln p(title).

use std::{collections::HashMap, sync::Arc};

use zhiyin_assistant::preference::{HISTORY_TITLES_MAX, chosen, next};
use zhiyin_decoder::{Decoder, Memory, Past, Run};
use zhiyin_llm::local::chat_tokens;

use crate::workers::Workers;

/// Cases that are read at once.
const CASES_AT_ONCE: usize = 4;
/// Titles that are read at once on their own.
const TITLES_AT_ONCE: usize = 64;
/// Rows of logits at once; each has the size of the vocabulary.
const LOGITS_ROWS: usize = 256;

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
    let newest = |case: &Case<'_>| case.history.len().saturating_sub(HISTORY_TITLES_MAX);
    let forth: Vec<Vec<u32>> =
        batch.iter().map(|case| chat_tokens(decoder, &chosen(&case.history[newest(case)..]))).collect();
    let back = |case: &Case<'_>| {
        let turned: Vec<&str> = case.history[newest(case)..].iter().rev().copied().collect();
        chat_tokens(decoder, &chosen(&turned))
    };
    let back: Vec<Vec<u32>> = batch.iter().map(back).collect();
    let candidates: Vec<&[&str]> = batch.iter().map(|case| case.candidates.as_slice()).collect();
    let mut of_forth = log_probabilities(decoder, &forth, &candidates);
    let of_back = log_probabilities(decoder, &back, &candidates);
    for ((forth, back), case) in of_forth.iter_mut().zip(of_back).zip(batch) {
        for ((forth, back), title) in forth.iter_mut().zip(back).zip(&case.candidates) {
            *forth = (*forth + back) / 2.0 - alone.get(title).copied().unwrap_or_default();
        }
    }
    of_forth
}

/// ln p(title) of every candidate, without a history.
fn alone<'a>(decoder: &Decoder, cases: &[Case<'a>], workers: &Workers) -> HashMap<&'a str, f64> {
    let mut titles: Vec<&str> = cases.iter().flat_map(|case| case.candidates.iter().copied()).collect();
    titles.sort_unstable();
    titles.dedup();
    let prompt = [chat_tokens(decoder, &chosen::<&str>(&[]))];
    let chunks: Vec<&[&str]> = titles.chunks(TITLES_AT_ONCE).collect();
    let found = workers.map(&chunks, |titles| log_probabilities(decoder, &prompt, &[titles]).remove(0));
    titles.iter().copied().zip(found.into_iter().flatten()).collect()
}

/// ln p(title | prompt) for each prompt and its titles.
fn log_probabilities(decoder: &Decoder, prompts: &[Vec<u32>], titles: &[&[&str]]) -> Vec<Vec<f64>> {
    let mut memories: Vec<Memory> = prompts.iter().map(|_| Memory::default()).collect();
    let runs = prompts.iter().zip(&mut memories);
    let mut runs: Vec<Run<'_>> =
        runs.map(|(tokens, memory)| Run { tokens, memory, wanted_from: tokens.len() - 1 }).collect();
    let states = decoder.read(&mut runs);
    drop(runs);
    let mut firsts = decoder.logits(&states);
    decoder.log_probabilities(&mut firsts);
    let vocabulary = decoder.shape().vocabulary;
    let pasts: Vec<Arc<Past>> = memories.into_iter().map(|memory| Arc::new(memory.into_own())).collect();

    let tokens: Vec<Vec<u32>> =
        titles.iter().flat_map(|titles| titles.iter().map(|title| decoder.tokens().of(&next(title).text))).collect();
    let owners: Vec<usize> =
        titles.iter().enumerate().flat_map(|(at, titles)| titles.iter().map(move |_| at)).collect();
    let mut memories: Vec<Memory> = owners.iter().map(|&owner| Memory::after(pasts[owner].clone())).collect();
    let long = tokens.iter().zip(&mut memories).filter(|(tokens, _)| tokens.len() > 1);
    let mut runs: Vec<Run<'_>> =
        long.map(|(tokens, memory)| Run { tokens: &tokens[..tokens.len() - 1], memory, wanted_from: 0 }).collect();
    let states = if runs.is_empty() { Vec::new() } else { decoder.read(&mut runs) };
    drop(runs);
    let mut later = later(decoder, &states, &tokens).into_iter();

    let mut found: Vec<Vec<f64>> = titles.iter().map(|_| Vec::new()).collect();
    for (tokens, owner) in tokens.iter().zip(owners) {
        let first = tokens.first().map_or(0.0, |&token| f64::from(firsts[owner * vocabulary + token as usize]));
        let rest: f64 = later.by_ref().take(tokens.len().saturating_sub(1)).sum();
        found[owner].push(first + rest);
    }
    found
}

/// ln p of every token but the first of each text, given the states before them, in turn.
fn later(decoder: &Decoder, states: &[f32], tokens: &[Vec<u32>]) -> Vec<f64> {
    let (hidden, vocabulary) = (decoder.shape().hidden, decoder.shape().vocabulary);
    let targets: Vec<u32> = tokens.iter().flat_map(|tokens| tokens.iter().skip(1).copied()).collect();
    let mut found = Vec::with_capacity(targets.len());
    for (states, targets) in states.chunks(LOGITS_ROWS * hidden).zip(targets.chunks(LOGITS_ROWS)) {
        let mut logits = decoder.logits(states);
        decoder.log_probabilities(&mut logits);
        let rows = logits.chunks_exact(vocabulary).zip(targets);
        found.extend(rows.map(|(row, &token)| f64::from(row[token as usize])));
    }
    found
}
