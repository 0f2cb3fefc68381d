//! The bundled data through the whole way in: read, cleaned, logged, folded, recommended, restarted.
#![allow(clippy::print_stderr, reason = "a skipped test says why, a figure says what was seen")]

mod support;

use std::{collections::BTreeMap, path::PathBuf};

use support::{Bench, block_on};
use zhiyin_core::{EventInput, Item, KindWeights, TimeInput, User};
use zhiyin_datasets::{Format, Record, Source};
use zhiyin_engine::{EngineConfig, request::RecommendRequest};
use zhiyin_intake::clean::{Cleaner, CleaningConfig, Verdict};

/// Lines that the whole engine takes in; the rules alone see all of them.
const SLICE: usize = 6_000;

struct Shop {
    items: Vec<Item>,
    users: Vec<User>,
    events: Vec<EventInput>,
}

fn shop() -> Option<Shop> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/online-retail");
    if !folder.exists() {
        eprintln!("skipped: the bundled data is not there");
        return None;
    }
    let mut shop = Shop { items: Vec::new(), users: Vec::new(), events: Vec::new() };
    for record in zhiyin_datasets::open(&Source::new(Format::OnlineRetail, folder)).unwrap().flatten() {
        match record {
            Record::Item(item) => shop.items.push(item),
            Record::User(user) => shop.users.push(user),
            Record::Event(event) => shop.events.push(event),
        }
    }
    Some(shop)
}

fn time_ms(event: &EventInput) -> i64 {
    match event.time {
        Some(TimeInput::Millis(ms)) => ms,
        _ => panic!("the reader gives milliseconds"),
    }
}

/// The two typing errors of the data and their cancellations, and how much of the rest the rules touch.
fn cleaning_earns_its_name(events: &[EventInput]) {
    let mut cleaner = Cleaner::new(&CleaningConfig::default(), KindWeights::default());
    let (mut by_rule, mut giants) = (BTreeMap::<&str, u32>::new(), Vec::new());
    for event in events {
        let now_ms = time_ms(event);
        match cleaner.check(event.clone(), now_ms) {
            Verdict::Refused(finding) | Verdict::Repeated(finding) => {
                *by_rule.entry(finding.rule.name()).or_default() += 1;
            }
            Verdict::Clean(screened) => {
                for repair in screened.repairs {
                    *by_rule.entry(repair.rule.name()).or_default() += 1;
                }
                if event.quantity.is_some_and(|pieces| pieces.abs() > 50_000.0) {
                    giants.push((event.quantity.unwrap(), screened.event.details.quantity.unwrap()));
                }
            }
        }
    }
    eprintln!("{} events, rules: {by_rule:?}, giants: {giants:?}", events.len());
    assert_eq!(giants.len(), 4, "{giants:?}");
    for pair in giants.chunks(2) {
        assert!(pair.iter().all(|(sent, kept)| kept.abs() < sent.abs() / 10.0 && kept.signum() == sent.signum()));
        assert_eq!(pair[0].1, -pair[1].1, "the cancellation undoes what was kept of the purchase");
    }
    let touched: u32 = by_rule.values().sum();
    assert!(touched > 0 && f64::from(touched) < events.len() as f64 / 500.0, "rules are for the absurd: {by_rule:?}");
}

#[test]
fn the_bundled_shop() {
    let Some(shop) = shop() else { return };
    cleaning_earns_its_name(&shop.events);
    let mut bench = Bench::new(EngineConfig::default());
    let slice = &shop.events[..SLICE];
    block_on(bench.engine.put_items(shop.items)).unwrap();
    for users in shop.users.chunks(5_000) {
        block_on(bench.engine.put_users(users.to_vec())).unwrap();
    }
    for batch in slice.chunks(1_000) {
        bench.engine.ingest_blocking(batch.to_vec(), None).unwrap();
    }
    let (status, counters) = (bench.engine.status(), bench.engine.cleaning_counters());
    eprintln!("{status:?} {counters:?}");
    assert_eq!(status.events + bench.engine.rejected(None, 1_000).unwrap().len() as u64, SLICE as u64);
    let (buyer, bought) = slice.iter().find_map(|event| Some((event.user.clone()?, event.item.clone()?))).unwrap();
    let request = RecommendRequest { user: Some(buyer), ..RecommendRequest::default() };
    let before = bench.engine.recommend(&request).unwrap();
    assert_eq!(before.items.len(), 10);
    assert!(before.items.iter().all(|item| item.item != bought), "what was bought is not offered again");
    bench.engine.snapshot().unwrap();
    bench.restart();
    let items = |answer: zhiyin_engine::Recommendations| {
        answer.items.into_iter().map(|item| (item.item, item.score)).collect::<Vec<_>>()
    };
    assert_eq!(items(bench.engine.recommend(&request).unwrap()), items(before));
    assert_eq!(bench.engine.status().events, status.events);
}
