//! What networks read: histories as rows of events, one after the other without padding.

use std::ops::Range;

use zhiyin_core::Interaction;
use zhiyin_models::{Dataset, Histories};

/// Classes of the time between two events: none, then powers of 2 seconds.
pub const GAPS: usize = 32;
/// Kinds of events that are told apart.
pub const KINDS_MAX: usize = 32;

/// Histories one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pack {
    /// History `h` is events `starts[h]..starts[h + 1]`.
    pub starts: Vec<usize>,
    /// Class of the time from each event to what comes next.
    pub gaps: Vec<u8>,
    /// Kind of each event.
    pub kinds: Vec<u8>,
}

impl Pack {
    pub fn new() -> Self {
        Self { starts: vec![0], ..Self::default() }
    }

    /// Appends a history, of which the next event comes at `next_s`.
    pub fn push(&mut self, history: &[Interaction], next_s: u32) {
        let nexts = history.iter().skip(1).map(|event| event.time_s).chain([next_s]);
        self.gaps.extend(history.iter().zip(nexts).map(|(event, next)| gap_class(next.saturating_sub(event.time_s))));
        self.kinds.extend(history.iter().map(|event| kind_class(event.kind)));
        self.starts.push(self.gaps.len());
    }

    /// Events of all histories.
    pub fn events(&self) -> usize {
        self.gaps.len()
    }

    /// The events of each history.
    pub fn histories(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.starts.windows(2).map(|ends| ends[0]..ends[1])
    }
}

/// The class of a time in seconds.
pub fn gap_class(seconds: u32) -> u8 {
    ((u32::BITS - seconds.leading_zeros()) as usize).min(GAPS - 1) as u8
}

/// The class of a kind.
pub fn kind_class(kind: u16) -> u8 {
    usize::from(kind).min(KINDS_MAX - 1) as u8
}

/// Stretches of histories to learn from: each event is foretold once, from at most `window` events before it.
pub struct Windows<'a> {
    data: &'a Dataset,
    ranges: Vec<Range<usize>>,
}

impl<'a> Windows<'a> {
    pub fn of(data: &'a Dataset, window: usize) -> Self {
        let mut ranges = Vec::new();
        for actor in 0..data.n_actors() {
            let (from, mut to) = (data.offsets[actor], data.offsets[actor + 1]);
            while to - from >= 2 {
                let start = from.max(to.saturating_sub(window + 1));
                ranges.push(start..to);
                to = start + 1;
            }
        }
        Self { data, ranges }
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Events that are foretold in all.
    pub fn events(&self) -> usize {
        self.ranges.iter().map(|range| range.len() - 1).sum()
    }

    /// The events of a stretch: all but the last are read, all but the first are foretold.
    pub fn get(&self, number: usize) -> &'a [Interaction] {
        &self.data.interactions[self.ranges[number].clone()]
    }

    /// Whether times tell anything: whether two stretches of time differ.
    pub fn has_times(&self) -> bool {
        let gaps = (0..self.data.n_actors() as u32).flat_map(|actor| {
            self.data.of(actor).windows(2).map(|pair| gap_class(pair[1].time_s.saturating_sub(pair[0].time_s)))
        });
        let mut gaps = gaps.peekable();
        let first = gaps.peek().copied();
        gaps.any(|gap| Some(gap) != first)
    }

    /// Whether there are several kinds of events.
    pub fn has_kinds(&self) -> bool {
        let mut kinds = self.data.interactions.iter().map(|event| event.kind);
        let first = kinds.next();
        kinds.any(|kind| Some(kind) != first)
    }
}

#[cfg(test)]
mod tests {
    use zhiyin_models::ItemFacts;

    use super::*;

    fn history(items: Range<u32>) -> Vec<Interaction> {
        items.map(|item| Interaction::plain(item, item * item)).collect()
    }

    #[test]
    fn every_event_but_the_first_is_foretold_once() {
        let histories = [history(0..8), history(3..4), history(5..7)];
        let data = Dataset::from_histories(vec![ItemFacts::default(); 8], histories.iter().map(Vec::as_slice));
        let windows = Windows::of(&data, 3);
        let items = |number| windows.get(number).iter().map(|event| event.item).collect::<Vec<_>>();
        assert_eq!(
            (0..windows.len()).map(items).collect::<Vec<_>>(),
            [vec![4, 5, 6, 7], vec![1, 2, 3, 4], vec![0, 1], vec![5, 6]]
        );
        assert_eq!(windows.events(), 8);
        assert!(windows.has_times() && !windows.has_kinds());
    }

    #[test]
    fn gaps_are_told_apart_by_powers_of_2() {
        let classes: Vec<u8> = [0, 1, 2, 3, 4, 86_400, u32::MAX].map(gap_class).to_vec();
        assert_eq!(classes, [0, 1, 2, 2, 3, 17, 31]);
        let mut pack = Pack::new();
        pack.push(&history(1..4), 9 + 86_400);
        assert_eq!((pack.gaps, pack.starts), (vec![2, 3, 17], vec![0, 3]));
    }
}
