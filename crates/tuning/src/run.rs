//! Training an adapter.
//!
//! Each step averages the derivatives over `accumulation` lessons of `batch` windows each, clips and follows them by AdamW. Now and then the loss
//! on validation is looked at; the numbers with the least are what is kept, and training ends when it hasn't become less for some looks, when the epochs are
//! over, or when the budget of processor time is used up.

use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zhiyin_decoder::{Adapter, AdapterConfig, AdapterError, Decoder};

use crate::{
    checkpoint::Checkpoint,
    optimizer::{AdamW, clip, schedule},
    texts::{Asked, Behaviour, Lesson, Loss, Window, windows},
    workers::Workers,
};

/// Windows that validation looks at, at most.
const VALIDATION_WINDOWS_MAX: usize = 24;

/// How an adapter is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuneConfig {
    /// What is trained.
    pub adapter: AdapterConfig,
    /// Greatest learning rate.
    pub learning_rate: f64,
    /// Share of each number that a step at rate 1 would take away.
    pub weight_decay: f64,
    /// Times that all histories are gone through, at most.
    pub epochs: u32,
    /// Windows of a lesson, whose titles are told from each other's.
    pub batch: usize,
    /// Lessons of a step.
    pub accumulation: usize,
    /// Places of each window at which its title is told from those of the others; 0: titles are only foretold.
    pub choices: usize,
    /// What telling them apart counts, against foretelling a token.
    pub choice_weight: f64,
    /// Processor seconds of training and its validation, at most.
    pub budget_cpu_seconds: f64,
    /// Length of the derivatives of a step, at most.
    pub clip: f64,
    /// Share of windows that a yes-or-no question is asked about.
    pub question_share: f32,
    /// Steps from one look at validation, and one checkpoint, to the next.
    pub validate_every: u64,
    /// Looks without a gain after which it ends.
    pub patience: u32,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for TuneConfig {
    fn default() -> Self {
        Self {
            adapter: AdapterConfig::default(),
            learning_rate: 1e-3,
            weight_decay: 0.01,
            epochs: 3,
            batch: 4,
            accumulation: 2,
            choices: 2,
            choice_weight: 1.0,
            budget_cpu_seconds: 1_200.0,
            clip: 1.0,
            question_share: 0.05,
            validate_every: 20,
            patience: 3,
            seed: 42,
        }
    }
}

/// Why nothing was learned.
#[derive(Debug, Error)]
pub enum TuneError {
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
    /// There is nothing to learn from.
    #[error("there are {found} histories of at least two titled items to {what}; import or collect more events")]
    TooLittle {
        /// Histories there are.
        found: usize,
        /// What they would serve for.
        what: &'static str,
    },
    /// The adapter doesn't fit.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A checkpoint can't be written.
    #[error("a checkpoint can't be written: {0}")]
    Checkpoint(#[source] std::io::Error),
}

/// How far a training is.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Watched {
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u32,
    /// Loss on the step's lessons.
    pub loss: f64,
    /// The newest look at validation.
    pub validation: f64,
    /// Tokens read so far.
    pub tokens: u64,
    /// Processor seconds used.
    pub cpu_seconds: f64,
    /// Share of the training that is done, by budget or epochs, whichever is more.
    pub done: f64,
}

/// What came of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Steps done.
    pub steps: u64,
    /// Tokens read.
    pub tokens: u64,
    /// Processor seconds used.
    pub cpu_seconds: f64,
    /// Loss on validation without the adapter.
    pub loss_before: Loss,
    /// The least loss on validation, whose numbers were kept.
    pub loss_after: Loss,
    /// Loss on validation by step.
    pub losses: Vec<(u64, Loss)>,
    /// Why it ended.
    pub ended: Ended,
    /// Whether it went on from a checkpoint.
    pub resumed: bool,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All epochs are done.
    Epochs,
    /// The budget of processor time is used up.
    Budget,
    /// The loss on validation hasn't become less.
    Patience,
    /// The loss wasn't a number any more; the best numbers before that are kept.
    Diverged,
}

/// A training: what is trained on what.
pub struct Training<'a> {
    /// How.
    pub config: &'a TuneConfig,
    /// What is learned from.
    pub train: Behaviour<'a>,
    /// What is looked at for when to stop: other users.
    pub validation: Behaviour<'a>,
    /// Where its state is kept until it is finished; none: nowhere.
    pub checkpoint: Option<PathBuf>,
    /// What tells this training from others, besides its configuration: the base model and the data.
    pub identity: &'a str,
    /// Processor seconds of this process so far.
    pub cpu_seconds: &'a dyn Fn() -> f64,
    /// The threads that it runs on.
    pub workers: &'a Workers,
}

