//! `zhiyin bench encode`: texts per second of an encoder.

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use zhiyin_core::Encoder;
use zhiyin_encoder::SentenceEncoder;

use crate::{config::Config, encoders, load, output};

/// Arguments of `zhiyin bench encode`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// File with one text per line.
    #[arg(long, value_name = "FILE")]
    texts: PathBuf,
    /// Name of the encoder.
    #[arg(long, default_value = "minilm")]
    encoder: String,
    /// How often all texts are encoded.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Write the vectors of the texts into this file: one line of numbers per text.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
}

/// Encodes all texts several times and prints how long it took.
///
/// # Errors
/// An encoder that isn't pulled, a file that cannot be read.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = encoders::models_folder(&Config::from_environment(None)?);
    let started = Instant::now();
    let encoder = encoders::load(&arguments.encoder, &folder.model(&arguments.encoder))?;
    let load_seconds = started.elapsed().as_secs_f64();
    let file = fs_err::read_to_string(&arguments.texts)?;
    let texts: Vec<&str> = file.lines().filter(|line| !line.is_empty()).collect();
    if texts.is_empty() {
        bail!("{} has no text; write one per line", arguments.texts.display());
    }
    encoder.encode(&texts[..texts.len().min(64)])?;
    let usage = load::own_usage()?;
    let mut seconds = Vec::new();
    let mut vectors = Vec::new();
    for _ in 0..arguments.repeat.max(1) {
        let started = Instant::now();
        vectors = encoder.encode(&texts)?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    let after = load::own_usage()?;
    if let Some(path) = &arguments.vectors {
        write(path, &vectors, encoder.dims())?;
    }
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let tokens = tokens(&encoder, &texts)?;
    output::json(&json!({
        "benchmark": "encode",
        "encoder": encoder.name(),
        "texts": texts.len(),
        "tokens": tokens,
        "threads": rayon::current_num_threads(),
        "load_seconds": load_seconds,
        "seconds": seconds,
        "texts_per_second": texts.len() as f64 / best,
        "tokens_per_second": tokens as f64 / best,
        "milliseconds_for_one": one(&encoder, texts[0])?,
        "cpu_seconds": after.cpu_seconds - usage.cpu_seconds,
        "rss_peak_bytes": after.rss_peak_bytes,
    }))
}

fn tokens(encoder: &SentenceEncoder, texts: &[&str]) -> Result<usize> {
    texts.iter().try_fold(0, |sum, text| Ok(sum + encoder.token_count(text)?))
}

/// The fastest of several calls with a single text.
fn one(encoder: &SentenceEncoder, text: &str) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let started = Instant::now();
        encoder.encode(&[text])?;
        best = best.min(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn write(path: &PathBuf, vectors: &[f32], dims: usize) -> Result<()> {
    let line = |row: &[f32]| row.iter().map(|value| format!("{value}")).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = vectors.chunks_exact(dims).map(line).collect();
    Ok(fs_err::write(path, lines.join("\n"))?)
}
