//! The co-occurrence matrices from which EASE and SLIST are solved, row by row in parallel.
//!
//! Rows are gathered from an index of where each item occurs, so every row is written by one thread: no locks, and the same sums in
//! the same order whatever the number of threads. The sums over all prefixes of a history have closed forms, so the prefix
//! matrices themselves are never built.

use rayon::prelude::*;
use zhiyin_core::ItemIx;

use crate::{
    Dataset, FitError, Histories,
    dataset::latest,
    linalg::{SparseColumns, Symmetric},
};

/// Events of one history that a fit looks at; older ones are passed over, so that one giant history can't cost its square.
const HISTORY_EVENTS_MAX: usize = 4_096;

/// Refuses a catalogue that is too large or a set without events.
pub(crate) fn check(data: &Dataset, model: &'static str, items_max: usize) -> Result<(), FitError> {
    if data.n_items() > items_max {
        return Err(FitError::CatalogueTooLarge { model, items: data.n_items(), items_max });
    }
    if data.interactions.is_empty() {
        return Err(FitError::TooLittleData { model, found: "no events".to_owned(), needed: "at least one" });
    }
    Ok(())
}

/// Rows of numbers, compressed.
pub(crate) struct Rows {
    /// Row `r` is `numbers[starts[r]..starts[r + 1]]`.
    starts: Vec<usize>,
    numbers: Vec<u32>,
}

impl Rows {
    pub(crate) fn row(&self, row: usize) -> &[u32] {
        &self.numbers[self.starts[row]..self.starts[row + 1]]
    }

    /// For each of the numbers below `n_numbers` the rows that hold it, in order.
    pub(crate) fn transposed(&self, n_numbers: usize) -> Self {
        let (starts, places) = index(n_numbers, &self.starts, &self.numbers);
        Self { starts, numbers: places.into_iter().map(|(row, _)| row).collect() }
    }

    #[cfg(test)]
    pub(crate) fn from_rows(rows: &[Vec<u32>]) -> Self {
        let starts = std::iter::once(0).chain(rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        }));
        Self { starts: starts.collect(), numbers: rows.concat() }
    }
}

/// The items of each history, with the index from each item to the rows (and places) where it occurs.
pub(crate) struct Occurrences {
    n_items: usize,
    rows: Rows,
    /// Places (indices into the numbers of `rows`) of item `i`: `places[item_starts[i]..item_starts[i + 1]]`.
    item_starts: Vec<usize>,
    places: Vec<(u32, usize)>,
}

impl Occurrences {
    /// The histories in order, repeats included.
    pub(crate) fn sequences(data: &Dataset) -> Self {
        Self::collect(data, |_| {})
    }

    /// The distinct items of each history, by number.
    pub(crate) fn sets(data: &Dataset) -> Self {
        Self::collect(data, |row| {
            row.sort_unstable();
            row.dedup();
        })
    }

    fn collect(data: &Dataset, arrange: impl Fn(&mut Vec<ItemIx>)) -> Self {
        let (mut starts, mut items, mut row) = (vec![0], Vec::with_capacity(data.interactions.len()), Vec::new());
        for actor in 0..data.n_actors() as u32 {
            row.clear();
            row.extend(latest(data.of(actor), HISTORY_EVENTS_MAX).iter().map(|event| event.item));
            arrange(&mut row);
            items.extend_from_slice(&row);
            starts.push(items.len());
        }
        let (item_starts, places) = index(data.n_items(), &starts, &items);
        Self { n_items: data.n_items(), rows: Rows { starts, numbers: items }, item_starts, places }
    }

    fn places_of(&self, item: usize) -> &[(u32, usize)] {
        &self.places[self.item_starts[item]..self.item_starts[item + 1]]
    }

    /// The items of a row before the place.
    fn before(&self, row: u32, place: usize) -> &[ItemIx] {
        &self.rows.numbers[self.rows.starts[row as usize]..place]
    }

    /// The rows alone.
    pub(crate) fn into_rows(self) -> Rows {
        self.rows
    }

    /// Adds `factor`·XᵀX to the lower triangle, X having a 1 for each (row, item). Only for [`Occurrences::sets`].
    pub(crate) fn add_set_gram(&self, factor: f32, gram: &mut Symmetric) {
        gram.rows_mut().with_max_len(1).for_each(|(item, sums)| {
            for &(row, place) in self.places_of(item) {
                // The row is sorted: what precedes the item is what the lower triangle wants.
                for &other in self.before(row, place + 1) {
                    sums[other as usize] += factor;
                }
            }
        });
    }