impl Training<'_> {
    /// Trains. The decoder has the new adapter afterwards, and whatever adapter it had is gone.
    ///
    /// # Errors
    /// [`TuneError`].
    pub fn run(&self, decoder: &mut Decoder, watch: &mut dyn FnMut(Watched)) -> Result<Report, TuneError> {
        check(self.config)?;
        decoder.adapt(None)?;
        let validation = self.validation_lessons(decoder)?;
        let mut state = self.begin(decoder, &validation)?;
        let resumed = state.step > 0;
        let started = (self.cpu_seconds)() - state.cpu_seconds;
        let ended = loop {
            let windows = windows(self.train, self.asked(state.epoch));
            if windows.is_empty() {
                return Err(TuneError::TooLittle { found: 0, what: "learn from" });
            }
            match self.epoch(decoder, &windows, &validation, &mut state, started, watch)? {
                Some(ended) => break ended,
                None if state.epoch + 1 == self.config.epochs => break Ended::Epochs,
                None => (state.epoch, state.used) = (state.epoch + 1, 0),
            }
        };
        if ended != Ended::Diverged && state.losses.last().is_none_or(|(step, _)| *step != state.step) {
            self.look(decoder, &validation, &mut state);
        }
        if let Some(adapter) = decoder.adapter_mut() {
            adapter.values_mut().copy_from_slice(&state.best);
        }
        if let Some(path) = &self.checkpoint {
            // It served its purpose; one that stays is harmless.
            let _ = fs_err::remove_file(path);
        }
        Ok(Report {
            steps: state.step,
            tokens: state.tokens,
            cpu_seconds: (self.cpu_seconds)() - started,
            loss_before: state.first_loss,
            loss_after: state.best_loss,
            losses: state.losses,
            ended,
            resumed,
        })
    }

    /// Lessons of other users, always the same.
    fn validation_lessons(&self, decoder: &Decoder) -> Result<Vec<Lesson>, TuneError> {
        let mut windows = windows(self.validation, Asked { question_share: 0.0, ..self.asked(0) });
        windows.truncate(VALIDATION_WINDOWS_MAX);
        let lessons: Vec<Lesson> = self.lessons(decoder, self.validation, &windows);
        if lessons.is_empty() { Err(TuneError::TooLittle { found: 0, what: "validate on" }) } else { Ok(lessons) }
    }

    fn asked(&self, epoch: u32) -> Asked {
        let TuneConfig { question_share, choices, seed, .. } = *self.config;
        Asked { question_share, choices, seed: seed.wrapping_add(u64::from(epoch) << 32) }
    }

    fn lessons(&self, decoder: &Decoder, behaviour: Behaviour<'_>, windows: &[Window]) -> Vec<Lesson> {
        windows.chunks(self.config.batch).map(|windows| Lesson::new(decoder, behaviour, windows)).collect()
    }

    /// The state of a checkpoint of the same training, or a new one; the decoder has its numbers.
    fn begin(&self, decoder: &mut Decoder, validation: &[Lesson]) -> Result<Checkpoint, TuneError> {
        let mut random = Pcg64Mcg::seed_from_u64(self.config.seed);
        let adapter = Adapter::fresh(decoder.shape(), self.config.adapter.clone(), || random.random::<f32>())?;
        let values = adapter.values().to_vec();
        decoder.adapt(Some(adapter))?;
        let key = self.key();
        let kept = self.checkpoint.as_ref().and_then(|path| Checkpoint::read(path, &key));
        if let Some(kept) = kept.filter(|kept| kept.values.len() == values.len()) {
            if let Some(adapter) = decoder.adapter_mut() {
                adapter.values_mut().copy_from_slice(&kept.values);
            }
            return Ok(kept);
        }
        let begun = (self.cpu_seconds)();
        let loss = self.mean_loss(decoder, validation);
        Ok(Checkpoint {
            key,
            step: 0,
            epoch: 0,
            used: 0,
            cpu_seconds: (self.cpu_seconds)() - begun,
            tokens: 0,
            optimizer: AdamW::new(values.len()),
            best: values.clone(),
            values,
            best_loss: loss,
            first_loss: loss,
            looks_without_gain: 0,
            losses: vec![(0, loss)],
        })
    }

    fn key(&self) -> String {
        format!("{} {}", self.identity, serde_json::to_string(self.config).unwrap_or_default())
    }

    /// The rest of an epoch. Returns why training ends, if it does.
    fn epoch(
        &self,
        decoder: &mut Decoder,
        windows: &[Window],
        validation: &[Lesson],
        state: &mut Checkpoint,
        started: f64,
        watch: &mut dyn FnMut(Watched),
    ) -> Result<Option<Ended>, TuneError> {
        let per_step = self.config.batch * self.config.accumulation;
        let mut gradients = vec![0.0; state.values.len()];
        while state.used < windows.len() {
            let end = windows.len().min(state.used + per_step);
            let lessons = self.lessons(decoder, self.train, &windows[state.used..end]);
            gradients.fill(0.0);
            let loss = self.derive(decoder, &lessons, &mut gradients);
            if !loss.is_finite() || gradients.iter().any(|value| !value.is_finite()) {
                return Ok(Some(Ended::Diverged));
            }
            clip(&mut gradients, self.config.clip);
            let done = self.done(state, windows.len());
            let rate = (self.config.learning_rate * schedule(done)) as f32;
            if let Some(adapter) = decoder.adapter_mut() {
                let decay = self.config.weight_decay as f32;
                state.optimizer.step(adapter.values_mut(), &gradients, rate, decay);
                state.values.copy_from_slice(adapter.values());
            }
            state.used = end;
            state.step += 1;
            state.tokens += lessons.iter().map(|lesson| lesson.tokens() as u64).sum::<u64>();
            if state.step.is_multiple_of(self.config.validate_every) {
                self.look(decoder, validation, state);
            }
            state.cpu_seconds = (self.cpu_seconds)() - started;
            watch(Watched {
                step: state.step,
                epoch: state.epoch,
                loss,
                validation: state.losses.last().map_or(0.0, |(_, loss)| self.objective(*loss)),
                tokens: state.tokens,
                cpu_seconds: state.cpu_seconds,
                done: self.done(state, windows.len()),
            });
            if state.step.is_multiple_of(self.config.validate_every)
                && let Some(path) = &self.checkpoint
            {
                state.write(path).map_err(TuneError::Checkpoint)?;
            }
            if state.looks_without_gain >= self.config.patience {
                return Ok(Some(Ended::Patience));
            }
            if state.cpu_seconds >= self.config.budget_cpu_seconds {
                return Ok(Some(Ended::Budget));
            }
        }
        Ok(None)
    }

    /// Averages the derivatives of a step in the order of its lessons, whoever computed them, so that the same training gives the same numbers.
    fn derive(&self, decoder: &Decoder, lessons: &[Lesson], gradients: &mut [f32]) -> f64 {
        let parts = self.workers.map(lessons, |lesson| {
            let mut own = vec![0.0; gradients.len()];
            let objective = |sums: &[f64]| lesson.objective(sums, self.config.choice_weight);
            (decoder.gradients(&lesson.examples, &objective, &mut own), own)
        });
        let mut total = 0.0;
        for (loss, own) in parts {
            total += loss / lessons.len() as f64;
            gradients.iter_mut().zip(own).for_each(|(sum, value)| *sum += value / lessons.len() as f32);
        }
        total
    }

    /// Looks at validation and keeps the numbers if they are the best so far.
    fn look(&self, decoder: &Decoder, validation: &[Lesson], state: &mut Checkpoint) {
        let loss = self.mean_loss(decoder, validation);
        state.losses.push((state.step, loss));
        if self.objective(loss) < self.objective(state.best_loss) {
            (state.best_loss, state.looks_without_gain) = (loss, 0);
            state.best.copy_from_slice(&state.values);
        } else {
            state.looks_without_gain += 1;
        }
    }

    fn mean_loss(&self, decoder: &Decoder, lessons: &[Lesson]) -> Loss {
        Loss::mean(&self.workers.map(lessons, |lesson| lesson.loss(&decoder.losses(&lesson.examples))))
    }

    fn objective(&self, loss: Loss) -> f64 {
        loss.objective(self.config.choice_weight)
    }

    fn done(&self, state: &Checkpoint, windows: usize) -> f64 {
        let epochs =
            (f64::from(state.epoch) + state.used as f64 / windows.max(1) as f64) / f64::from(self.config.epochs);
        epochs.max(state.cpu_seconds / self.config.budget_cpu_seconds).min(1.0)
    }
}

