//! What is measured of a (query, item) pair, and the transforms that make it fit for linear models.
//!
//! [`Extractor`] holds statistics of the items; [`Extractor::state`] sums up a history once, after which a row costs a few dozen
//! operations. [`Scaler`] holds one fitted [`Chain`] per
//! feature. Both are fitted on the training part only and stored with the model, and
//! the same code runs in training and serving. Unknown values are not-a-number in raw rows; a chain puts the fitted mean in their place.
//!
//! Item statistics contain every event of the set that they are fitted on. A row for an event of that same set has seen its own answer;
//! train on events that come later (as [`crate::linear`] does).

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use zhiyin_core::ItemIx;

use crate::{
    Dataset, Query,
    transforms::{Chain, Recipe},
};

/// Number of features.
pub const COUNT: usize = 14;
/// A row of features, in the order of [`NAMES`].
pub type Row = [f32; COUNT];

/// Names of the features.
pub const NAMES: [&str; COUNT] = [
    "recency",
    "frequency",
    "money",
    "session_position",
    "price",
    "popularity",
    "trend",
    "hour_match",
    "weekday_match",
    "price_band",
    "price_fit",
    "category_affinity",
    "item_age",
    "repeats",
];

/// Places of the features that depend on the query alone: hours since the last event, events, sum of the prices of the history, events of
/// the running session.
pub const OF_QUERY: std::ops::Range<usize> = 0..4;
/// Places of the features that depend on the item alone: price, events, ln(recent events / expected ones).
pub const OF_ITEM: std::ops::Range<usize> = 4..7;
/// Places of the features of the pair: how much more than usual the item is wanted at this time of day and on this weekday (log ratios),
/// share of the history in its price band, −|ln price − mean ln price of the history|, decayed share of the history in its
/// categories, its age in days, how often it is in the history.
pub const OF_PAIR: std::ops::Range<usize> = 7..COUNT;

/// Parts of a day that are told apart, three hours each.
const DAY_PARTS: usize = 8;
const WEEKDAYS: usize = 7;
const PRICE_BANDS: usize = 5;
const NO_BAND: u8 = u8::MAX;
const HOUR_S: f32 = 3_600.0;
const DAY_S: u32 = 86_400;
/// Longest pause within a session.
const SESSION_GAP_S: u32 = 30 * 60;
/// δ of the weight of the history's events in the category affinity, in events.
const AFFINITY_DECAY: f32 = 10.0;
/// Events of the history that a state looks at.
const HISTORY_MAX: usize = 256;
/// Events that an item's profile over the day or week is smoothed with.
const PROFILE_SMOOTHING: f32 = 10.0;
/// Share of the time span that counts as recent.
const RECENT_SHARE: f64 = 0.1;

/// How each feature is transformed.
fn recipes(feature: usize) -> &'static [Recipe] {
    match NAMES[feature] {
        "hour_match" | "weekday_match" | "price_fit" | "trend" => &[Recipe::Clip, Recipe::ZScore],
        "price_band" | "category_affinity" => &[Recipe::MinMax, Recipe::ZScore],
        _ => &[Recipe::Log1p, Recipe::ZScore],
    }
}

/// One fitted chain per feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    chains: Vec<Chain>,
}

impl Scaler {
    /// Fits the chains on raw training rows.
    pub fn fit(rows: &[Row]) -> Self {
        let chain = |feature: usize| Chain::fit(recipes(feature), rows.iter().map(|row| row[feature]));
        Self { chains: (0..COUNT).map(chain).collect() }
    }

    /// Transforms one feature.
    pub fn apply_to(&self, feature: usize, raw: f32) -> f32 {
        self.chains[feature].apply(raw)
    }

    /// Transforms a row.
    pub fn apply(&self, raw: &Row) -> Row {
        std::array::from_fn(|feature| self.apply_to(feature, raw[feature]))
    }
}

/// Statistics of the items, from which raw rows are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extractor {
    price: Vec<f32>,
    log_price: Vec<f32>,
    band: Vec<u8>,
    events: Vec<u32>,
    trend: Vec<f32>,
    since_s: Vec<u32>,
    /// Log ratios, [`DAY_PARTS`] for each item.
    day_profile: Vec<f32>,
    /// Log ratios, [`WEEKDAYS`] for each item.
    week_profile: Vec<f32>,
    category_starts: Vec<usize>,
    categories: Vec<u32>,
}

