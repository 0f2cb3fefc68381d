//! Item vectors: what is learned of each item, and what its text says.
//!
//! By [`TextUse`], with t the leading axes of the whitened text and x the item's own numbers:
//! none x; sum x + text · W with W learned (256 × d); initialisation x, which begins as t; subspace t in the first half of the dimensions and
//! x in the second; delta t + c · tanh(x).

use std::sync::Arc;

use rayon::prelude::*;
use zhiyin_core::ItemIx;

use crate::{
    layout::{Layout, Slot, Start},
    params::{Params, TextUse},
    product::{add, rows, rows_mut, set},
};

/// Deviation that an item's own numbers begin with.
const OWN_DEVIATION: f32 = 0.02;
/// What that is multiplied by where a text says most of an item.
const OWN_BESIDE_TEXT: f32 = 0.1;
/// Deviation that the map of texts begins with.
const MAP_DEVIATION: f32 = 0.05;
/// Length of a vector that is a text.
const TEXT_LENGTH: f32 = 0.4;
/// How far what is learned on top of a text goes in each dimension, see [`TextUse::Delta`].
const DELTA_MAX: f32 = 0.05;
/// Rows whose texts are mapped at a time.
const BAND_ROWS: usize = 512;

/// Whitened texts of items.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// Numbers of each; 0 if there are none.
    pub axes: usize,
    /// One unit vector for each item; zeros for one without text.
    pub rows: Arc<[f32]>,
}

impl Texts {
    fn of(&self, item: ItemIx) -> &[f32] {
        &self.rows[item as usize * self.axes..][..self.axes]
    }
}

/// How item vectors come about.
#[derive(Clone, Debug)]
pub struct Items {
    dims: usize,
    text: TextUse,
    pub texts: Texts,
    /// One row for each item.
    own: Slot,
    map: Option<Slot>,
    /// Items that have events.
    warm: Arc<[bool]>,
}

impl Items {
    /// Appends their numbers to a layout.
    pub fn new(params: &Params, texts: Texts, warm: Arc<[bool]>, layout: &mut Layout) -> Self {
        let text = if texts.axes == 0 { TextUse::None } else { params.text };
        let map = (text == TextUse::Sum)
            .then(|| layout.add("items.text_map", texts.axes, params.dims, Start::Normal(MAP_DEVIATION)));
        let deviation = if text == TextUse::None { OWN_DEVIATION } else { OWN_DEVIATION * OWN_BESIDE_TEXT };
        let own = layout.add("items.own", warm.len(), params.dims, Start::Normal(deviation));
        Self { dims: params.dims, text, texts, own, map, warm }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.warm.len()
    }

    /// Sets what doesn't begin at random: an item without events has no numbers of its own, and texts where they are a beginning.
    pub fn begin(&self, values: &mut [f32]) {
        let own = self.own.of_mut(values);
        for (item, row) in (0..).zip(own.chunks_exact_mut(self.dims)) {
            if !self.warm[item as usize] {
                row.fill(0.0);
            }
            match self.text {
                TextUse::Initialisation => self.add_text(item, row),
                TextUse::Subspace => row[..self.fixed()].fill(0.0),
                _ => {}
            }
        }
    }

    /// Leading dimensions that aren't learned.
    fn fixed(&self) -> usize {
        if self.text == TextUse::Subspace { (self.dims / 2).min(self.texts.axes) } else { 0 }
    }

    /// Adds the leading axes of a text, brought to a length, to a vector.
    fn add_text(&self, item: ItemIx, row: &mut [f32]) {
        let width = if self.text == TextUse::Subspace { self.fixed() } else { row.len() };
        let text = &self.texts.of(item)[..width.min(self.texts.axes)];
        let length = text.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            let factor = TEXT_LENGTH / length;
            row.iter_mut().zip(text).for_each(|(value, text)| *value += factor * text);
        }
    }

    /// The vectors of some items, row by row.
    pub fn vectors(&self, values: &[f32], items: &[ItemIx]) -> Vec<f32> {
        let mut vectors = vec![0.0; items.len() * self.dims];
        let bands = vectors.par_chunks_mut(BAND_ROWS * self.dims).zip(items.par_chunks(BAND_ROWS));
        bands.for_each(|(out, items)| self.band(values, items, out));
        vectors
    }

    fn band(&self, values: &[f32], items: &[ItemIx], out: &mut [f32]) {
        let own = self.own.of(values);
        for (row, &item) in out.chunks_exact_mut(self.dims).zip(items) {
            row.copy_from_slice(&own[item as usize * self.dims..][..self.dims]);
            match self.text {
                TextUse::Subspace => self.add_text(item, row),
                TextUse::Delta => {
                    row.iter_mut().for_each(|value| *value = DELTA_MAX * value.tanh());
                    self.add_text(item, row);
                }
                _ => {}
            }
        }
        if let Some(map) = self.map {
            add(
                rows_mut(out, self.dims),
                rows(&self.gathered(items), self.texts.axes),
                rows(map.of(values), self.dims),
                1.0,
            );
        }
    }

    fn gathered(&self, items: &[ItemIx]) -> Vec<f32> {
        items.iter().flat_map(|&item| self.texts.of(item)).copied().collect()
    }

    /// Adds the derivatives by what is learned, from those by the vectors of some items, each of which occurs once.
    pub fn back(&self, values: &[f32], items: &[ItemIx], slopes: &[f32], gradients: &mut [f32]) {
        if let Some(map) = self.map {
            let bands = slopes.par_chunks(BAND_ROWS * self.dims).zip(items.par_chunks(BAND_ROWS));
            let parts: Vec<Vec<f32>> = bands.map(|(slopes, items)| self.map_back(items, slopes)).collect();
            let gradient = map.of_mut(gradients);
            for part in parts {
                gradient.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        }
        let own = self.own.of_mut(gradients);
        for (slopes, &item) in slopes.chunks_exact(self.dims).zip(items) {
            if !self.warm[item as usize] {
                continue;
            }
            let at = item as usize * self.dims;
            let row = &mut own[at..at + self.dims];
            row.iter_mut().zip(slopes).skip(self.fixed()).for_each(|(sum, slope)| *sum += slope);
            if self.text == TextUse::Delta {
                let numbers = &self.own.of(values)[at..at + self.dims];
                row.iter_mut().zip(numbers).for_each(|(sum, value)| *sum *= DELTA_MAX * (1.0 - value.tanh().powi(2)));
            }
        }
    }

    fn map_back(&self, items: &[ItemIx], slopes: &[f32]) -> Vec<f32> {
        let texts = self.gathered(items);
        let mut part = vec![0.0; self.texts.axes * self.dims];
        set(rows_mut(&mut part, self.dims), rows(&texts, self.texts.axes).transpose(), rows(slopes, self.dims), 1.0);
        part
    }

    /// Whether an item has events.
    pub fn is_warm(&self, item: ItemIx) -> bool {
        self.warm[item as usize]
    }

    /// Whether anything is known of an item: it has events, or its text enters.
    pub fn is_known(&self, item: ItemIx) -> bool {
        self.warm[item as usize]
            || (self.text != TextUse::None && self.texts.of(item).iter().any(|value| *value != 0.0))
    }

    /// The learned map of texts (axes × dims), if there is one.
    pub fn text_map<'a>(&self, values: &'a [f32]) -> Option<&'a [f32]> {
        self.map.map(|map| map.of(values))
    }
}
