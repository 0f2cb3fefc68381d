//! `zhiyin reviews`: measures how well reviews are read.

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use zhiyin_core::TimeInput;
use zhiyin_datasets::Record;
use zhiyin_engine::config::EventsConfig;
use zhiyin_evaluation::{Summary, classification};
use zhiyin_reading::{
    Reader, Review, Words,
    trial::{self, Vectors},
};

use super::import::SourceArguments;
use crate::{
    encoders,
    output::{self, Align},
};

/// Share of the reviews, the newest, that is measured on.
const TEST_SHARE: f64 = 0.2;

/// Arguments of `zhiyin reviews`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Learn from the oldest four fifths of a file of rated reviews, and tell the polarity of the newest fifth.
    Evaluate(Evaluation),
}

/// Arguments of `zhiyin reviews evaluate`.
#[derive(Debug, Args)]
struct Evaluation {
    /// The reviews: events with text and stars.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    #[command(flatten)]
    source: SourceArguments,
    /// Encoder whose vectors are compared with words, or none [default: the pulled one].
    #[arg(long, value_name = "NAME")]
    encoder: Option<String>,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Print JSON for programs instead of tables.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    /// Reviews with text.
    reviews: usize,
    /// Reviews that are learned from, with clear stars.
    learned: usize,
    /// Reviews that are measured on, with clear stars.
    measured: usize,
    /// Of these, those that speak against their item.
    negative: usize,
    rows: Vec<Row>,
    /// Microseconds that reading one review takes, aspects and remarks included.
    microseconds_per_review: f64,
    /// The aspects that the oldest reviews speak of.
    aspects: Vec<String>,
}

/// One way of telling polarity.
#[derive(Debug, Serialize)]
struct Row {
    features: String,
    /// Area under the ROC curve with its 95 % interval.
    auc: Summary,
    accuracy: f64,
    calibration_error: f64,
    /// 1/λ, chosen on the newest fifth of what is learned from.
    strength: f64,
    columns: usize,
    fit_seconds: f64,
}

/// A rated review.
struct Rated {
    time_ms: i64,
    text: String,
    outcome: Option<bool>,
    item: u32,
    user: u32,
}

impl Rated {
    fn review(&self) -> Review<'_> {
        Review { text: &self.text, outcome: self.outcome, item: self.item, actor: self.user }
    }
}

/// Measures and prints.
///
/// # Errors
/// Files that cannot be read, or too few rated reviews in them.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Action::Evaluate(evaluation) = &arguments.action;
    let report = evaluate(evaluation)?;
    if evaluation.json {
        return output::json(&report);
    }
    print(&report);
    Ok(())
}

fn evaluate(arguments: &Evaluation) -> Result<Report> {
    let reviews = read(arguments)?;
    let cut = reviews.len() - (reviews.len() as f64 * TEST_SHARE) as usize;
    let clear: Vec<&Rated> = reviews.iter().filter(|review| review.outcome.is_some()).collect();
    let learned = reviews[..cut].iter().filter(|review| review.outcome.is_some()).count();
    let outcomes: Vec<bool> = clear.iter().filter_map(|review| review.outcome).collect();
    if clear.is_empty() {
        bail!("there is no review with text, time and clear stars in {}", arguments.data.display());
    }
    let texts: Vec<String> = clear.iter().map(|review| review.text.clone()).collect();
    let words: Vec<Words> = texts.iter().map(|text| Words::of(text)).collect();
    let encoded = encoders::encode(arguments.encoder.as_deref(), &texts)?;
    let trials = Trials { words: &words, outcomes: &outcomes, learned, seed: arguments.seed };
    let mut rows = vec![trials.row("words", true, None)?];
    if let Some((name, vectors)) = &encoded {
        let vectors = Vectors { rows: vectors.rows(), dims: vectors.rows().len() / texts.len() };
        rows.push(trials.row(&format!("vectors of {name}"), false, Some(vectors))?);
        rows.push(trials.row(&format!("words and vectors of {name}"), true, Some(vectors))?);
    }
    let (microseconds_per_review, aspects) = read_all(&reviews, cut);
    let negative = outcomes[learned..].iter().filter(|outcome| !**outcome).count();
    let measured = outcomes.len() - learned;
    Ok(Report { reviews: reviews.len(), learned, measured, negative, rows, microseconds_per_review, aspects })
}

