//! What becomes of a request when the endpoint fails.

use crate::server::{Act, Server};
use crate::{config, remote, request, setting, used_tokens};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zhiyin_core::TestClock;
use zhiyin_core::language::{BudgetKind, Cancellation, GenerateRequest, LanguageError, LanguageModel, Limits};
use zhiyin_llm::Runtime;
use zhiyin_llm::budget::{BudgetLimits, MemoryLedger, Prices};
use zhiyin_llm::circuit::{CircuitConfig, CircuitState};
use zhiyin_llm::remote::{Remote, RemoteConfig};

/// Far more than any of these tests needs, on a busy machine as well.
const LONG: Duration = Duration::from_secs(60);

fn ask(remote: &Remote) -> Result<String, LanguageError> {
    remote.generate(&request(), &mut |_| {}).map(|generated| generated.text)
}

#[track_caller]
fn assert_unavailable(result: Result<String, LanguageError>, because: &str) {
    let error = result.expect_err("fails");
    assert!(matches!(&error, LanguageError::Unavailable { reason } if reason.contains(because)), "{error}");
}

#[test]
fn passing_failures_are_tried_again() {
    let acts =
        vec![Act::Refuse(503, "", "busy"), Act::Refuse(429, "retry-after: 0\r\n", "slower"), Act::Say(vec!["red"])];
    let (server, remote) = setting(acts);
    assert_eq!(ask(&remote), Ok("red".to_owned()));
    assert_eq!(server.seen().len(), 3);
    assert_eq!(used_tokens(&remote), 22, "refused attempts cost nothing");
}

#[test]
fn attempts_are_limited() {
    let (server, remote) = setting(vec![]);
    assert_unavailable(ask(&remote), "500");
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_long_is() {
    let (server, remote) = setting(vec![Act::Refuse(429, "retry-after: 3600\r\n", "quota")]);
    assert_unavailable(ask(&remote), "429");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_wrong_request_or_key_is_not_tried_again() {
    let (server, remote) =
        setting(vec![Act::Refuse(400, "", "no such parameter"), Act::Refuse(401, "", "who are you")]);
    assert!(
        matches!(ask(&remote), Err(LanguageError::InvalidRequest { reason }) if reason.contains("no such parameter"))
    );
    assert_unavailable(ask(&remote), "401");
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn an_absent_server_is_unavailable() {
    let server = Server::start(vec![]);
    let config = RemoteConfig { base_url: "http://127.0.0.1:1/v1".to_owned(), ..config(&server) };
    assert_unavailable(ask(&remote(config)), "no connection");
}

#[test]
fn a_silent_server_is_given_up() {
    let server = Server::start(vec![Act::Silence]);
    let remote = remote(RemoteConfig { idle_ms: 50, attempts_max: 1, ..config(&server) });
    assert_unavailable(ask(&remote), "silent");
    let trickle = Server::start(vec![Act::SaySlowly(vec!["a"; 1_000], Duration::from_millis(20))]);
    let remote = crate::remote(RemoteConfig { attempt_ms: 200, ..config(&trickle) });
    assert_unavailable(ask(&remote), "longer than 200 ms");
    assert_eq!(trickle.seen().len(), 1, "text was given out, so there is no second attempt");
}

#[test]
fn a_deadline_frees_the_caller_and_the_connection() {
    let (server, remote) = setting(vec![Act::Silence]);
    let begun = Instant::now();
    let hurried = GenerateRequest { limits: Limits::within(Duration::from_millis(50)), ..request() };
    assert_eq!(remote.generate(&hurried, &mut |_| {}), Err(LanguageError::DeadlinePassed));
    assert!(begun.elapsed() < LONG / 4, "the idle time of 30 s was not waited for");
    server.wait_for_leavers(1);
}

#[test]
fn a_cancellation_frees_the_caller_and_the_connection() {
    let (server, remote) = setting(vec![Act::Silence]);
    let cancellation = Cancellation::default();
    let limits = Limits { cancellation: cancellation.clone(), ..Limits::default() };
    let cancelled = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| remote.generate(&GenerateRequest { limits, ..request() }, &mut |_| {}));
        while server.seen().is_empty() {
            std::thread::yield_now();
        }
        cancellation.cancel();
        waiting.join().expect("no panic")
    });
    assert_eq!(cancelled, Err(LanguageError::Cancelled));
    server.wait_for_leavers(1);
}

