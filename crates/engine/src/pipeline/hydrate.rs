//! Who asks: history, segment, friends, dislikes.

use zhiyin_core::{ActorIx, Interaction, ItemIx, Problem, Weight, limits, storage::ActorKind};

use crate::{
    error::EngineError,
    request::RecommendRequest,
    state::{Actor, OnlineState},
};

/// The one who asks, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Asker {
    /// What the request named: `user`, `session` or `anonymous`.
    pub named: &'static str,
    /// Their number, if they are known.
    pub actor: Option<ActorIx>,
    /// Positive interactions, oldest first, the current item last.
    pub history: Vec<Interaction>,
    /// Items that they disliked or skipped, newest last.
    pub negatives: Vec<ItemIx>,
    /// Their segment.
    pub segment: Option<u32>,
    /// Their friends.
    pub friends: Vec<ActorIx>,
}

/// Gathers what is known of the asker, who is all these `actors`. Their histories are in memory.
///
/// # Errors
/// The current item is unknown.
pub(super) fn hydrate(
    state: &OnlineState,
    request: &RecommendRequest,
    actors: &[ActorIx],
    now_s: u32,
) -> Result<Asker, EngineError> {
    let mut asker = Asker { named: named(request), ..Asker::default() };
    for &ix in actors {
        if let Some(actor) = state.actors.get(ix) {
            add_actor(&mut asker, ix, actor);
        }
    }
    // Histories of a user and of tied sessions are each in order; together they are put in order of time.
    asker.history.sort_by_key(|event| event.time_s);
    let surplus = asker.history.len().saturating_sub(limits::HISTORY_MAX);
    asker.history.drain(..surplus);
    if let Some(id) = &request.item {
        let item = current_item(state, id)?;
        asker.history.retain(|event| event.item != item);
        asker.history.push(Interaction { weight: Weight::ONE, ..Interaction::plain(item, now_s) });
    }
    Ok(asker)
}

fn named(request: &RecommendRequest) -> &'static str {
    match (&request.user, &request.session) {
        (Some(_), _) => "user",
        (None, Some(_)) => "session",
        (None, None) => "anonymous",
    }
}

/// Numbers of all actors whose histories are the asker's: the user and the sessions tied to them.
pub(super) fn actors_of(state: &OnlineState, request: &RecommendRequest) -> Vec<ActorIx> {
    let user = request.user.as_ref().and_then(|id| state.actors.find(ActorKind::User, id));
    let session = request.session.as_ref().and_then(|id| state.actors.find(ActorKind::Session, id));
    let tied = session.and_then(|ix| state.actors.get(ix)).and_then(|actor| actor.linked_user);
    let main = user.or(tied);
    let mut all: Vec<ActorIx> = main.into_iter().chain(session).collect();
    if let Some(actor) = main.and_then(|ix| state.actors.get(ix)) {
        all.extend(&actor.extras.sessions);
    }
    // The first one stays first: it is the one that decisions are filed under.
    let mut seen = Vec::new();
    all.retain(|ix| {
        !seen.contains(ix) && {
            seen.push(*ix);
            true
        }
    });
    all
}

fn add_actor(asker: &mut Asker, ix: ActorIx, actor: &Actor) {
    asker.actor.get_or_insert(ix);
    asker.history.extend_from_slice(&actor.history);
    asker.negatives.extend(actor.extras.negatives.iter().map(|(item, _)| *item));
    asker.segment = asker.segment.or(actor.segment);
    asker.friends.extend(&actor.extras.friends);
}

fn current_item(state: &OnlineState, id: &str) -> Result<ItemIx, EngineError> {
    state.items.find(id).ok_or_else(|| {
        EngineError::NotFound(Problem::field(
            "item",
            format!("{id:?} is not in the catalogue"),
            "create the item first",
        ))
    })
}
