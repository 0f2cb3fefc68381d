//! Training: steps along the gradient, looks at validation, and states from which it goes on.
//!
//! A step takes whole histories until it has as many events as [`Params::batch`] says; its gradient is shared out over the cores by histories.
//! Everything random follows from the seed and the number of the step, and sums are made in a fixed order: a training that goes on from a
//! [`Trainer::checkpoint`] ends with the same numbers as one that was never interrupted, on any number of cores.

use std::{ops::ControlFlow, sync::Arc};

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use zhiyin_models::{Dataset, FitError, whitening::Whitening};

use crate::{
    adam::{Adam, length, schedule},
    design::{Design, Rows, Step},
    events::Windows,
    items::Texts,
    model::Neural,
    network::Senses,
    noise::Noise,
    params::{Params, TextUse},
    sample::{Sample, Sampler},
};

/// A loss of an epoch this many times the least one means that training has come apart.
const LOSS_RISE_MAX: f64 = 2.0;
/// How far the axes of text vectors are evened out.
const WHITENING: f64 = 0.5;
/// An epoch has at least so many steps, as long as a step has [`BATCH_MIN`] events: little data is gone through in smaller steps.
const EPOCH_STEPS_MIN: usize = 16;
const BATCH_MIN: usize = 32;

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Watched {
    /// Epochs done.
    pub epoch: usize,
    /// Steps done.
    pub step: u64,
    /// Events that were learned from, each as often as it was.
    pub events: u64,
    /// Mean loss of the newest step's events.
    pub loss: f64,
    /// The newest look at validation.
    pub quality: Option<f64>,
    /// Share of the planned training that is done.
    pub done: f64,
}

/// An epoch that is over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss of its events.
    pub loss: f64,
    /// What validation gave after it.
    pub quality: Option<f64>,
}

/// Why a training ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All that was planned is done.
    Planned,
    /// Validation hasn't become better.
    Patience,
    /// Whoever watched it said so.
    Stopped,
    /// The loss came apart; the numbers before that are kept.
    Diverged(String),
}

/// What came of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The epochs.
    pub epochs: Vec<Epoch>,
    /// Epochs after which the numbers that were kept were taken.
    pub kept_after: usize,
    /// What validation gave for them.
    pub quality: Option<f64>,
    /// Steps done.
    pub steps: u64,
    /// Events that were learned from, each as often as it was.
    pub events: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// Everything that the next step depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    /// What is trained on what: a state is never taken for another's.
    key: u64,
    /// Place in the present epoch's order.
    next: usize,
    events: u64,
    /// Sum of the losses of the present epoch, and its events.
    epoch_loss: f64,
    epoch_events: u64,
    values: Vec<f32>,
    adam: Adam,
    epochs: Vec<Epoch>,
    kept: Option<Kept>,
    stale: usize,
}

/// The best numbers so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    values: Vec<f32>,
    epochs: usize,
    quality: Option<f64>,
}

/// A training.
pub struct Trainer<'a> {
    design: Design,
    whitening: Whitening,
    windows: Windows<'a>,
    sampler: Sampler<'a>,
    state: State,
    order: Vec<u32>,
    rows: Rows,
    sample: Sample,
    gradients: Vec<f32>,
}

/// What validation says of a model: more is better.
pub type Validate<'a> = &'a mut dyn FnMut(&Neural) -> f64;
/// Hears how far a training is after each step, and tells whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(&Trainer<'_>, Watched) -> ControlFlow<()>;

/// Trains a model. With `validate`, the numbers that it finds best are kept and training ends when it finds none better for
/// [`Params::patience`] epochs; without, the last ones are kept.
///
/// # Errors
/// Parameters that make no sense, too little data, text vectors that aren't numbers, or a loss that comes apart in the first epoch.
pub fn fit(
    data: &Dataset,
    params: &Params,
    validate: Option<Validate<'_>>,
    watch: Watch<'_>,
) -> Result<(Neural, Report), FitError> {
    Trainer::new(data, params)?.run(validate, watch)
}

