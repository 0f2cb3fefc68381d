//! Lists for a wish: ordered by a part of the asker's own history, by items that were named, and by the meaning of what was typed.
//!
//! What the sources say of the asker and the likeness in meaning have equal shares in the score, as in [`crate::search`]: there is no data of
//! wishes yet to choose them by.

use std::{ops::Range, sync::Arc};

use zhiyin_core::{Interaction, Item, Kind, Weight, clock::Millis};
use zhiyin_models::{Scores, fusion::Standard};

use super::{Purpose, Run, actors_of, chosen_fusion, seconds, with_resemblance};
use crate::{
    engine::Engine,
    error::EngineError,
    request::{RecommendRequest, Recommendations},
    state::OnlineState,
};

/// Source and kind of reason of the likeness to what was typed.
pub(super) const WISH: &str = "wish";

/// What is wished for, besides a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// Things like those of the asker's own history.
    pub own: Option<OwnHistory>,
    /// Things like these items.
    pub items: Vec<String>,
    /// What was typed.
    pub words: String,
    /// What the encoder makes of it.
    pub vector: Option<Vec<f32>>,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnHistory {
    /// What was done; anything when absent.
    pub kinds: Vec<Kind>,
    /// When.
    pub window_ms: Range<Millis>,
}

/// What the order of a list goes by.
pub(super) struct Basis<'a> {
    /// What the sources read in place of the whole history.
    pub history: Vec<Interaction>,
    pub wish: &'a Wish,
}

impl Engine {
    /// [`Engine::recommend`] for a wish, and how many interactions of the asker's own history it went by: none if there are none such, and the
    /// whole history counts. Reads the log, so it blocks.
    ///
    /// # Errors
    /// As [`Engine::recommend`]; an item that isn't in the catalogue; failing storage.
    pub fn recommend_for_wish(
        &self,
        request: &RecommendRequest,
        wish: &Wish,
    ) -> Result<(Recommendations, usize), EngineError> {
        let trained = self.trained();
        let resembling = with_resemblance(&trained.fusion);
        let base = if wish.items.is_empty() { &trained.fusion } else { &resembling };
        let fusion = chosen_fusion(base, request.sources.as_deref())?;
        let mut history = self.own_history(request, wish)?;
        let own = history.len();
        let now_s = seconds(self.clock().now_ms());
        let named = wish.items.iter().filter_map(|id| self.item_number(id));
        history.extend(named.map(|item| Interaction { weight: Weight::ONE, ..Interaction::plain(item, now_s) }));
        let basis = Basis { history, wish };
        let answer = self.answer(request, &trained, &fusion, Purpose::Wish(&basis), None)?;
        Ok((answer, own))
    }

    /// The interactions that the wish is about, oldest first.
    fn own_history(&self, request: &RecommendRequest, wish: &Wish) -> Result<Vec<Interaction>, EngineError> {
        let Some(OwnHistory { kinds, window_ms }) = &wish.own else { return Ok(Vec::new()) };
        let actors = actors_of(&self.state(), request);
        let window_s = seconds(window_ms.start)..seconds(window_ms.end);
        let is_meant = |event: &Interaction| {
            let kind = self.kinds().kind(event.kind);
            window_s.contains(&event.time_s) && (kinds.is_empty() || kind.is_some_and(|kind| kinds.contains(kind)))
        };
        let sequences = self.core.sequences(&actors)?;
        let mut own: Vec<Interaction> = sequences.into_iter().flat_map(|(_, sequence)| sequence.history).collect();
        own.retain(is_meant);
        own.sort_by_key(|event| event.time_s);
        own.drain(..own.len().saturating_sub(zhiyin_core::limits::HISTORY_MAX));
        Ok(own)
    }

    /// When the asker of a request was last heard of.
    pub fn newest_event_ms(&self, request: &RecommendRequest) -> Option<Millis> {
        let state = self.state();
        let newest = |ix| state.actors.get(ix)?.history.last().map(|event| Millis::from(event.time_s) * 1_000);
        actors_of(&state, request).into_iter().filter_map(newest).max()
    }

    /// The item that somebody calls so: by its identifier, else the one whose words are the most alike.
    pub fn item_called(&self, name: &str) -> Option<Arc<Item>> {
        if let Some(item) = self.item(name) {
            return Some(item);
        }
        let (state, now_ms) = (self.state(), self.clock().now_ms());
        let found = state.models.content.search(name, state.items.len()).into_iter();
        let live = found.filter_map(|(ix, _)| state.items.get(ix).filter(|item| item.is_live(now_ms)));
        live.map(Arc::clone).next()
    }
}

impl Run<'_> {
    /// Adds the likeness to what was typed, with as much weight as all sources together.
    pub(super) fn add_likeness(&self, state: &OnlineState, fused: &mut Scores, likeness: &mut Scores) {
        likeness.reset(state.items.len());
        let Purpose::Wish(Basis { wish, .. }) = self.purpose else { return };
        let Some(vector) = wish.vector.as_ref().filter(|vector| vector.len() == self.text.dims_in()) else { return };
        for (item, cosine) in self.text.nearest(&wish.words, vector, state.items.len()) {
            likeness.add(item, cosine);
        }
        let weight = self.fusion.weights.iter().sum::<f32>() * Standard::measure(likeness).scale;
        likeness.scale(|_| weight);
        for &item in likeness.touched() {
            fused.add(item, likeness.get(item));
        }
    }
}
