//! `zhiyin llm teach`: has the fine-tuned model judge the best candidates of short histories, and keeps what it says for smaller models to learn from.

use anyhow::{Result, bail};
use clap::{Args, builder::TypedValueParser};
use serde_json::json;
use zhiyin_assistant::preference::first_times;
use zhiyin_core::storage::{ActorKind, ActorRow, Storage};
use zhiyin_decoder::Decoder;
use zhiyin_engine::{RecommendRequest, cost::cpu_seconds, request::RecommendedItem};
use zhiyin_store::TeacherScores;
use zhiyin_tuning::{
    Workers,
    preference::{Case, preferences},
};

use crate::{
    cli::HomeArguments,
    home::{self, Home},
    language, output,
};

/// Rows of actors that are read at once, and actors whose scores are written at once.
const ACTORS_AT_ONCE: usize = 64;

/// Arguments of `zhiyin llm teach`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Candidates of each user that are judged: the best ones.
    #[arg(long, default_value_t = 20, value_parser = candidates())]
    candidates: usize,
    /// Titles of a history, at most [default: the lengths for which validation found a gain].
    #[arg(long, value_name = "TITLES")]
    length_max: Option<usize>,
    /// Processor seconds, at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_200.0)]
    budget_cpu_seconds: f64,
    #[command(flatten)]
    home: HomeArguments,
}

fn candidates() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(2..=200).map(|count| count as usize)
}

/// Judges, keeps and reports.
///
/// # Errors
/// No adapter; a folder that a server has open; failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    let config = home::configuration(&arguments.home)?;
    let Some((local, artefact)) = language::taught_artefact(&config)? else {
        bail!("there is no fine-tuned model yet; `zhiyin llm finetune` makes one");
    };
    let lengths = match arguments.length_max {
        Some(most) => std::iter::once(1..most.saturating_add(1)).collect(),
        None => language::asked_about(&artefact.manifest),
    };
    if lengths.is_empty() {
        bail!(
            "validation found no length of histories at which {} gains; --length-max asks it all the same",
            artefact.name()
        );
    }
    if !home::has_data(&config.data.folder) {
        bail!("{} holds no data: import some first", config.data.folder.display());
    }
    let mut decoder = Decoder::load(&local.path)?;
    let adapter = artefact.adapter(&decoder)?;
    decoder.adapt(Some(adapter))?;
    let home = Home::open(config)?;
    let model = format!("{}@{}+{}", local.model, local.version, artefact.name());
    let teacher = Teacher { arguments, decoder, workers: Workers::new()?, model: &model, home: &home };
    let taught = teacher.teach(|length| lengths.iter().any(|lengths| lengths.contains(&length)));
    home.close()?;
    let (users, labels) = taught?;
    if arguments.home.json {
        return output::json(
            &json!({ "model": model, "users": users, "labels": labels, "cpu_seconds": cpu_seconds() }),
        );
    }
    output::say(format_args!(
        "{} judged {} candidates of {} users in {:.0} CPU s",
        model,
        output::count(labels),
        output::count(users),
        cpu_seconds()
    ));
    Ok(())
}

struct Teacher<'a> {
    arguments: &'a Arguments,
    decoder: Decoder,
    workers: Workers,
    model: &'a str,
    home: &'a Home,
}

/// A user with what is judged.
struct Pupil {
    actor: u32,
    history: Vec<String>,
    candidates: Vec<(u32, String)>,
}

impl Pupil {
    fn case(&self) -> Case<'_> {
        Case {
            history: self.history.iter().map(String::as_str).collect(),
            candidates: self.candidates.iter().map(|(_, title)| title.as_str()).collect(),
        }
    }
}

impl Teacher<'_> {
    /// Numbers of users and labels.
    fn teach(&self, is_asked: impl Fn(usize) -> bool) -> Result<(u64, u64)> {
        let store = &self.home.store;
        let last = store.high_water()?.next_actor;
        let bar = output::bar(last.into(), "judging candidates");
        let (mut next, mut users, mut labels) = (0, 0, 0);
        while next < last && cpu_seconds() < self.arguments.budget_cpu_seconds {
            let rows = store.actors_from(next, ACTORS_AT_ONCE)?;
            let Some(newest) = rows.last() else { break };
            next = newest.ix + 1;
            let mut pupils = Vec::new();
            for row in rows.iter().filter(|row| row.kind == ActorKind::User) {
                pupils.extend(self.pupil(row)?.filter(|pupil| is_asked(pupil.history.len())));
            }
            let scores = self.judge(&pupils);
            store.put_teacher_scores(&scores)?;
            users += scores.len() as u64;
            labels += scores.iter().map(|scores| scores.labels.len() as u64).sum::<u64>();
            bar.set_position(next.into());
        }
        bar.finish_and_clear();
        Ok((users, labels))
    }

    fn pupil(&self, row: &ActorRow) -> Result<Option<Pupil>> {
        let request = RecommendRequest {
            user: Some(row.id.as_str().to_owned()),
            limit: Some(self.arguments.candidates),
            ..RecommendRequest::default()
        };
        let (list, titles) = self.home.engine.candidates(&request)?;
        let titled = list.items.into_iter().filter(|item| !item.title.is_empty());
        let numbered = |item: RecommendedItem| Some((self.home.engine.item_number(&item.item)?, item.title));
        let candidates: Vec<(u32, String)> = titled.filter_map(numbered).collect();
        let history: Vec<String> = first_times(&titles).into_iter().map(str::to_owned).collect();
        let pupil = Pupil { actor: row.ix, history, candidates };
        Ok(Some(pupil).filter(|pupil| !pupil.history.is_empty() && pupil.candidates.len() > 1))
    }

    fn judge(&self, pupils: &[Pupil]) -> Vec<TeacherScores> {
        let cases: Vec<Case<'_>> = pupils.iter().map(Pupil::case).collect();
        let found = preferences(&self.decoder, &cases, &self.workers, &|_| {});
        let scores = |(pupil, found): (&Pupil, Vec<f64>)| TeacherScores {
            actor: pupil.actor,
            model: self.model.to_owned(),
            made_ms: home::now_ms(),
            length: pupil.history.len() as u32,
            labels: pupil.candidates.iter().map(|(item, _)| *item).zip(found).collect(),
        };
        pupils.iter().zip(found).map(scores).collect()
    }
}
