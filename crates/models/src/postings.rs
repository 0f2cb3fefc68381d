//! Who met an item and when: exact, unbounded lists, of which a query walks the latest.
//!
//! The newest postings of an item lie flat, the older ones in packed blocks of about 4.5 bytes a posting. Equality and the serialised
//! form depend only on the postings, not on how they lie. A posting that comes late or is taken away makes one block be written anew.

mod block;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zhiyin_core::{ActorIx, ItemIx, capacity::make_room};

use self::block::{BLOCK, Block};

/// Somebody met an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Posting {
    /// When, in seconds since 1970 UTC.
    pub(crate) time_s: u32,
    /// Who.
    pub(crate) actor: ActorIx,
}

/// Postings by item. Empty lists at the end don't exist.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Postings(Vec<List>);

/// Those of an item that nobody met.
static NOBODY: List = List { blocks: Vec::new(), in_blocks: 0, newest: Vec::new() };

impl Postings {
    /// Adds a posting in its place.
    pub(crate) fn add(&mut self, item: ItemIx, posting: Posting) {
        let at = item as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, List::default);
        }
        self.0[at].add(posting);
    }

    /// Removes one such posting.
    pub(crate) fn remove(&mut self, item: ItemIx, posting: Posting) {
        let Some(list) = self.0.get_mut(item as usize) else { return };
        list.remove(posting);
        while self.0.last().is_some_and(|list| list.len() == 0) {
            self.0.pop();
        }
    }

    /// All postings of an item.
    pub(crate) fn of(&self, item: ItemIx) -> &List {
        self.0.get(item as usize).unwrap_or(&NOBODY)
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<List>() + self.0.iter().map(List::heap_bytes).sum::<usize>()
    }
}

/// Postings of a whole data set while they are gathered, in any order.
#[derive(Default)]
pub(crate) struct Gathered(Vec<Vec<Posting>>);

impl Gathered {
    /// Adds a posting.
    pub(crate) fn push(&mut self, item: ItemIx, posting: Posting) {
        let at = item as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, Vec::new);
        }
        self.0[at].push(posting);
    }

    /// All of them in order.
    pub(crate) fn sorted(self) -> Postings {
        let list = |mut postings: Vec<Posting>| {
            postings.sort_unstable();
            List::of(&postings)
        };
        Postings(self.0.into_iter().map(list).collect())
    }
}

/// Postings of one item in their order: oldest first, ties by actor.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    /// All that are older than `newest`, by order.
    blocks: Vec<Block>,
    in_blocks: u32,
    /// Fewer than [`BLOCK`].
    newest: Vec<Posting>,
}

impl List {
    /// A list of sorted postings.
    fn of(postings: &[Posting]) -> Self {
        let (full, newest) = postings.as_chunks::<BLOCK>();
        Self {
            blocks: full.iter().map(|postings| Block::new(postings)).collect(),
            in_blocks: (full.len() * BLOCK) as u32,
            newest: newest.to_vec(),
        }
    }

    /// Number of postings.
    pub(crate) fn len(&self) -> usize {
        self.in_blocks as usize + self.newest.len()
    }

    /// Calls `visit` with the `count` latest postings, newest first.
    pub(crate) fn each_newest(&self, count: usize, mut visit: impl FnMut(Posting)) {
        self.newest.iter().rev().take(count).copied().for_each(&mut visit);
        let mut left = count.saturating_sub(self.newest.len());
        for block in self.blocks.iter().rev() {
            if left == 0 {
                break;
            }
            block.each_newest(left, &mut visit);
            left = left.saturating_sub(block.len());
        }
    }

    /// All postings in their order.
    pub(crate) fn all(&self) -> Vec<Posting> {
        let mut all = Vec::with_capacity(self.len());
        self.each_newest(usize::MAX, |posting| all.push(posting));
        all.reverse();
        all
    }

    fn add(&mut self, posting: Posting) {
        if let Some(at) = self.block_of(posting) {
            self.rewrite(at, |postings| postings.insert(postings.partition_point(|other| *other <= posting), posting));
            return;
        }
        let at = self.newest.iter().rposition(|other| *other <= posting).map_or(0, |before| before + 1);
        make_room(&mut self.newest);
        self.newest.insert(at, posting);
        if self.newest.len() == BLOCK {
            make_room(&mut self.blocks);
            self.blocks.push(Block::new(&std::mem::take(&mut self.newest)));
            self.in_blocks += BLOCK as u32;
        }
    }

