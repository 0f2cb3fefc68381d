//! What a review says, as numbers: the compact form in which it is counted.

use serde::{Deserialize, Serialize};

/// Number of an aspect in the closed list of the reader that found it.
pub type AspectIx = u8;

/// How somebody felt about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sentiment {
    /// Against it.
    Negative,
    /// Both, neither, or not clear.
    Mixed,
    /// For it.
    Positive,
}

/// What the sentiment of a whole review rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The stars that came with it.
    Stars,
    /// A model that learned from the deployment's own rated reviews.
    Learned,
    /// A small general word list, for want of rated reviews in its language.
    Lexicon,
}

impl Basis {
    /// Every one, in the order of the counts.
    pub const ALL: [Self; 3] = [Self::Stars, Self::Learned, Self::Lexicon];

    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stars => "stars",
            Self::Learned => "learned",
            Self::Lexicon => "lexicon",
        }
    }
}

/// The language of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
    /// Another one, or too short to tell.
    Other,
}

impl Language {
    /// Every one, in the order of the counts.
    pub const ALL: [Self; 3] = [Self::English, Self::Chinese, Self::Other];

    /// Its code: `en`, `zh`, `other`.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
            Self::Other => "other",
        }
    }
}

/// Something that a review asks for or complains about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Remark {
    /// It broke or stopped working.
    Broke,
    /// It was sent back or refunded.
    Returned,
    /// A part was missing.
    Incomplete,
    /// It came late or not at all.
    Late,
    /// It is not what was described or ordered.
    NotAsDescribed,
    /// It is badly made.
    BadlyMade,
    /// It doesn't fit.
    Misfit,
    /// It is hard to use or to understand.
    HardToUse,
    /// It costs too much.
    Overpriced,
    /// Something would make it better.
    Wish,
    /// Something is lacking.
    Lack,
}

impl Remark {
    /// Every one, in the order of the counts.
    pub const ALL: [Self; 11] = [
        Self::Broke,
        Self::Returned,
        Self::Incomplete,
        Self::Late,
        Self::NotAsDescribed,
        Self::BadlyMade,
        Self::Misfit,
        Self::HardToUse,
        Self::Overpriced,
        Self::Wish,
        Self::Lack,
    ];

    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broke => "broke",
            Self::Returned => "returned",
            Self::Incomplete => "incomplete",
            Self::Late => "late",
            Self::NotAsDescribed => "not-as-described",
            Self::BadlyMade => "badly-made",
            Self::Misfit => "misfit",
            Self::HardToUse => "hard-to-use",
            Self::Overpriced => "overpriced",
            Self::Wish => "wish",
            Self::Lack => "lack",
        }
    }

    /// Whether it says what would be wanted instead of what went wrong.
    pub fn is_need(self) -> bool {
        matches!(self, Self::Wish | Self::Lack)
    }
}

/// A set of remarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks(u16);

impl Remarks {
    /// Adds one.
    pub fn insert(&mut self, remark: Remark) {
        self.0 |= 1 << remark as u16;
    }

    /// Whether it is in.
    pub fn contains(self, remark: Remark) -> bool {
        self.0 & (1 << remark as u16) != 0
    }

    /// All that are in, in the order of [`Remark::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Remark> {
        Remark::ALL.into_iter().filter(move |&remark| self.contains(remark))
    }
}

/// What one review says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// How the writer felt altogether.
    pub sentiment: Sentiment,
    /// What that rests on.
    pub basis: Basis,
    /// Its language.
    pub language: Language,
    /// The aspects that it speaks of, each once, by number, and how it speaks of them.
    pub aspects: Vec<(AspectIx, Sentiment)>,
    /// What it asks for and complains about.
    pub remarks: Remarks,
}

/// An opinion with who had it about what, and where in the log it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Place in the log.
    pub position: crate::storage::Position,
    /// Whose it is.
    pub actor: crate::ActorIx,
    /// What it is about.
    pub item: crate::ItemIx,
    /// When it was said, in seconds since 1970 UTC.
    pub time_s: u32,
    /// What it says.
    pub opinion: Opinion,
}
