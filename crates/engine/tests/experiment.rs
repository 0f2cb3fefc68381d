//! The evaluation protocols on a planted structure: everybody walks along the same ring of items, so the next item is certain.

use zhiyin_core::{ExternalId, Interaction, Item};
use zhiyin_engine::{
    config::Tune,
    experiment::{ExperimentConfig, ExperimentData, ExperimentError, ModelResult, Protocol, Report, run},
    progress::Silent,
};
use zhiyin_models::ItemVectors;

const ITEMS: u32 = 40;
const USERS: u32 = 120;
const STEPS: u32 = 10;

/// Each user begins somewhere on the ring and at a time of their own, and takes ten steps.
fn ring() -> ExperimentData {
    let items: Vec<Item> =
        (0..ITEMS).map(|item| Item::bare(ExternalId::parse("id", &format!("item-{item}")).unwrap())).collect();
    let walk = |user: u32| {
        (0..STEPS).map(move |step| Interaction::plain((user * 7 + step) % ITEMS, user * 100 + step)).collect()
    };
    ExperimentData::new("ring".into(), &items, &[], "country", (0..USERS).map(walk).collect(), false)
}

fn evaluate(data: &ExperimentData, protocol: Protocol, models: &[&str]) -> Result<Report, ExperimentError> {
    let config = ExperimentConfig {
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        tune: Tune::None,
        cut_offs: vec![1, 10],
        ..ExperimentConfig::new(protocol)
    };
    run(data, &config, &Silent)
}

fn metric(row: &ModelResult, name: &str) -> f64 {
    *row.metrics.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", row.metrics.keys()))
}

#[test]
fn a_certain_next_item_is_found_by_what_knows_order_and_not_by_popularity() {
    let report = evaluate(&ring(), Protocol::LeaveOneOut, &["popularity", "cooccurrence", "slist"]).unwrap();
    assert_eq!((report.dataset.users, report.dataset.items, report.dataset.events), (120, 40, 1200));
    assert!(report.history_masked);
    let [popularity, cooccurrence, slist] = report.results.as_slice() else { panic!("{:?}", report.results) };
    assert!(metric(cooccurrence, "hr@1") > 0.95 && metric(slist, "hr@1") > 0.95);
    assert!(metric(popularity, "hr@1") < 0.3);
    for row in &report.results {
        let (low, high) = row.ci95["ndcg@10"];
        assert!(low <= metric(row, "ndcg@10") && metric(row, "ndcg@10") <= high);
        assert_eq!(row.cases, 120);
        let one_target = [("precision@10", metric(row, "hr@10") / 10.0), ("map@10", metric(row, "mrr@10"))];
        assert!(one_target.iter().all(|(name, value)| (metric(row, name) - value).abs() < 1e-9));
        assert!(!row.metrics.contains_key("miscalibration@10"), "these items have no categories");
        assert!(row.ci95.contains_key("diversity@10") && row.ci95.contains_key("novelty@10"));
    }
    // What everybody is shown anyway is no surprise.
    assert!(metric(slist, "serendipity@10") > 2.0 * metric(popularity, "serendipity@10"));
}

#[test]
fn lists_are_calibrated_as_far_as_they_keep_to_the_categories_of_the_history() {
    let mut data = ring();
    let mut miscalibration = |category: fn(usize) -> u32| {
        data.items.iter_mut().enumerate().for_each(|(item, facts)| facts.categories = vec![category(item)]);
        let report = evaluate(&data, Protocol::LeaveOneOut, &["popularity", "cooccurrence"]).unwrap();
        report.results.iter().map(|row| metric(row, "miscalibration@10")).collect::<Vec<_>>()
    };
    assert_eq!(miscalibration(|_| 0), [0.0, 0.0], "one category for everything");
    // Four arcs of the ring: what comes next keeps nearer to the history's than what is popular everywhere.
    let [popularity, cooccurrence] = miscalibration(|item| item as u32 / 10)[..] else { panic!("two rows") };
    assert!(0.0 < cooccurrence && cooccurrence < popularity, "{cooccurrence} {popularity}");
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let figures = || evaluate(&ring(), Protocol::LeaveOneOut, &[]).unwrap().results.into_iter().map(|row| row.metrics);
    assert!(figures().eq(figures()));
}

#[test]
fn the_fusion_is_compared_with_every_model_on_the_same_cases() {
    let report = evaluate(&ring(), Protocol::Temporal, &["markov", "popularity", "fusion"]).unwrap();
    let fusion = report.results.last().unwrap();
    assert_eq!(fusion.model, "fusion");
    for pair in &report.paired {
        let against = report.results.iter().find(|row| row.model == pair.against).unwrap();
        let difference = metric(fusion, &pair.metric) - metric(against, &pair.metric);
        assert!((pair.difference - difference).abs() < 1e-9, "{pair:?}");
    }
    assert_eq!(report.paired.len(), 4);
}

#[test]
fn what_changes_after_the_cut_is_learned_only_by_the_live_arm() {
    let mut data = ring();
    // The last tenth of the users walks a second ring that nobody walked before.
    for history in data.histories.iter_mut().skip(108) {
        history.iter_mut().for_each(|event| event.item = (event.item * 3 + 1) % ITEMS);
    }
    let report = evaluate(&data, Protocol::Prequential, &["markov"]).unwrap();
    let of = |arm: &str| {
        let row = report
            .results
            .iter()
            .find(|row| row.arm.as_deref() == Some(arm) && row.reading.as_deref() == Some("sequence"));
        metric(row.unwrap(), "ndcg@10")
    };
    assert!(of("live") > of("fresh") + 0.1, "live {}, fresh {}", of("live"), of("fresh"));
    let pair = report.paired.iter().find(|pair| pair.against == "markov fresh sequence").unwrap();
    assert!(pair.ci95.0 > 0.0, "{pair:?}");
}

