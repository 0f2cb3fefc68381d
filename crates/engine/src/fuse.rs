//! Weighing the sources: their scores for cases whose outcome is known, and the weights that rank those outcomes best.

use rayon::prelude::*;
use zhiyin_models::{
    Model, Scores,
    fusion::{Fitted, FusionTrainer, Training},
};

use crate::{
    learn::Learned,
    rank::{Case, Cases},
    replay::{Prediction, Stretch, distinct_items},
};

/// Weighs models that don't change while the cases are scored.
pub fn weigh(models: &[&dyn Model], cases: &Cases<'_>, seed: u64) -> Fitted {
    let mut trainer = trainer(models.iter().map(|model| model.name()), seed);
    let samples = cases.list.par_iter().enumerate().map_init(
        || vec![Scores::default(); models.len()],
        |per_source, (number, case)| {
            let query = cases.query(case);
            for (model, scores) in models.iter().zip(per_source.iter_mut()) {
                scores.reset(cases.n_items);
                model.score(&query, scores);
            }
            let masked = masked(case, cases.mask_history);
            let target = |target: &u32| trainer.sample(per_source, &masked, *target, number as u64);
            case.targets.iter().filter_map(target).collect::<Vec<_>>()
        },
    );
    let samples: Vec<_> = samples.flatten().collect();
    samples.into_iter().for_each(|sample| trainer.add(sample));
    trainer.fit()
}

/// Weighs models while they learn from the stretch, which leaves them knowing all of it.
pub fn weigh_live(models: &mut [Learned], stretch: &Stretch<'_>, mask_history: bool, seed: u64) -> Fitted {
    let mut trainer = trainer(models.iter().map(|learned| learned.model().name()), seed);
    stretch.run(models, |Prediction { case, per_source, number }| {
        let masked = masked(&case, mask_history);
        if let Some(sample) = trainer.sample(per_source, &masked, case.targets[0], number) {
            trainer.add(sample);
        }
    });
    trainer.fit()
}

fn trainer<'a>(names: impl Iterator<Item = &'a str>, seed: u64) -> FusionTrainer {
    let names = names.map(str::to_owned).collect();
    FusionTrainer::new(names, Training { seed, ..Training::default() })
}

fn masked(case: &Case<'_>, mask_history: bool) -> Vec<u32> {
    if mask_history { distinct_items(case.history) } else { Vec::new() }
}