fn check(config: &TuneConfig) -> Result<(), TuneError> {
    let rules = [
        ("learning_rate", config.learning_rate, 0.0, 1.0),
        ("epochs", f64::from(config.epochs), 0.0, 1_000.0),
        ("batch", config.batch as f64, 0.0, 256.0),
        ("accumulation", config.accumulation as f64, 0.0, 1_024.0),
        ("budget_cpu_seconds", config.budget_cpu_seconds, 0.0, 1e9),
        ("clip", config.clip, 0.0, 1e9),
        ("validate_every", config.validate_every as f64, 0.0, 1e9),
        ("patience", f64::from(config.patience), 0.0, 1e9),
    ];
    // None of them may be 0; one that isn't a number is in no range.
    match rules.iter().find(|(_, value, min, max)| !(value > min && value <= max)) {
        Some((name, value, min, max)) => {
            Err(TuneError::Config(format!("{name} is {value}; it has to be above {min} and at most {max}")))
        }
        None if !(0.0..=1.0).contains(&config.question_share) || !(0.0..=1.0).contains(&config.weight_decay) => {
            Err(TuneError::Config("question_share and weight_decay have to be 0 to 1".to_owned()))
        }
        None if !(0.0..=1e3).contains(&config.choice_weight) => {
            Err(TuneError::Config(format!("choice_weight is {}; it has to be 0 to 1000", config.choice_weight)))
        }
        None => Ok(()),
    }
}
