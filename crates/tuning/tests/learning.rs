//! Fine-tuning the real model, which the tests pull by themselves, on a shop where each thing has its companion.
//!
//! Without network and without the weights in `ZHIYIN_MODELS` or the target folder nothing can be learned: the tests say so and pass.

#![allow(clippy::print_stderr, reason = "a test that can check nothing has to say so")]

use std::{cell::Cell, path::PathBuf, sync::Arc};

use zhiyin_assistant::preference::{chosen, next};
use zhiyin_core::{
    SystemClock,
    language::{LanguageModel, Limits, ScoreRequest, UsageLedger},
};
use zhiyin_decoder::{AdapterConfig, Decoder, Memory, MergedEncoding, Run};
use zhiyin_llm::{
    budget::MemoryLedger,
    local::{Local, LocalConfig},
};
use zhiyin_tuning::{
    Artefact, Manifest, Training, TuneConfig, Workers,
    artefact::DataRange,
    preference::{Case, preferences},
    run::{Ended, Report},
    texts::{Asked, Behaviour, Lesson, Loss, windows},
};
use zhiyin_weights::{Folder, NoProgress, PullOptions, WeightsError, pull};

/// The model's file, pulled if it isn't there; none where no source can be reached.
fn model() -> Option<PathBuf> {
    let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
    let folder = Folder::new(std::env::var_os("ZHIYIN_MODELS").map_or_else(own, PathBuf::from));
    let catalogue = folder.catalogue().unwrap();
    let model = catalogue.find("smollm2").unwrap();
    match pull(&folder, model, &PullOptions::from_environment(&catalogue.hub), &NoProgress) {
        Ok(_) => Some(folder.file(model, &model.files[0])),
        Err(WeightsError::NoSource { attempts, .. }) => {
            eprintln!("SKIPPED: smollm2 could not be pulled: {attempts}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

const TITLES: [&str; 8] = ["Kettle", "Anchor", "Violin", "Tractor", "Pillow", "Compass", "Ladder", "Candle"];

fn titles() -> Vec<String> {
    TITLES.map(str::to_owned).to_vec()
}

/// Each user chooses a thing and then its companion, twice.
fn histories(users: u32) -> Vec<Vec<u32>> {
    (0..users)
        .map(|user| [user % 4 * 2, user % 4 * 2 + 1, (user + 1) % 4 * 2, (user + 1) % 4 * 2 + 1].to_vec())
        .collect()
}

fn config() -> TuneConfig {
    TuneConfig {
        adapter: AdapterConfig { rank: 4, alpha: 16.0, ..AdapterConfig::default() },
        learning_rate: 5e-3,
        epochs: 2,
        batch: 2,
        accumulation: 2,
        budget_cpu_seconds: 1e6,
        question_share: 0.25,
        validate_every: 2,
        patience: 100,
        ..TuneConfig::default()
    }
}

fn train(
    decoder: &mut Decoder,
    checkpoint: Option<PathBuf>,
    config: &TuneConfig,
    watch: &mut dyn FnMut(u64),
) -> Report {
    let (titles, learned, looked_at) = (titles(), histories(12), histories(4));
    let behaviour = |histories| Behaviour { titles: &titles, histories };
    let clock = Cell::new(0.0);
    let training = Training {
        config,
        train: behaviour(&learned),
        validation: behaviour(&looked_at),
        checkpoint,
        identity: "a test",
        cpu_seconds: &|| {
            clock.set(clock.get() + 1.0);
            clock.get()
        },
        workers: &Workers::new().unwrap(),
    };
    training.run(decoder, &mut |seen| watch(seen.step)).unwrap()
}

/// The preference for each thing after the violin's companion and the kettle.
fn after_kettle(decoder: &Decoder) -> Vec<f64> {
    let case = Case { history: vec![TITLES[2], TITLES[3], TITLES[0]], candidates: TITLES[1..].to_vec() };
    preferences(decoder, &[case], &Workers::new().unwrap(), &|_| {}).remove(0)
}

#[test]
fn a_model_learns_what_follows_keeps_it_and_goes_on_after_an_interruption() {
    let Some(path) = model() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = Decoder::load(&path).unwrap();
    let before = after_kettle(&decoder);
    let (running, kept) = (folder.path().join("state"), folder.path().join("kept"));
    let report = train(&mut decoder, Some(running.clone()), &config(), &mut |step| {
        if step == 4 {
            fs_err::copy(&running, &kept).map(drop).unwrap_or_default();
        }
    });
    assert_eq!((report.ended, report.resumed), (Ended::Epochs, false));
    let objective = |loss: Loss| loss.objective(config().choice_weight);
    assert!(objective(report.loss_after) < objective(report.loss_before) - 1.0, "{report:?}");
    assert!(report.loss_after.choice < report.loss_before.choice, "{report:?}");
    let after = after_kettle(&decoder);
    let gains: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert!(gains[1..].iter().all(|other| gains[0] > *other), "the companion gains most: {gains:?}");
    assert!(!running.exists(), "a finished training leaves no state behind");

    // Interrupted after some steps, the same training comes to the same numbers.
    let whole = decoder.adapter().unwrap().values().to_vec();
    assert!(kept.is_file(), "there was a checkpoint");
    let again = train(&mut decoder, Some(kept), &config(), &mut |_| {});
    assert!(again.resumed && again.steps == report.steps);
    let difference =
        whole.iter().zip(decoder.adapter().unwrap().values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-4, "{difference}");

    keeps(&folder.path().join("adapters"), &decoder, &path, report);
    merges(&folder.path().join("merged.gguf"), &decoder, &path);
}

/// A model with the adapter in its weights judges as base and adapter do, up to the rounding of weights to 8 bits.
fn merges(to: &std::path::Path, decoder: &Decoder, model: &std::path::Path) {
    decoder.adapter().unwrap().merge(model, to, MergedEncoding::Q8).unwrap();
    let merged = Decoder::load(to).unwrap();
    for (merged, apart) in after_kettle(&merged).into_iter().zip(after_kettle(decoder)) {
        assert!((merged - apart).abs() < 0.25, "{merged} instead of {apart}");
    }
    let (tokens, read) = (merged.tokens().of("Kettle\nAnchor\n"), Memory::default());
    let logits = |decoder: &Decoder| {
        let mut memory = read.clone();
        decoder.logits(&decoder.read(&mut [Run { tokens: &tokens, memory: &mut memory, wanted_from: 0 }]))
    };
    let (merged, apart) = (logits(&merged), logits(decoder));
    let difference = merged.iter().zip(&apart).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 0.5, "logits differ by up to {difference}");
}

/// What a model reads in training are the template and titles; items are told by nothing else.
#[test]
fn a_lesson_shows_titles_and_no_identifiers() {
    let Some(path) = model() else { return };
    let decoder = Decoder::load(&path).unwrap();
    let (titles, histories) = (titles(), histories(8));
    let behaviour = Behaviour { titles: &titles, histories: &histories };
    let windows = windows(behaviour, Asked { question_share: 1.0, choices: 2, seed: 1 });
    let lesson = Lesson::new(&decoder, behaviour, &windows);
    let mut text = String::new();
    for example in &lesson.examples {
        let bytes: Vec<u8> = example.tokens.iter().flat_map(|token| decoder.tokens().bytes(*token)).copied().collect();
        text.push_str(&String::from_utf8(bytes).unwrap());
    }
    assert!(TITLES.iter().all(|title| text.contains(title)), "{text}");
    let rest = TITLES.iter().fold(text, |text, title| text.replace(title, ""));
    assert!(!rest.contains(|letter: char| letter.is_ascii_digit()), "{rest}");
    // Most of what is foretold is after what all have in common, which is read once.
    let prompts = rest.matches("List what I choose").count();
    assert_eq!(prompts, 1, "{rest}");
}

/// What was learned is kept under its hash, served by the local runtime, and refused once it was changed.
fn keeps(root: &std::path::Path, decoder: &Decoder, model: &std::path::Path, report: Report) {
    let manifest = Manifest::new("smollm2", "abc", 7, config(), report, DataRange::default());
    let artefact = Artefact::write(root, decoder, manifest).unwrap();
    assert!(artefact.name().starts_with("smollm2-") && artefact.manifest.hash.starts_with(&artefact.name()[8..]));
    let (all, bad) = Artefact::all(root);
    assert_eq!((all.len(), bad.len()), (1, 0));
    assert_eq!(all[0].manifest, artefact.manifest);

    let settings = LocalConfig {
        model: "smollm2".to_owned(),
        path: model.to_owned(),
        adapter_folder: Some(artefact.folder.clone()),
        threads: 2,
        ..LocalConfig::default()
    };
    let ledger: Arc<dyn UsageLedger> = Arc::new(MemoryLedger::default());
    let local = Local::start(settings, Arc::new(SystemClock), ledger).unwrap();
    assert!(local.model().ends_with(&artefact.name()));
    let score = |history: &[&str]| {
        let continuations = TITLES[1..].iter().map(|title| next(title)).collect();
        let request = ScoreRequest { messages: chosen(history), continuations, limits: Limits::default() };
        local.log_probabilities(&request).unwrap().continuations
    };
    let (known, alone) = (score(&[TITLES[0]]), score(&[]));
    let served: Vec<f64> = known.iter().zip(&alone).map(|(a, b)| a.log_probability - b.log_probability).collect();
    let case = Case { history: vec![TITLES[0]], candidates: TITLES[1..].to_vec() };
    let direct = preferences(decoder, &[case], &Workers::new().unwrap(), &|_| {}).remove(0);
    for (served, direct) in served.iter().zip(direct) {
        assert!((served - direct).abs() < 1e-2, "{served} instead of {direct}");
    }

    let weights = artefact.folder.join(zhiyin_decoder::WEIGHTS_FILE);
    let mut bytes = fs_err::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs_err::write(&weights, bytes).unwrap();
    let (all, bad) = Artefact::all(root);
    assert_eq!(all.len(), 0);
    assert!(bad[0].to_string().contains("its hash is another"), "{}", bad[0]);
}

#[test]
fn a_training_stops_when_its_budget_is_used_up_or_it_diverges() {
    let Some(path) = model() else { return };
    let mut decoder = Decoder::load(&path).unwrap();
    let short = TuneConfig { budget_cpu_seconds: 3.0, ..config() };
    let report = train(&mut decoder, None, &short, &mut |_| {});
    assert!(report.ended == Ended::Budget && report.steps < 3, "{report:?}");
    let wild = TuneConfig { learning_rate: 1.0, clip: 1e9, epochs: 1_000, patience: 1, validate_every: 1, ..config() };
    let report = train(&mut decoder, None, &wild, &mut |_| {});
    assert!(matches!(report.ended, Ended::Diverged | Ended::Patience), "{report:?}");
    let objective = |loss: Loss| loss.objective(wild.choice_weight);
    assert!(objective(report.loss_after) <= objective(report.loss_before), "{report:?}");
    let values = decoder.adapter().unwrap().values();
    assert!(values.iter().all(|value| value.is_finite()), "what is kept are the best numbers");
}