    fn remove(&mut self, posting: Posting) {
        match self.block_of(posting) {
            Some(at) => self.rewrite(at, |postings| remove_one(postings, posting)),
            None => remove_one(&mut self.newest, posting),
        }
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    /// The block that a posting belongs to, unless it is newer than all of them.
    fn block_of(&self, posting: Posting) -> Option<usize> {
        let at = self.blocks.partition_point(|block| block.last() < posting);
        (at < self.blocks.len()).then_some(at)
    }

    /// Gives a block other postings: none remove it, too many split it.
    fn rewrite(&mut self, at: usize, change: impl FnOnce(&mut Vec<Posting>)) {
        let mut postings = self.blocks[at].read();
        self.in_blocks -= postings.len() as u32;
        change(&mut postings);
        self.in_blocks += postings.len() as u32;
        let part = if postings.len() < 2 * BLOCK { 2 * BLOCK } else { BLOCK };
        self.blocks.splice(at..=at, postings.chunks(part).map(Block::new));
    }

    fn heap_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Block::heap_bytes).sum();
        blocks + self.blocks.capacity() * size_of::<Block>() + self.newest.capacity() * size_of::<Posting>()
    }
}

fn remove_one(postings: &mut Vec<Posting>, posting: Posting) {
    if let Ok(at) = postings.binary_search(&posting) {
        postings.remove(at);
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.all() == other.all()
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.all().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Vec::<Posting>::deserialize(deserializer)?;
        if !stored.is_sorted() {
            return Err(serde::de::Error::custom("postings must be sorted by time and actor"));
        }
        Ok(Self::of(&stored))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mostly at the end, some late, some of one second, some of one actor.
    fn changes() -> impl Strategy<Value = Vec<(Posting, bool)>> {
        let time_s = prop_oneof![4 => 0u32..300, 1 => any::<u32>()];
        let actor = prop_oneof![4 => 0u32..9, 1 => any::<u32>()];
        prop::collection::vec((time_s, actor, prop::bool::weighted(0.85)), 0..700).prop_map(|changes| {
            let spread = |(place, (time_s, actor, adds)): (u32, (u32, u32, bool))| {
                let late = time_s % 5 == 0;
                (Posting { time_s: if late { time_s } else { place * 40 + time_s % 40 }, actor }, adds)
            };
            (0..).zip(changes).map(spread).collect()
        })
    }

    fn newest(list: &List, count: usize) -> Vec<Posting> {
        let mut found = Vec::new();
        list.each_newest(count, |posting| found.push(posting));
        found
    }

    proptest! {
        #[test]
        fn a_list_agrees_with_a_sorted_one(changes in changes(), count in 0usize..300, removed in any::<prop::sample::Index>()) {
            let (mut postings, mut plain) = (Postings::default(), Vec::<Posting>::new());
            for (posting, adds) in changes {
                let at = plain.partition_point(|other| *other < posting);
                if adds || plain.is_empty() {
                    postings.add(0, posting);
                    plain.insert(at, posting);
                } else {
                    let gone = plain.remove(removed.index(plain.len()));
                    postings.remove(0, gone);
                }
                prop_assert_eq!(postings.of(0).len(), plain.len());
            }
            let list = postings.of(0);
            prop_assert_eq!(&list.all(), &plain);
            let latest: Vec<Posting> = plain.iter().rev().take(count).copied().collect();
            prop_assert_eq!(newest(list, count), latest);
            let mut gathered = Gathered::default();
            plain.iter().rev().for_each(|&posting| gathered.push(0, posting));
            prop_assert_eq!(&gathered.sorted(), &postings);
            let stored = postcard::to_allocvec(&postings).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Postings>(&stored).unwrap(), &postings);
            plain.iter().for_each(|&posting| postings.remove(0, posting));
            prop_assert_eq!(postings, Postings::default());
        }
    }

    #[test]
    fn what_was_never_added_is_not_removed() {
        let mut postings = Postings::default();
        (0..200).for_each(|n| postings.add(3, Posting { time_s: n * 2, actor: n }));
        let before = postings.clone();
        for gone in
            [Posting { time_s: 7, actor: 3 }, Posting { time_s: 6, actor: 4 }, Posting { time_s: 999, actor: 0 }]
        {
            postings.remove(3, gone);
        }
        postings.remove(9, Posting { time_s: 2, actor: 1 });
        assert_eq!((postings.of(3).len(), &postings), (200, &before));
    }

    #[test]
    fn stored_postings_out_of_order_are_refused() {
        let stored =
            postcard::to_allocvec(&vec![Posting { time_s: 2, actor: 1 }, Posting { time_s: 1, actor: 1 }]).unwrap();
        assert!(postcard::from_bytes::<List>(&stored).is_err());
    }

    #[test]
    fn a_posting_of_a_million_actors_takes_less_than_five_bytes() {
        let mut postings = Postings::default();
        (0..10_000u32).for_each(|n| {
            postings.add(0, Posting { time_s: 1_700_000_000 + n * 180 + n * n % 170, actor: n * 7_919 % 1_000_000 });
        });
        let bytes = postings.heap_bytes();
        assert!(bytes < 50_000, "{bytes}");
    }
}
