//! Models by name: how each is fitted and how its hyper-parameters are chosen.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use zhiyin_models::{
    Dataset, FitError, Model, Online, bayes, content, cooccurrence, ease, feedback, ials, linear, markov, popularity,
    repeat, session_knn, slist, text, user_knn,
};
use zhiyin_neural::Neural;

use crate::{
    config::Tune,
    cost::Cost,
    learn_neural,
    progress::Progress,
    rank::{Cases, mean_ndcg},
};

/// Names of all single models that the fusion sums, in the order in which they are reported.
pub const MODELS: [&str; 15] = [
    "popularity",
    "markov",
    "bayes",
    "linear",
    "cooccurrence",
    "session-knn",
    "user-knn",
    "content",
    "text",
    "feedback",
    "repeat",
    "ease",
    "slist",
    "ials",
    "sequence",
];

/// Models that others are measured against: they are fitted where they are asked for by name, and never become a part of the fusion.
pub const BASELINES: [&str; 2] = ["gru", "dense"];

/// A kind of model that can be fitted and tuned.
pub trait Learner: Model + Sized + 'static {
    /// Its hyper-parameters.
    type Params: Clone + Default + Serialize + DeserializeOwned + PartialEq;

    /// Fits it.
    ///
    /// # Errors
    /// Too little data, too large a catalogue, or numbers that break down.
    fn learn(data: &Dataset, params: &Self::Params) -> Result<Self, FitError>;

    /// Takes over hyper-parameters that only matter when scoring; false if a new fit is needed.
    fn adopt(&mut self, params: &Self::Params) -> bool;

    /// For each hyper-parameter, the alternatives that differ in it alone.
    fn axes(params: &Self::Params) -> Vec<Vec<Self::Params>>;

    /// The model without its type.
    fn into_learned(self) -> Learned;
}

/// A fitted model of any kind.
pub enum Learned {
    /// One that learns from every event.
    Online(Box<dyn Online>),
    /// One that is fitted in the background.
    Batch(Box<BatchModel>),
}

impl Learned {
    /// It as a scorer.
    pub fn model(&self) -> &dyn Model {
        match self {
            Learned::Online(model) => model.as_ref(),
            Learned::Batch(model) => model.model(),
        }
    }

    /// It as a learner of single events, if it is one.
    pub fn online(&mut self) -> Option<&mut dyn Online> {
        match self {
            Learned::Online(model) => Some(model.as_mut()),
            Learned::Batch(_) => None,
        }
    }
}

/// A model that is fitted in the background and stored as an artefact.
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are the models")]
#[allow(clippy::large_enum_variant, reason = "a handful exist at a time, and their arrays are on the heap anyway")]
pub enum BatchModel {
    Linear(linear::LinearModel),
    Ease(ease::Ease),
    Slist(slist::Slist),
    Ials(ials::Ials),
    Content(content::Content),
    Text(text::Text),
    Neural(Neural),
}

impl BatchModel {
    /// It as a scorer.
    pub fn model(&self) -> &dyn Model {
        match self {
            BatchModel::Linear(model) => model,
            BatchModel::Ease(model) => model,
            BatchModel::Slist(model) => model,
            BatchModel::Ials(model) => model,
            BatchModel::Content(model) => model,
            BatchModel::Text(model) => model,
            BatchModel::Neural(model) => model,
        }
    }
}

/// Implements [`Learner`] by a model's own functions of the same meaning; a macro because the types share no trait.
macro_rules! learner {
    ($module:ident, $model:ident, $fit:expr, $wrap:expr) => {
        impl Learner for $module::$model {
            type Params = $module::Params;

            fn learn(data: &Dataset, params: &Self::Params) -> Result<Self, FitError> {
                ($fit)(data, params)
            }

            fn adopt(&mut self, params: &Self::Params) -> bool {
                $module::$model::adopt(self, params)
            }

            fn axes(params: &Self::Params) -> Vec<Vec<Self::Params>> {
                params.axes()
            }

            fn into_learned(self) -> Learned {
                ($wrap)(self)
            }
        }
    };
}

fn online<M: Online + 'static>(model: M) -> Learned {
    Learned::Online(Box::new(model))
}

