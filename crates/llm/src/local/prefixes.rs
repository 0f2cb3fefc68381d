//! Beginnings of prompts that were read before, so that a prompt that begins the same needn't be read again.

use std::sync::Arc;
use zhiyin_decoder::Past;

/// Shorter shared beginnings aren't worth a copy.
const SHARED_TOKENS_MIN: usize = 8;

struct Entry {
    tokens: Vec<u32>,
    past: Arc<Past>,
    used: u64,
}

/// Kept beginnings; the least recently used goes first.
pub(super) struct Prefixes {
    capacity: usize,
    entries: Vec<Entry>,
    tick: u64,
}

impl Prefixes {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Vec::new(), tick: 0 }
    }

    /// The longest kept beginning of these tokens, as a copy. The last token is never part of it: what follows it has to be computed.
    pub(super) fn find(&mut self, tokens: &[u32]) -> Option<Past> {
        let most = tokens.len().saturating_sub(1);
        let shared = |entry: &Entry| entry.tokens.iter().zip(&tokens[..most]).take_while(|(a, b)| a == b).count();
        let best = self.entries.iter_mut().max_by_key(|entry| shared(entry))?;
        let length = shared(best);
        if length < SHARED_TOKENS_MIN {
            return None;
        }
        self.tick += 1;
        best.used = self.tick;
        Some(best.past.beginning(length))
    }

    /// Keeps what was read of these tokens. What is a beginning of it is dropped.
    pub(super) fn keep(&mut self, tokens: &[u32], past: &Arc<Past>) {
        if self.capacity == 0 || self.entries.iter().any(|entry| entry.tokens.starts_with(tokens)) {
            return;
        }
        self.entries.retain(|entry| !tokens.starts_with(&entry.tokens));
        if self.entries.len() >= self.capacity {
            self.evict();
        }
        self.tick += 1;
        self.entries.push(Entry { tokens: tokens.to_vec(), past: Arc::clone(past), used: self.tick });
    }

    /// Drops the least recently used. Returns whether there was one.
    pub(super) fn evict(&mut self) -> bool {
        let oldest = (0..self.entries.len()).min_by_key(|&at| self.entries[at].used);
        oldest.map(|oldest| self.entries.swap_remove(oldest)).is_some()
    }

    /// Tokens kept.
    pub(super) fn tokens(&self) -> usize {
        self.entries.iter().map(|entry| entry.tokens.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    #[test]
    fn the_least_recently_used_makes_room_and_a_beginning_is_not_kept_twice() {
        let (mut prefixes, past) = (Prefixes::new(2), Arc::new(Past::default()));
        prefixes.keep(&tokens(0..10), &past);
        prefixes.keep(&tokens(100..110), &past);
        assert!(prefixes.find(&tokens(0..12)).is_some());
        prefixes.keep(&tokens(200..210), &past);
        assert!(prefixes.find(&tokens(100..112)).is_none() && prefixes.find(&tokens(0..12)).is_some());
        prefixes.keep(&tokens(0..30), &past);
        assert_eq!(prefixes.tokens(), 40);
        assert!(prefixes.find(&tokens(0..8)).is_none(), "all but the last are seven");
        while prefixes.evict() {}
        assert_eq!(prefixes.tokens(), 0);
    }
}