    /// Adds `factor`·SᵀS over all prefixes to the lower triangle. Only for [`Occurrences::sequences`].
    pub(crate) fn add_source_gram(&self, factor: f32, weights: &PrefixWeights, gram: &mut Symmetric) {
        gram.rows_mut().with_max_len(1).for_each(|(item, sums)| {
            for &(row, place) in self.places_of(item) {
                let (items, at) = (self.rows.row(row as usize), self.before(row, place).len());
                let reach = weights.source.len();
                let nearby = at.saturating_sub(reach - 1)..(at + reach).min(items.len());
                for other in nearby {
                    if let Some(sum) = sums.get_mut(items[other] as usize) {
                        *sum += factor * weights.source_pair(at.abs_diff(other), at.max(other), items.len());
                    }
                }
            }
        });
    }

    /// `set_factor`·XᵀX (from `sets`) + `prefix_factor`·SᵀT over all prefixes (from this), sparse. Every diagonal entry is present.
    pub(crate) fn targets(
        &self,
        sets: &Occurrences,
        set_factor: f32,
        prefix_factor: f32,
        weights: &PrefixWeights,
    ) -> SparseColumns {
        let columns: Vec<Vec<(u32, f32)>> = (0..self.n_items)
            .into_par_iter()
            .with_max_len(16)
            .map_init(
                || Accumulator::new(self.n_items),
                |sums, item| {
                    sums.add(item as u32, 0.0);
                    if set_factor != 0.0 {
                        sets.places_of(item).iter().for_each(|&(row, _)| {
                            sets.rows.row(row as usize).iter().for_each(|&other| sums.add(other, set_factor));
                        });
                    }
                    for &(row, place) in self.places_of(item) {
                        for (&source, weight) in self.before(row, place).iter().rev().zip(&weights.transition) {
                            sums.add(source, prefix_factor * weight);
                        }
                    }
                    sums.drain()
                },
            )
            .collect();
        SparseColumns::from_columns(&columns)
    }
}

/// For each item the rows and places where it occurs, in order.
fn index(n_items: usize, starts: &[usize], items: &[ItemIx]) -> (Vec<usize>, Vec<(u32, usize)>) {
    let mut item_starts = vec![0; n_items + 1];
    items.iter().for_each(|&item| item_starts[item as usize + 1] += 1);
    for item in 0..n_items {
        item_starts[item + 1] += item_starts[item];
    }
    let mut next = item_starts.clone();
    let mut places = vec![(0, 0); items.len()];
    for (row, range) in starts.windows(2).enumerate() {
        for place in range[0]..range[1] {
            let slot = &mut next[items[place] as usize];
            places[*slot] = (row as u32, place);
            *slot += 1;
        }
    }
    (item_starts, places)
}

/// What a pair of places adds to SᵀS and SᵀT, summed over all prefixes of the history.
///
/// For a history of L events and each cut t in 1..L, the source row holds q^(t−1−a) for the places a < t and the target row q^(b−t)
/// for b ≥ t, with q = e^(−1/δ), as long as the exponent is below the window.
pub(crate) struct PrefixWeights {
    /// q^d for distance d below the window.
    source: Vec<f32>,
    /// Σ q^(2m) for m = 0..=M.
    geometric: Vec<f32>,
    /// Weight of the transition over distance d, at d − 1: the number of cuts that see both places, times q^(d−1).
    transition: Vec<f32>,
}

impl PrefixWeights {
    /// Weights for a decay δ > 0 (in events) and a window of at least 1.
    pub(crate) fn new(decay: f32, window: usize) -> Self {
        let q = (-1.0 / f64::from(decay)).exp();
        let power = |exponent: usize| q.powi(exponent as i32);
        let source = (0..window).map(|d| power(d) as f32).collect();
        let mut sum = 0.0;
        let partial_sum = |m| {
            sum += power(2 * m);
            sum as f32
        };
        let geometric = (0..window).map(partial_sum).collect();
        let cuts = |d: usize| d.min(2 * window - d);
        let transition = (1..2 * window).map(|d| (cuts(d) as f64 * power(d - 1)) as f32).collect();
        Self { source, geometric, transition }
    }

    /// Σ over the cuts after the later of two places at a distance: both are sources there.
    fn source_pair(&self, distance: usize, later: usize, len: usize) -> f32 {
        // Cuts run from later + 1 to len − 1, and the earlier place must stay inside the window.
        let cuts = (len - 1 - later).min(self.source.len() - distance);
        if cuts == 0 { 0.0 } else { self.source[distance] * self.geometric[cuts - 1] }
    }
}

