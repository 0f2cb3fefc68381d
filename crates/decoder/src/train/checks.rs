//! Derivatives against differences, on a model small enough for both.

use super::*;
use crate::{
    Adapter, AdapterConfig, Target as Mapped,
    llama::{Layer, Shape},
    matrix::Matrix,
};

const SHAPE: Shape = Shape {
    hidden: 32,
    layers: 2,
    heads: 4,
    key_heads: 2,
    width: 8,
    feed_forward: 64,
    context: 64,
    vocabulary: 23,
    epsilon: 1e-5,
    rotary_base: 100.0,
};

/// Numbers in [0, 1) that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn matrix(&mut self, inputs: usize, outputs: usize) -> Matrix {
        let bytes: Vec<u8> = (0..inputs * outputs).flat_map(|_| (self.next() - 0.5).to_le_bytes()).collect();
        Matrix::decode(0, &bytes, inputs, outputs).ok().unwrap()
    }

    fn vector(&mut self, length: usize) -> Vec<f32> {
        (0..length).map(|_| 0.5 + self.next()).collect()
    }
}

fn tiny() -> Llama {
    let mut numbers = Numbers(7);
    let Shape { hidden, heads, key_heads, width, feed_forward, vocabulary, .. } = SHAPE;
    let layers = (0..SHAPE.layers).map(|_| Layer {
        attention_norm: numbers.vector(hidden),
        attention: numbers.matrix(hidden, (heads + 2 * key_heads) * width),
        attention_out: numbers.matrix(heads * width, hidden),
        feed_norm: numbers.vector(hidden),
        feed_in: numbers.matrix(hidden, 2 * feed_forward),
        feed_out: numbers.matrix(feed_forward, hidden),
    });
    let layers = layers.collect();
    let (words, norm) = (numbers.matrix(hidden, vocabulary), numbers.vector(hidden));
    Llama { shape: SHAPE, words, layers, norm, output: None, adapter: None }
}

fn tiny_decoder() -> Decoder {
    Decoder { tokens: crate::Tokens::none(), template: None, model: tiny() }
}

/// A text with a part that nobody asks for, two continuations of its beginning, one of which is gone on with, and a text of its own.
fn examples() -> Vec<Example> {
    let sums = [None, Some(0), None, Some(1), Some(0), Some(0), Some(1)];
    vec![
        Example { tokens: vec![1, 5, 9, 22, 3, 3, 17], sums: sums.to_vec(), after: None },
        Example::foretold(vec![4, 0, 11, 6, 6], 2, Some((0, 5))),
        Example::foretold(vec![4], 3, Some((0, 7))),
        Example::foretold(vec![19, 2], 0, Some((1, 3))),
        Example::foretold(vec![8, 1, 20], 1, None),
    ]
}

/// What the sums are worth, and its derivatives: 2·s₀ + s₁·s₂/10 − ln(1 + s₃).
fn objective(sums: &[f64]) -> (f64, Vec<f64>) {
    let value = 2.0 * sums[0] + sums[1] * sums[2] / 10.0 - (1.0 + sums[3]).ln();
    (value, vec![2.0, sums[2] / 10.0, sums[1] / 10.0, -1.0 / (1.0 + sums[3])])
}

fn total(decoder: &Decoder) -> f64 {
    objective(&decoder.losses(&examples())).0
}

/// Each path of the tree as a text of its own gives the same.
#[test]
fn what_is_read_once_counts_as_if_it_were_read_each_time() {
    let mut decoder = tiny_decoder();
    decoder.adapt(Some(adapter())).unwrap();
    let together = decoder.losses(&examples());
    let own = |read: &[u32], foretold: &[u32]| {
        let read = Example::read(read.to_vec(), None);
        decoder.losses(&[read.clone(), Example::foretold(foretold.to_vec(), 0, Some((0, read.tokens.len())))])[0]
    };
    let apart = |text: &[u32], from: usize| {
        let sums = (0..text.len()).map(|at| (at >= from).then_some(0)).collect();
        decoder.losses(&[Example { tokens: text.to_vec(), sums, after: None }])[0]
    };
    for (found, text, from) in [
        (together[2], [1, 5, 9, 22, 3, 4, 0, 11, 6, 6].as_slice(), 5),
        (together[3], &[1, 5, 9, 22, 3, 3, 17, 4], 7),
        (own(&[1, 5, 9, 22, 3, 4, 0, 11], &[19, 2]), &[1, 5, 9, 22, 3, 4, 0, 11, 19, 2], 8),
    ] {
        let wanted = apart(text, from);
        assert!((found - wanted).abs() < 1e-4 * wanted, "{found} instead of {wanted}");
    }
}

/// An adapter to all maps that changes something.
fn adapter() -> Adapter {
    let mut numbers = Numbers(3);
    let config = AdapterConfig { rank: 3, alpha: 4.0, targets: Mapped::ALL.to_vec() };
    let mut adapter = Adapter::fresh(SHAPE, config, || numbers.next()).unwrap();
    adapter.values_mut().iter_mut().for_each(|value| *value = (numbers.next() - 0.5) * 0.3);
    adapter
}

