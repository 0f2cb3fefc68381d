//! `zhiyin recommend`: recommends items to a user, prints the list and draws its scores.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use zhiyin_engine::{
    RecommendRequest, Recommendations,
    request::{Explain, RecommendedItem, Trace},
};

use crate::{
    cli::HomeArguments,
    home::{self, Home},
    output::{self, Align},
    plot::{self, Bar},
};

/// Arguments of `zhiyin recommend`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The user.
    user: String,
    /// How many items, 1 to 200.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Which items may be in the list, such as 'price < 20 and category in ["mug", "bowl"]'.
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// The item that is on the screen.
    #[arg(long, value_name = "ITEM")]
    item: Option<String>,
    /// Weight of diversity, 0 to 1.
    #[arg(long)]
    diversity: Option<f32>,
    /// How much to explain.
    #[arg(long, value_enum, default_value_t = Detail::Reasons)]
    explain: Detail,
    /// Draw the scores into this file, ending in .svg or .png.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    home: HomeArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Detail {
    /// Scores only.
    None,
    /// The strongest reasons of each item.
    Reasons,
    /// Every stage of the pipeline.
    Trace,
}

impl From<Detail> for Explain {
    fn from(detail: Detail) -> Self {
        match detail {
            Detail::None => Self::None,
            Detail::Reasons => Self::Reasons,
            Detail::Trace => Self::Trace,
        }
    }
}

/// Recommends, prints and draws.
///
/// # Errors
/// A wrong filter, limit or file ending; a folder that a server has open.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.plot.as_deref().map(plot::check_path).transpose()?;
    let home = Home::open(home::configuration(&arguments.home)?)?;
    let answer = home.engine.recommend(&request(arguments));
    home.close()?;
    let answer = answer?;
    if arguments.home.json {
        output::json(&answer)?;
    } else {
        print(&answer);
    }
    if let Some(path) = &arguments.plot {
        plot::draw(path, &format!("Recommendations for {}", arguments.user), &bars(&answer.items))?;
        output::remark(format_args!("drew the scores into {}", path.display()));
    }
    Ok(())
}

fn request(arguments: &Arguments) -> RecommendRequest {
    RecommendRequest {
        user: Some(arguments.user.clone()),
        item: arguments.item.clone(),
        limit: Some(arguments.limit),
        filter: arguments.filter.clone(),
        diversity: arguments.diversity,
        explain: arguments.explain.into(),
        ..RecommendRequest::default()
    }
}

fn bars(items: &[RecommendedItem]) -> Vec<Bar> {
    let label = |item: &RecommendedItem| if item.title.is_empty() { item.item.clone() } else { item.title.clone() };
    items
        .iter()
        .map(|item| Bar { label: label(item), value: item.score.into(), group: item.source.to_string() })
        .collect()
}

fn print(answer: &Recommendations) {
    let columns = [
        ("", Align::Right),
        ("item", Align::Left),
        ("title", Align::Left),
        ("score", Align::Right),
        ("source", Align::Left),
        ("why", Align::Left),
    ];
    output::say(output::table(&columns, answer.items.iter().enumerate().map(|(at, item)| cells(at, item))));
    let fallback = answer.fallback.as_ref().map_or_else(String::new, |reason| format!(", fallback: {reason}"));
    output::say(format_args!("decision {}, model {}{fallback}", answer.decision_id, answer.model));
    if let Some(trace) = &answer.trace {
        print_trace(trace);
    }
}

fn cells(at: usize, item: &RecommendedItem) -> Vec<String> {
    let reasons: Vec<&str> = item.reasons.iter().map(|reason| reason.text.as_str()).collect();
    vec![
        (at + 1).to_string(),
        item.item.clone(),
        item.title.clone(),
        format!("{:.3}", item.score),
        item.source.to_string(),
        reasons.join("; "),
    ]
}

fn print_trace(trace: &Trace) {
    let who = &trace.hydrate;
    output::say(format_args!(
        "\n{} with {} interactions, the newest: {}",
        who.actor,
        who.history_length,
        who.history.join(", ")
    ));
    let columns = [
        ("source", Align::Left),
        ("status", Align::Left),
        ("weight", Align::Right),
        ("candidates", Align::Right),
        ("µs", Align::Right),
        ("best", Align::Left),
    ];
    let rows = trace.sources.iter().map(|source| {
        let best: Vec<String> = source.best.iter().take(3).map(|(item, score)| format!("{item} {score:.3}")).collect();
        let numbers =
            [format!("{:.3}", source.weight), source.candidates.to_string(), format!("{:.0}", source.microseconds)];
        [vec![source.name.clone(), source.status.clone()], numbers.to_vec(), vec![best.join(", ")]].concat()
    });
    output::say(output::table(&columns, rows));
    let removed =
        trace.removed.iter().map(|gone| vec![gone.item.clone(), format!("{:.3}", gone.score), gone.reason.clone()]);
    output::say(output::table(&[("removed", Align::Left), ("score", Align::Right), ("reason", Align::Left)], removed));
    for score in &trace.scores {
        let parts: Vec<String> =
            score.contributions.iter().map(|(name, amount)| format!("{name} {amount:+.3}")).collect();
        output::say(format_args!("{}: {:.3} = {}", score.item, score.score, parts.join(" ")));
    }
    trace.selection.iter().for_each(output::say);
    let stages: Vec<String> =
        trace.stage_microseconds.iter().map(|(name, time)| format!("{name} {time:.0} µs")).collect();
    output::say(stages.join(", "));
}
