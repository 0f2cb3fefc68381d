use proptest::prelude::*;

use super::*;
use crate::dataset::NoHistories;

fn model(dims: usize, rows: Vec<f32>, params: &Params) -> Text {
    Text::of_items(&ItemVectors::new(dims, rows), &[], params).unwrap()
}

/// Vectors as they come, only centred.
fn plain() -> Params {
    Params { whitening: 0.0, words: 0.0, power: 4.0, decay: 3.0, ..Params::default() }
}

fn scores(model: &Text, history: &[Interaction], n_items: usize) -> Vec<f32> {
    let mut scores = Scores::new(n_items);
    model.score(&query(history), &mut scores);
    scores.values().to_vec()
}

fn query(history: &[Interaction]) -> Query<'_> {
    Query { history, actor: None, segment: None, friends: &[], now_s: 0, histories: &NoHistories }
}

#[test]
fn four_items_by_hand() {
    // A square around (0, 0): item 0 at right angles to 1 and 2, opposite to 3; and two between 0 and 1.
    let rows = vec![1.0, 0.0, 0.0, 1.0, 0.0, -1.0, -1.0, 0.0];
    let mut with_diagonals = rows.clone();
    with_diagonals.extend([1.0, 1.0, -1.0, -1.0]);
    let model = model(2, with_diagonals, &plain());
    // History: 1, then 0. Item 4 is at 45° to both: e^(−1/3)·(√½)⁴ + (√½)⁴.
    let history = [Interaction::plain(1, 1), Interaction::plain(0, 2)];
    let found = scores(&model, &history, 6);
    let older = (-1.0_f32 / 3.0).exp();
    assert!((found[4] - 0.25 * (1.0 + older)).abs() < 1e-5, "{found:?}");
    // Items 2 and 3 are at right angles or opposite to both, and no item resembles itself.
    assert!(found[..4].iter().all(|score| score.abs() < 1e-6), "{found:?}");
}

#[test]
fn the_parts_sum_to_the_score() {
    let rows: Vec<f32> = (0..60_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5).collect();
    let model = model(4, rows, &Params { neighbours: 6, ..Params::default() });
    let history = [Interaction::plain(1, 1), Interaction::plain(7, 2), Interaction::plain(3, 3)];
    let found = scores(&model, &history, 15);
    for item in 0..15 {
        let parts: f32 = model.explain(&query(&history), item).iter().map(|part| part.amount).sum();
        assert!((parts - found[item as usize]).abs() < 1e-6);
    }
    assert!(found.iter().any(|score| *score > 0.0));
}

#[test]
fn planted_groups_are_found_without_any_event() {
    // Three groups of ten items around directions of their own, one item without text.
    let mut rows = Vec::new();
    for item in 0..30_u32 {
        for axis in 0..8_u32 {
            let noise = ((item * 8 + axis).wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5;
            rows.push(0.4 * noise + if axis == item / 10 { 1.0 } else { 0.0 });
        }
    }
    rows.extend([0.0; 8]);
    let model = model(8, rows, &Params::default());
    for item in 0..30 {
        let same: Vec<ItemIx> = model.neighbours(item).take(9).map(|(other, _)| other / 10).collect();
        assert_eq!(same, vec![item / 10; 9], "item {item}");
    }
    assert_eq!(model.neighbours(30).count(), 0);
}

#[test]
fn a_vector_finds_its_own_item() {
    let rows: Vec<f32> = (0..80_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5).collect();
    let model = model(4, rows.clone(), &Params::default());
    for (item, row) in (0..).zip(rows.chunks(4)) {
        let (found, cosine) = model.nearest(row, 3)[0];
        assert!(found == item && cosine > 0.999);
    }
}

#[test]
fn words_tell_apart_what_vectors_do_not() {
    let rows = vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 1.0];
    let facts = ["acme lamp", "other lamp", "acme lamp", "sofa", "table"]
        .map(|text| ItemFacts { text: text.into(), ..ItemFacts::default() });
    let model = Text::of_items(&ItemVectors::new(2, rows), &facts, &Params::default()).unwrap();
    let found: Vec<ItemIx> = model.neighbours(0).map(|(item, _)| item).collect();
    assert_eq!(found, [2, 1]);
}

#[test]
fn an_item_without_events_inherits_the_transitions_of_its_like() {
    // Items 0 and 1 are alike, and so are 2 and 3; everybody goes from 0 to 2; nobody has met 3.
    let rows = vec![1.0, 0.0, 0.9, 0.1, -1.0, 0.0, -0.9, 0.1, 0.0, -1.0];
    let history = [Interaction::plain(0, 1), Interaction::plain(2, 2)];
    let other = [Interaction::plain(1, 1), Interaction::plain(4, 2)];
    let items = vec![ItemFacts::default(); 5];
    let mut data = Dataset::from_histories(items, [&history[..], &history[..], &other[..]]);
    data.vectors = ItemVectors::new(2, rows);
    let model = Text::fit(&data, &plain()).unwrap();
    let found = scores(&model, &history[..1], 5);
    assert!(found[3] > 0.0 && found[2] == 0.0, "{found:?}");
    let parts: f32 = model.explain(&query(&history[..1]), 3).iter().map(|part| part.amount).sum();
    assert!((parts - found[3]).abs() < 1e-6);
    assert_eq!(scores(&model, &other[..1], 5)[3], 0.0, "nothing leads from 1 to what resembles 3");
}

#[test]
fn without_vectors_it_says_what_is_missing() {
    let error = Text::fit(&Dataset::default(), &Params::default()).unwrap_err().to_string();
    assert!(error.contains("zhiyin llm pull"), "{error}");
}

#[test]
fn new_weights_need_no_new_fit() {
    let rows: Vec<f32> = (0..40).map(|at| ((at * at) % 13) as f32).collect();
    let mut first = model(4, rows.clone(), &Params::default());
    let other = Params { power: 2.0, decay: 8.0, ..Params::default() };
    assert!(first.adopt(&other));
    assert_eq!(first, model(4, rows, &other));
    assert!(!first.adopt(&Params { axes: 2, ..other }));
}

proptest! {
    /// The lists hold exactly the best cosines that a look at all pairs finds.
    #[test]
    fn lists_are_exact(values in prop::collection::vec(-1.0_f32..1.0, 24..120), neighbours in 1_usize..8) {
        let rows = values[..values.len() / 4 * 4].to_vec();
        let Ok(model) = Text::of_items(&ItemVectors::new(4, rows), &[], &Params { neighbours, words: 0.0, ..Params::default() }) else {
            return Ok(());
        };
        let dims = model.whitening.dims();
        let vectors: Vec<&[f32]> = model.vectors.chunks(dims).collect();
        for (item, own) in vectors.iter().enumerate() {
            let mut all: Vec<f32> = vectors.iter().enumerate().filter(|(other, _)| *other != item)
                .map(|(_, other)| own.iter().zip(*other).map(|(a, b)| a * b).sum::<f32>())
                .filter(|cosine| *cosine > 1e-5).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            let found: Vec<f32> = model.neighbours(item as ItemIx).map(|(_, cosine)| cosine).collect();
            prop_assert!(found.len() >= all.len().min(neighbours));
            for (found, wanted) in found.iter().zip(&all) {
                prop_assert!((found - wanted).abs() < 1e-4);
            }
        }
    }
}
