//! What came of decisions: events joined to the decisions that they name, and the hourly sums.
//!
//! A joined event is a *claim* in table `outcomes`: one row per decision, item and kind of outcome, with the number of events that say so.
//! The first such event raises the hourly counts and the last one to go lowers them, so that an outcome counts once, and deleting one of
//! two clicks changes nothing. Money is different: every purchase adds and every return subtracts, whether or not the outcome counted
//! before. It is kept in whole millionths, because sums of whole numbers come out the same in any order.
//!
//! Either side may arrive first: an event looks for its decision, and a decision for events that already name it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use zhiyin_core::{
    DecisionId, ItemIx, Kind,
    clock::Millis,
    decision_time,
    event::EventDetails,
    ids_within,
    storage::{OutcomeCounts, OutcomeRow},
};

use crate::encode::{self, Shown};

/// Milliseconds of an hour.
pub const HOUR_MS: Millis = 3_600_000;
const MICROS_PER_UNIT: f64 = 1e6;
/// Money that one event can move, in millionths: a thousand million units.
const EVENT_MICROS_MAX: f64 = 1e15;

/// Kind of outcome of a shown item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Click,
    Cart,
    Purchase,
    /// Changes revenue only.
    Return,
}

impl Outcome {
    /// What an event means for the decision that it names; none for kinds that say nothing.
    pub fn of(kind: &Kind, quantity: Option<f64>) -> Option<Self> {
        match kind {
            Kind::View | Kind::Click => Some(Self::Click),
            Kind::Cart => Some(Self::Cart),
            Kind::Purchase if quantity.is_some_and(|pieces| pieces < 0.0) => Some(Self::Return),
            Kind::Purchase => Some(Self::Purchase),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Cart => "cart",
            Self::Purchase => "purchase",
            Self::Return => "return",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Click, Self::Cart, Self::Purchase, Self::Return].into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Money in whole millionths.
#[allow(clippy::cast_possible_truncation, reason = "clamped far inside the range; a value that is no number gives 0")]
fn micros(revenue: f64) -> i64 {
    (revenue * MICROS_PER_UNIT).round().clamp(-EVENT_MICROS_MAX, EVENT_MICROS_MAX) as i64
}

/// What one event says about an item of a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    pub decision: DecisionId,
    pub item: ItemIx,
    pub outcome: Outcome,
    pub revenue_micros: i64,
}

impl Claim {
    /// The claim of an event, if it makes one.
    pub fn of(kind: &Kind, details: &EventDetails, item: Option<ItemIx>) -> Option<Self> {
        let outcome = Outcome::of(kind, details.quantity)?;
        // As `Event::revenue`, without the event around the details.
        let revenue = match kind {
            Kind::Purchase => details.price.unwrap_or(0.0) * details.quantity.unwrap_or(1.0),
            _ => 0.0,
        };
        Some(Self { decision: details.decision?, item: item?, outcome, revenue_micros: micros(revenue) })
    }
}

/// Counts, or changes of counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub impressions: i64,
    pub clicks: i64,
    pub carts: i64,
    pub purchases: i64,
    pub revenue_micros: i64,
}

impl Counts {
    /// Counts `times` of one outcome.
    pub fn outcome(outcome: Outcome, times: i64, revenue_micros: i64) -> Self {
        let mut counts = Self { revenue_micros, ..Self::default() };
        match outcome {
            Outcome::Click => counts.clicks = times,
            Outcome::Cart => counts.carts = times,
            Outcome::Purchase => counts.purchases = times,
            Outcome::Return => {}
        }
        counts
    }

    fn add(&mut self, other: Self) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.carts += other.carts;
        self.purchases += other.purchases;
        self.revenue_micros = self.revenue_micros.saturating_add(other.revenue_micros);
    }

    #[allow(clippy::cast_precision_loss, reason = "money above 2^53 millionths loses millionths only")]
    fn public(self) -> OutcomeCounts {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        OutcomeCounts {
            impressions: count(self.impressions),
            clicks: count(self.clicks),
            carts: count(self.carts),
            purchases: count(self.purchases),
            revenue: self.revenue_micros as f64 / MICROS_PER_UNIT,
        }
    }
}

/// Name of the dimension of models.
const MODEL: &str = "model";
/// Name of the dimension of sources.
const SOURCE: &str = "source";

