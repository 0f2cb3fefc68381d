//! What training produced: the models that are fitted in the background, and how all models are combined.

use serde::{Deserialize, Serialize};
use zhiyin_core::VectorKey;
use zhiyin_models::{Model, fusion::Fusion, text::Text};

use crate::{learn::BatchModel, online::OnlineModels};

/// Version of an engine that was never trained.
pub const UNTRAINED: &str = "none";

/// Weights before the first training: every source that learns from events by itself, the sharpest first.
const DEFAULT_WEIGHTS: [(&str, f32); 10] = [
    ("cooccurrence", 1.0),
    ("session-knn", 0.6),
    ("content", 0.4),
    ("text", 0.4),
    ("markov", 0.2),
    ("user-knn", 0.2),
    ("popularity", 0.2),
    ("feedback", 0.1),
    ("repeat", 0.1),
    ("bayes", 0.0),
];

/// What the model `text` was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextsRead {
    /// Version of the encoder.
    pub version: String,
    /// By item, the key of its vector; zeros for one without text.
    pub keys: Vec<VectorKey>,
}

/// Models and weights that serve together. Immutable: a new training makes a new one, which is swapped in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Trained {
    /// Its name: time of training and a hash of the content.
    pub version: String,
    /// Models fitted in the background.
    pub batch: Vec<BatchModel>,
    /// Weights of all sources, online and batch.
    pub fusion: Fusion,
    /// Unit vectors of the items, `dimensions` numbers each, for diversity.
    pub vectors: Vec<f32>,
    /// Numbers in one vector.
    pub dimensions: usize,
    /// What the model `text` read, see [`crate::texts`]; nothing if there is none.
    pub texts: TextsRead,
}

impl Default for Trained {
    fn default() -> Self {
        let (sources, weights) = DEFAULT_WEIGHTS.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).unzip();
        Self {
            version: UNTRAINED.into(),
            batch: Vec::new(),
            fusion: Fusion::new(sources, weights),
            vectors: Vec::new(),
            dimensions: 0,
            texts: TextsRead::default(),
        }
    }
}

impl Trained {
    /// Whether it came from a training.
    pub fn is_trained(&self) -> bool {
        self.version != UNTRAINED
    }

    /// Takes the model `text` out with what it read: it goes on learning items, apart from the others.
    pub fn take_text(&mut self) -> Option<(Text, TextsRead)> {
        let is_text = |model: &mut BatchModel| matches!(model, BatchModel::Text(_));
        match self.batch.extract_if(.., is_text).last()? {
            BatchModel::Text(text) => Some((text, std::mem::take(&mut self.texts))),
            _ => None,
        }
    }

    /// The models in the order of the fusion's weights. A source that no model goes by is left to the caller as a failed one.
    pub fn lineup<'a>(&'a self, online: &'a OnlineModels, text: &'a Text) -> Vec<Option<&'a dyn Model>> {
        let online = online.sources();
        let find = |name: &String| {
            let batch = self.batch.iter().map(BatchModel::model).chain([text as &dyn Model]);
            online.iter().copied().chain(batch).find(|model| model.name() == name)
        };
        self.fusion.sources.iter().map(find).collect()
    }
}
