//! What may be said.

use serde::{Deserialize, Serialize};

/// A language of templates and of the checker's vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Chinese, simplified.
    #[serde(rename = "zh")]
    Chinese,
}

impl Language {
    /// Its BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// That of a BCP 47 tag such as `zh-CN`; English for every language without templates.
    pub fn from_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("zh") { Self::Chinese } else { Self::English }
    }

    /// A name in the quotation marks of the language, so that it is seen where it ends.
    pub fn quoted(self, name: &str) -> String {
        match self {
            Self::English => format!("“{name}”"),
            Self::Chinese => format!("「{name}」"),
        }
    }
}

/// What sort of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Why an item is recommended: a sentence.
    Explanation,
    /// A few words above an item or a list.
    Headline,
    /// A sentence or two that invite to look.
    Blurb,
}

/// How a recommended item is tied to something that the user knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The user bought it.
    Bought,
    /// The user looked at it.
    Viewed,
    /// The user put it into the cart.
    Carted,
    /// The user rated or liked it.
    Liked,
    /// The user wrote a review of it.
    Reviewed,
    /// The user played it.
    Played,
    /// The user shared it.
    Shared,
    /// The user searched for it.
    Searched,
    /// The recommended item is of this category.
    Belongs,
    /// Others like this about the recommended item.
    Praised,
    /// The reviews of the recommended item are good.
    WellReviewed,
    /// Many people choose the recommended item.
    Popular,
    /// Many people in the user's segment choose the recommended item.
    PopularNearby,
    /// People with a history like the user's chose the recommended item.
    Alike,
    /// Friends of the user chose the recommended item.
    Friends,
    /// Its price is about what the user pays.
    Price,
    /// It is of a category that the user often chooses.
    Usual,
    /// It is chosen at this hour or on this day of the week.
    Timely,
    /// The recommended item is new.
    New,
}

impl Claim {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Bought,
        Self::Viewed,
        Self::Carted,
        Self::Liked,
        Self::Reviewed,
        Self::Played,
        Self::Shared,
        Self::Searched,
        Self::Belongs,
        Self::Praised,
        Self::WellReviewed,
        Self::Popular,
        Self::PopularNearby,
        Self::Alike,
        Self::Friends,
        Self::Price,
        Self::Usual,
        Self::Timely,
        Self::New,
    ];

    /// Whether it is about something that the user did with a thing.
    pub fn is_of_user(self) -> bool {
        self <= Self::Searched
    }

    /// Whether it is about a thing that has a name.
    pub fn has_thing(self) -> bool {
        self <= Self::Praised
    }
}

/// One reason, from the exact parts of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What is claimed.
    pub claim: Claim,
    /// The thing that it is claimed of; none for claims about the recommended item alone.
    pub thing: Option<String>,
    /// Its part of the score. Facts are told by falling weight.
    pub weight: f64,
}

/// Everything that a text may say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Title of the recommended item; of a list, that of its first one.
    pub item: String,
    /// Titles of the other items of a list.
    #[serde(default)]
    pub others: Vec<String>,
    /// Why it is recommended.
    pub facts: Vec<Fact>,
    /// Numbers that may be told, as they are to be written: `12.50`, `20%`, `£3`.
    pub numbers: Vec<String>,
}

impl Evidence {
    /// The facts that can be told, the heaviest first: those that add to the score, and name a thing if they are about one. That an item
    /// belongs to, or is liked for, what it is called itself tells nothing.
    pub fn ranked(&self) -> Vec<&Fact> {
        let named = |fact: &&Fact| match fact.thing.as_deref() {
            _ if !fact.claim.has_thing() => true,
            Some(thing) => !thing.trim().is_empty() && (fact.claim.is_of_user() || thing != self.item),
            None => false,
        };
        let mut facts: Vec<&Fact> = self.facts.iter().filter(|fact| fact.weight > 0.0).filter(named).collect();
        facts.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        facts
    }
}