#[test]
fn a_fresh_adapter_changes_nothing_and_another_one_does() {
    let mut decoder = tiny_decoder();
    let before = total(&decoder);
    let mut numbers = Numbers(3);
    let fresh = Adapter::fresh(SHAPE, AdapterConfig::default(), || numbers.next()).unwrap();
    decoder.adapt(Some(fresh)).unwrap();
    assert_eq!(total(&decoder), before);
    decoder.adapt(Some(adapter())).unwrap();
    assert!((total(&decoder) - before).abs() > 0.1);
    decoder.adapt(None).unwrap();
    assert_eq!(total(&decoder), before);
}

#[test]
fn derivatives_are_the_limits_of_differences_for_every_map() {
    let mut decoder = tiny_decoder();
    decoder.adapt(Some(adapter())).unwrap();
    let examples = examples();
    let count = decoder.adapter().unwrap().values().len();
    let mut gradients = vec![0.0; count];
    let loss = decoder.gradients(&examples, &objective, &mut gradients);
    assert!((loss - total(&decoder)).abs() < 1e-4 * loss, "{loss}");
    // Single differences drown in rounding, so whole directions are compared, a random one within each stretch of numbers.
    let mut numbers = Numbers(11);
    let stretch = count / 60;
    for first in (0..count - stretch).step_by(stretch) {
        let direction: Vec<f32> = (0..stretch).map(|_| numbers.next() - 0.5).collect();
        let step = 4e-3;
        let mut at = |sign: f32| {
            let values = decoder.adapter_mut().unwrap().values_mut();
            for (value, along) in values[first..].iter_mut().zip(&direction) {
                *value += sign * step * along;
            }
            let loss = total(&decoder);
            let values = decoder.adapter_mut().unwrap().values_mut();
            for (value, along) in values[first..].iter_mut().zip(&direction) {
                *value -= sign * step * along;
            }
            loss
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
        let derivative: f64 =
            gradients[first..].iter().zip(&direction).map(|(slope, along)| f64::from(slope * along)).sum();
        let bound = 0.02 * derivative.abs().max(difference.abs()) + 0.01;
        assert!((difference - derivative).abs() < bound, "at {first}: {derivative} instead of {difference}");
    }
}

#[test]
fn an_adapter_comes_back_from_its_files_as_it_was_and_a_damaged_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let own = adapter();
    own.write(folder.path(), SHAPE, "tiny").unwrap();
    let back = Adapter::read(folder.path(), SHAPE).unwrap();
    assert_eq!((back.config(), back.values()), (own.config(), own.values()));
    let other = Shape { feed_forward: 96, ..SHAPE };
    assert!(Adapter::read(folder.path(), other).unwrap_err().to_string().contains("gate_proj"));
    let file = folder.path().join(crate::WEIGHTS_FILE);
    let bytes = fs_err::read(&file).unwrap();
    fs_err::write(&file, &bytes[..bytes.len() - 8]).unwrap();
    assert!(Adapter::read(folder.path(), SHAPE).unwrap_err().to_string().contains("zhiyin llm finetune"));
}

/// Other programs turn the two halves of a head instead of neighbouring dimensions: with rows of B as the file has them, queries and keys at
/// two positions meet there as they do here.
#[test]
fn rows_of_the_files_are_in_the_order_of_half_turned_heads() {
    let folder = tempfile::tempdir().unwrap();
    let own = adapter();
    own.write(folder.path(), SHAPE, "tiny").unwrap();
    let file = fs_err::read(folder.path().join(crate::WEIGHTS_FILE)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let column = |target: &str| -> Vec<f32> {
        let name = format!("base_model.model.model.layers.1.self_attn.{target}.lora_B.weight");
        let tensor = tensors.tensor(&name).unwrap();
        let rows = tensor.data().as_chunks().0.iter().map(|number| f32::from_le_bytes(*number));
        rows.step_by(3).collect()
    };
    let place = |target| own.of(1, crate::adapter::Map::Attention).find(|place| place.target == target).unwrap();
    let of_own = |target| own.values()[place(target).up()].iter().copied().step_by(3).collect::<Vec<f32>>();
    let angle = |position: f32, pair: usize| position * 100_f32.powf(-2.0 * pair as f32 / 8.0);
    let by_halves = |head: &[f32], position: f32| -> Vec<f32> {
        let turned = |at: usize| {
            let (sin, cos) = angle(position, at % 4).sin_cos();
            if at < 4 { head[at] * cos - head[at + 4] * sin } else { head[at] * cos + head[at - 4] * sin }
        };
        (0..8).map(turned).collect()
    };
    let by_neighbours = |head: &[f32], position: f32| -> Vec<f32> {
        let turned = |at: usize| {
            let (sin, cos) = angle(position, at / 2).sin_cos();
            if at.is_multiple_of(2) { head[at] * cos - head[at + 1] * sin } else { head[at] * cos + head[at - 1] * sin }
        };
        (0..8).map(turned).collect()
    };
    let dot = |a: Vec<f32>, b: Vec<f32>| -> f32 { a.iter().zip(&b).map(|(a, b)| a * b).sum() };
    let (queries, keys) = (column("q_proj"), column("k_proj"));
    let (own_queries, own_keys) = (of_own(Mapped::Query), of_own(Mapped::Key));
    for head in 0..2 {
        let range = head * 8..head * 8 + 8;
        let theirs = dot(by_halves(&queries[range.clone()], 5.0), by_halves(&keys[range.clone()], 2.0));
        let ours = dot(by_neighbours(&own_queries[range.clone()], 5.0), by_neighbours(&own_keys[range], 2.0));
        assert!((theirs - ours).abs() < 1e-5, "{theirs} instead of {ours}");
    }
}
