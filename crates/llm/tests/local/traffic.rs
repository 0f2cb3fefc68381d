//! Many requests at once, and requests that end early.

use crate::{ask, local};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use zhiyin_core::language::{
    Cancellation, Constraint, GenerateRequest, LanguageError, LanguageModel, Limits, Message, Part, Role, ScoreRequest,
};
use zhiyin_llm::Runtime;
use zhiyin_llm::local::{Local, LocalConfig};

/// Far more than any of these tests needs, on a busy machine as well.
const LONG: Duration = Duration::from_secs(120);

/// A request that goes on until it is stopped: the schema allows no end for long.
fn endless(cancellation: &Cancellation) -> GenerateRequest {
    let constraint =
        Some(Constraint::JsonSchema(r#"{"type":"array","minItems":5000,"items":{"const":"na"}}"#.to_owned()));
    let limits = Limits { cancellation: cancellation.clone(), ..Limits::default() };
    GenerateRequest { constraint, limits, ..ask("Sing.", 1_500) }
}

fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never came to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn requests_side_by_side_get_their_own_answers() {
    let Some(local) = local(|config| LocalConfig { parallel: 4, ..config }) else { return };
    std::thread::scope(|scope| {
        for n in 0..12 {
            let local = &local;
            scope.spawn(move || if n % 3 == 0 { score_digits(local, n) } else { write_digits(local, n) });
        }
    });
    assert_eq!(local.status().counts.answered, 12);
    assert_eq!(local.status().counts.failed, 0);
}

/// The schema of each request allows one number only, so a mix-up would show.
fn write_digits(local: &Local, n: u32) {
    let wanted = format!("\"number {}\"", n * 1_111);
    let constraint = Some(Constraint::JsonSchema(format!("{{\"const\":{wanted}}}")));
    let request = GenerateRequest { constraint, ..ask(&format!("Write {n}."), 24) };
    let mut pieces = String::new();
    let generated = local.generate(&request, &mut |piece| pieces.push_str(piece)).expect("answers");
    assert_eq!((generated.text, pieces), (wanted.clone(), wanted));
}

fn score_digits(local: &Local, n: u32) {
    let messages = vec![Message::new(Role::User, format!("Repeat after me: {n}{n}{n}"))];
    let continuations =
        vec![Part { field: None, text: format!("{n}{n}{n}") }, Part { field: None, text: "zebra!".to_owned() }];
    let scored = local.log_probabilities(&ScoreRequest { messages, continuations, limits: Limits::default() });
    let scored = scored.expect("scores").continuations;
    assert!(scored[0].log_probability > scored[1].log_probability, "{n}: {scored:?}");
}

#[test]
fn a_deadline_ends_a_request_and_leaves_the_model_ready() {
    let Some(local) = local(|config| config) else { return };
    let late =
        GenerateRequest { limits: Limits::within(Duration::from_millis(100)), ..endless(&Cancellation::default()) };
    assert_eq!(local.generate(&late, &mut |_| {}), Err(LanguageError::DeadlinePassed));
    local.generate(&ask("Good day.", 4), &mut |_| {}).expect("answers");
    until(|| local.status().running == 0);
}

#[test]
fn a_cancellation_frees_the_slot() {
    let Some(local) = local(|config| LocalConfig { parallel: 1, ..config }) else { return };
    let cancellation = Cancellation::default();
    let mut pieces = 0;
    let cancelled = local.generate(&endless(&cancellation), &mut |_| {
        pieces += 1;
        if pieces == 3 {
            cancellation.cancel();
        }
    });
    assert_eq!(cancelled, Err(LanguageError::Cancelled));
    local.generate(&ask("Good day.", 4), &mut |_| {}).expect("the slot is free");
}

#[test]
fn the_queue_is_bounded_and_whoever_waits_in_person_goes_first() {
    let Some(local) = local(|config| LocalConfig { parallel: 1, waiting_max: 2, ..config }) else { return };
    let (stop, (sender, order)) = (Cancellation::default(), channel());
    std::thread::scope(|scope| {
        let local = &local;
        let blocking = scope.spawn(|| local.generate(&endless(&stop), &mut |_| {}));
        until(|| local.status().running == 1);
        for (name, limits) in [("background", Limits::default()), ("interactive", Limits::within(LONG))] {
            let (sender, waiting) = (sender.clone(), local.status().queued);
            scope.spawn(move || {
                let done = local.generate(&GenerateRequest { limits, ..ask("Good day.", 2) }, &mut |_| {});
                sender.send((name, done.is_ok())).expect("heard");
            });
            until(|| local.status().queued == waiting + 1);
        }
        assert_eq!(local.generate(&ask("x", 1), &mut |_| {}), Err(LanguageError::QueueFull { capacity: 2 }));
        stop.cancel();
        assert_eq!(blocking.join().expect("no panic"), Err(LanguageError::Cancelled));
    });
    assert_eq!(order.try_iter().collect::<Vec<_>>(), [("interactive", true), ("background", true)]);
}
