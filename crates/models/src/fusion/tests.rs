use proptest::prelude::*;

use super::*;

fn sparse(n_items: usize, given: &[(ItemIx, f32)]) -> Scores {
    let mut scores = Scores::new(n_items);
    given.iter().for_each(|&(item, score)| scores.add(item, score));
    scores
}

fn dense(values: &[f32]) -> Scores {
    let mut scores = Scores::new(values.len());
    scores.dense_mut().copy_from_slice(values);
    scores
}

fn named(weights: &[f32]) -> Fusion {
    Fusion::new((0..weights.len()).map(|s| format!("source-{s}")).collect(), weights.to_vec())
}

fn combined(fusion: &Fusion, scores: &[Scores]) -> (Vec<Standard>, Scores) {
    let (mut standard, mut fused) = (Vec::new(), Scores::new(scores[0].n_items()));
    fusion.combine(scores, &mut standard, &mut fused);
    (standard, fused)
}

#[test]
fn two_sources_by_hand() {
    // Over four items: (4, 0, 0, 0) has σ = √(16/4 − 1) = √3, (1, 3, 1, 3) has σ = 1.
    let scores = [sparse(4, &[(0, 4.0)]), dense(&[1.0, 3.0, 1.0, 3.0])];
    let (_, fused) = combined(&named(&[0.5, 2.0]), &scores);
    let expected = [0.5 * 4.0 / 3.0_f32.sqrt() + 2.0, 6.0, 2.0, 6.0];
    for (value, expected) in fused.values().iter().zip(expected) {
        assert!((value - expected).abs() < 1e-5, "{:?}", fused.values());
    }
}

#[test]
fn sparse_sources_stay_sparse_and_unused_or_broken_ones_add_nothing() {
    let scores = [sparse(100, &[(3, 1.0), (7, 2.0)]), dense(&[5.0; 100]), dense(&[f32::NAN; 100]), sparse(100, &[])];
    let (standard, fused) = combined(&named(&[1.0, 1.0, 1.0, 1.0]), &scores);
    assert_eq!(fused.touched(), [3, 7]);
    assert_eq!([standard[1].scale, standard[2].scale, standard[3].scale], [0.0; 3]);
    let (_, unused) = combined(&named(&[0.0, 1.0, 0.0, 0.0]), &scores);
    assert!(unused.values().iter().all(|&value| value == 0.0));
}

#[test]
fn cold_items_get_more_of_the_source_that_finds_them() {
    // Over four items (0, 2, 2, 0) has σ = 1, also as a dense source; items 2 and 3 are cold.
    for finder in [sparse(4, &[(1, 2.0), (2, 2.0)]), dense(&[0.0, 2.0, 2.0, 0.0])] {
        let scores = [sparse(4, &[(0, 4.0)]), finder];
        let fusion = Fusion { cold: Some(ColdWeight { source: 1, weight: 3.0 }), ..named(&[1.0, 0.0]) };
        let (standard, mut fused) = combined(&fusion, &scores);
        fusion.raise_cold(&scores, &standard, &|item| item > 1, &mut fused);
        assert_eq!(fused.values(), [4.0 / 3.0_f32.sqrt(), 0.0, 6.0, 0.0]);
        for item in 0..4 {
            let parts = (0..2).map(|source| fusion.contribution(&scores, &standard, source, item, item > 1));
            assert_eq!(parts.sum::<f32>(), fused.get(item));
        }
    }
}

/// Queries in which source 0 ranks the target well, source 1 somewhat, and source 2 is noise.
fn trained(seed: u64) -> Fitted {
    let n_items = 60;
    let mut trainer = FusionTrainer::new(named(&[0.0; 3]).sources, Training::default());
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    for query in 0..300 {
        let target = query % n_items as u32;
        let scores: Vec<Scores> = [0.6, 0.4, 0.0]
            .iter()
            .map(|signal| {
                let value = |item: u32| uniform() + if item == target { *signal } else { 0.0 };
                dense(&(0..n_items as u32).map(value).collect::<Vec<f32>>())
            })
            .collect();
        trainer.observe(&scores, &[], target);
    }
    trainer.fit()
}

#[test]
fn planted_weights_are_recovered_and_noise_is_mostly_dropped() {
    let fits: Vec<Fitted> = (1..=6).map(trained).collect();
    for fitted in &fits {
        let weights = &fitted.fusion.weights;
        assert!(weights[0] > 1.2 * weights[1] && weights[1] > 0.2 && weights[2] < 0.05, "{fitted:?}");
        assert!(fitted.ndcg > fitted.ndcg_uniform + 0.05, "{fitted:?}");
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    // A source is kept if its loss exceeds one standard error, which noise does now and then.
    let dropped = fits.iter().filter(|fitted| !fitted.fusion.is_used(2)).count();
    assert!(dropped >= 4, "{dropped} of {}", fits.len());
}

#[test]
fn training_is_deterministic_whatever_the_threads() {
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| trained(2));
    assert_eq!(on(1), on(3));
}

#[test]
fn targets_that_cannot_be_recommended_are_no_samples() {
    let mut trainer = FusionTrainer::new(named(&[0.0]).sources, Training { samples_max: 1, ..Training::default() });
    let scores = [sparse(5, &[(1, 1.0)])];
    assert!(trainer.sample(&scores, &[1], 1, 0).is_none());
    assert!(trainer.sample(&scores, &[], 5, 0).is_none());
    trainer.observe(&scores, &[], 1);
    assert!(trainer.is_full());
    let none = FusionTrainer::new(named(&[0.0, 0.0]).sources, Training::default()).fit();
    assert_eq!((none.fusion.weights, none.samples), (vec![0.5, 0.5], 0));
}

proptest! {
    #[test]
    fn contributions_sum_to_the_score(
        first in prop::collection::vec((0_u32..40, -2.0_f32..2.0), 0..15),
        second in prop::collection::vec((0_u32..40, 0.0_f32..2.0), 0..30),
        third in prop::collection::vec(-1.0_f32..1.0, 40),
        weights in prop::collection::vec(0.0_f32..2.0, 3),
        with_dense in any::<bool>(),
    ) {
        let last = if with_dense { dense(&third) } else { sparse(40, &[(3, 1.0)]) };
        let scores = [sparse(40, &first), sparse(40, &second), last];
        let fusion = named(&weights);
        let (standard, fused) = combined(&fusion, &scores);
        for item in 0..40 {
            let sum: f32 = (0..3).map(|source| fusion.contribution(&scores, &standard, source, item, false)).sum();
            prop_assert!((sum - fused.get(item)).abs() < 1e-4 * (1.0 + sum.abs()), "{sum} {}", fused.get(item));
        }
    }
}
