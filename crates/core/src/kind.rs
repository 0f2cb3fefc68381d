//! Types of events and what each is worth.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Problem, Weight, limits};

/// What happened. Custom kinds carry the name that the configuration gives a weight to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kind {
    /// The item was shown.
    Impression,
    /// The item's page was opened.
    View,
    /// The item was clicked in a list.
    Click,
    /// The item was put into the cart.
    Cart,
    /// The item was bought: `quantity` pieces at `price` each. A negative quantity is a return.
    Purchase,
    /// The item was rated: `value` stars.
    Rating,
    /// The user said that they like the item.
    Like,
    /// The user said that they dislike the item.
    Dislike,
    /// The user passed over the item.
    Skip,
    /// The item was played for `dwell_seconds`.
    Play,
    /// The item was shared with somebody.
    Share,
    /// The user searched for `query`.
    Search,
    /// The user wrote `text` about the item.
    Review,
    /// A kind of the deployment's own.
    Custom(Box<str>),
}

const BUILT_IN: [(&str, Kind, f32); 13] = [
    ("impression", Kind::Impression, 0.0),
    ("view", Kind::View, 1.0),
    ("click", Kind::Click, 1.0),
    ("cart", Kind::Cart, 2.0),
    ("purchase", Kind::Purchase, 4.0),
    ("rating", Kind::Rating, 2.0),
    ("like", Kind::Like, 3.0),
    ("dislike", Kind::Dislike, -3.0),
    ("skip", Kind::Skip, -1.0),
    ("play", Kind::Play, 1.0),
    ("share", Kind::Share, 3.0),
    ("search", Kind::Search, 0.0),
    ("review", Kind::Review, 2.0),
];

impl Kind {
    /// The kind's name as it stands in JSON.
    pub fn name(&self) -> &str {
        if let Kind::Custom(name) = self {
            return name;
        }
        BUILT_IN.iter().find(|(_, kind, _)| kind == self).map_or("custom", |(name, _, _)| name)
    }

    /// The kind with this name; a name that is not built in is a custom kind.
    pub fn named(name: &str) -> Self {
        let built_in = BUILT_IN.iter().find(|(known, _, _)| *known == name);
        built_in.map_or_else(|| Kind::Custom(name.into()), |(_, kind, _)| kind.clone())
    }

    /// Whether events of this kind must name an item.
    pub fn needs_item(&self) -> bool {
        !matches!(self, Kind::Search | Kind::Custom(_))
    }
}

impl From<String> for Kind {
    fn from(name: String) -> Self {
        Self::named(&name)
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.name().to_owned()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one event of each kind says about a preference: above 0 it counts for the item, below 0 against it, at 0 it is only recorded.
///
/// Every kind has a small dense index (its place in the sorted table), which [`crate::Interaction`] carries.
#[derive(Clone, Debug, PartialEq)]
pub struct KindWeights {
    kinds: Vec<(Kind, f32)>,
}

impl Default for KindWeights {
    fn default() -> Self {
        Self { kinds: BUILT_IN.iter().map(|(_, kind, weight)| (kind.clone(), *weight)).collect() }
    }
}

impl KindWeights {
    /// The default weights, overridden and extended by `weights` (kind name to weight).
    ///
    /// # Errors
    /// A weight that is not finite or whose size exceeds [`limits::KIND_WEIGHT_MAX`]; more than [`limits::KINDS_MAX`] kinds.
    pub fn with(weights: &BTreeMap<String, f32>) -> Result<Self, Problem> {
        let mut table = Self::default();
        for (name, &weight) in weights {
            if !weight.is_finite() || weight.abs() > limits::KIND_WEIGHT_MAX {
                let rule = format!("is {weight}, its size must be at most {}", limits::KIND_WEIGHT_MAX);
                return Err(Problem::field(format!("events.weights.{name}"), rule, "choose a smaller weight"));
            }
            let kind = Kind::named(name);
            match table.kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some(entry) => entry.1 = weight,
                None => table.kinds.push((kind, weight)),
            }
        }
        if table.kinds.len() > limits::KINDS_MAX {
            let rule = format!("names {} kinds, at most {} are allowed", table.kinds.len(), limits::KINDS_MAX);
            return Err(Problem::field("events.weights", rule, "use fewer custom kinds"));
        }
        Ok(table)
    }

    /// Index of a kind, if it is built in or configured.
    pub fn index(&self, kind: &Kind) -> Option<u16> {
        self.kinds.iter().position(|(known, _)| known == kind).and_then(|at| u16::try_from(at).ok())
    }

    /// The kind at an index.
    pub fn kind(&self, index: u16) -> Option<&Kind> {
        self.kinds.get(usize::from(index)).map(|(kind, _)| kind)
    }

    /// The configured weight of a kind; 0 for an unknown one.
    pub fn weight(&self, kind: &Kind) -> f32 {
        self.kinds.iter().find(|(known, _)| known == kind).map_or(0.0, |(_, weight)| *weight)
    }

    /// The weight as the fixed-point number that exact counts are made of (its size; the sign tells for or against).
    pub fn fixed(&self, kind: &Kind) -> Weight {
        Weight::from_f32(self.weight(kind).abs())
    }

    /// Names of all kinds, in index order.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.kinds.iter().map(|(kind, _)| Cow::Borrowed(kind.name()))
    }
}