/// Counts by hour, dimension and name.
#[derive(Debug, Default)]
pub struct Totals(BTreeMap<(i64, &'static str), HashMap<String, Counts>>);

impl Totals {
    fn add(&mut self, hour: i64, dimension: &'static str, name: &str, counts: Counts) {
        let names = self.0.entry((hour, dimension)).or_default();
        match names.get_mut(name) {
            Some(sum) => sum.add(counts),
            None => {
                names.insert(name.to_owned(), counts);
            }
        }
    }

    /// Adds the impressions of a decision `sign` times.
    pub fn add_impressions(&mut self, decision: &Described, sign: i64) {
        let impressions = |count: i64| Counts { impressions: sign * count, ..Counts::default() };
        let per_source = decision.shown.per_source();
        for (source, &count) in decision.shown.sources.iter().zip(&per_source) {
            self.add(decision.hour, SOURCE, source, impressions(count));
        }
        if !per_source.is_empty() {
            self.add(decision.hour, MODEL, &decision.model, impressions(per_source.iter().sum()));
        }
    }

    /// Adds what came of an item of a decision.
    pub fn add_outcome(&mut self, decision: &Described, source: &str, counts: Counts) {
        self.add(decision.hour, SOURCE, source, counts);
        self.add(decision.hour, MODEL, &decision.model, counts);
    }

    /// Sums over the hours, sorted by dimension and name.
    pub fn rows(self) -> Vec<OutcomeRow> {
        let mut sums: BTreeMap<(&'static str, String), Counts> = BTreeMap::new();
        for ((_, dimension), names) in self.0 {
            for (name, counts) in names {
                sums.entry((dimension, name)).or_default().add(counts);
            }
        }
        let row = |((dimension, name), counts): ((&str, String), Counts)| OutcomeRow {
            dimension: dimension.to_owned(),
            name,
            counts: counts.public(),
        };
        sums.into_iter().map(row).collect()
    }

    /// Adds these changes to the table.
    pub fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        // A name without impressions has no outcomes either, so it leaves the table.
        let mut add = connection.prepare_cached(
            "INSERT INTO outcome_totals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET impressions = impressions + ?4, clicks = clicks + ?5, carts = carts + ?6,
                 purchases = purchases + ?7,
                 revenue_micros = max(-9000000000000000000, min(9000000000000000000, revenue_micros + ?8))",
        )?;
        let mut sweep = connection.prepare_cached(
            "DELETE FROM outcome_totals WHERE hour = ?1 AND dimension = ?2 AND name = ?3 AND impressions = 0",
        )?;
        for ((hour, dimension), names) in &self.0 {
            for (name, c) in names {
                add.execute(params![
                    hour,
                    dimension,
                    name,
                    c.impressions,
                    c.clicks,
                    c.carts,
                    c.purchases,
                    c.revenue_micros
                ])?;
                if c.impressions < 0 {
                    sweep.execute(params![hour, dimension, name])?;
                }
            }
        }
        Ok(())
    }
}

/// What the sums need to know of a decision.
#[derive(Clone, Debug)]
pub struct Described {
    pub id: DecisionId,
    pub hour: i64,
    pub model: String,
    pub shown: Shown,
}

impl Described {
    /// Reads it from the columns id, model, shown.
    pub fn at(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id = encode::decision_id(row, 0)?;
        Ok(Self { id, hour: hour_of(id), model: row.get(1)?, shown: encode::shown(row, 2)? })
    }

    /// Looks a decision up.
    pub fn find(connection: &Connection, id: DecisionId) -> rusqlite::Result<Option<Self>> {
        let mut find = connection.prepare_cached("SELECT id, model, shown FROM decisions WHERE id = ?1")?;
        find.query_row([id.as_bytes()], Self::at).optional()
    }
}

/// Enters a claim; nothing happens if the decision did not show the item.
pub fn join(connection: &Connection, totals: &mut Totals, decision: &Described, claim: &Claim) -> rusqlite::Result<()> {
    let Some(source) = decision.shown.source_of(claim.item) else { return Ok(()) };
    let mut enter = connection.prepare_cached(
        "INSERT INTO outcomes VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT DO UPDATE SET events = events + 1,
             revenue_micros = max(-9000000000000000000, min(9000000000000000000, revenue_micros + ?4))
         RETURNING events",
    )?;
    let key = params![claim.decision.as_bytes(), claim.item, claim.outcome.name(), claim.revenue_micros];
    let events: i64 = enter.query_row(key, |row| row.get(0))?;
    totals.add_outcome(decision, source, Counts::outcome(claim.outcome, i64::from(events == 1), claim.revenue_micros));
    Ok(())
}

/// Takes a claim back; the opposite of [`join`].
pub fn unjoin(
    connection: &Connection,
    totals: &mut Totals,
    decision: &Described,
    claim: &Claim,
) -> rusqlite::Result<()> {
    let Some(source) = decision.shown.source_of(claim.item) else { return Ok(()) };
    let mut leave = connection.prepare_cached(
        "UPDATE outcomes SET events = events - 1, revenue_micros = revenue_micros - ?4
         WHERE decision = ?1 AND item = ?2 AND outcome = ?3 RETURNING events",
    )?;
    let key = params![claim.decision.as_bytes(), claim.item, claim.outcome.name(), claim.revenue_micros];
    let Some(events) = leave.query_row(key, |row| row.get::<_, i64>(0)).optional()? else { return Ok(()) };
    if events == 0 {
        let mut delete =
            connection.prepare_cached("DELETE FROM outcomes WHERE decision = ?1 AND item = ?2 AND outcome = ?3")?;
        delete.execute(params![claim.decision.as_bytes(), claim.item, claim.outcome.name()])?;
    }
    totals.add_outcome(
        decision,
        source,
        Counts::outcome(claim.outcome, -i64::from(events == 0), -claim.revenue_micros),
    );
    Ok(())
}

/// Takes everything that came of a decision out of the sums and the table.
pub fn forget(connection: &Connection, totals: &mut Totals, decision: &Described) -> rusqlite::Result<()> {
    let mut find =
        connection.prepare_cached("SELECT item, outcome, revenue_micros FROM outcomes WHERE decision = ?1")?;
    let mut rows = find.query([decision.id.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let outcome = Outcome::named(encode::text(row, 1)?);
        let (Some(outcome), Some(source)) = (outcome, decision.shown.source_of(row.get(0)?)) else { continue };
        totals.add_outcome(decision, source, Counts::outcome(outcome, -1, -row.get::<_, i64>(2)?));
    }
    connection.prepare_cached("DELETE FROM outcomes WHERE decision = ?1")?.execute([decision.id.as_bytes()])?;
    totals.add_impressions(decision, -1);
    Ok(())
}

/// The hour of a decision.
pub fn hour_of(decision: DecisionId) -> i64 {
    decision_time(decision).div_euclid(HOUR_MS)
}

/// The hours that a window touches, first to last; none for an empty window.
pub fn hours(window_ms: &Range<Millis>) -> Option<(i64, i64)> {
    (!window_ms.is_empty()).then(|| (window_ms.start.div_euclid(HOUR_MS), (window_ms.end - 1).div_euclid(HOUR_MS)))
}

/// Reads the sums of a window.
pub fn summed(connection: &Connection, window_ms: &Range<Millis>) -> rusqlite::Result<Vec<OutcomeRow>> {
    let Some((first, last)) = hours(window_ms) else { return Ok(Vec::new()) };
    let mut read = connection.prepare_cached(
        "SELECT hour, dimension, name, impressions, clicks, carts, purchases, revenue_micros
         FROM outcome_totals WHERE hour BETWEEN ?1 AND ?2",
    )?;
    let mut rows = read.query([first, last])?;
    let mut totals = Totals::default();
    while let Some(row) = rows.next()? {
        let counts = Counts {
            impressions: row.get(3)?,
            clicks: row.get(4)?,
            carts: row.get(5)?,
            purchases: row.get(6)?,
            revenue_micros: row.get(7)?,
        };
        let dimension = if encode::text(row, 1)? == MODEL { MODEL } else { SOURCE };
        totals.add(row.get(0)?, dimension, encode::text(row, 2)?, counts);
    }
    Ok(totals.rows())
}

/// Counts the outcomes of a window anew from the decisions and the events, without looking at what was summed.
pub fn recounted(connection: &Connection, window_ms: &Range<Millis>) -> rusqlite::Result<Vec<OutcomeRow>> {
    let whole =
        |(first, last): (i64, i64)| first.saturating_mul(HOUR_MS)..last.saturating_add(1).saturating_mul(HOUR_MS);
    let Some((first, last)) = hours(window_ms).map(whole).and_then(|window_ms| ids_within(&window_ms)) else {
        return Ok(Vec::new());
    };
    let mut find = connection.prepare_cached("SELECT id, model, shown FROM decisions WHERE id BETWEEN ?1 AND ?2")?;
    let mut rows = find.query([first.as_bytes(), last.as_bytes()])?;
    let mut totals = Totals::default();
    while let Some(row) = rows.next()? {
        let decision = Described::at(row)?;
        totals.add_impressions(&decision, 1);
        let mut counted = HashSet::new();
        for claim in claims_on(connection, decision.id)? {
            let Some(source) = decision.shown.source_of(claim.item) else { continue };
            let first_time = counted.insert((claim.item, claim.outcome));
            totals.add_outcome(
                &decision,
                source,
                Counts::outcome(claim.outcome, i64::from(first_time), claim.revenue_micros),
            );
        }
    }
    Ok(totals.rows())
}

/// The claims of all events that name a decision.
pub fn claims_on(connection: &Connection, decision: DecisionId) -> rusqlite::Result<Vec<Claim>> {
    let mut find = connection.prepare_cached("SELECT kind, item, details, decision FROM events WHERE decision = ?1")?;
    let mut rows = find.query([decision.as_bytes()])?;
    let mut claims = Vec::new();
    while let Some(row) = rows.next()? {
        claims.extend(claim_at(row)?);
    }
    Ok(claims)
}

/// The claim of the event at a place, if it makes one.
pub fn claim_of(connection: &Connection, position: i64) -> rusqlite::Result<Option<Claim>> {
    let mut find = connection.prepare_cached(
        "SELECT kind, item, details, decision FROM events WHERE position = ?1 AND decision IS NOT NULL",
    )?;
    Ok(find.query_row([position], claim_at).optional()?.flatten())
}

fn claim_at(row: &Row<'_>) -> rusqlite::Result<Option<Claim>> {
    let kind = Kind::named(encode::text(row, 0)?);
    Ok(Claim::of(&kind, &encode::details_at(row, 2, 3)?, row.get(1)?))
}
