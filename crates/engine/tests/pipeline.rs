//! From a request to an answer, on a small shop whose customers have two tastes: mugs go with mugs, lamps with lamps.

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use support::{Bench, at, block_on, event, item};
use zhiyin_core::Item;
use zhiyin_engine::{
    EngineConfig, EngineError, RecommendRequest, Recommendations,
    request::{Explain, RecommendedItem, ScoreTrace},
};

const ITEMS_PER_TASTE: usize = 12;
const NOW_MS: i64 = support::NOW_MS;

/// Forty customers, each of one taste, who viewed six of its items in a row.
fn shop(config: EngineConfig) -> Bench {
    let bench = Bench::new(config);
    let priced = |taste: &str, number: usize| Item {
        price: Some(number as f64),
        categories: vec![taste.to_owned()],
        ..item(&format!("{taste}-{number}"), &format!("{taste} {taste}{number}"))
    };
    let items = ["mug", "lamp"].iter().flat_map(|taste| (0..ITEMS_PER_TASTE).map(|number| priced(taste, number)));
    block_on(bench.engine.put_items(items.collect())).unwrap();
    let mut events = Vec::new();
    for customer in 0..40 {
        let taste = if customer % 2 == 0 { "mug" } else { "lamp" };
        for step in 0..6 {
            let viewed = event(
                "view",
                &format!("user-{customer}"),
                &format!("{taste}-{}", (customer / 2 + step) % ITEMS_PER_TASTE),
            );
            events.push(at(viewed, NOW_MS - 100_000_000 + (customer * 10 + step) as i64 * 1000));
        }
    }
    bench.engine.ingest_blocking(events, None).unwrap();
    bench
}

fn ask(bench: &Bench, request: RecommendRequest) -> Recommendations {
    bench.engine.recommend(&request).unwrap()
}

fn of(user: &str) -> RecommendRequest {
    RecommendRequest { user: Some(user.to_owned()), ..RecommendRequest::default() }
}

fn names(answer: &Recommendations) -> Vec<&str> {
    answer.items.iter().map(|item| item.item.as_str()).collect()
}

