//! How the parts of a row that are not plain numbers stand in their columns.

use rusqlite::Row;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;
use zhiyin_core::{Decision, DecisionId, ExternalId, ItemIx, ShownItem, event::EventDetails, storage::ActorKind};

use crate::error::unreadable;

/// The shown items of a decision as parallel arrays: a third of the bytes of a list of objects, and still readable with `json_each`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Items in order of rank.
    pub items: Vec<ItemIx>,
    /// Their scores; null stands for a score that is not finite.
    scores: Vec<Option<f32>>,
    /// Names of the sources, each once.
    pub sources: Vec<String>,
    /// For each item the index of its source; absent when all come from the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by: Vec<u16>,
    /// Propensities; absent when all are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    propensities: Vec<Option<f32>>,
}

impl Shown {
    /// The items of a decision.
    pub fn of(items: &[ShownItem]) -> Self {
        let mut sources: Vec<String> = Vec::new();
        let mut by = Vec::with_capacity(items.len());
        for shown in items {
            let at = sources.iter().position(|known| *known == shown.source).unwrap_or_else(|| {
                sources.push(shown.source.clone().into_owned());
                sources.len() - 1
            });
            by.push(u16::try_from(at).unwrap_or(u16::MAX));
        }
        if sources.len() == 1 {
            by.clear();
        }
        let deterministic = items.iter().all(|shown| shown.propensity == 1.0);
        let propensities = if deterministic { &[] } else { items };
        Self {
            items: items.iter().map(|shown| shown.item).collect(),
            scores: items.iter().map(|shown| finite(shown.score)).collect(),
            sources,
            by,
            propensities: propensities.iter().map(|shown| finite(shown.propensity)).collect(),
        }
    }

    fn is_consistent(&self) -> bool {
        let n = self.items.len();
        let each_or_none = |length: usize| length == n || length == 0;
        self.scores.len() == n
            && each_or_none(self.by.len())
            && (0..n).all(|rank| self.source_at(rank) < self.sources.len())
            && each_or_none(self.propensities.len())
    }

    /// The index of the source of the item at a rank.
    fn source_at(&self, rank: usize) -> usize {
        self.by.get(rank).copied().map_or(0, usize::from)
    }

    /// How many items each source brought, in the order of the sources.
    pub fn per_source(&self) -> Vec<i64> {
        let mut counts = vec![0; self.sources.len()];
        (0..self.items.len()).for_each(|rank| counts[self.source_at(rank)] += 1);
        counts
    }

    /// The source that showed `item`, at its best rank; none if it was not shown.
    pub fn source_of(&self, item: ItemIx) -> Option<&str> {
        let rank = self.items.iter().position(|&shown| shown == item)?;
        Some(&self.sources[self.source_at(rank)])
    }

    fn into_items(self) -> Vec<ShownItem> {
        let number = |values: &[Option<f32>], rank: usize| values[rank].unwrap_or(f32::NAN);
        let shown = |rank: usize| ShownItem {
            item: self.items[rank],
            score: number(&self.scores, rank),
            source: self.sources[self.source_at(rank)].clone().into(),
            propensity: if self.propensities.is_empty() { 1.0 } else { number(&self.propensities, rank) },
        };
        (0..self.items.len()).map(shown).collect()
    }
}

fn finite(number: f32) -> Option<f32> {
    number.is_finite().then_some(number)
}

/// JSON text of a value whose maps all have text keys, which is what makes this infallible.
pub fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Reads the JSON in a column.
pub fn from_json<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

/// Reads the shown items in a column.
pub fn shown(row: &Row<'_>, column: usize) -> rusqlite::Result<Shown> {
    let shown: Shown = from_json(column, text(row, column)?)?;
    if shown.is_consistent() { Ok(shown) } else { Err(unreadable(column, "arrays of shown items differ in length")) }
}

/// The details of an event for its column, without the decision (which has a column of its own); none if there are none.
pub fn details(details: &EventDetails) -> rusqlite::Result<Option<String>> {
    let rest = EventDetails { decision: None, ..details.clone() };
    if rest == EventDetails::default() { Ok(None) } else { json(&rest).map(Some) }
}

/// The details of an event from the columns `details` and `decision`.
pub fn details_at(row: &Row<'_>, details: usize, decision: usize) -> rusqlite::Result<EventDetails> {
    let mut parsed: EventDetails =
        match row.get_ref(details)?.as_str_or_null().map_err(|error| unreadable(details, error))? {
            Some(text) => from_json(details, text)?,
            None => EventDetails::default(),
        };
    parsed.decision = row.get::<_, Option<[u8; 16]>>(decision)?.map(Uuid::from_bytes);
    Ok(parsed)
}

/// A column of text that may not be null.
pub fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| unreadable(column, error))
}

/// A name in a column.
pub fn external_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ExternalId> {
    ExternalId::parse("id", text(row, column)?).map_err(|problem| unreadable(column, problem))
}

/// A name in a column, or none.
pub fn external_id_or_null(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ExternalId>> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null { Ok(None) } else { external_id(row, column).map(Some) }
}

/// A UUID in a column.
pub fn decision_id(row: &Row<'_>, column: usize) -> rusqlite::Result<DecisionId> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}

/// Name of a kind of actor in its column.
pub fn actor_kind(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::User => "user",
        ActorKind::Session => "session",
    }
}

/// Kind of actor in a column.
pub fn actor_kind_at(row: &Row<'_>, column: usize) -> rusqlite::Result<ActorKind> {
    match text(row, column)? {
        "user" => Ok(ActorKind::User),
        "session" => Ok(ActorKind::Session),
        other => Err(unreadable(column, format!("`{other}` is not a kind of actor"))),
    }
}

/// Columns that [`decision_at`] reads, in its order.
pub const DECISION_COLUMNS: &str = "id, actor, surface, model, arm, fallback, shown";

/// A decision from [`DECISION_COLUMNS`].
pub fn decision_at(row: &Row<'_>) -> rusqlite::Result<Decision> {
    Ok(Decision {
        id: decision_id(row, 0)?,
        actor: row.get(1)?,
        surface: row.get(2)?,
        model: row.get(3)?,
        arm: row.get(4)?,
        fallback: row.get(5)?,
        items: shown(row, 6)?.into_items(),
    })
}

/// A number for a column. All our numbers lie far below the limit, beyond which they would be cut.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from a column, where all are at least 0.
pub fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_source_is_not_named_for_each_item() {
        let item = |item, source: &'static str| ShownItem { item, score: 0.5, source: source.into(), propensity: 1.0 };
        for sources in [["slist", "slist"], ["slist", "ease"]] {
            let items = vec![item(7, sources[0]), item(9, sources[1])];
            let text = json(&Shown::of(&items)).unwrap();
            let read: Shown = from_json(0, &text).unwrap();
            assert_eq!(text.contains("by"), sources[0] != sources[1], "{text}");
            assert!(read.is_consistent() && read.source_of(9) == Some(sources[1]));
            assert_eq!(read.per_source().iter().sum::<i64>(), 2);
            assert_eq!(read.into_items(), items);
        }
        let none: Shown = from_json(0, r#"{"items":[7],"scores":[0.5],"sources":[]}"#).unwrap();
        assert!(!none.is_consistent());
    }
}