#[test]
fn cold_items_are_reported_in_full_among_themselves_and_beside_warm_ones() {
    let report = evaluate(&ring(), Protocol::ColdItems, &["cooccurrence"]).unwrap();
    let row = &report.results[0];
    assert_eq!(metric(row, "hr@1"), 0.0, "co-occurrence cannot know an item that nobody chose");
    assert!(metric(row, "hr@1:warm") > 0.8);
    assert!(row.metrics.contains_key("hr@10:cold-only"));
}

/// The ring with vectors that tell where on it an item lies.
fn drawn_ring() -> ExperimentData {
    let angle = |item: u32| item as f32 * std::f32::consts::TAU / ITEMS as f32;
    let row =
        |item| (1..=4).flat_map(move |turn| [(angle(item) * turn as f32).cos(), (angle(item) * turn as f32).sin()]);
    ExperimentData { vectors: ItemVectors::new(8, (0..ITEMS).flat_map(row).collect()), ..ring() }
}

#[test]
fn cold_items_are_found_by_a_weight_of_their_own_that_keeps_the_warm_ones() {
    let models = ["markov", "popularity", "text", "fusion", "fusion-without-text"];
    let report = evaluate(&drawn_ring(), Protocol::ColdItems, &models).unwrap();
    let row = |name: &str| report.results.iter().find(|row| row.model == name).unwrap();
    let (plain, served) = (row("fusion"), row("fusion-cold-slots"));
    assert!(served.params["cold_weight"]["source"] == "text", "{}", served.params);
    assert!(metric(served, "hr@10") > 0.9 && metric(served, "ndcg@10") >= metric(plain, "ndcg@10"));
    assert!(metric(served, "hr@10:warm") >= 0.98 * metric(plain, "hr@10:warm"));
    let without = row("fusion-without-text");
    assert!(without.params["weights"].get("text").is_none(), "{}", without.params);
    let pair =
        report.paired.iter().find(|pair| pair.against == "fusion-without-text" && pair.metric == "hr@10").unwrap();
    assert!((pair.difference - (metric(plain, "hr@10") - metric(without, "hr@10"))).abs() < 1e-9);
}

#[test]
fn where_every_item_was_met_one_row_of_the_fusion_is_enough() {
    let report = evaluate(&drawn_ring(), Protocol::LeaveOneOut, &["text", "fusion"]).unwrap();
    let names: Vec<&str> = report.results.iter().map(|row| row.model.as_str()).collect();
    assert_eq!(names, ["text", "fusion"]);
    assert!(metric(&report.results[0], "hr@10") > 0.9, "what comes next lies nearby");
}

#[test]
fn cold_users_are_reported_by_what_is_known_of_them() {
    let report = evaluate(&ring(), Protocol::ColdUsers, &["cooccurrence"]).unwrap();
    let row = &report.results[0];
    assert!(metric(row, "hr@1:0") < 0.2 && metric(row, "hr@1:3") > 0.95, "{:?}", row.metrics);
}

#[test]
fn sessions_are_revealed_click_by_click() {
    let report = evaluate(&ring(), Protocol::Sessions, &["markov"]).unwrap();
    assert!(!report.history_masked);
    assert_eq!(report.results[0].cases, 12 * (STEPS as usize - 1));
    assert!(metric(&report.results[0], "hr@1") > 0.95);
}

#[test]
fn a_protocol_that_does_not_suit_the_data_says_what_to_do() {
    let ordered = ExperimentData { order_only: true, ..ring() };
    for protocol in [Protocol::Temporal, Protocol::Prequential] {
        let error = evaluate(&ordered, protocol, &["markov"]).unwrap_err().to_string();
        assert!(error.contains("use leave-one-out"), "{error}");
    }
    let error = evaluate(&ring(), Protocol::Given, &["markov"]).unwrap_err().to_string();
    assert!(error.contains("--test"), "{error}");
    let error = evaluate(&ring(), Protocol::LeaveOneOut, &["oracle"]).unwrap_err().to_string();
    assert!(error.contains("\"oracle\"") && error.contains("slist"), "{error}");
}

#[test]
fn networks_find_the_ring_and_baselines_never_join_the_fusion() {
    let data = ring();
    let models = ["cooccurrence", "sequence", "gru", "dense"];
    let report = evaluate(&data, Protocol::LeaveOneOut, &models).unwrap();
    let names: Vec<&str> = report.results.iter().map(|row| row.model.as_str()).collect();
    assert_eq!(names, models);
    let sequence = &report.results[1];
    assert!(metric(sequence, "hr@10") > 0.9, "{}", metric(sequence, "hr@10"));
    assert!(sequence.params["stop_after"].as_u64().is_some(), "{}", sequence.params);

    let config = ExperimentConfig { neural_events_max: 5_000, ..ExperimentConfig::new(Protocol::LeaveOneOut) };
    assert!(config.single_models().contains(&"sequence") && !config.single_models().contains(&"gru"));
    let config = ExperimentConfig { neural_events_max: 0, ..config };
    assert!(!config.single_models().contains(&"sequence"));
}
