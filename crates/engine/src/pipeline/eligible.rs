//! Which items may be in the list, and why the others may not.

use rustc_hash::FxHashSet;
use zhiyin_core::{ItemIx, Kind, KindWeights};

use super::{hydrate::Asker, plan::Plan};
use crate::{config::ExcludeSeen, state::OnlineState};

/// The rules for one request.
pub(super) struct Eligibility<'a> {
    state: &'a OnlineState,
    plan: &'a Plan,
    seen: FxHashSet<ItemIx>,
    disliked: FxHashSet<ItemIx>,
}

impl<'a> Eligibility<'a> {
    pub(super) fn new(state: &'a OnlineState, plan: &'a Plan, asker: &Asker, kinds: &KindWeights) -> Self {
        let counts_as_seen = |kind: u16| match plan.exclude_seen {
            ExcludeSeen::None => false,
            ExcludeSeen::All => true,
            ExcludeSeen::Consumed => kinds.kind(kind).is_some_and(is_consumption),
        };
        let seen = asker.history.iter().filter(|event| counts_as_seen(event.kind)).map(|event| event.item);
        let disliked = asker.negatives.iter().copied();
        Self { state, plan, seen: seen.collect(), disliked: disliked.collect() }
    }

    /// Why an item may not be in the list; none if it may.
    pub(super) fn objection(&self, item: ItemIx) -> Option<&'static str> {
        let Some(row) = self.state.items.get(item).filter(|row| row.is_live(self.plan.now_ms)) else {
            return Some("unavailable");
        };
        if self.plan.exclude.contains(&item) {
            return Some("excluded");
        }
        if self.plan.shown_set.contains(&item) {
            return Some("shown-before");
        }
        if self.disliked.contains(&item) {
            return Some("disliked");
        }
        if self.seen.contains(&item) {
            return Some("seen");
        }
        let passes = self.plan.filter.as_ref().is_none_or(|filter| filter.matches(row));
        (!passes).then_some("filter")
    }
}

fn is_consumption(kind: &Kind) -> bool {
    matches!(kind, Kind::Purchase | Kind::Rating | Kind::Review | Kind::Play | Kind::Dislike)
}