pub(crate) fn batch(model: BatchModel) -> Learned {
    Learned::Batch(Box::new(model))
}

learner!(popularity, Popularity, |d, p| Ok(popularity::Popularity::fit(d, p)), online);
learner!(markov, Markov, |d, p| Ok(markov::Markov::fit(d, p)), online);
learner!(bayes, Bayes, |d, p| Ok(bayes::Bayes::fit(d, p)), online);
learner!(cooccurrence, Cooccurrence, |d, p| Ok(cooccurrence::Cooccurrence::fit(d, p)), online);
learner!(session_knn, SessionKnn, |d, p| Ok(session_knn::SessionKnn::fit(d, p)), online);
learner!(user_knn, UserKnn, |d, p| Ok(user_knn::UserKnn::fit(d, p)), online);
learner!(repeat, Repeat, |d, p| Ok(repeat::Repeat::fit(d, p)), online);
learner!(feedback, Replayed, feedback::Replayed::fit, online);
learner!(content, Content, |d, p| Ok(content::Content::fit(d, p)), |m| batch(BatchModel::Content(m)));
learner!(text, Text, text::Text::fit, |m| batch(BatchModel::Text(m)));
learner!(linear, LinearModel, linear::LinearModel::fit, |m| batch(BatchModel::Linear(m)));
learner!(ease, Ease, ease::Ease::fit, |m| batch(BatchModel::Ease(m)));
learner!(slist, Slist, slist::Slist::fit, |m| batch(BatchModel::Slist(m)));
learner!(ials, Ials, ials::Ials::fit, |m| batch(BatchModel::Ials(m)));

/// A fitted model with how it came about.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The model.
    pub learned: Learned,
    /// The chosen hyper-parameters.
    pub params: Value,
    /// What the final fit cost.
    pub fit: Cost,
    /// What choosing the hyper-parameters cost.
    pub tuning: Cost,
    /// How many settings were tried.
    pub trials: usize,
}

/// How models are fitted.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How hyper-parameters are chosen.
    pub tune: Tune,
    /// Seed of everything random.
    pub seed: u64,
    /// Events that a neural network learns from in all, each as often as it does.
    pub neural_events_max: u64,
}

/// Fits the model of this name, choosing its hyper-parameters by NDCG@10 on `validation`.
///
/// # Errors
/// What [`Learner::learn`] reports. An unknown name is a bug of the caller: names are checked against [`MODELS`] and [`BASELINES`] first.
pub fn fit_named(
    name: &str,
    data: &Dataset,
    validation: &Cases<'_>,
    effort: &Effort,
    progress: &dyn Progress,
) -> Result<Entry, FitError> {
    let tune = effort.tune;
    match name {
        "popularity" => fit_tuned::<popularity::Popularity>(data, validation, tune),
        "markov" => fit_tuned::<markov::Markov>(data, validation, tune),
        "bayes" => fit_tuned::<bayes::Bayes>(data, validation, tune),
        "linear" => fit_tuned::<linear::LinearModel>(data, validation, tune),
        "cooccurrence" => fit_tuned::<cooccurrence::Cooccurrence>(data, validation, tune),
        "session-knn" => fit_tuned::<session_knn::SessionKnn>(data, validation, tune),
        "user-knn" => fit_tuned::<user_knn::UserKnn>(data, validation, tune),
        "content" => fit_tuned::<content::Content>(data, validation, tune),
        "text" => fit_tuned::<text::Text>(data, validation, tune),
        "feedback" => fit_tuned::<feedback::Replayed>(data, validation, tune),
        "repeat" => fit_tuned::<repeat::Repeat>(data, validation, tune),
        "ease" => fit_tuned::<ease::Ease>(data, validation, tune),
        "ials" => fit_tuned::<ials::Ials>(data, validation, tune),
        "sequence" | "gru" | "dense" => learn_neural::fit(name, data, validation, effort, progress),
        _ => fit_tuned::<slist::Slist>(data, validation, tune),
    }
}

