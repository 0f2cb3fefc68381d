//! `zhiyin bench llm`: prompt and decode speed of the local language model, and scoring after a shared prompt.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use zhiyin_core::{
    SystemClock,
    language::{GenerateRequest, LanguageError, LanguageModel, Limits, Message, Part, Role, ScoreRequest},
};
use zhiyin_llm::{
    budget::MemoryLedger,
    local::{Local, LocalConfig},
};

use crate::{config::Config, language, load, output};

/// Tokens that each measured text has.
const WRITTEN: u32 = 64;
/// Texts written at once.
const SIDE_BY_SIDE: u32 = 8;
/// Continuations scored at once.
const CONTINUATIONS: u32 = 32;

/// Arguments of `zhiyin bench llm`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of a pulled generator; the first that is pulled without it.
    #[arg(long, default_value = "")]
    model: String,
    /// Threads; all of this process without it.
    #[arg(long)]
    threads: Option<u32>,
    /// Times that each measurement is made; the best counts, since other programs only ever slow it down.
    #[arg(long, default_value_t = 3)]
    repeat: u32,
}

/// Measures and prints JSON.
///
/// # Errors
/// No local model; a model that doesn't load.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut config = Config::from_environment(None)?;
    config.language.local.model.clone_from(&arguments.model);
    let all = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    let local =
        language::local_config(&config)?.context("no generator is pulled; `zhiyin llm pull smollm2` gets one")?;
    let local = LocalConfig { threads: arguments.threads.unwrap_or(all), ..local };
    let threads = local.threads;
    let started = Instant::now();
    let local = Local::start(local, Arc::new(SystemClock), Arc::new(MemoryLedger::default()))?;
    local.wait_until_loaded()?;
    let load_seconds = started.elapsed().as_secs_f64();
    let best = |measure: &dyn Fn(u32) -> Result<f64, LanguageError>| {
        (0..arguments.repeat.max(1)).try_fold(0.0_f64, |best, round| measure(round).map(|value| best.max(value)))
    };
    let (prompt_tokens, _) = prompt(&local, arguments.repeat + 1)?;
    output::json(&json!({
        "benchmark": "llm",
        "model": local.model(),
        "threads": threads,
        "load_seconds": load_seconds,
        "prompt_tokens": prompt_tokens,
        "prompt_tokens_per_second": best(&|round| prompt(&local, round).map(|(_, speed)| speed))?,
        "decode_tokens_per_second": best(&|round| decode(&local, round))?,
        "decode_tokens_per_second_8_at_once": best(&|round| side_by_side(&local, round))?,
        "score_32_continuations_seconds": 1.0 / best(&|round| score(&local, round).map(|seconds| 1.0 / seconds))?,
        "rss_peak_bytes": load::own_usage()?.rss_peak_bytes,
    }))
}

/// Never the same twice, or it would be remembered.
fn chat(round: u32, words: u32) -> Vec<Message> {
    let text: String = (0..words).map(|n| format!("{} things ", n * 7 + round)).collect();
    vec![Message::new(Role::User, format!("{round} {text}"))]
}

/// Tokens read, and their speed.
fn prompt(local: &Local, round: u32) -> Result<(u64, f64), LanguageError> {
    let begun = Instant::now();
    let generated = local.generate(&GenerateRequest::new(chat(round, 100), 1), &mut |_| {})?;
    let tokens = generated.usage.prompt - generated.usage.cached;
    Ok((tokens, tokens as f64 / begun.elapsed().as_secs_f64()))
}

/// A story that goes on longer than is asked for.
fn story(number: u32) -> GenerateRequest {
    let text = format!("Tell a long story, number {number}, about a kettle that wanted to see the sea.");
    GenerateRequest::new(vec![Message::new(Role::User, text)], WRITTEN)
}

/// Time runs from the first piece, so that the prompt doesn't count.
fn decode(local: &Local, round: u32) -> Result<f64, LanguageError> {
    let mut first = None;
    let generated = local.generate(&story(round), &mut |_| {
        first.get_or_insert_with(Instant::now);
    })?;
    let span = first.map_or(f64::NAN, |first| first.elapsed().as_secs_f64());
    Ok((generated.usage.completion as f64 - 1.0) / span)
}

/// Tokens of all texts per second, prompts included.
fn side_by_side(local: &Local, round: u32) -> Result<f64, LanguageError> {
    let begun = Instant::now();
    let written = std::thread::scope(|scope| {
        let write = |number: u32| {
            let request = story(round * SIDE_BY_SIDE + number + 100);
            scope.spawn(move || local.generate(&request, &mut |_| {}).map(|generated| generated.usage.completion))
        };
        let running: Vec<_> = (0..SIDE_BY_SIDE).map(write).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(LanguageError::Cancelled))).sum::<Result<u64, _>>()
    })?;
    Ok(written as f64 / begun.elapsed().as_secs_f64())
}

/// Seconds to score continuations after a new prompt of about 256 tokens.
fn score(local: &Local, round: u32) -> Result<f64, LanguageError> {
    let continuation = |n| Part { field: None, text: format!("A small red kettle for tea {n}") };
    let continuations = (0..CONTINUATIONS).map(continuation).collect();
    let request = ScoreRequest { messages: chat(round + 1_000, 60), continuations, limits: Limits::default() };
    let begun = Instant::now();
    local.log_probabilities(&request)?;
    Ok(begun.elapsed().as_secs_f64())
}
