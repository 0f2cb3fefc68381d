//! Gradients against finite differences, for every part of every network, every loss and every use of texts.

use std::sync::Arc;

use zhiyin_core::{Interaction, ItemIx, Weight};

use crate::{
    design::{Design, Rows, Step},
    items::Texts,
    network::Senses,
    noise::Noise,
    params::{Architecture, Loss, Params, TextUse},
};

const ITEMS: usize = 9;
const AXES: usize = 8;

fn small(architecture: Architecture) -> Params {
    Params { architecture, dims: 6, window: 7, text: TextUse::None, ..Params::sequence() }
}

fn histories() -> Vec<Vec<Interaction>> {
    let rows: [&[u32]; 4] = [&[1, 4, 2, 7, 1, 3], &[5, 2], &[3, 3, 8, 0], &[6, 1, 0, 4, 2]];
    let event = |(at, &item): (usize, &u32)| Interaction {
        item,
        time_s: (at * at * 700) as u32,
        kind: (at % 3) as u16,
        weight: Weight::ONE,
    };
    rows.iter().map(|row| row.iter().enumerate().map(event).collect()).collect()
}

fn texts() -> Texts {
    let number = |at: usize| ((at * 37 + at / 5 * 11) % 19) as f32 / 9.5 - 1.0;
    let mut rows: Vec<f32> = (0..ITEMS * AXES).map(number).collect();
    rows[..AXES].fill(0.0);
    for row in rows.chunks_exact_mut(AXES).skip(1) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter_mut().for_each(|value| *value /= length);
    }
    Texts { axes: AXES, rows: rows.into() }
}

struct Case {
    design: Design,
    histories: Vec<Vec<Interaction>>,
    noise: Option<Noise>,
}

impl Case {
    fn new(params: &Params, texts: Texts) -> Self {
        let warm: Arc<[bool]> = (0..ITEMS).map(|item| item != 8).collect();
        let design = Design::new(params, Senses { time: true, kinds: true }, texts, warm);
        Self { design, histories: histories(), noise: Some(Noise::new(5, params.dropout)) }
    }

    fn loss(&self, values: &[f32], gradients: &mut [f32]) -> f64 {
        let histories: Vec<&[Interaction]> = self.histories.iter().map(Vec::as_slice).collect();
        let sampled: [ItemIx; 5] = [0, 2, 5, 7, 2];
        let corrections = [0.3, -0.2, 0.0, 0.1, -0.2];
        let step = Step {
            histories: &histories,
            sampled: &sampled,
            corrections: &corrections,
            sampled_of: ITEMS,
            noise: self.noise,
        };
        self.design.gradient(values, &step, &mut Rows::default(), gradients)
    }

    /// Numbers as after some training: of a size at which every part matters.
    fn values(&self) -> Vec<f32> {
        let mut values = self.design.begin();
        for (at, value) in values.iter_mut().enumerate() {
            *value += ((at * 31 % 17) as f32 / 8.0 - 1.0) * 0.2;
        }
        values
    }

    /// In each part, the derivative along its gradient and along a fixed direction, by central differences in steps of 1/500: single precision
    /// leaves an error of about 1e-3 of the part's greatest slope, a mistake one of the order of the slope itself.
    fn check(&self, what: &str) {
        let values = self.values();
        let mut gradients = vec![0.0; values.len()];
        self.loss(&values, &mut gradients);
        let (mut scratch, mut wrong) = (gradients.clone(), Vec::new());
        for part in &self.design.layout.parts {
            let along = part.slot.of(&gradients).to_vec();
            let length = along.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!(length > 0.0, "{what}: nothing reaches {}", part.name);
            let moved = |at: usize| ((at * 13 % 7) as f32 - 3.0) / (along.len() as f32).sqrt();
            // Of an item some numbers may be frozen, see `what_is_frozen_has_no_gradient`.
            let is_frozen = |at: usize| part.name == "items.own" && along[at] == 0.0;
            let fixed: Vec<f32> = (0..along.len()).map(|at| if is_frozen(at) { 0.0 } else { moved(at) }).collect();
            for direction in [along.iter().map(|value| value / length).collect(), fixed] {
                let mut at = |distance: f32| {
                    let mut moved = values.clone();
                    let slot = part.slot.of_mut(&mut moved);
                    slot.iter_mut().zip(&direction).for_each(|(value, step)| *value += distance * step);
                    self.loss(&moved, &mut scratch)
                };
                let found = (at(0.002) - at(-0.002)) / 0.004;
                let wanted: f64 = direction.iter().zip(&along).map(|(step, slope)| f64::from(step * slope)).sum();
                let allowed = 0.01 * f64::from(length) + 2e-4;
                if (found - wanted).abs() >= allowed {
                    wrong.push(format!("{}: {found} instead of {wanted}", part.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    }
}

const TRANSFORMER: Architecture = Architecture::Transformer { blocks: 2, heads: 2, feed: 5 };

#[test]
fn gradients_of_all_networks_match_differences() {
    for architecture in [TRANSFORMER, Architecture::Gru, Architecture::Dense { units: 7 }] {
        Case::new(&small(architecture), Texts::default()).check(&format!("{architecture:?}"));
    }
}

#[test]
fn gradients_of_all_losses_match_differences() {
    for loss in [Loss::Logistic { calibration: 0.75 }, Loss::Logistic { calibration: 0.0 }, Loss::Squared] {
        let params = Params { loss, ..small(TRANSFORMER) };
        Case::new(&params, Texts::default()).check(&format!("{loss:?}"));
    }
}

#[test]
fn gradients_of_all_uses_of_texts_match_differences() {
    for text in [TextUse::Sum, TextUse::Initialisation, TextUse::Subspace, TextUse::Delta] {
        Case::new(&Params { text, ..small(TRANSFORMER) }, texts()).check(&format!("{text:?}"));
    }
}

#[test]
fn what_is_frozen_has_no_gradient() {
    let params = Params { text: TextUse::Subspace, ..small(TRANSFORMER) };
    let case = Case::new(&params, texts());
    let values = case.values();
    let mut gradients = vec![0.0; values.len()];
    case.loss(&values, &mut gradients);
    let own = case.design.layout.parts.last().unwrap().slot.of(&gradients);
    assert!(own.chunks(6).all(|row| row[..3] == [0.0; 3]) && own[6..12].iter().any(|slope| *slope != 0.0));
    assert!(own[8 * 6..].iter().all(|slope| *slope == 0.0), "an item without events learns nothing of its own");
}
