//! Dense vectors of the items, as an encoder gives them.

use std::sync::Arc;

use zhiyin_core::ItemIx;

/// One vector per item, row by row. Cheap to clone. An item of which nothing is known has a row of zeros; items beyond the rows have
/// none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemVectors {
    dims: usize,
    rows: Arc<[f32]>,
}

impl ItemVectors {
    /// Vectors of `dims` numbers each.
    pub fn new(dims: usize, rows: Vec<f32>) -> Self {
        Self { dims, rows: rows.into() }
    }

    /// Numbers in a vector; 0 when there are none.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// All vectors.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Items that have a row.
    pub fn len(&self) -> usize {
        self.rows.len().checked_div(self.dims).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The vector of an item, if it has a row.
    pub fn of(&self, item: ItemIx) -> Option<&[f32]> {
        let from = item as usize * self.dims;
        self.rows.get(from..from + self.dims).filter(|row| !row.is_empty())
    }
}

/// Whether a row says anything.
pub(crate) fn is_known(row: &[f32]) -> bool {
    row.iter().any(|value| *value != 0.0)
}
