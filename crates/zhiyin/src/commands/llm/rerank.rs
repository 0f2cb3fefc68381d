//! `zhiyin llm rerank`: measures what ordering a list anew by a language model gains, and how long it takes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use zhiyin_assistant::{
    preference::first_times,
    rerank::{RERANKED_MAX, order},
};
use zhiyin_core::{
    SystemClock,
    language::{LanguageModel, Limits, UsageLedger},
};
use zhiyin_engine::experiment::{
    ExperimentData,
    preferences::{PreferenceCase, PreferenceConfig, PreferenceSplit, split},
};
use zhiyin_evaluation::{
    Summary,
    bootstrap::{interval, paired_interval},
    metrics::ndcg_at,
};
use zhiyin_llm::{
    budget::MemoryLedger,
    local::{Local, LocalConfig},
};
use zhiyin_tuning::router::BUCKETS;

use super::behaviour::BehaviourArguments;
use crate::{
    cli::HomeArguments,
    home, language,
    output::{self, Align},
};

/// The cut-off that is reported.
const CUT_OFF: usize = 10;
/// Choices of a case, at most.
const CHOSEN_MAX: usize = 4;
/// Time for one list: nothing is cut off, so that all lists are measured.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `zhiyin llm rerank`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    behaviour: BehaviourArguments,
    /// The model whose best items are ordered anew.
    #[arg(long, default_value = "linear", value_parser = ["linear", "cooccurrence", "slist", "text", "popularity"])]
    lists_of: String,
    /// Held-out cases that are measured.
    #[arg(long, default_value_t = 100)]
    cases: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    home: HomeArguments,
}

/// What a model made of the lists.
#[derive(Debug, Serialize)]
struct Measured {
    model: String,
    before: Summary,
    after: Summary,
    gain: Summary,
    /// Milliseconds of one list: half of them took less, and nine tenths.
    p50_ms: f64,
    p90_ms: f64,
}

/// Measures and reports.
///
/// # Errors
/// No generator that is pulled; data without titles or times; a model that fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let config = home::configuration(&arguments.home)?;
    let Some(base) = language::local_config(&config)? else {
        bail!("there is no language model to order lists; `zhiyin llm pull smollm2` gets one");
    };
    let data = arguments.behaviour.read(&config)?;
    let settings = PreferenceConfig {
        chosen_max: CHOSEN_MAX,
        others: 1,
        cases_max: arguments.cases.max(1),
        buckets: BUCKETS.to_vec(),
        seed: arguments.seed,
    };
    let parts = split(&data, &settings)?;
    let lists_of: &'static str = ["linear", "cooccurrence", "slist", "text", "popularity"]
        .into_iter()
        .find(|name| *name == arguments.lists_of)
        .context("the lists are of no known model")?;
    let lists = parts.lists(lists_of, RERANKED_MAX)?;
    let taught = language::taught_artefact(&config)?
        .map(|(local, artefact)| LocalConfig { adapter_folder: Some(artefact.folder), ..local });
    let measure = |local| measure(local, &data, &parts, &lists, arguments.seed);
    let found: Vec<Measured> = std::iter::once(base).chain(taught).map(measure).collect::<Result<_>>()?;
    if arguments.home.json {
        return output::json(&json!({ "lists_of": lists_of, "cases": parts.test.len(), "measured": found }));
    }
    print(&found, lists_of, parts.test.len());
    Ok(())
}

fn measure(
    local: LocalConfig,
    data: &ExperimentData,
    parts: &PreferenceSplit,
    lists: &[Vec<u32>],
    seed: u64,
) -> Result<Measured> {
    let ledger: Arc<dyn UsageLedger> = Arc::new(MemoryLedger::default());
    let model = Local::start(local, Arc::new(SystemClock), ledger)?;
    let titles =
        |items: &[u32]| -> Vec<String> { items.iter().map(|&item| data.titles[item as usize].clone()).collect() };
    let (mut before, mut after, mut times_ms) = (Vec::new(), Vec::new(), Vec::new());
    let bar = output::bar(lists.len() as u64, "ordering lists anew");
    for (case, list) in parts.test.iter().zip(lists) {
        let history: Vec<u32> = case.history.iter().map(|event| event.item).collect();
        let begun = Instant::now();
        let order = order(&model, &first_times(&titles(&history)), &titles(list), &Limits::within(PATIENCE))?;
        times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        let ordered: Vec<u32> = order.into_iter().map(|place| list[place]).collect();
        before.push(ndcg_at(&ranks(case, list), CUT_OFF));
        after.push(ndcg_at(&ranks(case, &ordered), CUT_OFF));
        bar.inc(1);
    }
    bar.finish_and_clear();
    times_ms.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| times_ms.get((times_ms.len() as f64 * share) as usize).copied().unwrap_or_default();
    Ok(Measured {
        model: model.model(),
        before: interval(&before, seed),
        after: interval(&after, seed),
        gain: paired_interval(&after, &before, seed),
        p50_ms: quantile(0.5),
        p90_ms: quantile(0.9),
    })
}

/// Ranks of what was chosen; what isn't in the list is at no rank that counts.
fn ranks(case: &PreferenceCase, list: &[u32]) -> Vec<f64> {
    let rank =
        |item: &u32| list.iter().position(|listed| listed == item).map_or(f64::INFINITY, |place| place as f64 + 1.0);
    case.candidates[..case.chosen].iter().map(rank).collect()
}

fn print(found: &[Measured], lists_of: &str, cases: usize) {
    output::say(format_args!(
        "NDCG@{CUT_OFF} of the best {RERANKED_MAX} items of {lists_of} over {cases} held-out cases"
    ));
    let columns = [
        ("model", Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("gain", Align::Right),
        ("p50 ms", Align::Right),
        ("p90 ms", Align::Right),
    ];
    let row = |measured: &Measured| {
        let Measured { model, before, after, gain, p50_ms, p90_ms } = measured;
        vec![
            model.clone(),
            format!("{:.4}", before.mean),
            format!("{:.4}", after.mean),
            format!("{:+.4} ({:+.4} to {:+.4})", gain.mean, gain.low, gain.high),
            format!("{p50_ms:.0}"),
            format!("{p90_ms:.0}"),
        ]
    };
    output::say(output::table(&columns, found.iter().map(row)));
}
