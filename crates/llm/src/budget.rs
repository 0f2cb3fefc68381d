//! Daily budgets of tokens and money. A request reserves what it may cost before it is sent, so that requests running side by side
//! can't pass the limit together; what it did cost is booked when it ends, however it ends.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use zhiyin_core::Clock;
use zhiyin_core::language::{BudgetKind, DayUsage, KeepError, LanguageError, TokenUsage, UsageLedger};

/// Milliseconds of a UTC day.
const DAY_MS: i64 = 86_400_000;
/// Tokens that a price is for.
const PRICED_TOKENS: f64 = 1e6;

/// What tokens cost, in any currency, per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// Per million tokens of prompts.
    pub prompt_per_million: f64,
    /// Per million generated tokens.
    pub completion_per_million: f64,
}

impl Prices {
    /// What this use costs.
    pub fn cost(&self, usage: &TokenUsage) -> f64 {
        (usage.prompt as f64 * self.prompt_per_million + usage.completion as f64 * self.completion_per_million)
            / PRICED_TOKENS
    }
}

/// What a runtime may use per UTC day; none: without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetLimits {
    /// Tokens of prompts and completions.
    pub tokens_per_day: Option<u64>,
    /// Money, in the currency of the prices.
    pub money_per_day: Option<f64>,
}

/// Where today's budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BudgetStatus {
    /// Booked today.
    pub used: DayUsage,
    /// Tokens promised to running requests.
    pub promised_tokens: u64,
    /// The limits.
    pub limits: BudgetLimits,
    /// When the next day begins, in milliseconds since 1970.
    pub resets_at_ms: i64,
}

#[derive(Default)]
struct Today {
    day: Option<i64>,
    used: DayUsage,
    promised_tokens: u64,
    promised_money: f64,
}

/// The budget of one runtime.
pub struct Budget {
    runtime: String,
    limits: BudgetLimits,
    prices: Prices,
    clock: Arc<dyn Clock>,
    ledger: Arc<dyn UsageLedger>,
    today: Mutex<Today>,
}

impl Budget {
    /// A budget that goes on from what the ledger knows of today.
    pub fn new(
        runtime: &str,
        limits: BudgetLimits,
        prices: Prices,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn UsageLedger>,
    ) -> Arc<Self> {
        let runtime = runtime.to_owned();
        Arc::new(Self { runtime, limits, prices, clock, ledger, today: Mutex::default() })
    }

    /// Promises what a request may take.
    ///
    /// # Errors
    /// [`LanguageError::BudgetExhausted`]; [`LanguageError::Unavailable`] if the ledger can't be read, since spending blindly is worse.
    pub fn reserve(self: &Arc<Self>, estimate: TokenUsage) -> Result<Reservation, LanguageError> {
        let mut today = self.current()?;
        let money = self.prices.cost(&estimate);
        self.affordable(&today, estimate.total(), money)?;
        today.promised_tokens += estimate.total();
        today.promised_money += money;
        drop(today);
        Ok(Reservation { budget: Arc::clone(self), promised: estimate, spent: None })
    }

    /// Where it stands.
    ///
    /// # Errors
    /// [`LanguageError::Unavailable`] if the ledger can't be read.
    pub fn status(&self) -> Result<BudgetStatus, LanguageError> {
        let today = self.current()?;
        Ok(BudgetStatus {
            used: today.used,
            promised_tokens: today.promised_tokens,
            limits: self.limits,
            resets_at_ms: self.resets_at_ms(),
        })
    }

    /// What this use would cost.
    pub fn cost(&self, usage: &TokenUsage) -> f64 {
        self.prices.cost(usage)
    }

    fn current(&self) -> Result<parking_lot::MutexGuard<'_, Today>, LanguageError> {
        let day = self.clock.now_ms().div_euclid(DAY_MS);
        let mut today = self.today.lock();
        if today.day != Some(day) {
            let known = self.ledger.load(&self.runtime, day);
            today.used =
                known.map_err(|e| LanguageError::unavailable(format!("its use of today can't be read: {e}")))?;
            today.day = Some(day);
        }
        Ok(today)
    }

    fn affordable(&self, today: &Today, tokens: u64, money: f64) -> Result<(), LanguageError> {
        let tokens_used = today.used.tokens.total() + today.promised_tokens;
        if let Some(limit) = self.limits.tokens_per_day
            && tokens_used + tokens > limit
        {
            return Err(self.exhausted(BudgetKind::Tokens, tokens_used as f64, limit as f64));
        }
        let money_used = today.used.money + today.promised_money;
        if let Some(limit) = self.limits.money_per_day
            && money_used + money > limit
        {
            return Err(self.exhausted(BudgetKind::Money, money_used, limit));
        }
        Ok(())
    }

    fn exhausted(&self, budget: BudgetKind, used: f64, limit: f64) -> LanguageError {
        LanguageError::BudgetExhausted { budget, used, limit, resets_at_ms: self.resets_at_ms() }
    }

    fn resets_at_ms(&self) -> i64 {
        (self.clock.now_ms().div_euclid(DAY_MS) + 1) * DAY_MS
    }

    fn book(&self, promised: &TokenUsage, spent: Option<&TokenUsage>) {
        let Ok(mut today) =
            self.current().inspect_err(|e| tracing::error!("use of {} is not booked: {e}", self.runtime))
        else {
            return;
        };
        today.promised_tokens = today.promised_tokens.saturating_sub(promised.total());
        today.promised_money = (today.promised_money - self.prices.cost(promised)).max(0.0);
        let Some(spent) = spent else { return };
        today.used.requests += 1;
        today.used.tokens += *spent;
        today.used.money += self.prices.cost(spent);
        let day = today.day.unwrap_or_default();
        if let Err(e) = self.ledger.store(&self.runtime, day, &today.used) {
            tracing::error!("use of {} is counted in memory only: {e}", self.runtime);
        }
    }
}

/// What is promised to one request. When it is dropped, what the request spent is booked and the rest is free again.
pub struct Reservation {
    budget: Arc<Budget>,
    promised: TokenUsage,
    spent: Option<TokenUsage>,
}

impl Reservation {
    /// What the request has spent up to now, as well as is known; replaces what was said before.
    pub fn spent(&mut self, usage: TokenUsage) {
        self.spent = Some(usage);
    }

    /// The request spent nothing: it was refused.
    pub fn refused(&mut self) {
        self.spent = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.book(&self.promised, self.spent.as_ref());
    }
}

/// A ledger that forgets when the process ends.
#[derive(Default)]
pub struct MemoryLedger(Mutex<HashMap<(String, i64), DayUsage>>);

impl UsageLedger for MemoryLedger {
    fn load(&self, runtime: &str, day: i64) -> Result<DayUsage, KeepError> {
        Ok(self.0.lock().get(&(runtime.to_owned(), day)).copied().unwrap_or_default())
    }

    fn store(&self, runtime: &str, day: i64, usage: &DayUsage) -> Result<(), KeepError> {
        self.0.lock().insert((runtime.to_owned(), day), *usage);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