/// Fits the model of this name on `data` with hyper-parameters that were chosen before.
///
/// # Errors
/// As [`fit_named`].
pub fn refit(name: &str, data: &Dataset, params: &Value) -> Result<Learned, FitError> {
    fn with<M: Learner>(data: &Dataset, params: &Value) -> Result<Learned, FitError> {
        let params = serde_json::from_value(params.clone()).unwrap_or_default();
        Ok(M::learn(data, &params)?.into_learned())
    }
    match name {
        "popularity" => with::<popularity::Popularity>(data, params),
        "markov" => with::<markov::Markov>(data, params),
        "bayes" => with::<bayes::Bayes>(data, params),
        "linear" => with::<linear::LinearModel>(data, params),
        "cooccurrence" => with::<cooccurrence::Cooccurrence>(data, params),
        "session-knn" => with::<session_knn::SessionKnn>(data, params),
        "user-knn" => with::<user_knn::UserKnn>(data, params),
        "content" => with::<content::Content>(data, params),
        "text" => with::<text::Text>(data, params),
        "feedback" => with::<feedback::Replayed>(data, params),
        "repeat" => with::<repeat::Repeat>(data, params),
        "ease" => with::<ease::Ease>(data, params),
        "ials" => with::<ials::Ials>(data, params),
        "sequence" | "gru" | "dense" => learn_neural::refit(name, data, params),
        _ => with::<slist::Slist>(data, params),
    }
}

fn fit_tuned<M: Learner>(data: &Dataset, validation: &Cases<'_>, tune: Tune) -> Result<Entry, FitError> {
    let mut search = Search::<M>::begin(data, validation)?;
    let started = Cost::now();
    let passes = match tune {
        Tune::None => 0,
        Tune::Quick => 1,
        Tune::Full => 3,
    };
    for _ in 0..passes {
        if !search.pass()? {
            break;
        }
    }
    let tuning = started.elapsed();
    let params = serde_json::to_value(&search.params).unwrap_or_default();
    let name = search.model.name();
    Ok(Entry { name, learned: search.model.into_learned(), params, fit: search.fit, tuning, trials: search.trials })
}

/// Coordinate search over the axes of a model. Of two models only the better one is kept, since one can be as large as memory allows.
struct Search<'a, M: Learner> {
    data: &'a Dataset,
    validation: &'a Cases<'a>,
    params: M::Params,
    model: M,
    quality: f64,
    fit: Cost,
    trials: usize,
}

impl<'a, M: Learner> Search<'a, M> {
    fn begin(data: &'a Dataset, validation: &'a Cases<'a>) -> Result<Self, FitError> {
        let params = M::Params::default();
        let (model, fit) = timed(data, &params)?;
        let quality = mean_ndcg(&model, validation);
        Ok(Self { data, validation, params, model, quality, fit, trials: 1 })
    }

    /// Tries every alternative of every axis once; true if anything improved.
    fn pass(&mut self) -> Result<bool, FitError> {
        let before = self.quality;
        for axis in 0..M::axes(&self.params).len() {
            let alternatives = M::axes(&self.params).swap_remove(axis);
            for params in alternatives {
                self.try_one(&params)?;
            }
        }
        Ok(self.quality > before)
    }

    fn try_one(&mut self, params: &M::Params) -> Result<(), FitError> {
        if *params == self.params {
            return Ok(());
        }
        self.trials += 1;
        if self.model.adopt(params) {
            self.judge_adopted(params);
            return Ok(());
        }
        match timed(self.data, params) {
            Ok((model, fit)) => self.judge_fitted(params, model, fit),
            // A setting whose numbers break down is simply not chosen.
            Err(FitError::Numerical { .. }) => {}
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn judge_adopted(&mut self, params: &M::Params) {
        let quality = mean_ndcg(&self.model, self.validation);
        if quality > self.quality {
            self.quality = quality;
            self.params = params.clone();
        } else {
            self.model.adopt(&self.params);
        }
    }

    fn judge_fitted(&mut self, params: &M::Params, model: M, fit: Cost) {
        let quality = mean_ndcg(&model, self.validation);
        if quality > self.quality {
            (self.quality, self.model, self.fit) = (quality, model, fit);
            self.params = params.clone();
        }
    }
}

fn timed<M: Learner>(data: &Dataset, params: &M::Params) -> Result<(M, Cost), FitError> {
    let started = Cost::now();
    let model = M::learn(data, params)?;
    Ok((model, started.elapsed()))
}