#[test]
fn a_stream_cut_before_any_text_is_tried_again_and_one_cut_later_is_not() {
    let (server, remote) = setting(vec![Act::BreakAfter(vec![]), Act::BreakAfter(vec!["dark ", "re"])]);
    let mut pieces = String::new();
    let cut = remote.generate(&request(), &mut |piece| pieces.push_str(piece));
    assert_unavailable(cut.map(|generated| generated.text), "cut off");
    assert_eq!((pieces.as_str(), server.seen().len()), ("dark re", 2));
    assert!(used_tokens(&remote) > 0, "what was streamed is booked by estimate");
}

#[test]
fn babble_is_invalid_output() {
    let (server, remote) = setting(vec![Act::Babble, Act::Babble, Act::Babble]);
    assert!(matches!(ask(&remote), Err(LanguageError::InvalidOutput { .. })));
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn an_endpoint_that_keeps_failing_is_left_alone_and_then_tried_by_one() {
    let server = Server::start(vec![Act::Refuse(500, "", ""), Act::Refuse(500, "", ""), Act::Say(vec!["back"])]);
    let circuit = CircuitConfig { failures_max: 2, open_ms: 1_000, open_ms_max: 1_000 };
    let config = RemoteConfig { attempts_max: 1, circuit, ..config(&server) };
    let clock = Arc::new(TestClock::at(0));
    let ledger = Arc::new(MemoryLedger::default());
    let remote = Remote::with_key(config, None, Arc::clone(&clock) as _, ledger, 7).expect("starts");
    assert_unavailable(ask(&remote), "500");
    assert_unavailable(ask(&remote), "500");
    assert_unavailable(ask(&remote), "left alone");
    assert_eq!(server.seen().len(), 2);
    assert_eq!(remote.status().circuit, Some(CircuitState::Open { until_ms: 1_000 }));
    clock.advance(1_000);
    assert_eq!(ask(&remote), Ok("back".to_owned()));
    assert_eq!(remote.status().circuit, Some(CircuitState::Closed));
}

#[test]
fn a_budget_that_can_not_pay_stops_the_request_before_it_is_sent() {
    let server = Server::start(vec![Act::Say(vec!["red"])]);
    let prices = Prices { prompt_per_million: 0.0, completion_per_million: 1e6 };
    let budget = BudgetLimits { tokens_per_day: None, money_per_day: Some(32.5) };
    let remote = remote(RemoteConfig { prices, budget, ..config(&server) });
    assert_eq!(ask(&remote), Ok("red".to_owned()), "32 tokens at 1 each may be written, one is");
    let refusal = ask(&remote).expect_err("1 + 32 > 32.5");
    let expected =
        LanguageError::BudgetExhausted { budget: BudgetKind::Money, used: 1.0, limit: 32.5, resets_at_ms: 86_400_000 };
    assert_eq!(refusal, expected);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(remote.status().budget.expect("has one").used.money, 1.0);
}

#[test]
fn turns_are_limited_and_so_are_those_that_wait() {
    let server = Server::start(vec![Act::Silence, Act::Say(vec!["late"])]);
    let remote = remote(RemoteConfig { concurrency_max: 1, waiting_max: 1, ..config(&server) });
    let (first, second) = (Cancellation::default(), Cancellation::default());
    let start = |cancellation: &Cancellation| {
        let limits = Limits { cancellation: cancellation.clone(), ..Limits::default() };
        GenerateRequest { limits, ..request() }
    };
    let (one, two) = (start(&first), start(&second));
    std::thread::scope(|scope| {
        let hung = scope.spawn(|| remote.generate(&one, &mut |_| {}));
        wait_until(|| server.seen().len() == 1);
        let waiting = scope.spawn(|| remote.generate(&two, &mut |_| {}));
        wait_until(|| remote.status().queued == 1);
        assert_eq!(ask(&remote), Err(LanguageError::QueueFull { capacity: 1 }));
        first.cancel();
        assert_eq!(hung.join().expect("no panic"), Err(LanguageError::Cancelled));
        assert_eq!(waiting.join().expect("no panic").expect("its turn came").text, "late");
    });
}

fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never came to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}
