//! How neural networks are fitted: validation says after how many epochs to stop, and under [`Tune::Full`] how texts enter.

use std::ops::ControlFlow;

use serde_json::Value;
use zhiyin_models::{Dataset, FitError};
use zhiyin_neural::{Neural, Params, Report, Trainer, Watched, params::TextUse};

use crate::{
    config::Tune,
    cost::Cost,
    learn::{BatchModel, Effort, Entry, Learned, batch},
    progress::Progress,
    rank::{Cases, mean_ndcg},
};

/// Steps between two reports of progress.
const REPORT_STEPS: u64 = 50;

/// Fits the network of this name; the parameters of the entry say after how many epochs validation was best.
///
/// # Errors
/// As [`zhiyin_neural::fit`].
pub fn fit(
    name: &str,
    data: &Dataset,
    validation: &Cases<'_>,
    effort: &Effort,
    progress: &dyn Progress,
) -> Result<Entry, FitError> {
    let started = Cost::now();
    let mut best: Option<Fitted> = None;
    let alternatives = alternatives(name, data, effort);
    let trials = alternatives.len();
    for params in alternatives {
        let fitted = fit_one(data, params, validation, progress)?;
        if best.as_ref().is_none_or(|best| fitted.report.quality > best.report.quality) {
            best = Some(fitted);
        }
    }
    let Some(Fitted { model, report, cost }) = best else { unreachable!("there is always one alternative") };
    let all = started.elapsed();
    let tuning = Cost { seconds: all.seconds - cost.seconds, cpu_seconds: all.cpu_seconds - cost.cpu_seconds };
    let name = model.params().name();
    let params = Params { stop_after: Some(report.kept_after), ..model.params().clone() };
    let params = serde_json::to_value(params).unwrap_or_default();
    Ok(Entry { name, learned: batch(BatchModel::Neural(model)), params, fit: cost, tuning, trials })
}

/// Fits the network of this name on other data, for as many epochs as was chosen before.
///
/// # Errors
/// As [`zhiyin_neural::fit`].
pub fn refit(name: &str, data: &Dataset, params: &Value) -> Result<Learned, FitError> {
    let params = serde_json::from_value(params.clone()).unwrap_or_else(|_| Params::named(name));
    let (model, _) = zhiyin_neural::fit(data, &params, None, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(batch(BatchModel::Neural(model)))
}

struct Fitted {
    model: Neural,
    report: Report,
    cost: Cost,
}

/// The settings that are tried.
fn alternatives(name: &str, data: &Dataset, effort: &Effort) -> Vec<Params> {
    let defaults = Params::named(name);
    let events_max = defaults.events_max.min(effort.neural_events_max);
    let params = Params { seed: effort.seed, events_max, ..defaults };
    if effort.tune != Tune::Full || data.vectors.is_empty() || params.text == TextUse::None {
        return vec![params];
    }
    let uses = [TextUse::Sum, TextUse::None, TextUse::Initialisation, TextUse::Subspace, TextUse::Delta];
    uses.map(|text| Params { text, ..params.clone() }).to_vec()
}

fn fit_one(
    data: &Dataset,
    params: Params,
    validation: &Cases<'_>,
    progress: &dyn Progress,
) -> Result<Fitted, FitError> {
    let started = Cost::now();
    let mut look = |model: &Neural| mean_ndcg(model, validation);
    let mut watch = |_: &Trainer<'_>, watched: Watched| {
        if watched.step % REPORT_STEPS == 1 {
            let seconds = started.elapsed().seconds.max(1e-9);
            let rate = watched.events as f64 / seconds;
            let left = seconds * (1.0 / watched.done.max(1e-9) - 1.0);
            let quality = watched.quality.map_or_else(String::new, |quality| format!(", NDCG@10 {quality:.4}"));
            let what = format!(
                "training {}: epoch {}, loss {:.3}{quality}, {rate:.0} events/s, at most {left:.0} s left",
                params.name(),
                watched.epoch + 1,
                watched.loss
            );
            progress.stage(&what, (watched.done * 1000.0) as u64, 1000);
        }
        ControlFlow::Continue(())
    };
    let (model, report) = zhiyin_neural::fit(data, &params, Some(&mut look), &mut watch)?;
    Ok(Fitted { model, report, cost: started.elapsed() })
}
