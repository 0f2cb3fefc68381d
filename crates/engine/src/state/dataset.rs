//! A frozen copy of the state for training.

use zhiyin_core::{ActorIx, Interaction};
use zhiyin_models::Dataset;

use super::OnlineState;

/// Everything of the state that models are fitted on, and the actors whose rows are only a part of their sequences because the rest
/// is in the log ([`append_complete`] puts the whole ones in).
///
/// Row `u` is the effective sequence of actor `u`; rows of erased actors are empty. Segments and friends are left out if nobody has
/// any.
pub fn dataset(state: &OnlineState) -> (Dataset, Vec<ActorIx>) {
    let actors = state.actors.len();
    let mut set = Dataset {
        items: state.items.all_facts().to_vec(),
        offsets: Vec::with_capacity(actors + 1),
        ..Dataset::default()
    };
    let (mut segments, mut friends) = (vec![Dataset::NO_SEGMENT; actors], vec![Vec::new(); actors]);
    let mut incomplete = Vec::new();
    set.offsets.push(0);
    for (row, ix) in (0..actors).zip(0..) {
        if let Some(actor) = state.actors.get(ix) {
            set.interactions.extend_from_slice(&actor.history);
            segments[row] = actor.segment.unwrap_or(Dataset::NO_SEGMENT);
            friends[row].clone_from(&actor.extras.friends);
            incomplete.extend(actor.is_incomplete().then_some(ix));
        }
        set.offsets.push(set.interactions.len());
    }
    if segments.iter().any(|&segment| segment != Dataset::NO_SEGMENT) {
        set.segments = segments;
    }
    if friends.iter().any(|friends| !friends.is_empty()) {
        set.friends = friends;
    }
    (set, incomplete)
}

/// The set with the rows of some actors (sorted by number) replaced by their whole sequences.
pub fn append_complete(set: Dataset, whole: &[(ActorIx, Vec<Interaction>)]) -> Dataset {
    if whole.is_empty() {
        return set;
    }
    let mut interactions = Vec::with_capacity(set.interactions.len());
    let mut offsets = Vec::with_capacity(set.offsets.len());
    let mut whole = whole.iter().peekable();
    offsets.push(0);
    for (row, bounds) in set.offsets.windows(2).enumerate() {
        match whole.next_if(|(ix, _)| *ix as usize == row) {
            Some((_, history)) => interactions.extend_from_slice(history),
            None => interactions.extend_from_slice(&set.interactions[bounds[0]..bounds[1]]),
        }
        offsets.push(interactions.len());
    }
    Dataset { interactions, offsets, ..set }
}