impl<'a> Trainer<'a> {
    /// Prepares a training.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn new(data: &'a Dataset, params: &Params) -> Result<Self, FitError> {
        let name = params.name();
        if let Some(detail) = params.fault() {
            return Err(FitError::Numerical { model: name, detail });
        }
        let windows = Windows::of(data, params.window);
        let counts = data.item_counts();
        let warm: Arc<[bool]> = counts.iter().map(|count| *count > 0).collect();
        let sampler = Sampler::new(counts, &data.interactions, params.negatives, params.popular);
        check(name, &windows, &sampler)?;
        let (texts, whitening) = texts(data, params)?;
        let senses = Senses { time: params.time && windows.has_times(), kinds: windows.has_kinds() };
        let design = Design::new(params, senses, texts, warm);
        let values = design.begin();
        let state = State {
            key: key(data, params),
            next: 0,
            events: 0,
            epoch_loss: 0.0,
            epoch_events: 0,
            adam: Adam::new(values.len()),
            values,
            epochs: Vec::new(),
            kept: None,
            stale: 0,
        };
        let mut trainer = Self {
            gradients: vec![0.0; state.values.len()],
            order: Vec::new(),
            rows: Rows::default(),
            sample: Sample::default(),
            design,
            whitening,
            windows,
            sampler,
            state,
        };
        trainer.shuffle();
        Ok(trainer)
    }

    /// The state from which [`Trainer::resume`] goes on.
    pub fn checkpoint(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.state).unwrap_or_default()
    }

    /// Takes over the state of the same training. False, with nothing changed, if the bytes are another training's or damaged.
    pub fn resume(&mut self, checkpoint: &[u8]) -> bool {
        let Ok(state) = postcard::from_bytes::<State>(checkpoint) else { return false };
        let fits = state.key == self.state.key && state.values.len() == self.state.values.len();
        if fits {
            self.state = state;
            self.shuffle();
        }
        fits
    }

    /// Makes the present numbers useless, as a fault would.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        self.state.values.fill(f32::MAX);
    }

    /// Trains to the end: see [`fit`].
    ///
    /// # Errors
    /// The loss comes apart in the first epoch.
    pub fn run(mut self, mut validate: Option<Validate<'_>>, watch: Watch<'_>) -> Result<(Neural, Report), FitError> {
        let ended = loop {
            if let Some(ended) = self.is_over() {
                break ended;
            }
            let loss = match self.step() {
                Ok(loss) => loss,
                Err(why) => break Ended::Diverged(why),
            };
            if self.state.next >= self.windows.len()
                && let Some(why) = self.end_epoch(&mut validate)
            {
                break Ended::Diverged(why);
            }
            if watch(&self, self.watched(loss)).is_break() {
                break Ended::Stopped;
            }
        };
        self.finish(ended, validate)
    }

    fn watched(&self, loss: f64) -> Watched {
        Watched {
            epoch: self.state.epochs.len(),
            step: self.state.adam.steps,
            events: self.state.events,
            loss,
            quality: self.state.epochs.last().and_then(|epoch| epoch.quality),
            done: self.done(),
        }
    }

    /// Events that are planned to be learned from.
    fn planned(&self) -> u64 {
        let params = &self.design.params;
        (params.epochs as u64 * self.windows.events() as u64).min(params.events_max).max(1)
    }

    fn done(&self) -> f64 {
        self.state.events as f64 / self.planned() as f64
    }

    fn is_over(&self) -> Option<Ended> {
        let (params, epochs) = (&self.design.params, self.state.epochs.len());
        if self.state.events >= self.planned() || params.stop_after.is_some_and(|after| epochs >= after) {
            return Some(Ended::Planned);
        }
        (self.state.stale >= params.patience.max(1)).then_some(Ended::Patience)
    }

    /// The order of the present epoch.
    fn shuffle(&mut self) {
        self.order = (0..self.windows.len() as u32).collect();
        let mut random = Pcg64Mcg::seed_from_u64(self.seed(0, self.state.epochs.len() as u64));
        self.order.shuffle(&mut random);
    }

    fn seed(&self, purpose: u64, number: u64) -> u64 {
        let mixed = self.design.params.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(purpose);
        mixed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(number)
    }

    /// One step; its loss, or why it couldn't be made.
    fn step(&mut self) -> Result<f64, String> {
        let params = &self.design.params;
        let (mut histories, mut events) = (Vec::new(), 0);
        let batch = params.batch.min((self.windows.events() / EPOCH_STEPS_MIN).max(BATCH_MIN));
        while events < batch && self.state.next + histories.len() < self.windows.len() {
            let history = self.windows.get(self.order[self.state.next + histories.len()] as usize);
            events += history.len() - 1;
            histories.push(history);
        }
        let number = self.state.adam.steps;
        self.sampler.draw(self.seed(1, number), &mut self.sample);
        let step = Step {
            histories: &histories,
            sampled: &self.sample.items,
            corrections: &self.sample.corrections,
            sampled_of: self.sampler.of(),
            noise: (params.dropout > 0.0).then(|| Noise::new(self.seed(2, number), params.dropout)),
        };
        let loss = self.design.gradient(&self.state.values, &step, &mut self.rows, &mut self.gradients);
        let length = length(&self.gradients);
        if !loss.is_finite() || !length.is_finite() {
            return Err(format!("the loss or its gradient was no longer a number in step {}", number + 1));
        }
        let factor = if length > params.clip { params.clip / length } else { 1.0 };
        let rate = params.rate * schedule(number, self.done()) as f32;
        let State { adam, values, .. } = &mut self.state;
        adam.step(&self.design.layout, values, &self.gradients, factor, rate, params.weight_decay);
        self.state.next += histories.len();
        self.state.events += events as u64;
        self.state.epoch_events += events as u64;
        self.state.epoch_loss += loss * events as f64;
        Ok(loss)
    }

    /// Ends an epoch; why training has come apart, if it has.
    fn end_epoch(&mut self, validate: &mut Option<Validate<'_>>) -> Option<String> {
        let loss = self.state.epoch_loss / self.state.epoch_events.max(1) as f64;
        let least = self.state.epochs.iter().map(|epoch| epoch.loss).fold(f64::INFINITY, f64::min);
        if loss > LOSS_RISE_MAX * least.max(1e-3) {
            return Some(format!(
                "the loss of epoch {} rose to {loss:.3} from {least:.3}",
                self.state.epochs.len() + 1
            ));
        }
        let quality = self.look(validate);
        self.state.epochs.push(Epoch { loss, quality });
        (self.state.epoch_loss, self.state.epoch_events, self.state.next) = (0.0, 0, 0);
        self.shuffle();
        None
    }

    /// Asks validation, and keeps the numbers if they are the best.
    fn look(&mut self, validate: &mut Option<Validate<'_>>) -> Option<f64> {
        let quality = validate.as_mut().map(|validate| validate(&self.model(&self.state.values)));
        let best = self.state.kept.as_ref().and_then(|kept| kept.quality);
        if quality.is_some_and(|quality| best.is_some_and(|best| quality <= best)) {
            self.state.stale += 1;
        } else {
            self.state.stale = 0;
            let epochs = self.state.epochs.len() + 1;
            self.state.kept = Some(Kept { values: self.state.values.clone(), epochs, quality });
        }
        quality
    }

    fn model(&self, values: &[f32]) -> Neural {
        Neural::new(&self.design, values, self.whitening.clone())
    }

    fn finish(mut self, ended: Ended, mut validate: Option<Validate<'_>>) -> Result<(Neural, Report), FitError> {
        let is_mid_epoch = self.state.next > 0 && !matches!(ended, Ended::Diverged(_));
        if is_mid_epoch {
            self.look(&mut validate);
        }
        let Some(kept) = self.state.kept.take() else {
            let rate = self.design.params.rate;
            let why =
                if let Ended::Diverged(why) = ended { why } else { "it was stopped before its first step".into() };
            let detail = format!("{why}, at rate {rate}; lower the rate");
            return Err(FitError::Numerical { model: self.design.params.name(), detail });
        };
        let report = Report {
            kept_after: kept.epochs,
            quality: kept.quality,
            steps: self.state.adam.steps,
            events: self.state.events,
            epochs: std::mem::take(&mut self.state.epochs),
            ended,
        };
        Ok((self.model(&kept.values), report))
    }
}

