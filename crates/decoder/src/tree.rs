//! Which tokens of a batch see which. A span of new tokens may go on after the beginning of an earlier span of the same batch, so that what several
//! texts begin with is computed once, and differentiated once.

use std::ops::Range;

/// The number of an earlier span, and how many of its tokens come before.
pub type After = Option<(usize, usize)>;

/// New tokens that follow each other.
struct Span {
    /// Row of the first one in the batch.
    first: usize,
    tokens: usize,
    /// Position of the first one in its text.
    position: usize,
    after: After,
}

/// All spans of a batch; their rows lie one after the other.
pub struct Tree(Vec<Span>);

impl Tree {
    /// Each span has so many tokens, so many that are remembered from earlier batches, and may go on after an earlier span.
    ///
    /// # Panics
    /// If a span goes on after one that isn't there yet, or after more tokens than that has.
    pub fn new(spans: impl IntoIterator<Item = (usize, usize, After)>) -> Self {
        let mut tree = Self(Vec::new());
        for (tokens, remembered, after) in spans {
            let before = after.map_or(0, |(number, count)| {
                let earlier = &tree.0[number];
                assert!((1..=earlier.tokens).contains(&count), "a span of {} tokens has no {count}", earlier.tokens);
                earlier.position + count
            });
            tree.0.push(Span { first: tree.rows(), tokens, position: before + remembered, after });
        }
        tree
    }

    /// Tokens of the batch.
    pub fn rows(&self) -> usize {
        self.0.last().map_or(0, |span| span.first + span.tokens)
    }

    /// Number of spans.
    pub fn spans(&self) -> usize {
        self.0.len()
    }

    /// Rows of a span.
    pub fn span(&self, number: usize) -> Range<usize> {
        let span = &self.0[number];
        span.first..span.first + span.tokens
    }

    /// Positions of each span's tokens.
    pub fn positions(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().map(|span| span.position..span.position + span.tokens)
    }

    /// What the last token of a span sees of this batch, from the beginning of the text on: numbers of spans, and how many of their tokens.
    pub fn path(&self, number: usize) -> Vec<(usize, usize)> {
        let mut path = vec![(number, self.0[number].tokens)];
        while let Some(before) = self.0[path[path.len() - 1].0].after {
            path.push(before);
        }
        path.reverse();
        path
    }

    /// The row before the first one of a span, if it goes on after one.
    pub fn row_before(&self, number: usize) -> Option<usize> {
        self.0[number].after.map(|(earlier, count)| self.0[earlier].first + count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_see_what_they_go_on_after() {
        let tree = Tree::new([(5, 0, None), (3, 0, Some((0, 4))), (2, 0, Some((1, 1))), (4, 7, None)]);
        assert_eq!((tree.rows(), tree.span(2)), (14, 8..10));
        assert_eq!(tree.path(2), [(0, 4), (1, 1), (2, 2)]);
        assert_eq!(tree.positions().collect::<Vec<_>>(), [0..5, 4..7, 5..7, 7..11]);
        assert_eq!((tree.row_before(0), tree.row_before(1), tree.row_before(2)), (None, Some(3), Some(5)));
    }
}
