//! What reasons are worth, on a shop where it is planted: what goes with a thing falls without it, and without nothing else.

mod support;

use support::{Bench, block_on, event, item};
use zhiyin_engine::{Deletion, EngineConfig, RecommendRequest};

/// user-42 viewed a mug and a lamp. Saucers go with the mug, shades with the lamp; both were viewed often, the rest never.
fn shop() -> Bench {
    let bench = Bench::new(EngineConfig::default());
    let ids = ["mug", "saucer", "lamp", "shade", "clock", "vase", "tray", "jug"];
    block_on(bench.engine.put_items(ids.iter().map(|id| item(id, id)).collect())).unwrap();
    let mut events = vec![event("view", "user-42", "mug"), event("view", "user-42", "lamp")];
    for customer in 0..20 {
        let pair = if customer % 2 == 0 { ["mug", "saucer"] } else { ["lamp", "shade"] };
        events.extend(pair.map(|item| event("view", &format!("user-{customer}"), item)));
    }
    bench.engine.ingest_blocking(events, None).unwrap();
    bench
}

fn deletions(bench: &Bench, source: &str) -> Vec<Deletion> {
    let request = RecommendRequest {
        user: Some("user-42".to_owned()),
        limit: Some(2),
        sources: Some(vec![source.to_owned()]),
        exclude: vec!["mug".to_owned(), "lamp".to_owned()],
        diversity: Some(0.0),
        explore: Some(false),
        ..RecommendRequest::default()
    };
    bench.engine.deletions(&request, 1, 7).unwrap()
}

#[test]
fn an_item_falls_without_its_reason_and_stays_with_it_alone() {
    let bench = shop();
    let found = deletions(&bench, "cooccurrence");
    let mut items: Vec<&str> = found.iter().map(|deletion| deletion.item.as_str()).collect();
    items.sort_unstable();
    assert_eq!(items, ["saucer", "shade"]);
    for deletion in &found {
        assert_eq!((deletion.named, deletion.from_history), (1, 1));
        assert!(deletion.rank <= 2.0 && deletion.without_named > 2.0, "{deletion:?}");
        assert_eq!(
            deletion.without_others,
            Some(1.0),
            "the other half of the history says nothing of it: {deletion:?}"
        );
        assert_eq!(deletion.named_alone, 1.0, "{deletion:?}");
    }
    assert_eq!(found, deletions(&bench, "cooccurrence"), "the same seed gives the same");
}

#[test]
fn a_reason_that_is_no_item_is_taken_out_of_all_sums() {
    let found = deletions(&shop(), "popularity");
    let saucer = found.iter().find(|deletion| deletion.item == "saucer").expect("it is popular");
    assert_eq!((saucer.from_history, saucer.without_others), (0, None));
    // Without their popularity six items that may be shown are all the same.
    assert!((saucer.without_named - 3.5).abs() < 0.6, "{saucer:?}");
    assert_eq!(saucer.named_alone, saucer.rank, "popularity needs no history");
}
