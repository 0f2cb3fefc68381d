//! The rules that remember what came before: bursts, repeats, unusual quantities. All memory is bounded.

use ahash::RandomState;
use zhiyin_core::{Event, Kind, clock::Millis};

use super::{CleaningConfig, Finding, Rule, Screened, generations::Generations};

/// Actors, and (actor, kind, item) triples, that are remembered at least.
const REMEMBERED_MIN: usize = 65_536;
/// Items whose usual quantities are remembered at least. A window takes 404 bytes, so both generations take at most 80 MB.
const QUANTITY_ITEMS_MIN: usize = 100_000;
/// Quantities of one item that make up what is usual.
const QUANTITIES_PER_ITEM: usize = 101;
/// Quantities of the whole catalogue that make up what is usual.
const QUANTITIES_OF_ALL: usize = 1_001;
/// An item with fewer quantities than this is judged by the whole catalogue's.
const QUANTITIES_MIN: usize = 8;
/// Makes the median absolute deviation of normal data its standard deviation.
const MAD_TO_SIGMA: f32 = 1.482_6;
/// Least standard deviation of the natural logarithm of a quantity: a factor e. Goods that are mostly bought one by one have a
/// deviation of 0, and a dozen of them must not count as absurd.
const SIGMA_MIN: f32 = 1.0;
const MINUTE_MS: Millis = 60_000;

/// What the remembered past says of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Nothing against it (its quantity may have been set to the limit).
    Pass,
    /// It repeats one of a moment ago.
    Repeated(Finding),
    /// It is refused.
    Refused(Finding),
}

/// What is remembered of the past.
pub struct Habits {
    config: CleaningConfig,
    hasher: RandomState,
    /// Hashes of ids of the latest events that passed: a retry of one must not count towards a burst or as a repeat of itself.
    ids: Generations<u64, ()>,
    minutes: Generations<u64, Minute>,
    repeats: Generations<u64, Option<Millis>>,
    quantities: Generations<u64, Window>,
    all_quantities: Window,
}

/// Events of an actor in the latest minute of their own time.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    minute: Millis,
    events: u32,
}

impl Habits {
    /// Habits of nobody yet.
    pub fn new(config: CleaningConfig) -> Self {
        Self {
            config,
            hasher: RandomState::new(),
            ids: Generations::new(REMEMBERED_MIN),
            minutes: Generations::new(REMEMBERED_MIN),
            repeats: Generations::new(REMEMBERED_MIN),
            quantities: Generations::new(QUANTITY_ITEMS_MIN),
            all_quantities: Window::default(),
        }
    }

    /// Judges an event, sets an absurd quantity to the limit, and remembers the event. A retry of an event that was judged lately
    /// passes without being counted again: the log knows that it is a duplicate.
    pub fn judge(&mut self, screened: &mut Screened) -> Judgement {
        let id = self.hasher.hash_one(screened.event.id.as_str());
        if self.ids.get(&id).is_some() {
            return Judgement::Pass;
        }
        if let Some(finding) = self.burst(&screened.event) {
            return Judgement::Refused(finding);
        }
        if let Some(finding) = self.repeat(&screened.event) {
            return Judgement::Repeated(finding);
        }
        screened.repairs.extend(self.outlier(&mut screened.event));
        self.ids.entry(id);
        Judgement::Pass
    }

    /// Judges retries anew: the log refused a batch, so it doesn't know the events that were judged lately.
    pub fn forget_retries(&mut self) {
        self.ids = Generations::new(REMEMBERED_MIN);
    }

    /// Learns the usual quantities from an event of the log, without judging it.
    pub fn remember(&mut self, event: &Event) {
        if let Some((item, quantity)) = self.purchased(event)
            && quantity > 0.0
        {
            self.push_quantity(item, log_size(quantity));
        }
    }

    /// Forgets the quantity of an erased event, if it is still remembered.
    pub fn forget(&mut self, event: &Event) {
        if let Some((item, quantity)) = self.purchased(event)
            && quantity > 0.0
        {
            let log = log_size(quantity);
            self.all_quantities.remove(log);
            if let Some(window) = self.quantities.get_mut(&item) {
                window.remove(log);
            }
        }
    }

    fn actor_key(&self, event: &Event) -> u64 {
        let name = event.user.as_ref().or(event.session.as_ref()).map(|id| id.as_str());
        self.hasher.hash_one((event.user.is_some(), name))
    }