impl Extractor {
    /// Statistics of a training set.
    pub fn fit(data: &Dataset) -> Self {
        let price: Vec<f32> = data.items.iter().map(|item| item.price).collect();
        let mut category_starts = vec![0];
        category_starts.extend(data.items.iter().scan(0, |end, item| {
            *end += item.categories.len();
            Some(*end)
        }));
        Self {
            band: bands(&price),
            log_price: price.iter().map(|price| price.ln()).collect(),
            price,
            events: data.item_counts(),
            trend: trends(data),
            since_s: first_seen(data),
            day_profile: profile::<DAY_PARTS>(data, day_part),
            week_profile: profile::<WEEKDAYS>(data, weekday),
            category_starts,
            categories: data.items.iter().flat_map(|item| item.categories.iter().copied()).collect(),
        }
    }

    /// Number of items with statistics.
    pub fn n_items(&self) -> usize {
        self.price.len()
    }

    /// Bytes of memory held, approximately.
    pub fn bytes(&self) -> usize {
        let per_item = 4 + 4 + 1 + 4 + 4 + 4 + 4 * (DAY_PARTS + WEEKDAYS) + 8;
        self.n_items() * per_item + 4 * self.categories.len()
    }

    /// Sums up a query: its history, at most the last 256 events.
    pub fn state(&self, query: &Query<'_>) -> State<'_> {
        State::new(self, query)
    }

    /// Fills in the features of the item alone.
    ///
    /// # Panics
    /// If the item is not below [`Extractor::n_items`].
    pub fn item_features(&self, item: ItemIx, row: &mut Row) {
        let at = item as usize;
        row[4] = self.price[at];
        row[5] = self.events[at] as f32;
        row[6] = self.trend[at];
    }

    fn categories_of(&self, item: usize) -> &[u32] {
        &self.categories[self.category_starts[item]..self.category_starts[item + 1]]
    }
}

/// A query summed up.
#[derive(Clone, Debug)]
pub struct State<'a> {
    items: &'a Extractor,
    now_s: u32,
    of_query: [f32; 4],
    mean_log_price: f32,
    band_shares: [f32; PRICE_BANDS],
    affinities: FxHashMap<u32, f32>,
    repeats: FxHashMap<ItemIx, f32>,
}

impl<'a> State<'a> {
    fn new(items: &'a Extractor, query: &Query<'_>) -> Self {
        let history = crate::dataset::latest(query.history, HISTORY_MAX);
        let mut state = Self {
            items,
            now_s: query.now_s,
            of_query: [f32::NAN, query.history.len() as f32, f32::NAN, session_events(query) as f32],
            mean_log_price: f32::NAN,
            band_shares: [f32::NAN; PRICE_BANDS],
            affinities: FxHashMap::default(),
            repeats: FxHashMap::default(),
        };
        if let Some(last) = history.last() {
            state.of_query[0] = query.now_s.saturating_sub(last.time_s) as f32 / HOUR_S;
        }
        history.iter().for_each(|event| *state.repeats.entry(event.item).or_default() += 1.0);
        let known: Vec<usize> =
            history.iter().map(|event| event.item as usize).filter(|item| *item < items.n_items()).collect();
        state.sum_up_prices(&known);
        state.sum_up_categories(&known);
        state
    }

    fn sum_up_prices(&mut self, history: &[usize]) {
        let priced: Vec<usize> = history.iter().copied().filter(|&item| self.items.band[item] != NO_BAND).collect();
        if priced.is_empty() {
            return;
        }
        let n = priced.len() as f32;
        self.of_query[2] = priced.iter().map(|&item| self.items.price[item]).sum();
        self.mean_log_price = priced.iter().map(|&item| self.items.log_price[item]).sum::<f32>() / n;
        self.band_shares = [0.0; PRICE_BANDS];
        priced.iter().for_each(|&item| self.band_shares[usize::from(self.items.band[item])] += 1.0 / n);
    }

    fn sum_up_categories(&mut self, history: &[usize]) {
        let mut total = 0.0;
        for (age, &item) in history.iter().rev().enumerate() {
            let weight = (-(age as f32) / AFFINITY_DECAY).exp();
            total += weight;
            for &category in self.items.categories_of(item) {
                *self.affinities.entry(category).or_default() += weight;
            }
        }
        self.affinities.values_mut().for_each(|weight| *weight /= total);
    }

    /// Fills in the features of the query alone.
    pub fn query_features(&self, row: &mut Row) {
        row[OF_QUERY].copy_from_slice(&self.of_query);
    }

