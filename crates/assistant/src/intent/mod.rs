//! What somebody who types a wish wants: bounds of the price, words that the item should have, and what it should be like: an item that is named, or
//! what they chose before, at some time.
//!
//! Without a model rules read it. A model may only choose among what was typed.

mod model;
mod period;
mod rules;

use crate::assistant::Assistant;
use crate::order::Origin;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use zhiyin_core::language::Limits;

/// Bytes of a query.
pub const QUERY_BYTES_MAX: usize = 512;
/// Words of an intent.
const WORDS_MAX: usize = 8;

/// What is wished for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Intent {
    /// The least price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_min: Option<f64>,
    /// The greatest price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_max: Option<f64>,
    /// Words that the item should have in its title, description, categories, tags or attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// It should be like what the asker chose before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like_own: Option<OwnPart>,
    /// It should be like this item: an identifier, or words of its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// It should cost less than that item.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cheaper: bool,
}

/// A part of the asker's own history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OwnPart {
    /// What was done: `purchase`, `view` or `like`; anything when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// From this day on, as `2011-03-01` in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Before this day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// From when a wish is seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The day of the wish.
    pub today: Date,
    /// The newest day of the asker's history: "in spring" is the newest spring that had begun by then.
    pub newest: Date,
}

/// An intent, who read it, and why it was no model, if one was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadIntent {
    /// What is wished for.
    pub intent: Intent,
    /// `template` for the rules.
    pub origin: Origin,
    /// Why it was no model.
    pub because: Option<String>,
}

impl Intent {
    /// What the rules make of a query.
    pub fn by_rules(query: &str, seen: Seen) -> Self {
        rules::read(query, seen)
    }

    /// Price and words as a filter over items; none if everything passes.
    pub fn filter(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.price_min.map(|price| format!("price >= {price}")));
        parts.extend(self.price_max.map(|price| format!("price <= {price}")));
        parts.extend(self.words.iter().map(|word| word_filter(word)));
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    /// Bounds finite and in order, words without anything but letters and digits, days that are days: what a filter that something can pass is made of.
    pub fn is_sound(&self) -> bool {
        let bounds = [self.price_min, self.price_max];
        bounds.iter().flatten().all(|price| price.is_finite() && *price >= 0.0)
            && self.price_min.zip(self.price_max).is_none_or(|(min, max)| min <= max)
            && self.words.len() <= WORDS_MAX
            && self.words.iter().all(|word| !word.is_empty() && word.chars().all(char::is_alphanumeric))
            && self.like.as_ref().is_none_or(|name| !name.trim().is_empty() && name.len() <= QUERY_BYTES_MAX)
            && self.like_own.as_ref().is_none_or(|own| own.days().is_some() && own.is_of_known_event())
    }
}

impl OwnPart {
    /// Its days; none if they aren't days or not in order. The second isn't in it.
    pub fn days(&self) -> Option<(Date, Date)> {
        let day = |text: &Option<String>, open: Date| text.as_ref().map_or(Some(open), |text| text.parse().ok());
        let days = (day(&self.from, Date::constant(1970, 1, 1))?, day(&self.to, Date::constant(2105, 12, 31))?);
        (days.0 < days.1).then_some(days)
    }

    fn is_of_known_event(&self) -> bool {
        self.event.as_deref().is_none_or(|event| matches!(event, "purchase" | "view" | "like"))
    }
}

/// A filter for items that have a word.
pub fn word_filter(word: &str) -> String {
    format!("text has \"{word}\"")
}

impl Assistant {
    /// Reads a query: by a model within the limits, else, or without limits, by rules. Blocks if there are limits.
    pub fn intent(&self, query: &str, seen: Seen, limits: Option<Limits>) -> ReadIntent {
        let by_rules =
            |because| ReadIntent { intent: Intent::by_rules(query, seen), origin: Origin::Template, because };
        let Some(limits) = limits else { return by_rules(None) };
        match self.ask_intent(query, seen, limits) {
            Ok(intent) => ReadIntent { intent, origin: Origin::Model, because: None },
            Err(e) => by_rules(Some(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
