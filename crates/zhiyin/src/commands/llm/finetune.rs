//! `zhiyin llm finetune`: teaches a language model what users choose and measures what it then expects.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use zhiyin_decoder::{AdapterConfig, Decoder, Target};
use zhiyin_engine::{
    cost::cpu_seconds,
    experiment::{
        ExperimentData,
        preferences::{PreferenceCase, PreferenceConfig, PreferenceSplit, split},
    },
};
use zhiyin_llm::local::LocalConfig;
use zhiyin_tuning::{
    Artefact, Manifest, Training, TuneConfig, Workers,
    artefact::DataRange,
    measure::{Measured, ZERO_SHOT, measure},
    preference::{Case, preferences},
    router::{BUCKETS, Judged, LANGUAGE_MODEL, Route, bucket_name, case_auc},
    texts::Behaviour,
};

use super::behaviour::BehaviourArguments;
use crate::{
    cli::HomeArguments,
    home,
    language::{self, ADAPTERS},
    output::{self, Align},
    progress::BarProgress,
};

/// The arms that the language model is measured against.
const ARMS: [&str; 4] = ["linear", "cooccurrence", "slist", "text"];
/// File of an unfinished training, beside what was learned.
const UNFINISHED: &str = "unfinished";

/// Arguments of `zhiyin llm finetune`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    behaviour: BehaviourArguments,
    /// Rank of the adapter.
    #[arg(long, default_value_t = AdapterConfig::default().rank)]
    rank: usize,
    /// The change is multiplied by alpha over the rank.
    #[arg(long, default_value_t = AdapterConfig::default().alpha)]
    alpha: f32,
    /// Maps of each layer that are adapted: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.
    #[arg(long, value_delimiter = ',', default_value = "q_proj,v_proj")]
    targets: Vec<Target>,
    /// Greatest learning rate.
    #[arg(long, default_value_t = TuneConfig::default().learning_rate)]
    learning_rate: f64,
    /// Times that all histories are gone through, at most.
    #[arg(long, default_value_t = TuneConfig::default().epochs)]
    epochs: u32,
    /// Parts of histories that are read together, and whose titles are told from each other's.
    #[arg(long, default_value_t = TuneConfig::default().batch)]
    batch: usize,
    /// Batches of a step.
    #[arg(long, default_value_t = TuneConfig::default().accumulation)]
    accumulation: usize,
    /// Titles of each part that are told from those of the others; 0: titles are only foretold.
    #[arg(long, default_value_t = TuneConfig::default().choices)]
    choices: usize,
    /// What telling them apart counts, against foretelling.
    #[arg(long, default_value_t = TuneConfig::default().choice_weight)]
    choice_weight: f64,
    /// Share of these parts that a yes-or-no question is asked about.
    #[arg(long, default_value_t = TuneConfig::default().question_share)]
    question_share: f32,
    /// Processor seconds of the training, at most.
    #[arg(long, value_name = "SECONDS", default_value_t = TuneConfig::default().budget_cpu_seconds)]
    budget_cpu_seconds: f64,
    /// Steps from one look at validation, and one checkpoint, to the next.
    #[arg(long, value_name = "STEPS", default_value_t = TuneConfig::default().validate_every)]
    validate_every: u64,
    /// Looks at validation without a gain after which training ends.
    #[arg(long, value_name = "LOOKS", default_value_t = TuneConfig::default().patience)]
    patience: u32,
    /// Cases that are measured, and half as many to choose by; 0 measures nothing.
    #[arg(long, default_value_t = 300)]
    cases: usize,
    /// Titles of each case that were chosen, at most.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=50))]
    chosen: u8,
    /// Titles of each case that weren't chosen, drawn as often as they are.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=200))]
    others: u8,
    /// Leave the test alone and report on validation, to choose settings by. Nothing is kept.
    #[arg(long)]
    dry_run: bool,
    /// Begin anew, even if an interrupted training with the same settings could go on.
    #[arg(long)]
    fresh: bool,
    /// Seed of everything random.
    #[arg(long, default_value_t = TuneConfig::default().seed)]
    seed: u64,
    #[command(flatten)]
    home: HomeArguments,
}

impl Arguments {
    fn config(&self) -> TuneConfig {
        TuneConfig {
            adapter: AdapterConfig { rank: self.rank, alpha: self.alpha, targets: self.targets.clone() },
            learning_rate: self.learning_rate,
            epochs: self.epochs,
            batch: self.batch,
            accumulation: self.accumulation,
            choices: self.choices,
            choice_weight: self.choice_weight,
            question_share: self.question_share,
            budget_cpu_seconds: self.budget_cpu_seconds,
            validate_every: self.validate_every,
            patience: self.patience,
            seed: self.seed,
            ..TuneConfig::default()
        }
    }
}

