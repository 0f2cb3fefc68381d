use super::*;
use proptest::prelude::*;
use zhiyin_core::TestClock;

fn tokens(prompt: u64, completion: u64) -> TokenUsage {
    TokenUsage { prompt, cached: 0, completion }
}

fn budget(limits: BudgetLimits, clock: Arc<TestClock>, ledger: Arc<MemoryLedger>) -> Arc<Budget> {
    let prices = Prices { prompt_per_million: 1.0, completion_per_million: 4.0 };
    Budget::new("endpoint", limits, prices, clock, ledger)
}

#[test]
fn a_day_ends_the_tokens_and_midnight_renews_them() {
    let clock = Arc::new(TestClock::at(DAY_MS / 2));
    let limits = BudgetLimits { tokens_per_day: Some(100), money_per_day: None };
    let budget = budget(limits, Arc::clone(&clock), Arc::default());
    budget.reserve(tokens(50, 30)).expect("affordable").spent(tokens(50, 30));
    let refusal = budget.reserve(tokens(10, 11)).err().expect("80 + 21 > 100");
    assert_eq!(
        refusal,
        LanguageError::BudgetExhausted { budget: BudgetKind::Tokens, used: 80.0, limit: 100.0, resets_at_ms: DAY_MS }
    );
    budget.reserve(tokens(10, 10)).expect("exactly the limit is allowed");
    clock.advance(DAY_MS / 2);
    budget.reserve(tokens(50, 50)).expect("a new day");
}

#[test]
fn money_is_counted_by_both_prices() {
    let limits = BudgetLimits { tokens_per_day: None, money_per_day: Some(5.0) };
    let budget = budget(limits, Arc::new(TestClock::at(0)), Arc::default());
    budget.reserve(tokens(1_000_000, 1_000_000)).expect("1 + 4 = 5").spent(tokens(1_000_000, 500_000));
    assert_eq!(budget.status().expect("readable").used.money, 3.0);
    let refusal = budget.reserve(tokens(0, 600_000)).err().expect("3 + 2.4 > 5");
    assert!(matches!(refusal, LanguageError::BudgetExhausted { budget: BudgetKind::Money, .. }));
}

#[test]
fn a_refused_request_costs_nothing_and_frees_its_promise() {
    let limits = BudgetLimits { tokens_per_day: Some(100), money_per_day: None };
    let budget = budget(limits, Arc::new(TestClock::at(0)), Arc::default());
    let mut first = budget.reserve(tokens(60, 40)).expect("affordable");
    first.spent(tokens(60, 0));
    assert!(budget.reserve(tokens(1, 0)).is_err(), "everything is promised");
    first.refused();
    drop(first);
    assert_eq!(budget.status().expect("readable").used, DayUsage::default());
    budget.reserve(tokens(60, 40)).expect("free again");
}

#[test]
fn a_restart_does_not_renew_the_budget() {
    let (clock, ledger) = (Arc::new(TestClock::at(5)), Arc::new(MemoryLedger::default()));
    let limits = BudgetLimits { tokens_per_day: Some(100), money_per_day: None };
    budget(limits, Arc::clone(&clock), Arc::clone(&ledger))
        .reserve(tokens(0, 90))
        .expect("affordable")
        .spent(tokens(0, 90));
    assert!(budget(limits, clock, ledger).reserve(tokens(0, 11)).is_err());
}

proptest! {
    /// Whatever is promised and spent side by side, as long as no request spends more than it promised, the limit holds.
    #[test]
    fn the_limit_holds_side_by_side(requests in prop::collection::vec((0u64..60, 0u64..60, 0u8..3), 1..40)) {
        let limits = BudgetLimits { tokens_per_day: Some(200), money_per_day: None };
        let budget = budget(limits, Arc::new(TestClock::at(0)), Arc::default());
        let mut running = Vec::new();
        for (promise, spend, end) in requests {
            if let Ok(mut reservation) = budget.reserve(tokens(promise, 0)) {
                reservation.spent(tokens(spend.min(promise), 0));
                running.push(reservation);
            }
            if end > 0 {
                running.truncate(running.len().saturating_sub(usize::from(end)));
            }
            let status = budget.status().expect("readable");
            prop_assert!(status.used.tokens.total() + status.promised_tokens <= 200);
        }
        drop(running);
        prop_assert_eq!(budget.status().expect("readable").promised_tokens, 0);
    }
}
