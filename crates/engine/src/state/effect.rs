//! What an event means for the online state.

use serde_json::Value;
use zhiyin_core::{Event, Interaction, ItemIx, Kind, KindWeights, Problem, User, Weight, clock::Millis};

use crate::config::EventsConfig;

/// How much more than a just positive rating the best one may count.
const RATING_SCALE_MAX: f64 = 2.0;

/// What an event does to its actor's history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Nothing: it is only recorded.
    Nothing,
    /// It speaks for an item.
    For(Interaction),
    /// It speaks against an item, from that second on.
    Against(ItemIx, u32),
    /// It takes back the latest purchase of an item at or before that second.
    Return(ItemIx, u32),
}

/// How events are read: weights of kinds, ratings, segments.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    kinds: KindWeights,
    purchase: u16,
    rating_positive_min: f64,
    segment_attribute: String,
    /// Stars from which, and up to which, a review speaks for or against its item.
    review_stars: (f64, f64),
}

impl Meaning {
    /// The configured meaning.
    ///
    /// # Errors
    /// A configured weight is out of range.
    pub fn new(config: &EventsConfig) -> Result<Self, Problem> {
        let kinds = KindWeights::with(&config.weights)?;
        let purchase = kinds.index(&Kind::Purchase).unwrap_or(u16::MAX);
        let (rating_positive_min, segment_attribute) = (config.rating_positive_min, config.segment_attribute.clone());
        let review_stars = (config.review_positive_min, config.review_negative_max);
        Ok(Self { kinds, purchase, rating_positive_min, segment_attribute, review_stars })
    }

    /// The kinds and their weights.
    pub fn kinds(&self) -> &KindWeights {
        &self.kinds
    }

    /// Index of the kind `purchase`.
    pub(super) fn purchase_kind(&self) -> u16 {
        self.purchase
    }

    /// A text that differs when events would be read differently: states made under different ones don't mix.
    pub(super) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    /// What an event about `item` means.
    pub fn effect(&self, event: &Event, item: Option<ItemIx>) -> Effect {
        let Some(item) = item else { return Effect::Nothing };
        let time_s = seconds(event.time_ms);
        if event.kind == Kind::Purchase && event.details.quantity.is_some_and(|pieces| pieces < 0.0) {
            return Effect::Return(item, time_s);
        }
        let weight = self.weight(event);
        if weight < 0.0 {
            return Effect::Against(item, time_s);
        }
        let fixed = Weight::from_f32(weight);
        match self.kinds.index(&event.kind) {
            Some(kind) if fixed.0 > 0 => Effect::For(Interaction { item, time_s, kind, weight: fixed }),
            _ => Effect::Nothing,
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a weight needs no more digits")]
    fn weight(&self, event: &Event) -> f32 {
        let weight = self.kinds.weight(&event.kind);
        match (&event.kind, event.details.value) {
            (Kind::Rating | Kind::Review, Some(stars)) if stars < self.rating_positive_min => -weight.abs(),
            (Kind::Rating | Kind::Review, Some(stars)) if self.rating_positive_min > 0.0 => {
                weight * (stars / self.rating_positive_min).min(RATING_SCALE_MAX) as f32
            }
            _ => weight,
        }
    }

    /// The segment that a user's attributes put them into.
    pub(super) fn segment_label(&self, user: &User) -> Option<String> {
        match user.attributes.get(&self.segment_attribute)? {
            Value::String(label) => Some(label.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// Milliseconds as the seconds that histories keep.
pub(crate) fn seconds(time_ms: Millis) -> u32 {
    u32::try_from(time_ms.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
}
