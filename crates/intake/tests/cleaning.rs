//! Each rule of cleaning: what passes, what is repaired, what is refused, and with which name.

use serde_json::{Map, Value, json};
use zhiyin_core::{EventInput, KindWeights, TimeInput, limits};
use zhiyin_intake::clean::{Cleaner, CleaningConfig, Rule, Screened, Verdict};

const NOW_MS: i64 = 1_800_000_000_000;

fn purchase() -> EventInput {
    let (user, item) = (Some("user-42".into()), Some("lantern".into()));
    EventInput { kind: "purchase".into(), user, item, ..EventInput::default() }
}

fn cleaner(change: impl FnOnce(&mut CleaningConfig)) -> Cleaner {
    let mut config = CleaningConfig::default();
    change(&mut config);
    Cleaner::new(&config, KindWeights::default())
}

fn check(input: EventInput) -> Verdict {
    cleaner(|_| {}).check(input, NOW_MS)
}

fn clean(verdict: Verdict) -> Screened {
    match verdict {
        Verdict::Clean(screened) => *screened,
        other => panic!("{other:?}"),
    }
}

fn attributes(value: Value) -> Map<String, Value> {
    std::iter::once(("x".to_owned(), value)).collect()
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn a_clean_event_passes_unchanged() {
    let input = EventInput {
        id: Some("event-1".into()),
        session: Some("session-7".into()),
        time: Some(TimeInput::Text("2026-11-24T08:00:00+01:00".into())),
        quantity: Some(2.0),
        price: Some(3.5),
        surface: Some("home".into()),
        decision: Some("019352b4-3f00-7000-8000-000000000001".into()),
        attributes: attributes(nested(15)),
        ..purchase()
    };
    let Screened { event, repairs } = clean(check(input));
    assert!(repairs.is_empty());
    assert_eq!((event.id.as_str(), event.time_ms), ("event-1", 1_795_503_600_000));
    assert_eq!(event.revenue(), 7.0);
    assert!(event.details.decision.is_some());
}

#[test]
fn what_cannot_be_meant_is_refused_under_its_rule() {
    let long = |bytes: usize| Some("x".repeat(bytes));
    let cases: Vec<(Rule, EventInput)> = vec![
        (Rule::UnknownType, EventInput { kind: "wish".into(), ..purchase() }),
        (Rule::UnknownType, EventInput { kind: String::new(), ..purchase() }),
        (Rule::MissingActor, EventInput { user: None, ..purchase() }),
        (Rule::MissingItem, EventInput { item: None, ..purchase() }),
        (Rule::Id, EventInput { user: Some(String::new()), ..purchase() }),
        (Rule::Id, EventInput { item: long(limits::ID_BYTES_MAX + 1), ..purchase() }),
        (Rule::Id, EventInput { id: Some("a\nb".into()), ..purchase() }),
        (Rule::TimeFormat, EventInput { time: Some(TimeInput::Text("yesterday".into())), ..purchase() }),
        (Rule::FutureTime, EventInput { time: Some(TimeInput::Millis(NOW_MS + 300_001)), ..purchase() }),
        (Rule::FutureTime, EventInput { time: Some(TimeInput::Millis(i64::MAX)), ..purchase() }),
        (Rule::TooOld, EventInput { time: Some(TimeInput::Millis(-1)), ..purchase() }),
        (Rule::TooOld, EventInput { time: Some(TimeInput::Millis(i64::MIN)), ..purchase() }),
        (Rule::NotFinite, EventInput { price: Some(f64::NAN), ..purchase() }),
        (Rule::NotFinite, EventInput { quantity: Some(f64::NEG_INFINITY), ..purchase() }),
        (Rule::RangeQuantity, EventInput { quantity: Some(0.0), ..purchase() }),
        (Rule::RangeQuantity, EventInput { quantity: Some(-1e9), ..purchase() }),
        (Rule::RangeQuantity, EventInput { kind: "cart".into(), quantity: Some(-1.0), ..purchase() }),
        (Rule::RangePrice, EventInput { price: Some(-11_062.06), ..purchase() }),
        (Rule::RangePrice, EventInput { price: Some(1e9), ..purchase() }),
        (Rule::RangeRating, EventInput { kind: "rating".into(), ..purchase() }),
        (Rule::RangeRating, EventInput { kind: "rating".into(), value: Some(10.5), ..purchase() }),
        (Rule::RangeRating, EventInput { kind: "review".into(), value: Some(-1.0), ..purchase() }),
        (Rule::RangeDwell, EventInput { dwell_seconds: Some(-0.1), ..purchase() }),
        (Rule::TextTooLong, EventInput { text: long(limits::TEXT_BYTES_MAX + 1), ..purchase() }),
        (Rule::TextTooLong, EventInput { query: long(limits::TEXT_BYTES_MAX + 1), ..purchase() }),
        (Rule::TextTooLong, EventInput { surface: long(limits::ID_BYTES_MAX + 1), ..purchase() }),
        (Rule::AttributesTooDeep, EventInput { attributes: attributes(nested(16)), ..purchase() }),
        (Rule::AttributesTooLarge, EventInput { attributes: attributes(json!(long(17_000))), ..purchase() }),
    ];
    for (rule, input) in cases {
        match check(input.clone()) {
            Verdict::Refused(finding) => {
                assert_eq!(finding.rule, rule, "{input:?}");
                assert!(finding.reason.contains(';'), "it says what to do: {}", finding.reason);
            }
            other => panic!("{rule}: {other:?}"),
        }
    }
}

#[test]
fn what_is_certainly_meant_is_repaired() {
    let ahead = clean(check(EventInput { time: Some(TimeInput::Millis(NOW_MS + 300_000)), ..purchase() }));
    assert_eq!((ahead.event.time_ms, ahead.repairs[0].rule), (NOW_MS, Rule::FutureTime));
    let forever = clean(check(EventInput { kind: "play".into(), dwell_seconds: Some(1e12), ..purchase() }));
    assert_eq!((forever.event.details.dwell_seconds, forever.repairs[0].rule), (Some(86_400.0), Rule::RangeDwell));
    let lost = clean(check(EventInput { decision: Some("none".into()), ..purchase() }));
    assert_eq!((lost.event.details.decision, lost.repairs[0].rule), (None, Rule::DecisionId));
    let minted = clean(check(purchase()));
    assert_eq!((minted.event.id.as_str().len(), minted.event.time_ms), (36, NOW_MS));
}

#[test]
fn kinds_without_item_and_configured_kinds_pass() {
    let search = EventInput { kind: "search".into(), item: None, query: Some("lantern".into()), ..purchase() };
    assert!(clean(check(search)).event.item.is_none());
    let wish = EventInput { kind: "wish".into(), ..purchase() };
    let kinds = KindWeights::with(&[("wish".to_owned(), 2.0)].into()).unwrap();
    let mut cleaner = Cleaner::new(&CleaningConfig::default(), kinds);
    assert_eq!(clean(cleaner.check(wish, NOW_MS)).event.kind.name(), "wish");
}

#[test]
fn the_past_can_be_limited() {
    let old = |days: i64| EventInput { time: Some(TimeInput::Millis(NOW_MS - days * 86_400_000)), ..purchase() };
    let mut cleaner = cleaner(|config| config.past_days_max = 30);
    clean(cleaner.check(old(30), NOW_MS));
    assert!(matches!(cleaner.check(old(31), NOW_MS), Verdict::Refused(finding) if finding.rule == Rule::TooOld));
}

#[test]
fn a_burst_is_measured_on_the_events_own_time_and_per_actor() {
    let mut cleaner = cleaner(|config| config.events_per_minute_max = 3);
    let view = |user: &str, number: i64, time_ms| EventInput {
        id: Some(format!("{user}-{number}-{time_ms}")),
        kind: "view".into(),
        user: Some(user.into()),
        time: Some(TimeInput::Millis(time_ms)),
        ..purchase()
    };
    let minute = NOW_MS - NOW_MS % 60_000 - 600_000;
    // An hour of history at a go is no burst.
    for number in 0..60 {
        clean(cleaner.check(view("calm", 0, minute - number * 60_000), NOW_MS));
    }
    for number in 0..3 {
        clean(cleaner.check(view("bot", number, minute + number), NOW_MS));
    }
    let refused = |verdict| matches!(verdict, Verdict::Refused(finding) if finding.rule == Rule::Burst);
    assert!(refused(cleaner.check(view("bot", 3, minute + 59_999), NOW_MS)));
    assert!(
        refused(cleaner.check(view("bot", 3, minute + 59_999), NOW_MS)),
        "sending a refused one again doesn't help"
    );
    clean(cleaner.check(view("bot", 1, minute + 1), NOW_MS));
    clean(cleaner.check(view("human", 0, minute), NOW_MS));
    clean(cleaner.check(view("bot", 9, minute + 60_000), NOW_MS));
}

#[test]
fn a_repeat_within_the_window_is_passed_over() {
    let mut cleaner = cleaner(|config| config.repeat_ms = 2_000);
    let click = |number: i64, item: &str, time_ms| EventInput {
        id: Some(format!("click-{number}")),
        kind: "click".into(),
        item: Some(item.into()),
        time: Some(TimeInput::Millis(time_ms)),
        ..purchase()
    };
    let start = NOW_MS - 60_000;
    clean(cleaner.check(click(0, "lantern", start), NOW_MS));
    assert!(matches!(cleaner.check(click(1, "lantern", start + 2_000), NOW_MS), Verdict::Repeated(_)));
    clean(cleaner.check(click(2, "mug", start + 2_000), NOW_MS));
    clean(cleaner.check(click(3, "lantern", start + 4_001), NOW_MS));
    clean(cleaner.check(click(3, "lantern", start + 4_001), NOW_MS));
}

#[test]
fn an_absurd_quantity_and_its_return_are_held_to_the_same_limit() {
    let mut cleaner = cleaner(|_| {});
    let bought =
        |quantity: f64, item: &str| EventInput { quantity: Some(quantity), item: Some(item.into()), ..purchase() };
    for round in 0..40 {
        for quantity in [2.0, 6.0, 6.0, 6.0, 12.0] {
            clean(cleaner.check(bought(quantity + f64::from(round % 2), "jar"), NOW_MS));
        }
    }
    // A wholesale order passes, the typing error doesn't, and its return undoes exactly what was kept.
    assert!(clean(cleaner.check(bought(1_000.0, "jar"), NOW_MS)).repairs.is_empty());
    let error = clean(cleaner.check(bought(74_215.0, "jar"), NOW_MS));
    let limit = error.event.details.quantity.unwrap();
    assert!((1_000.0..5_000.0).contains(&limit), "{limit}");
    assert_eq!(error.repairs[0].rule, Rule::OutlierQuantity);
    let undone = clean(cleaner.check(bought(-74_215.0, "jar"), NOW_MS)).event.details.quantity.unwrap();
    assert!((undone + limit).abs() / limit < 0.2, "{undone} against {limit}");
    // An item that is new is judged by the whole catalogue.
    assert_eq!(clean(cleaner.check(bought(80_995.0, "birdie"), NOW_MS)).repairs[0].rule, Rule::OutlierQuantity);
    assert!(clean(cleaner.check(bought(100.0, "birdie"), NOW_MS)).repairs.is_empty());
}
