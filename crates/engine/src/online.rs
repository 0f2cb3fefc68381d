//! The models that learn from every event.

use serde::{Deserialize, Serialize, Serializer};
use zhiyin_core::ItemIx;
use zhiyin_models::{
    Dataset, ItemFacts, Model, Online, Step, bayes::Bayes, content::Content, cooccurrence::Cooccurrence,
    feedback::Feedback, markov::Markov, model::fold_dataset, popularity::Popularity, repeat::Repeat,
    session_knn::SessionKnn, user_knn::UserKnn,
};

/// Hyper-parameters of the online models. They are part of every snapshot: the same log and the same parameters give the same state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OnlineParams {
    /// See [`zhiyin_models::popularity`].
    pub popularity: zhiyin_models::popularity::Params,
    /// See [`zhiyin_models::markov`].
    pub markov: zhiyin_models::markov::Params,
    /// See [`zhiyin_models::bayes`].
    pub bayes: zhiyin_models::bayes::Params,
    /// See [`zhiyin_models::cooccurrence`].
    pub cooccurrence: zhiyin_models::cooccurrence::Params,
    /// See [`zhiyin_models::session_knn`].
    pub session_knn: zhiyin_models::session_knn::Params,
    /// See [`zhiyin_models::user_knn`].
    pub user_knn: zhiyin_models::user_knn::Params,
    /// See [`zhiyin_models::repeat`].
    pub repeat: zhiyin_models::repeat::Params,
    /// See [`zhiyin_models::content`].
    pub content: zhiyin_models::content::Params,
    /// See [`zhiyin_models::feedback`].
    pub feedback: zhiyin_models::feedback::Params,
}

/// The models that learn from every event and every change of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnlineModels {
    /// Decayed popularity.
    pub popularity: Popularity,
    /// Markov chain.
    pub markov: Markov,
    /// Naive Bayes.
    pub bayes: Bayes,
    /// Directed decayed co-occurrence.
    pub cooccurrence: Cooccurrence,
    /// Session kNN.
    pub session_knn: SessionKnn,
    /// User kNN and friends.
    pub user_knn: UserKnn,
    /// Repeats.
    pub repeat: Repeat,
    /// Content. Of it only the hyper-parameters are kept in files: the rest is rebuilt from the catalogue.
    #[serde(serialize_with = "hyper_parameters")]
    pub content: Content,
    /// What reviews say. It learns opinions, not steps.
    pub feedback: Feedback,
}

fn hyper_parameters<S: Serializer>(content: &Content, serializer: S) -> Result<S::Ok, S::Error> {
    Content::new(content.params().clone()).serialize(serializer)
}

impl OnlineModels {
    /// Models that know nothing yet.
    pub fn new(params: &OnlineParams) -> Self {
        Self {
            popularity: Popularity::new(params.popularity.clone()),
            markov: Markov::new(params.markov.clone()),
            bayes: Bayes::new(params.bayes.clone()),
            cooccurrence: Cooccurrence::new(params.cooccurrence.clone()),
            session_knn: SessionKnn::new(params.session_knn.clone()),
            user_knn: UserKnn::new(params.user_knn.clone()),
            repeat: Repeat::new(params.repeat.clone()),
            content: Content::new(params.content.clone()),
            feedback: Feedback::new(params.feedback.clone()),
        }
    }

    /// Models that know a whole set.
    pub fn fit(data: &Dataset, params: &OnlineParams) -> Self {
        let mut models = Self { content: Content::fit(data, &params.content), ..Self::new(params) };
        for model in models.counting_mut() {
            fold_dataset(model, data);
        }
        data.opinions.iter().for_each(|said| models.feedback.learn(said.clone()));
        models
    }

    /// The hyper-parameters.
    pub fn params(&self) -> OnlineParams {
        OnlineParams {
            popularity: self.popularity.params().clone(),
            markov: self.markov.params().clone(),
            bayes: self.bayes.params().clone(),
            cooccurrence: self.cooccurrence.params().clone(),
            session_knn: self.session_knn.params().clone(),
            user_knn: self.user_knn.params().clone(),
            repeat: self.repeat.params().clone(),
            content: self.content.params().clone(),
            feedback: self.feedback.params().clone(),
        }
    }

    /// Learns one event.
    pub fn fold(&mut self, step: &Step<'_>) {
        for model in self.counting_mut() {
            model.fold(step);
        }
    }

    /// Forgets one event.
    pub fn unfold(&mut self, step: &Step<'_>) {
        for model in self.counting_mut() {
            model.unfold(step);
        }
    }

    /// Learns what an item is.
    pub fn upsert_item(&mut self, item: ItemIx, facts: &ItemFacts) {
        self.content.upsert(item, facts);
    }

    /// Forgets what an item is.
    pub fn remove_item(&mut self, item: ItemIx) {
        self.content.remove(item);
    }

    /// All of them, as sources of recommendations.
    pub fn sources(&self) -> [&dyn Model; 9] {
        [
            &self.popularity,
            &self.markov,
            &self.bayes,
            &self.cooccurrence,
            &self.session_knn,
            &self.user_knn,
            &self.repeat,
            &self.content,
            &self.feedback,
        ]
    }

    /// Bytes of memory that they hold, approximately.
    pub fn bytes(&self) -> usize {
        self.sources().iter().map(|model| model.bytes()).sum()
    }

    fn counting_mut(&mut self) -> [&mut dyn Online; 6] {
        [
            &mut self.popularity,
            &mut self.markov,
            &mut self.bayes,
            &mut self.cooccurrence,
            &mut self.session_knn,
            &mut self.user_knn,
        ]
    }
}