/// A dense array of sums that remembers what was touched.
struct Accumulator {
    sums: Vec<f32>,
    seen: Vec<bool>,
    touched: Vec<u32>,
}

impl Accumulator {
    fn new(n: usize) -> Self {
        Self { sums: vec![0.0; n], seen: vec![false; n], touched: Vec::new() }
    }

    fn add(&mut self, item: u32, amount: f32) {
        let at = item as usize;
        if !self.seen[at] {
            self.seen[at] = true;
            self.touched.push(item);
        }
        self.sums[at] += amount;
    }

    /// The entries, by item; everything is 0 afterwards.
    fn drain(&mut self) -> Vec<(u32, f32)> {
        self.touched.sort_unstable();
        let take = |&item: &u32| {
            self.seen[item as usize] = false;
            (item, std::mem::take(&mut self.sums[item as usize]))
        };
        let entries = self.touched.iter().map(take).collect();
        self.touched.clear();
        entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zhiyin_core::Interaction;

    use super::*;
    use crate::ItemFacts;

    const N: usize = 6;

    fn dataset(histories: &[Vec<u32>]) -> Dataset {
        let rows: Vec<Vec<Interaction>> =
            histories.iter().map(|row| row.iter().map(|&item| Interaction::plain(item, 0)).collect()).collect();
        Dataset::from_histories(vec![ItemFacts::default(); N], rows.iter().map(Vec::as_slice))
    }

    /// SᵀS and SᵀT by building S and T, prefix by prefix.
    fn by_definition(histories: &[Vec<u32>], decay: f32, window: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut gram, mut targets) = (vec![0.0; N * N], vec![0.0; N * N]);
        let weight = |lag: usize| if lag < window { (-(lag as f32) / decay).exp() } else { 0.0 };
        for row in histories {
            for cut in 1..row.len() {
                let (mut source, mut target) = ([0.0; N], [0.0; N]);
                (0..cut).for_each(|a| source[row[a] as usize] += weight(cut - 1 - a));
                (cut..row.len()).for_each(|b| target[row[b] as usize] += weight(b - cut));
                for at in 0..N * N {
                    gram[at] += source[at / N] * source[at % N];
                    targets[at] += source[at / N] * target[at % N];
                }
            }
        }
        (gram, targets)
    }

    proptest! {
        #[test]
        fn closed_forms_equal_the_sums_over_prefixes(
            histories in prop::collection::vec(prop::collection::vec(0u32..N as u32, 0..14), 1..6),
            decay in 0.5f32..20.0,
            window in 1usize..9,
        ) {
            let data = dataset(&histories);
            let (sequences, sets) = (Occurrences::sequences(&data), Occurrences::sets(&data));
            let weights = PrefixWeights::new(decay, window);
            let (expected_gram, expected_targets) = by_definition(&histories, decay, window);

            let mut gram = Symmetric::zeros(N);
            sequences.add_source_gram(2.0, &weights, &mut gram);
            for (at, expected) in expected_gram.iter().enumerate() {
                let (got, expected) = (gram.get(at / N, at % N), 2.0 * expected);
                prop_assert!((got - expected).abs() <= 1e-3 * (1.0 + expected), "{} is {got}, not {expected}", at);
            }
            let targets = sequences.targets(&sets, 0.0, 1.0, &weights);
            for column in 0..N {
                let (rows, values) = targets.column(column);
                let mut dense = [0.0; N];
                rows.iter().zip(values).for_each(|(&row, value)| dense[row as usize] = *value);
                for (row, got) in dense.into_iter().enumerate() {
                    let expected = expected_targets[row * N + column];
                    prop_assert!((got - expected).abs() <= 1e-3 * (1.0 + expected));
                }
            }
        }
    }

    #[test]
    fn sets_count_each_item_once() {
        let data = dataset(&[vec![2, 1, 2], vec![2]]);
        let sets = Occurrences::sets(&data);
        let mut gram = Symmetric::zeros(N);
        sets.add_set_gram(1.0, &mut gram);
        assert_eq!((gram.get(2, 2), gram.get(1, 1), gram.get(1, 2), gram.get(0, 2)), (2.0, 1.0, 1.0, 0.0));
        let targets = Occurrences::sequences(&data).targets(&sets, 1.0, 0.0, &PrefixWeights::new(1.0, 1));
        assert_eq!(targets.column(1), (&[1, 2][..], &[1.0, 1.0][..]));
    }
}
