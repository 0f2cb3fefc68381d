//! What is to be written, and what comes of it.

use serde::{Deserialize, Serialize};
use zhiyin_core::language::ResultKey;
use zhiyin_writing::{Evidence, Kind, Language};

/// Bumped when prompts change, so that old texts are not taken for new ones.
const VERSION: &str = "zhiyin-text-3";

/// A text to be written from evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What sort of text.
    pub kind: Kind,
    /// Everything that it may say.
    pub evidence: Evidence,
    /// In which language.
    pub language: Language,
    /// Several texts from the same evidence differ by this.
    pub variant: u32,
}

impl Order {
    /// An explanation.
    pub fn explanation(evidence: Evidence, language: Language) -> Self {
        Self { kind: Kind::Explanation, evidence, language, variant: 0 }
    }

    /// The form without a model.
    pub fn template(&self) -> String {
        zhiyin_writing::write(self.kind, &self.evidence, self.language)
    }

    /// Identifies what a model makes of it. Weights of facts count only by their order, so that the same reasons give the same text.
    pub(crate) fn key(&self, model: &str) -> ResultKey {
        let facts: Vec<_> = self.evidence.ranked().into_iter().map(|fact| (fact.claim, &fact.thing)).collect();
        let asked = (
            VERSION,
            model,
            self.kind,
            (&self.evidence.item, &self.evidence.others),
            facts,
            &self.evidence.numbers,
            self.language,
            self.variant,
        );
        *blake3::hash(&serde_json::to_vec(&asked).unwrap_or_default()).as_bytes()
    }
}

/// Who wrote a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The form without a model.
    Template,
    /// A language model; the checker found nothing beyond the evidence.
    Model,
}

impl Origin {
    /// As written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Model => "model",
        }
    }
}

/// A text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Text {
    /// The text.
    pub text: String,
    /// Who wrote it.
    pub origin: Origin,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether a model works on a better one, to be had by asking again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Why it is no text of a model, if one was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl Text {
    pub(crate) fn template(order: &Order, because: Option<String>) -> Self {
        Self { text: order.template(), origin: Origin::Template, model: None, pending: false, because }
    }
}

/// What a model made of an order, as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kept {
    /// It passed the checker.
    Text(String),
    /// It didn't, for this reason; it isn't asked again.
    Rejected(String),
}