fn check(name: &'static str, windows: &Windows<'_>, sampler: &Sampler<'_>) -> Result<(), FitError> {
    let little = |found: String, needed| Err(FitError::TooLittleData { model: name, found, needed });
    if sampler.of() < 2 {
        return little(format!("{} items with events", sampler.of()), "at least 2");
    }
    if windows.len() == 0 {
        return little("no history of two events".into(), "at least one");
    }
    Ok(())
}

/// Whitened texts, if they are wanted and there are any.
fn texts(data: &Dataset, params: &Params) -> Result<(Texts, Whitening), FitError> {
    let vectors = &data.vectors;
    if params.text == TextUse::None || vectors.is_empty() {
        return Ok(Default::default());
    }
    if let Some(at) = vectors.rows().iter().position(|value| !value.is_finite()) {
        let item = at / vectors.dims();
        let detail = format!("the text vector of item {item} holds a value that isn't a number; encode the texts anew");
        return Err(FitError::Numerical { model: params.name(), detail });
    }
    let Some(whitening) = Whitening::fit(vectors.rows(), vectors.dims(), params.text_axes, WHITENING) else {
        return Ok(Default::default());
    };
    let mut rows = whitening.apply(vectors.rows());
    rows.resize(data.n_items() * whitening.dims(), 0.0);
    Ok((Texts { axes: whitening.dims(), rows: rows.into() }, whitening))
}

/// A number that tells apart what is trained on what.
fn key(data: &Dataset, params: &Params) -> u64 {
    let mut key = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |number: u64| key = (key ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    postcard::to_stdvec(params).unwrap_or_default().into_iter().for_each(|byte| mix(u64::from(byte)));
    mix(data.n_items() as u64);
    data.offsets.iter().for_each(|&offset| mix(offset as u64));
    for event in &data.interactions {
        mix(u64::from(event.item) << 32 | u64::from(event.time_s));
        mix(u64::from(event.kind));
    }
    data.vectors.rows().iter().for_each(|value| mix(u64::from(value.to_bits())));
    key
}