/// Fine-tunes, measures, keeps and reports.
///
/// # Errors
/// No generator that is pulled; data without titles or times; settings that make no sense; failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    let config = home::configuration(&arguments.home)?;
    let Some(base) = language::local_config(&config)? else {
        bail!("there is no language model to fine-tune; `zhiyin llm pull smollm2` gets one");
    };
    let data = arguments.behaviour.read(&config)?;
    let parts = split(
        &data,
        &PreferenceConfig {
            chosen_max: usize::from(arguments.chosen),
            others: usize::from(arguments.others),
            cases_max: arguments.cases.max(1),
            buckets: BUCKETS.to_vec(),
            seed: arguments.seed,
        },
    )?;
    let decoder = Decoder::load(&base.path)?;
    let root = config.data.folder.join(ADAPTERS);
    let (manifest, artefact) =
        Tuning { arguments, base, data, parts, decoder, root, workers: Workers::new()? }.run()?;
    if arguments.home.json {
        let (name, folder) =
            (artefact.as_ref().map(Artefact::name), artefact.as_ref().map(|artefact| &artefact.folder));
        return output::json(&json!({ "name": name, "folder": folder, "manifest": manifest }));
    }
    print(&manifest, arguments.dry_run);
    match artefact {
        Some(artefact) => output::say(format_args!("kept as {}", artefact.folder.display())),
        None => output::say("nothing is kept: this was measured on validation, to choose settings by"),
    }
    Ok(())
}

/// A fine-tuning with everything that it needs.
struct Tuning<'a> {
    arguments: &'a Arguments,
    base: LocalConfig,
    data: ExperimentData,
    parts: PreferenceSplit,
    decoder: Decoder,
    root: PathBuf,
    workers: Workers,
}