/// The reviews of the data, in order of time, ties in the order of the file.
fn read(arguments: &Evaluation) -> Result<Vec<Rated>> {
    let stars = EventsConfig::default();
    let (mut items, mut users) = (Names::default(), Names::default());
    let mut reviews = Vec::new();
    for record in zhiyin_datasets::open(&arguments.source.source(&arguments.data))? {
        let event = match record {
            Ok(Record::Event(event)) => event,
            Ok(_) => continue,
            Err(problem) => bail!("{problem}"),
        };
        let (Some(text), Some(TimeInput::Millis(time_ms))) = (event.text, event.time) else { continue };
        let outcome = match event.value {
            Some(value) if value >= stars.review_positive_min => Some(true),
            Some(value) if value <= stars.review_negative_max => Some(false),
            _ => None,
        };
        let item = items.number(event.item.unwrap_or_default());
        let user = users.number(event.user.unwrap_or_default());
        reviews.push(Rated { time_ms, text, outcome, item, user });
    }
    reviews.sort_by_key(|review| review.time_ms);
    Ok(reviews)
}

/// Numbers for names, as they occur.
#[derive(Default)]
struct Names(std::collections::HashMap<String, u32>);

impl Names {
    fn number(&mut self, name: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name).or_insert(next)
    }
}

/// What all ways of telling polarity are tried on.
struct Trials<'a> {
    words: &'a [Words],
    outcomes: &'a [bool],
    /// Number of the first text that is measured.
    learned: usize,
    seed: u64,
}

impl Trials<'_> {
    fn row(&self, features: &str, uses_words: bool, vectors: Option<Vectors<'_>>) -> Result<Row> {
        let started = Instant::now();
        let Some(trial) = trial::run(self.words, self.outcomes, self.learned, uses_words, vectors) else {
            bail!(
                "there are too few rated reviews: polarity needs {} of each kind",
                zhiyin_reading::polarity::TEXTS_MIN
            );
        };
        let fit_seconds = started.elapsed().as_secs_f64();
        let measured = &self.outcomes[self.learned..];
        Ok(Row {
            features: features.to_owned(),
            auc: classification::auc_interval(&trial.scores, measured, self.seed),
            accuracy: classification::accuracy(&trial.probabilities, measured),
            calibration_error: classification::calibration_error(&trial.probabilities, measured),
            strength: trial.strength,
            columns: trial.columns,
            fit_seconds,
        })
    }
}

/// Reads the newer reviews by what the older ones taught: microseconds each, and the aspects.
fn read_all(reviews: &[Rated], cut: usize) -> (f64, Vec<String>) {
    let older: Vec<Review<'_>> = reviews[..cut].iter().map(Rated::review).collect();
    let reader = Reader::learn(&older);
    let newer = &reviews[cut..];
    let started = Instant::now();
    let found: usize = newer.iter().map(|rated| reader.read(&rated.text, None).aspects.len()).sum();
    let seconds = started.elapsed().as_secs_f64();
    tracing::debug!(found, "aspects were found in the newer reviews");
    (seconds * 1e6 / newer.len().max(1) as f64, reader.aspects().to_vec())
}

fn print(report: &Report) {
    output::say(format_args!(
        "{} reviews; learned from {}, measured on {} of the newest fifth ({} against their item); 95 % bootstrap intervals",
        output::count(report.reviews as u64),
        output::count(report.learned as u64),
        output::count(report.measured as u64),
        report.negative
    ));
    let columns = [
        ("polarity from", Align::Left),
        ("AUC", Align::Right),
        ("95 % interval", Align::Right),
        ("accuracy", Align::Right),
        ("calibration error", Align::Right),
        ("1/λ", Align::Right),
        ("columns", Align::Right),
        ("fit s", Align::Right),
    ];
    let rows = report.rows.iter().map(|row| {
        vec![
            row.features.clone(),
            format!("{:.4}", row.auc.mean),
            format!("{:.4} to {:.4}", row.auc.low, row.auc.high),
            format!("{:.4}", row.accuracy),
            format!("{:.4}", row.calibration_error),
            format!("{}", row.strength),
            output::count(row.columns as u64),
            format!("{:.2}", row.fit_seconds),
        ]
    });
    output::say(output::table(&columns, rows));
    output::say(format_args!("{:.0} µs to read a review", report.microseconds_per_review));
    output::say(format_args!("aspects: {}", report.aspects.join(", ")));
}
