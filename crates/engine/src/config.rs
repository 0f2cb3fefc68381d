//! Configuration of the engine. Every value has a default; the commented file that ships with the binary lists them all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
pub use zhiyin_intake::clean::CleaningConfig;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// What is taken in.
    pub events: EventsConfig,
    /// Rules of cleaning.
    pub cleaning: CleaningConfig,
    /// Online state and its snapshots.
    pub state: StateConfig,
    /// How recommendations are made when the request doesn't say.
    pub recommend: RecommendConfig,
    /// What is told of reviews.
    pub feedback: FeedbackConfig,
    /// Training.
    pub train: TrainConfig,
}

/// What is taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Weight of event kinds by name: overrides the built-in ones and declares custom ones.
    pub weights: BTreeMap<String, f32>,
    /// Whether an event may name a user or session that isn't known yet.
    pub create_unknown_users: bool,
    /// Whether an event may name an item that isn't in the catalogue yet.
    pub create_unknown_items: bool,
    /// User attribute that segments popularity and preferences.
    pub segment_attribute: String,
    /// A rating below this many stars counts against the item.
    pub rating_positive_min: f64,
    /// A review with at least this many stars speaks for the item.
    pub review_positive_min: f64,
    /// A review with at most this many stars speaks against it; with stars in between or none its text decides.
    pub review_negative_max: f64,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            weights: BTreeMap::new(),
            create_unknown_users: true,
            create_unknown_items: true,
            segment_attribute: "country".into(),
            rating_positive_min: 3.0,
            review_positive_min: 4.0,
            review_negative_max: 2.0,
        }
    }
}

/// Online state and its snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// Bytes of histories that stay in memory; beyond that the least recently used ones are read from the log when needed.
    pub histories_bytes_max: usize,
    /// Events after which a snapshot is taken.
    pub snapshot_every_events: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { histories_bytes_max: 1 << 30, snapshot_every_events: 1_000_000 }
    }
}

/// How recommendations are made when the request doesn't say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecommendConfig {
    /// Which items of the actor's history are left out of the list.
    pub exclude_seen: ExcludeSeen,
    /// Weight of diversity between 0 (scores alone) and 1.
    pub diversity: f32,
    /// Share of the positions that cold items get when exploration is on.
    pub cold_share: f32,
    /// An item with fewer interactions than this is cold.
    pub cold_interactions_max: u64,
    /// Whether exploration is on.
    pub explore: bool,
    /// How much similarity to disliked and skipped items costs.
    pub dislike_penalty: f32,
    /// Names of sources that are switched off.
    pub disabled_sources: Vec<String>,
}

impl Default for RecommendConfig {
    fn default() -> Self {
        Self {
            exclude_seen: ExcludeSeen::Consumed,
            diversity: 0.0,
            cold_share: 0.1,
            cold_interactions_max: 5,
            explore: false,
            dislike_penalty: 0.5,
            disabled_sources: Vec::new(),
        }
    }
}

/// Which items of the actor's history are left out of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExcludeSeen {
    /// None: repeats are welcome (groceries, music).
    None,
    /// Those bought, rated, reviewed, played or disliked.
    Consumed,
    /// All that the actor ever interacted with.
    All,
}

/// What is told of reviews.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackConfig {
    /// Whether reviews are public, so that answers may quote them. Without it they name events only.
    pub quotes: bool,
}

/// Training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// How much is tried to choose hyper-parameters.
    pub tune: Tune,
    /// Seed of everything random.
    pub seed: u64,
    /// Fewer events than this and no model is trained.
    pub events_min: u64,
    /// Events that a neural network learns from in all, each as often as it does: a limit of the effort; 0 leaves these networks out.
    pub neural_events_max: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { tune: Tune::Quick, seed: 42, events_min: 1_000, neural_events_max: 1_500_000 }
    }
}

/// How much is tried to choose hyper-parameters on the validation part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tune {
    /// Defaults only.
    None,
    /// One pass over each hyper-parameter on a sample of users.
    Quick,
    /// Passes until nothing improves, on all users.
    Full,
}