fn field_of(error: &EngineError) -> &str {
    match error {
        EngineError::Bad(problem) | EngineError::NotFound(problem) => &problem.field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_follows_the_taste_and_the_next_one_the_last_click() {
    let bench = shop(EngineConfig::default());
    let before = ask(&bench, RecommendRequest { limit: Some(5), ..of("user-0") });
    assert!(names(&before).iter().all(|name| name.starts_with("mug")), "{:?}", names(&before));
    for lamp in ["lamp-3", "lamp-4", "lamp-5"] {
        bench.engine.ingest_blocking(vec![event("click", "user-0", lamp)], None).unwrap();
    }
    let after = ask(&bench, RecommendRequest { limit: Some(5), ..of("user-0") });
    assert!(names(&after).iter().any(|name| name.starts_with("lamp")), "{:?}", names(&after));
    let reasons: Vec<&str> =
        after.items.iter().flat_map(|item| &item.reasons).map(|reason| reason.text.as_str()).collect();
    assert!(reasons.contains(&"because you viewed lamp lamp5"), "{reasons:?}");
}

#[test]
fn filters_exclusions_and_hiding_hold_for_the_next_request() {
    let bench = shop(EngineConfig::default());
    let request = RecommendRequest {
        filter: Some("category == 'lamp' and price < 6".into()),
        exclude: vec!["lamp-2".into(), "unknown".into()],
        limit: Some(20),
        ..of("user-1")
    };
    let expected: BTreeSet<&str> = ["lamp-0", "lamp-1", "lamp-3", "lamp-4", "lamp-5"].into();
    assert_eq!(names(&ask(&bench, request.clone())).into_iter().collect::<BTreeSet<_>>(), expected);
    let hidden = Item { available: false, ..(*bench.engine.item("lamp-3").unwrap()).clone() };
    block_on(bench.engine.put_items(vec![hidden])).unwrap();
    block_on(bench.engine.delete_item("lamp-4")).unwrap();
    let expected: BTreeSet<&str> = ["lamp-0", "lamp-1", "lamp-5"].into();
    assert_eq!(names(&ask(&bench, request)).into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn every_page_brings_new_items_until_there_are_none() {
    let bench = shop(EngineConfig::default());
    let (mut seen, mut page) = (Vec::new(), None);
    loop {
        let answer = ask(&bench, RecommendRequest { limit: Some(7), page, include_seen: Some(true), ..of("user-0") });
        seen.extend(answer.items.iter().map(|item| item.item.clone()));
        page = answer.next_page;
        if page.is_none() {
            break;
        }
        // Events between two pages change scores, not what was shown.
        bench.engine.ingest_blocking(vec![event("view", "user-0", "lamp-7")], None).unwrap();
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (2 * ITEMS_PER_TASTE, 2 * ITEMS_PER_TASTE));
}

#[test]
fn what_was_consumed_is_left_out_unless_it_is_asked_for() {
    let bench = shop(EngineConfig::default());
    bench.engine.ingest_blocking(vec![event("purchase", "user-0", "mug-6")], None).unwrap();
    let all = RecommendRequest { limit: Some(50), ..of("user-0") };
    assert!(!names(&ask(&bench, all.clone())).contains(&"mug-6"));
    assert!(names(&ask(&bench, RecommendRequest { include_seen: Some(true), ..all.clone() })).contains(&"mug-6"));
    let none_seen = ask(&bench, RecommendRequest { include_seen: Some(false), ..all });
    assert!(
        names(&none_seen).iter().all(|name| !["mug-0", "mug-5", "mug-6"].contains(name)),
        "{:?}",
        names(&none_seen)
    );
}

#[test]
fn who_is_not_known_gets_a_marked_but_sensible_list() {
    let bench = shop(EngineConfig::default());
    let fallback = |request| ask(&bench, request).fallback;
    assert_eq!(fallback(of("nobody")).as_deref(), Some("unknown-user"));
    assert_eq!(fallback(RecommendRequest::default()).as_deref(), Some("no-history"));
    assert_eq!(fallback(of("user-0")).as_deref(), Some("no-model"));
    assert_eq!(ask(&bench, of("nobody")).items.len(), 10);
    let popular = bench.engine.popular(None, &RecommendRequest::default()).unwrap();
    assert_eq!((popular.fallback, popular.items.len()), (None, 10));
    let empty = Bench::new(EngineConfig::default());
    let answer = ask(&empty, of("user-0"));
    assert_eq!((answer.items.len(), answer.fallback.as_deref()), (0, Some("empty-catalogue")));
}

#[test]
fn a_dislike_removes_the_item_pushes_its_kind_away_and_shows_in_the_trace() {
    let bench = shop(EngineConfig::default());
    let traced = RecommendRequest { explain: Explain::Trace, limit: Some(20), ..of("user-0") };
    bench.engine.ingest_blocking(vec![event("dislike", "user-0", "mug-7")], None).unwrap();
    let answer = ask(&bench, traced);
    assert!(!names(&answer).contains(&"mug-7"));
    let trace = answer.trace.unwrap();
    assert!(trace.removed.iter().any(|removed| removed.item == "mug-7" && removed.reason == "disliked"));
    assert_eq!(trace.hydrate.disliked, ["mug-7"]);
    let pushed = |score: &&ScoreTrace| score.contributions.get("dislikes").is_some_and(|loss| *loss < 0.0);
    assert!(trace.scores.iter().any(|score| pushed(&score)), "{:?}", trace.scores);
    trace.scores.iter().for_each(assert_sums);
}

fn assert_sums(score: &ScoreTrace) {
    let sum: f32 = score.contributions.values().sum();
    assert!((sum - score.score).abs() <= 1e-4 * (1.0 + score.score.abs()), "{score:?}");
}

#[test]
fn cold_items_get_slots_when_exploration_is_on_with_their_probability() {
    let bench = shop(EngineConfig::default());
    let fresh = (0..5).map(|number| item(&format!("new-{number}"), "vase"));
    block_on(bench.engine.put_items(fresh.collect())).unwrap();
    let request = RecommendRequest { explore: Some(true), explain: Explain::Trace, ..of("user-0") };
    let answer = ask(&bench, request.clone());
    let is_new = |item: &&RecommendedItem| item.source == "new";
    assert_eq!(answer.items.iter().filter(is_new).count(), 1);
    assert!(is_new(&&answer.items[9]), "{:?}", names(&answer));
    assert!(answer.trace.unwrap().selection[0].contains("propensity 0.2"));
    let still = ask(&bench, RecommendRequest { explore: Some(false), ..request });
    assert_eq!(still.items.iter().filter(is_new).count(), 0);
}

#[test]
fn named_sources_alone_are_used() {
    let bench = shop(EngineConfig::default());
    let only = |name: &str| RecommendRequest {
        sources: Some(vec![name.to_owned()]),
        explain: Explain::Trace,
        limit: Some(3),
        ..of("user-0")
    };
    let trace = ask(&bench, only("session-knn")).trace.unwrap();
    let used: Vec<&str> =
        trace.sources.iter().filter(|source| source.status == "used").map(|source| source.name.as_str()).collect();
    assert_eq!(used, ["session-knn"]);
    let refused = bench.engine.recommend(&only("oracle")).unwrap_err();
    assert_eq!(field_of(&refused), "sources");
}

#[test]
fn a_bad_request_names_its_field() {
    let bench = shop(EngineConfig::default());
    let cases = [
        ("limit", RecommendRequest { limit: Some(0), ..of("user-0") }),
        ("limit", RecommendRequest { limit: Some(201), ..of("user-0") }),
        ("diversity", RecommendRequest { diversity: Some(1.5), ..of("user-0") }),
        ("diversity", RecommendRequest { diversity: Some(f32::NAN), ..of("user-0") }),
        ("filter", RecommendRequest { filter: Some("price <".into()), ..of("user-0") }),
        ("page", RecommendRequest { page: Some("?".into()), ..of("user-0") }),
        ("item", RecommendRequest { item: Some("unknown".into()), ..of("user-0") }),
        ("exclude", RecommendRequest { exclude: vec!["x".into(); 10_001], ..of("user-0") }),
    ];
    for (field, request) in cases {
        assert_eq!(field_of(&bench.engine.recommend(&request).unwrap_err()), field);
    }
}

#[test]
fn similar_items_are_of_the_same_kind() {
    let bench = shop(EngineConfig::default());
    let answer = bench.engine.similar("lamp-4", &RecommendRequest { limit: Some(5), ..of("user-0") }).unwrap();
    assert!(names(&answer).iter().all(|name| name.starts_with("lamp") && *name != "lamp-4"), "{:?}", names(&answer));
}

#[test]
fn training_finds_weights_and_keeps_serving_after_a_restart() {
    let mut config = EngineConfig::default();
    config.train.events_min = 100;
    let mut bench = shop(config);
    let report = bench.engine.train(&zhiyin_engine::progress::Silent).unwrap();
    assert!(report.weights.iter().any(|(_, weight)| *weight > 0.0));
    let before = ask(&bench, of("user-0"));
    assert_eq!((before.model.as_str(), before.fallback.as_deref()), (report.version.as_str(), None));
    bench.restart();
    let after = ask(&bench, of("user-0"));
    assert_eq!((names(&after), after.model.as_str()), (names(&before), report.version.as_str()));
    let too_few = Bench::new(EngineConfig::default());
    assert_eq!(field_of(&too_few.engine.train(&zhiyin_engine::progress::Silent).unwrap_err()), "train");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn contributions_sum_to_scores_and_lists_have_no_repeats(
        clicks in prop::collection::vec((0..2usize, 0..ITEMS_PER_TASTE), 1..12),
        limit in 1..24usize,
        diversity in prop::option::of(0.0f32..=1.0),
    ) {
        let bench = shop(EngineConfig::default());
        let clicks = clicks.iter().map(|(taste, number)| event("click", "user-99", &format!("{}-{number}", ["mug", "lamp"][*taste])));
        bench.engine.ingest_blocking(clicks.collect(), None).unwrap();
        let request = RecommendRequest { limit: Some(limit), diversity, explain: Explain::Trace, ..of("user-99") };
        let answer = ask(&bench, request);
        prop_assert_eq!(answer.items.len(), limit);
        prop_assert_eq!(names(&answer).into_iter().collect::<BTreeSet<_>>().len(), limit);
        answer.trace.unwrap().scores.iter().for_each(assert_sums);
    }
}
