//! What is asked of the recommender and what it answers. The same types serve the HTTP API, the command line and the evaluator.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use zhiyin_core::{DecisionId, Kind};

/// A request for recommendations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RecommendRequest {
    /// Known user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Anonymous session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The item that is on the screen now; counts as the newest of the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Where in the product the list is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// Number of items, 1 to 200; 10 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Expression over item fields, such as `price < 20 and category in ["mug", "bowl"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Items that must not be in the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Weight of diversity, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<f32>,
    /// Whether cold items get exploration slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explore: Option<bool>,
    /// How much is explained.
    pub explain: Explain,
    /// Token of the next page from an earlier answer: no item of the earlier pages is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Names of the only sources to use; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// Whether items of the actor's history may be in the list; the configuration decides when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_seen: Option<bool>,
    /// Who may order the best items anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Rerank>,
    /// Milliseconds that this may take, 1 to 60,000; 1,000 when absent. Past them the list comes as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank_ms: Option<u32>,
}

/// Who may order the best items of a list anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Rerank {
    /// A language model, by the titles of the history.
    Llm,
}

/// Whether a list was ordered anew, as was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reranked {
    /// Whether it was.
    pub applied: bool,
    /// By which model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why it wasn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Orders a list anew: from the titles of the history, oldest first, and the list to places in the list, and what to say of it.
pub type Reorder<'a> = &'a dyn Fn(&[String], &[RecommendedItem]) -> (Option<Vec<usize>>, Reranked);

/// How much of the why an answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Explain {
    /// Scores only.
    None,
    /// The strongest reasons of each item.
    #[default]
    Reasons,
    /// The reasons, and a sentence of them in the reader's language.
    Text,
    /// Every stage of the pipeline.
    Trace,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recommendations {
    /// Identity of this answer; events about shown items should carry it as `decision`.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub decision_id: DecisionId,
    /// The list, best first.
    pub items: Vec<RecommendedItem>,
    /// Version of the model that scored, or `none`.
    pub model: String,
    /// Why the answer is less than it could be, such as `unknown-user` or `no-model`; absent for a full answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Token for the next page; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<String>,
    /// Whether the list was ordered anew, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Reranked>,
    /// Every stage of the pipeline, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecommendedItem {
    /// The item.
    pub item: String,
    /// Its title, if known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Score by which it was ranked.
    pub score: f32,
    /// Source that contributed most, or `new` for a cold slot, or the name of the fallback.
    pub source: Cow<'static, str>,
    /// The strongest reasons, strongest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The reasons as a sentence, if asked for. Empty from the engine: whoever knows languages fills it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// The reasons of an item as a sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The sentence.
    pub text: String,
    /// Its language: `en` or `zh`.
    pub language: String,
    /// Who wrote it: `template` or `model`.
    pub origin: String,
    /// The language model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether a model works on another wording, to be had by asking again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Why it is no text of a model, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// One reason for an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// What kind of reason: `history`, `feature`, `aspect`, `neighbours`, `friends` or `wish`.
    pub kind: String,
    /// The item of the history or the name of the feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A sentence for a person, such as `because you bought WHITE METAL LANTERN`.
    pub text: String,
    /// How much it adds to the score.
    pub amount: f32,
    /// What the asker did with the item of the history.
    #[serde(skip)]
    pub event: Option<Kind>,
    /// Title of the item of the history.
    #[serde(skip)]
    pub title: Option<String>,
}

/// Every stage of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trace {
    /// For whom: history length, segment, friends, dislikes.
    pub hydrate: HydrateTrace,
    /// What each source proposed.
    pub sources: Vec<SourceTrace>,
    /// Items that would have been in the list but were removed, and why.
    pub removed: Vec<RemovedItem>,
    /// Feature values and contributions of each item of the list, in order.
    pub scores: Vec<ScoreTrace>,
    /// What the selection changed: moved for diversity, cold slots.
    pub selection: Vec<String>,
    /// Microseconds of each stage, by its name.
    pub stage_microseconds: BTreeMap<String, f32>,
}

/// For whom the answer was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HydrateTrace {
    /// `user`, `session` or `anonymous`.
    pub actor: String,
    /// The newest items of the history, newest first.
    pub history: Vec<String>,
    /// Length of the history.
    pub history_length: usize,
    /// Segment, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Number of friends.
    pub friends: usize,
    /// Items that the actor disliked or skipped.
    pub disliked: Vec<String>,
}

/// What a source proposed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceTrace {
    /// Name of the source.
    pub name: String,
    /// `used`, `disabled`, or the error that made it fail.
    pub status: String,
    /// Its weight in the fusion.
    pub weight: f32,
    /// Items that it gave a score.
    pub candidates: usize,
    /// Its best items with their own scores.
    pub best: Vec<(String, f32)>,
    /// Microseconds it took.
    pub microseconds: f32,
}

/// An item that was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovedItem {
    /// The item.
    pub item: String,
    /// Its score.
    pub score: f32,
    /// `seen`, `unavailable`, `excluded`, `disliked`, `filter` or `shown-before`.
    pub reason: String,
}

/// How an item got its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScoreTrace {
    /// The item.
    pub item: String,
    /// Its score: the sum of the contributions.
    pub score: f32,
    /// Value of each source before standardising, by name.
    pub values: BTreeMap<String, f32>,
    /// Contribution of each source to the score, by name.
    pub contributions: BTreeMap<String, f32>,
}

/// What became of one event of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventOutcome {
    /// Id of the event, minted if the client gave none; absent for a rejected one without an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What became of it.
    pub status: EventStatus,
    /// Rule that repaired or rejected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What was wrong and what to do, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// It is durable and counts.
    Accepted,
    /// It was already known; nothing changed.
    Duplicate,
    /// It was changed by a rule, is durable and counts.
    Repaired,
    /// It doesn't count; it is kept apart with the reason.
    Rejected,
}
