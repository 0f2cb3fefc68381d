//! The catalogue in memory: items by dense number, what models may know of them, exact counts, and the numbers of labels.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use serde_json::Value;
use zhiyin_core::{Item, ItemIx};
use zhiyin_models::{ItemFacts, dataset::Labels};

use super::effect::seconds;

/// Items by dense number. Deleted ones keep their number.
#[derive(Debug, Default)]
pub struct Items {
    rows: Vec<Option<Arc<Item>>>,
    facts: Vec<ItemFacts>,
    interactions: Vec<u64>,
    categories: Labels,
    segments: Labels,
    names: HashTable<ItemIx>,
    hasher: RandomState,
    live: usize,
    bytes: usize,
}

impl Items {
    /// The number of an item that is not deleted.
    pub fn find(&self, id: &str) -> Option<ItemIx> {
        let named = |&ix: &ItemIx| self.get(ix).is_some_and(|item| item.id.as_str() == id);
        self.names.find(self.hasher.hash_one(id), named).copied()
    }

    /// An item; none if it is deleted or unknown.
    pub fn get(&self, ix: ItemIx) -> Option<&Arc<Item>> {
        self.rows.get(ix as usize)?.as_ref()
    }

    /// Size of arrays by item: deleted items count.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there never was an item.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Items that are not deleted.
    pub fn live(&self) -> usize {
        self.live
    }

    /// What models may know of an item; empty for a deleted one.
    pub fn facts(&self, ix: ItemIx) -> &ItemFacts {
        &self.facts[ix as usize]
    }

    /// Facts of all items, by number.
    pub fn all_facts(&self) -> &[ItemFacts] {
        &self.facts
    }

    /// Exact number of interactions for the item in the effective sequences of all actors.
    pub fn interactions(&self, ix: ItemIx) -> u64 {
        self.interactions.get(ix as usize).copied().unwrap_or(0)
    }

    /// The numbers of categories.
    pub fn categories(&self) -> &Labels {
        &self.categories
    }

    /// The numbers of the users' segments.
    pub fn segments(&self) -> &Labels {
        &self.segments
    }

    pub(super) fn segments_mut(&mut self) -> &mut Labels {
        &mut self.segments
    }

    /// Bytes that the catalogue takes, approximately.
    pub fn bytes(&self) -> usize {
        self.bytes + self.rows.len() * (size_of::<Option<Arc<Item>>>() + size_of::<ItemFacts>() + size_of::<u64>())
    }

    /// Creates, replaces or deletes an item.
    pub(super) fn put(&mut self, ix: ItemIx, item: Option<Item>) {
        self.grow(ix as usize + 1);
        self.remove_name(ix);
        let row = ix as usize;
        self.facts[row] = item.as_ref().map_or_else(no_facts, |item| facts(item, &mut self.categories));
        self.rows[row] = item.map(Arc::new);
        if let Some(item) = &self.rows[row] {
            self.live += 1;
            self.bytes += bytes(item, &self.facts[row]);
            let (rows, hasher) = (&self.rows, &self.hasher);
            let hash = |&ix: &ItemIx| rows[ix as usize].as_ref().map_or(0, |item| hasher.hash_one(item.id.as_str()));
            self.names.insert_unique(hash(&ix), ix, hash);
        }
    }

    /// Makes room for items that only the snapshot knows of.
    pub(super) fn grow(&mut self, len: usize) {
        if len > self.rows.len() {
            self.rows.resize(len, None);
            self.facts.resize_with(len, no_facts);
            self.interactions.resize(len, 0);
        }
    }

    #[cfg(test)]
    pub(super) fn rows_for_checks(&self) -> Vec<zhiyin_core::storage::ItemRow> {
        let row = |(ix, item): (ItemIx, &Option<Arc<Item>>)| zhiyin_core::storage::ItemRow {
            ix,
            item: item.as_deref().cloned(),
        };
        (0..).zip(&self.rows).map(row).collect()
    }

    pub(super) fn count(&mut self, ix: ItemIx, interactions: i64) {
        if let Some(count) = self.interactions.get_mut(ix as usize) {
            *count = count.saturating_add_signed(interactions);
        }
    }

    /// [`Items::interactions`] of all items, by number.
    pub fn all_interactions(&self) -> &[u64] {
        &self.interactions
    }

    pub(super) fn set_all_interactions(&mut self, counts: Vec<u64>) {
        self.grow(counts.len());
        self.interactions[..counts.len()].copy_from_slice(&counts);
    }

    fn remove_name(&mut self, ix: ItemIx) {
        let Some(old) = self.rows[ix as usize].take() else { return };
        self.live -= 1;
        self.bytes = self.bytes.saturating_sub(bytes(&old, &self.facts[ix as usize]));
        let hash = self.hasher.hash_one(old.id.as_str());
        if let Ok(entry) = self.names.find_entry(hash, |&known| known == ix) {
            entry.remove();
        }
    }
}

impl PartialEq for Items {
    fn eq(&self, other: &Self) -> bool {
        // Facts follow from the items, and an unknown price, which is no number, equals nothing.
        self.rows == other.rows && self.interactions == other.interactions
    }
}

/// Facts of a deleted item.
fn no_facts() -> ItemFacts {
    ItemFacts { price: UNKNOWN_PRICE, ..ItemFacts::default() }
}

const UNKNOWN_PRICE: f32 = f32::NAN;

#[allow(clippy::cast_possible_truncation, reason = "models need no more digits of a price")]
/// What models may know of an item, its categories numbered by `categories`.
pub(crate) fn facts(item: &Item, categories: &mut Labels) -> ItemFacts {
    ItemFacts {
        text: text(item),
        categories: item.categories.iter().map(|label| categories.number(label)).collect(),
        price: item.price.map_or(UNKNOWN_PRICE, |price| price as f32),
        since_s: item.published_ms.map_or(0, seconds),
    }
}

/// Title, description, tags and textual attributes, in this order.
fn text(item: &Item) -> String {
    let texts = [&item.title, &item.description].into_iter().chain(&item.tags);
    let attributes = item.attributes.values().filter_map(Value::as_str);
    let parts: Vec<&str> = texts.map(String::as_str).chain(attributes).filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// What an encoder reads of an item: title, textual attributes such as the brand, categories, tags, description, in this order, since
/// long texts are cut off at the end. Empty for an item without any text.
pub(crate) fn encoder_text(item: &Item) -> String {
    let attributes = item.attributes.values().filter_map(Value::as_str);
    let labels = item.categories.iter().chain(&item.tags).map(String::as_str);
    let parts = std::iter::once(item.title.as_str()).chain(attributes).chain(labels).chain([item.description.as_str()]);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn bytes(item: &Item, facts: &ItemFacts) -> usize {
    let labels: usize = item.categories.iter().chain(&item.tags).map(|label| label.len() + size_of::<String>()).sum();
    let vector = item.vector.as_ref().map_or(0, |vector| vector.len() * size_of::<f32>());
    // Attributes are maps of small values; what they hold as text is in the facts as well.
    let attributes = item.attributes.len() * 96;
    let texts = item.id.as_str().len() + item.title.len() + item.description.len() + facts.text.len();
    size_of::<Item>() + texts + labels + vector + attributes + facts.categories.len() * size_of::<u32>()
}