impl Tuning<'_> {
    /// What was learned, with what it is worth; kept, unless it was only tried.
    fn run(mut self) -> Result<(Manifest, Option<Artefact>)> {
        let Arguments { dry_run, seed, .. } = *self.arguments;
        if dry_run {
            self.parts.test.clone_from(&self.parts.validation);
        }
        let measures = self.arguments.cases > 0;
        let mut judged = if measures { self.classical()? } else { [Vec::new(), Vec::new()] };
        let mut spent = 0.0;
        if measures {
            spent += self.judge(&mut judged[1], &self.parts.test, ZERO_SHOT, "judging as it is");
        }
        let report = self.train()?;
        let (base, version) = (&self.base.model, &self.base.version);
        let mut manifest = Manifest::new(base, version, home::now_ms(), self.arguments.config(), report, self.range());
        if measures {
            spent += self.judge(&mut judged[1], &self.parts.test, LANGUAGE_MODEL, "judging fine-tuned");
            if dry_run {
                judged[0] = judged[1].clone();
            } else {
                spent += self.judge(&mut judged[0], &self.parts.validation, LANGUAGE_MODEL, "judging to choose by");
            }
            let (routes, measured) = measure(&judged[0], &judged[1], spent, seed);
            (manifest.routes, manifest.measured) = (routes, Some(measured));
        }
        let artefact = (!dry_run).then(|| Artefact::write(&self.root, &self.decoder, manifest.clone())).transpose()?;
        Ok((artefact.as_ref().map_or(manifest, |artefact| artefact.manifest.clone()), artefact))
    }

    /// What the classical arms make of validation and test.
    fn classical(&self) -> Result<[Vec<Judged>; 2]> {
        let progress = BarProgress::new("fitting the other arms");
        let scored = self.parts.scores(&ARMS, &progress);
        progress.finish();
        let empty = |case: &PreferenceCase| Judged { user: case.user, bucket: case.bucket, auc: BTreeMap::new() };
        let mut judged =
            [&self.parts.validation, &self.parts.test].map(|cases| cases.iter().map(empty).collect::<Vec<_>>());
        for (name, scores) in scored {
            match scores {
                Ok(parts) => {
                    let cases = self.parts.validation.iter().chain(&self.parts.test);
                    let judged = judged.iter_mut().flatten().zip(cases);
                    for ((judged, case), scores) in judged.zip(parts.iter().flatten()) {
                        judged.auc.insert(name.to_owned(), case_auc(scores, case.chosen));
                    }
                }
                Err(error) => output::remark(format_args!("{name} is left out: {error}")),
            }
        }
        Ok(judged)
    }

    /// Adds what the language model makes of some cases. Returns the processor seconds that it took.
    fn judge(&self, judged: &mut [Judged], cases: &[PreferenceCase], arm: &str, what: &str) -> f64 {
        let begun = cpu_seconds();
        let title = |item: u32| self.data.titles[item as usize].as_str();
        let case = |case: &PreferenceCase| Case {
            history: case.history.iter().map(|event| title(event.item)).collect(),
            candidates: case.candidates.iter().map(|&item| title(item)).collect(),
        };
        let texts: Vec<Case<'_>> = cases.iter().map(case).collect();
        let bar = output::bar(cases.len() as u64, what);
        let found = preferences(&self.decoder, &texts, &self.workers, &|done| bar.inc(done as u64));
        bar.finish_and_clear();
        for ((judged, case), scores) in judged.iter_mut().zip(cases).zip(found) {
            judged.auc.insert(arm.to_owned(), case_auc(&scores, case.chosen));
        }
        cpu_seconds() - begun
    }

    fn train(&mut self) -> Result<zhiyin_tuning::Report> {
        let config = self.arguments.config();
        let histories = self.parts.train_histories(&self.data);
        let checkpoint = self.root.join(UNFINISHED);
        if self.arguments.fresh {
            let _ = fs_err::remove_file(&checkpoint);
        }
        let behaviour = |histories| Behaviour { titles: &self.data.titles, histories };
        let training = Training {
            config: &config,
            train: behaviour(&histories),
            validation: behaviour(&self.parts.validation_histories),
            checkpoint: Some(checkpoint),
            identity: &format!("{}@{} {}", self.base.model, self.base.version, self.identity(&histories)),
            cpu_seconds: &cpu_seconds,
            workers: &self.workers,
        };
        let bar = output::bar(1_000, "fine-tuning");
        let report = training.run(&mut self.decoder, &mut |seen| {
            bar.set_position((seen.done * 1_000.0) as u64);
            bar.set_message(format!("loss {:.3}, validation {:.3}", seen.loss, seen.validation));
            tracing::info!(step = seen.step, loss = seen.loss, tokens = seen.tokens, cpu_s = seen.cpu_seconds, "step");
        });
        bar.finish_and_clear();
        let report = report?;
        if report.resumed {
            output::remark("went on from where an earlier training with these settings was interrupted");
        }
        Ok(report)
    }

    /// What tells this data from other data.
    fn identity(&self, histories: &[Vec<u32>]) -> String {
        let mut hasher = blake3::Hasher::new();
        for title in &self.data.titles {
            hasher.update(title.as_bytes()).update(b"\n");
        }
        for history in histories {
            for item in history {
                hasher.update(&item.to_le_bytes());
            }
            hasher.update(&u32::MAX.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn range(&self) -> DataRange {
        let events = &self.parts.train.interactions;
        let times = || events.iter().map(|event| event.time_s);
        DataRange {
            name: self.data.name.clone(),
            histories: self.parts.train_histories(&self.data).len(),
            titles: self.data.titles.iter().filter(|title| !title.trim().is_empty()).count(),
            events: events.len(),
            from_s: times().min().unwrap_or_default(),
            to_s: times().max().unwrap_or_default(),
        }
    }
}

fn print(manifest: &Manifest, dry_run: bool) {
    let Manifest { training, measured, routes, base, data, .. } = manifest;
    output::say(format_args!(
        "{base} learned from {} histories of {} in {} steps, {} tokens, {:.0} CPU s ({})",
        output::count(data.histories as u64),
        data.name,
        training.steps,
        output::count(training.tokens),
        training.cpu_seconds,
        json!(training.ended).as_str().unwrap_or_default(),
    ));
    output::say(format_args!(
        "loss on validation: {:.3} → {:.3} nats a token, {:.3} → {:.3} nats a choice",
        training.loss_before.token, training.loss_after.token, training.loss_before.choice, training.loss_after.choice
    ));
    if let Some(measured) = measured {
        print_measured(measured, routes, dry_run);
    }
}

fn print_measured(measured: &Measured, routes: &[Route], dry_run: bool) {
    output::say(format_args!(
        "\n{}: area under the ROC curve by length of the history, chosen titles against others that are as popular; 95 % bootstrap intervals over users; {:.0} CPU s",
        if dry_run { "validation" } else { "test" },
        measured.cpu_seconds
    ));
    let mut columns = vec![("arm".to_owned(), Align::Left), ("all".to_owned(), Align::Right)];
    columns.extend(
        measured.buckets.iter().zip(&measured.cases).map(|(name, cases)| (format!("{name} ({cases})"), Align::Right)),
    );
    let columns: Vec<(&str, Align)> = columns.iter().map(|(name, align)| (name.as_str(), *align)).collect();
    let cell = |summary: &zhiyin_evaluation::Summary| {
        if summary.n == 0 {
            "–".to_owned()
        } else {
            format!("{:.3} ±{:.3}", summary.mean, (summary.high - summary.low) / 2.0)
        }
    };
    let rows = measured.arms.iter().map(|arm| {
        let mut row = vec![arm.arm.clone(), cell(&arm.all)];
        row.extend(arm.buckets.iter().map(cell));
        row
    });
    output::say(output::table(&columns, rows));
    if let Some(gain) = measured.tuning_gain.first() {
        output::say(format_args!(
            "fine-tuning gains {:+.4} ({:+.4} to {:+.4}) over the model as it was",
            gain.mean, gain.low, gain.high
        ));
    }
    let columns = [
        ("history", Align::Left),
        ("judged by", Align::Left),
        ("model − best other on validation", Align::Right),
        ("router − better arm on the test", Align::Right),
    ];
    let interval =
        |gain: &zhiyin_evaluation::Summary| format!("{:+.3} ({:+.3} to {:+.3})", gain.mean, gain.low, gain.high);
    let rows = routes.iter().zip(&measured.router_gain).map(|(route, gain)| {
        let name = if route.arm == LANGUAGE_MODEL { route.arm.clone() } else { format!("{} (best other)", route.arm) };
        vec![bucket_name(route.bucket), name, interval(&route.gain), interval(gain)]
    });
    output::say("");
    output::say(output::table(&columns, rows));
}