    fn burst(&mut self, event: &Event) -> Option<Finding> {
        let events_max = self.config.events_per_minute_max;
        // The lines of a basket come all at once, some baskets have a thousand, and buying is not what bots do.
        if events_max == 0 || event.kind == Kind::Purchase {
            return None;
        }
        let key = self.actor_key(event);
        let minute = event.time_ms.div_euclid(MINUTE_MS);
        let seen = self.minutes.entry(key);
        if seen.minute != minute {
            *seen = Minute { minute, events: 0 };
        }
        seen.events = seen.events.saturating_add(1);
        (seen.events > events_max).then(|| {
            let wrong = format!("more than {events_max} events of one actor within a minute of their own time");
            Finding::new(Rule::Burst, format!("{wrong}; slow down, or raise cleaning.events_per_minute_max"))
        })
    }

    fn repeat(&mut self, event: &Event) -> Option<Finding> {
        let within_ms = self.config.repeat_ms;
        if within_ms <= 0 {
            return None;
        }
        let item = event.item.as_ref().map(|id| id.as_str());
        let key = self.hasher.hash_one((self.actor_key(event), &event.kind, item));
        let before = self.repeats.entry(key).replace(event.time_ms);
        let repeats = before.is_some_and(|before| (event.time_ms - before).abs() <= within_ms);
        repeats.then(|| {
            let reason = format!("the same actor, type and item within {within_ms} ms; it was passed over");
            Finding::new(Rule::Repeat, reason)
        })
    }

    /// Sets an absurd quantity to the limit; returns are held to the same limit, so that they undo what was kept of the purchase.
    fn outlier(&mut self, event: &mut Event) -> Option<Finding> {
        let (item, quantity) = self.purchased(event)?;
        let limit = self.quantity_limit(item, quantity.abs());
        let finding = limit.map(|limit| {
            event.details.quantity = Some(limit.copysign(quantity));
            let reason = format!(
                "quantity {quantity} is far from what is usual for the item; it was set to {}",
                limit.copysign(quantity)
            );
            Finding::new(Rule::OutlierQuantity, reason)
        });
        if quantity > 0.0 {
            self.push_quantity(item, log_size(limit.unwrap_or(quantity)));
        }
        finding
    }

    fn purchased(&self, event: &Event) -> Option<(u64, f64)> {
        let item = event.item.as_ref().filter(|_| event.kind == Kind::Purchase)?;
        Some((self.hasher.hash_one(item.as_str()), event.details.quantity?))
    }

    /// The limit that a size exceeds, if it does.
    fn quantity_limit(&self, item: u64, size: f64) -> Option<f64> {
        let (deviations, never) = (self.config.outlier_deviations_max, self.config.outlier_quantity_min);
        if deviations <= 0.0 || size <= never {
            return None;
        }
        let own = self.quantities.get(&item).filter(|window| window.len() >= QUANTITIES_MIN);
        let window = own.unwrap_or(&self.all_quantities);
        if window.len() < QUANTITIES_MIN {
            return None;
        }
        let limit = window.limit(deviations).max(never).floor();
        (size > limit).then_some(limit)
    }

    fn push_quantity(&mut self, item: u64, log: f32) {
        self.quantities.entry(item).push(log, QUANTITIES_PER_ITEM);
        self.all_quantities.push(log, QUANTITIES_OF_ALL);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a logarithm of a bounded number")]
fn log_size(quantity: f64) -> f32 {
    quantity.ln() as f32
}

/// The latest values of a series, in no particular order beyond the ring's.
#[derive(Debug, Default)]
struct Window {
    values: Vec<f32>,
    next: usize,
}

impl Window {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn push(&mut self, value: f32, size: usize) {
        if self.values.len() < size {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % size;
        }
    }

    fn remove(&mut self, value: f32) {
        if let Some(at) = self.values.iter().position(|known| *known == value) {
            // Puts the oldest first again, so that later values replace the oldest ones.
            self.values.rotate_left(self.next);
            let at = (at + self.values.len() - self.next) % self.values.len();
            self.values.remove(at);
            self.next = 0;
        }
    }

    /// Quantity at `deviations` robust standard deviations above the median, of logarithms.
    fn limit(&self, deviations: f64) -> f64 {
        let mut values = self.values.clone();
        let median = median(&mut values);
        for value in &mut values {
            *value = (*value - median).abs();
        }
        let sigma = (MAD_TO_SIGMA * self::median(&mut values)).max(SIGMA_MIN);
        (f64::from(median) + deviations * f64::from(sigma)).exp()
    }
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