    /// Fills in the features of the pair.
    ///
    /// # Panics
    /// If the item is not below [`Extractor::n_items`].
    pub fn pair_features(&self, item: ItemIx, row: &mut Row) {
        let (items, at) = (self.items, item as usize);
        let band = items.band[at];
        row[7] = items.day_profile[at * DAY_PARTS + day_part(self.now_s)];
        row[8] = items.week_profile[at * WEEKDAYS + weekday(self.now_s)];
        let priced = band != NO_BAND;
        row[9] = if priced { self.band_shares[usize::from(band)] } else { f32::NAN };
        row[10] = if priced { -(items.log_price[at] - self.mean_log_price).abs() } else { f32::NAN };
        row[11] = self.affinity(items.categories_of(at));
        let since_s = items.since_s[at];
        row[12] = if since_s > 0 { self.now_s.saturating_sub(since_s) as f32 / DAY_S as f32 } else { f32::NAN };
        row[13] = self.repeats.get(&item).copied().unwrap_or(0.0);
    }

    /// Mean share of the history in these categories; unknown without categories.
    fn affinity(&self, categories: &[u32]) -> f32 {
        let shares = categories.iter().filter_map(|category| self.affinities.get(category));
        shares.sum::<f32>() / categories.len() as f32
    }

    /// The raw row of an item.
    ///
    /// # Panics
    /// If the item is not below [`Extractor::n_items`].
    pub fn row(&self, item: ItemIx) -> Row {
        let mut row = [f32::NAN; COUNT];
        self.query_features(&mut row);
        self.items.item_features(item, &mut row);
        self.pair_features(item, &mut row);
        row
    }
}

/// Events at the end of the history with no long pause between them or before now.
fn session_events(query: &Query<'_>) -> usize {
    let mut next_s = query.now_s;
    let running = query.history.iter().rev().take_while(|event| {
        let near = next_s.saturating_sub(event.time_s) <= SESSION_GAP_S;
        next_s = event.time_s;
        near
    });
    running.count()
}

fn day_part(time_s: u32) -> usize {
    ((time_s % DAY_S) as usize * DAY_PARTS) / DAY_S as usize
}

/// 0 is Monday; 1970 began on a Thursday.
fn weekday(time_s: u32) -> usize {
    (time_s / DAY_S + 3) as usize % WEEKDAYS
}

