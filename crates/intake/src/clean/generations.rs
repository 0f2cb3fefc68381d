//! A map of bounded size that forgets what was not used for long.
//!
//! Two generations: entries enter the young one; when it is full it becomes the old one and the former old one is dropped. An entry
//! that is used again moves back to the young one. Between `size` and `2 × size` of the latest used entries are remembered, at a
//! constant cost per use and without a list of uses.

use std::hash::Hash;

use ahash::AHashMap;

/// See the module.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: AHashMap<K, V>,
    old: AHashMap<K, V>,
    size: usize,
}

impl<K: Copy + Eq + Hash, V: Default> Generations<K, V> {
    /// An empty map that remembers at least `size` entries.
    pub(super) fn new(size: usize) -> Self {
        Self { young: AHashMap::new(), old: AHashMap::new(), size }
    }

    /// The value of a key, a default one if it is new or forgotten.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.young.len() >= self.size && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    /// The value of a key, if it is remembered.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The value of a key for a change, if it is remembered.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_used_entries_are_remembered() {
        let mut map = Generations::<u32, u32>::new(10);
        for key in 0..1_000 {
            *map.entry(key) = key;
            *map.entry(7) = 7;
        }
        assert_eq!(map.get(&7), Some(&7), "used all the time");
        assert!((991..1_000).all(|key| map.get(&key) == Some(&key)), "the last ones");
        assert_eq!(map.get(&500), None, "not used for long");
        assert!(map.young.len() + map.old.len() <= 20);
        *map.get_mut(&7).unwrap() = 8;
        assert_eq!(map.get(&7), Some(&8));
    }
}
