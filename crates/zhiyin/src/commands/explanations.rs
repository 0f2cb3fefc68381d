//! `zhiyin explanations`: measures by deletion what the reasons of recommendations are worth.

use anyhow::{Result, bail};
use clap::{Args, Subcommand, builder::TypedValueParser};
use rand::{SeedableRng, seq::SliceRandom};
use serde::Serialize;
use zhiyin_core::limits;
use zhiyin_engine::{Deletion, Engine, RecommendRequest, request::Explain};
use zhiyin_evaluation::{Summary, bootstrap};

use crate::{
    cli::HomeArguments,
    home::{self, Home},
    output::{self, Align},
};

/// Arguments of `zhiyin explanations`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take the strongest reasons of recommended items away and see how far the items fall; keep nothing else and see whether they stay.
    Evaluate(Evaluation),
}

/// Arguments of `zhiyin explanations evaluate`.
#[derive(Debug, Args)]
struct Evaluation {
    /// Users who are drawn.
    #[arg(long, default_value_t = 500)]
    users: usize,
    /// Items of each list, 1 to 200.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Reasons that are taken away: the strongest ones of each item, 1 to 3.
    #[arg(long, default_value_t = 2, value_parser = named())]
    named: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    home: HomeArguments,
}

fn named() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(1..=3).map(|count| count as usize)
}

/// What was measured. Shares are over the items of all lists, with 95 % bootstrap intervals over users.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    users: usize,
    items: usize,
    named: usize,
    limit: usize,
    seed: u64,
    /// Mean number of named reasons that are items of the history.
    from_history: Summary,
    /// Items whose rank falls without the named reasons.
    falls: Summary,
    /// Items that leave the list without them.
    leaves: Summary,
    /// Of items with a named reason in the history: those whose rank falls without as many other items of the history.
    falls_without_others: Summary,
    /// Of the same: those that leave the list.
    leaves_without_others: Summary,
    /// Items that stay in the list with the named reasons as the whole history.
    stays: Summary,
}

/// Measures and prints.
///
/// # Errors
/// A folder without users or one that a server has open; failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Action::Evaluate(evaluation) = &arguments.action;
    let config = home::configuration(&evaluation.home)?;
    if !home::has_data(&config.data.folder) {
        bail!("{} holds no data: import some first", config.data.folder.display());
    }
    let home = Home::open(config)?;
    let report = evaluate(&home.engine, evaluation);
    home.close()?;
    let report = report?;
    if evaluation.home.json {
        return output::json(&report);
    }
    print(&report);
    Ok(())
}

fn evaluate(engine: &Engine, evaluation: &Evaluation) -> Result<Report> {
    let mut users = users(engine)?;
    users.shuffle(&mut rand_pcg::Pcg64Mcg::seed_from_u64(evaluation.seed));
    users.truncate(evaluation.users);
    let bar = output::bar(users.len() as u64, "taking reasons away");
    let mut lists = Vec::new();
    for (user, seed) in users.into_iter().zip(evaluation.seed..) {
        let request = RecommendRequest {
            user: Some(user),
            limit: Some(evaluation.limit),
            // By their scores alone, so that the place in the list is the rank.
            diversity: Some(0.0),
            explore: Some(false),
            explain: Explain::None,
            ..RecommendRequest::default()
        };
        lists.push(engine.deletions(&request, evaluation.named, seed)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    lists.retain(|list| !list.is_empty());
    if lists.is_empty() {
        bail!("nothing is recommended for a reason: import interactions of users first");
    }
    Ok(report(&lists, evaluation, engine.status().model))
}

fn users(engine: &Engine) -> Result<Vec<String>> {
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let page = engine.users(after.as_deref(), limits::PAGE_ROWS_MAX)?;
        users.extend(page.rows.iter().map(|user| user.id.to_string()));
        after = page.next;
        if after.is_none() {
            return Ok(users);
        }
    }
}

fn report(lists: &[Vec<Deletion>], evaluation: &Evaluation, model: String) -> Report {
    let mean = |value: &dyn Fn(&Deletion) -> Option<f64>| {
        let values = |list: &Vec<Deletion>| list.iter().filter_map(value).collect::<Vec<f64>>();
        let (sums, counts): (Vec<f64>, Vec<f64>) =
            lists.iter().map(values).map(|values| (values.iter().sum::<f64>(), values.len() as f64)).unzip();
        bootstrap::ratio_interval(&sums, &counts, evaluation.seed)
    };
    let share = |is_so: &dyn Fn(&Deletion) -> Option<bool>| mean(&|deletion| is_so(deletion).map(f64::from));
    let limit = evaluation.limit as f64;
    Report {
        model,
        users: lists.len(),
        items: lists.iter().map(Vec::len).sum(),
        named: evaluation.named,
        limit: evaluation.limit,
        seed: evaluation.seed,
        from_history: mean(&|deletion| Some(deletion.from_history as f64)),
        falls: share(&|deletion| Some(deletion.without_named > deletion.rank)),
        leaves: share(&|deletion| Some(deletion.without_named > limit)),
        falls_without_others: share(&|deletion| Some(deletion.without_others? > deletion.rank)),
        leaves_without_others: share(&|deletion| Some(deletion.without_others? > limit)),
        stays: share(&|deletion| Some(deletion.named_alone <= limit)),
    }
}

fn print(report: &Report) {
    output::say(format_args!(
        "{} items in lists of {} of {} users, model {}, seed {}; the strongest {} reasons of each item, {:.2} of them items of the history; ± are \
         half-widths of 95 % bootstrap intervals over users",
        output::count(report.items as u64),
        report.limit,
        output::count(report.users as u64),
        report.model,
        report.seed,
        report.named,
        report.from_history.mean,
    ));
    let columns = [("of the items", Align::Left), ("share", Align::Right)];
    let row = |name: &str, share: &Summary| {
        vec![name.to_owned(), format!("{:.3} ±{:.3}", share.mean, (share.high - share.low) / 2.0)]
    };
    let rows = [
        row("fall without the named reasons (necessity)", &report.falls),
        row("leave the list without them", &report.leaves),
        row("fall without as many other items of the history", &report.falls_without_others),
        row("leave the list without those", &report.leaves_without_others),
        row("stay in the list with the named reasons alone (sufficiency)", &report.stays),
    ];
    output::say(output::table(&columns, rows));
}
