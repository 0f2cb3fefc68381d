//! The limits of the rules.

use serde::{Deserialize, Serialize};

/// Limits of the cleaning rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleaningConfig {
    /// A time further than this in the future is refused; one nearer is set to now (clock skew).
    pub future_seconds_max: i64,
    /// A time further than this in the past is refused; 0 for no limit.
    pub past_days_max: i64,
    /// Events of one actor within a minute of their own time beyond which the rest count as a burst (a bot); purchases, which come in
    /// baskets, don't count; 0 for no limit.
    pub events_per_minute_max: u32,
    /// The same event (actor, kind, item) within this many milliseconds is a duplicate even with another id; 0 for no check.
    pub repeat_ms: i64,
    /// A quantity is an outlier when log(quantity) is further than this many robust standard deviations (1.4826 × median absolute
    /// deviation) from the item's median; its quantity is set to the limit. 0 for no check.
    pub outlier_deviations_max: f64,
    /// Pieces that are never an outlier.
    pub outlier_quantity_min: f64,
    /// Pieces above which an event is refused.
    pub quantity_max: f64,
    /// Price of one piece above which an event is refused.
    pub price_max: f64,
    /// Seconds of dwell to which longer ones are cut.
    pub dwell_seconds_max: f64,
    /// Stars of a rating: lowest and highest.
    pub rating_range: (f64, f64),
}

impl Default for CleaningConfig {
    fn default() -> Self {
        Self {
            future_seconds_max: 300,
            past_days_max: 0,
            events_per_minute_max: 600,
            repeat_ms: 0,
            outlier_deviations_max: 6.0,
            outlier_quantity_min: 100.0,
            quantity_max: 1_000_000.0,
            price_max: 10_000_000.0,
            dwell_seconds_max: 86_400.0,
            rating_range: (0.0, 10.0),
        }
    }
}