/// Fifths of the known prices.
fn bands(prices: &[f32]) -> Vec<u8> {
    let mut sorted: Vec<f32> = prices.iter().copied().filter(|price| price.is_finite() && *price > 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let band = |price: &f32| {
        if !(price.is_finite() && *price > 0.0) {
            return NO_BAND;
        }
        let below = sorted.partition_point(|other| other < price);
        (below * PRICE_BANDS / sorted.len()) as u8
    };
    prices.iter().map(band).collect()
}

/// When each item was published, or else first wanted; 0 when neither is known.
fn first_seen(data: &Dataset) -> Vec<u32> {
    let mut first = vec![u32::MAX; data.n_items()];
    for event in &data.interactions {
        let slot = &mut first[event.item as usize];
        *slot = event.time_s.min(*slot);
    }
    let known = data.items.iter().zip(first).map(|(item, first)| match item.since_s {
        0 if first == u32::MAX => 0,
        0 => first,
        since_s => since_s,
    });
    known.collect()
}

/// ln((recent + 1) / (expected + 1)), where an item's expected events are its share of all recent ones.
fn trends(data: &Dataset) -> Vec<f32> {
    let times = data.interactions.iter().map(|event| event.time_s);
    let (first, last) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
    let from = last - (f64::from(last - first) * RECENT_SHARE) as u32;
    let mut recent = vec![0u32; data.n_items()];
    let events = data.interactions.iter().filter(|event| event.time_s >= from);
    events.for_each(|event| recent[event.item as usize] += 1);
    let total: u32 = recent.iter().sum();
    let share = total as f32 / data.interactions.len().max(1) as f32;
    let trend = |(recent, count): (u32, u32)| ((recent as f32 + 1.0) / (count as f32 * share + 1.0)).ln();
    recent.into_iter().zip(data.item_counts()).map(trend).collect()
}

/// For each item and part of a period, ln of its smoothed share of the item's events over its share of all events.
fn profile<const PARTS: usize>(data: &Dataset, part: fn(u32) -> usize) -> Vec<f32> {
    let mut counts = vec![[0.0f32; PARTS]; data.n_items()];
    let mut totals = [1.0f32; PARTS];
    for event in &data.interactions {
        counts[event.item as usize][part(event.time_s)] += 1.0;
        totals[part(event.time_s)] += 1.0;
    }
    let all: f32 = totals.iter().sum();
    let ratio = |count: f32, events: f32, usual: f32| {
        ((count + PROFILE_SMOOTHING * usual) / ((events + PROFILE_SMOOTHING) * usual)).ln()
    };
    let item = |row: &[f32; PARTS]| {
        let events = row.iter().sum();
        std::array::from_fn::<f32, PARTS, _>(|at| ratio(row[at], events, totals[at] / all))
    };
    counts.iter().flat_map(item).collect()
}

#[cfg(test)]
mod tests {
    use zhiyin_core::Interaction;

    use super::*;
    use crate::{ItemFacts, dataset::NoHistories};

    fn item(price: f32, categories: &[u32]) -> ItemFacts {
        ItemFacts { price, categories: categories.to_vec(), ..ItemFacts::default() }
    }

    fn feature(row: &Row, name: &str) -> f32 {
        row[NAMES.iter().position(|other| *other == name).unwrap()]
    }

    fn query(history: &[Interaction], now_s: u32) -> Query<'_> {
        Query { history, actor: None, segment: None, friends: &[], now_s, histories: &NoHistories }
    }

    fn shop() -> (Dataset, Vec<Interaction>) {
        let items = vec![item(2.0, &[0]), item(8.0, &[0, 1]), item(f32::NAN, &[]), item(4.0, &[1])];
        let monday_noon = 4 * DAY_S + DAY_S / 2;
        let history = vec![
            Interaction::plain(0, monday_noon),
            Interaction::plain(1, monday_noon + 3_600),
            Interaction::plain(1, monday_noon + 3_700),
        ];
        (Dataset::from_histories(items, [history.as_slice()]), history)
    }

    #[test]
    fn features_by_hand() {
        let (data, history) = shop();
        let extractor = Extractor::fit(&data);
        let now_s = history[2].time_s + 1_800;
        let state = extractor.state(&query(&history, now_s));
        let row = state.row(1);
        assert_eq!(feature(&row, "recency"), 0.5);
        assert_eq!((feature(&row, "frequency"), feature(&row, "money")), (3.0, 18.0));
        assert_eq!(feature(&row, "session_position"), 2.0);
        assert_eq!((feature(&row, "price"), feature(&row, "popularity")), (8.0, 2.0));
        assert_eq!(feature(&row, "repeats"), 2.0);
        assert!((feature(&row, "price_band") - 2.0 / 3.0).abs() < 1e-6);
        let mean_log_price = (2f32.ln() + 2.0 * 8f32.ln()) / 3.0;
        assert!((feature(&row, "price_fit") + (8f32.ln() - mean_log_price).abs()).abs() < 1e-6);
        // Category 0 holds the whole history; category 1 the two newest events.
        let weights = [1.0, (-0.1f32).exp(), (-0.2f32).exp()];
        let share = (weights[0] + weights[1]) / weights.iter().sum::<f32>();
        assert!((feature(&row, "category_affinity") - f32::midpoint(1.0, share)).abs() < 1e-6);
        assert!((feature(&row, "item_age") - 1_900.0 / 86_400.0).abs() < 1e-6);
    }

    #[test]
    fn unknown_facts_are_not_a_number_and_become_the_mean() {
        let (data, history) = shop();
        let extractor = Extractor::fit(&data);
        let state = extractor.state(&query(&history, history[2].time_s));
        let rows: Vec<Row> = (0..4).map(|item| state.row(item)).collect();
        assert!(feature(&rows[2], "price").is_nan() && feature(&rows[2], "category_affinity").is_nan());
        let scaled = Scaler::fit(&rows).apply(&rows[2]);
        assert!(scaled.iter().all(|x| x.is_finite()));
        let stranger = extractor.state(&query(&[], 0)).row(0);
        assert!(feature(&stranger, "recency").is_nan() && feature(&stranger, "price_fit").is_nan());
    }

    #[test]
    fn an_item_wanted_at_noon_matches_noon() {
        let rows: Vec<Vec<Interaction>> = (0..40)
            .map(|day| {
                let noon = day * DAY_S + DAY_S / 2;
                vec![Interaction::plain(0, noon), Interaction::plain(1, noon + DAY_S / 3)]
            })
            .collect();
        let items = vec![ItemFacts::default(); 2];
        let extractor = Extractor::fit(&Dataset::from_histories(items, rows.iter().map(Vec::as_slice)));
        let state = extractor.state(&query(&[], DAY_S / 2));
        assert!(feature(&state.row(0), "hour_match") > 0.3);
        assert!(feature(&state.row(1), "hour_match") < -0.3);
    }

    #[test]
    fn weekdays_begin_on_monday() {
        // 2024-01-01 was a Monday.
        assert_eq!((weekday(1_704_067_200), weekday(1_704_067_200 - 1), day_part(1_704_067_200 - 1)), (0, 6, 7));
    }
}
