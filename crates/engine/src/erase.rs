//! Forgetting a user for good, and exchanging the online models.
//!
//! Both rest on the invariant of [`crate::state`]: the models are the sum of the steps of all actors' effective sequences. An actor
//! is forgotten by unfolding their sequence. Models that were fitted a while ago are brought up to date by exchanging, for every
//! actor whose sequence has changed since, the old steps for the new ones.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use zhiyin_core::{
    ActorIx, ItemIx, Problem,
    storage::{ActorKind, Batch, Erased},
};
use zhiyin_models::{Dataset, Histories};

use crate::{
    engine::{Core, Frozen},
    error::EngineError,
    listen::Listener,
    online::OnlineModels,
    state::{Sequence, fold_all, unfold_all},
    writer::{Writer, queue::Replacement},
};

/// Events that are read at once.
const ROWS: usize = 8_192;

impl Writer {
    /// Erases a user and the tied sessions.
    ///
    /// Snapshots hold the user's history and go first: should the process die before the state is clean, the next start rebuilds it
    /// from the log, which doesn't have the user any more.
    pub(crate) fn delete_user(&mut self, id: &str) -> Result<Erased, EngineError> {
        let core = Arc::clone(&self.core);
        let group = {
            let state = core.state.read();
            let user = state.actors.find(ActorKind::User, id);
            user.map(|ix| state.actors.group(ix))
        };
        let Some(group) = group else {
            let rule = format!("{id:?} does not exist");
            return Err(EngineError::NotFound(Problem::field(
                "user",
                rule,
                "check the name; an erased user stays erased",
            )));
        };
        self.leave_friends(id)?;
        let events = core.storage.events_of(&group)?;
        core.snapshots.remove_all()?;
        self.snapshot_due = true;
        let erased = core.storage.erase(&group)?;
        let meaning = core.state.read().meaning().clone();
        for &ix in &group {
            let own = || events.iter().filter(|event| event.staged.actor == ix);
            self.unfold(ix, &Sequence::of(&meaning, own()));
            core.state.write().remove_actor(ix, own().count() as u64);
        }
        events.iter().for_each(|event| self.habits.forget(&event.staged.event));
        Ok(erased)
    }

    /// Takes a user's name out of the friends of all others, durably. Comes before the erasure: should that fail, the user can be
    /// erased again, while a name that stayed in a profile would have nothing left to be found by.
    fn leave_friends(&mut self, id: &str) -> Result<(), EngineError> {
        let former = self.core.state.read().actors.without_friend(id);
        if former.is_empty() {
            return Ok(());
        }
        let mut batch = Batch { actors: former, ..Batch::default() };
        self.core.storage.commit(&batch)?;
        self.apply_rows(&mut batch)
    }

    /// Puts models that were fitted on `frozen` in the place of the present ones.
    pub(crate) fn replace(&mut self, replacement: Replacement) -> Result<(), EngineError> {
        let Replacement { frozen, mut models, listener } = replacement;
        let core = Arc::clone(&self.core);
        hear_since(&core, &frozen, &listener, &mut models)?;
        for ix in changed_since(&core, &frozen)? {
            exchange(&core, &frozen.data, &mut models, ix)?;
        }
        let (changed, gone) = changed_items(&core, &frozen.data);
        {
            let state = core.state.read();
            models.content.upsert_all(changed.into_iter().map(|ix| (ix, state.items.facts(ix))));
        }
        gone.into_iter().for_each(|ix| models.remove_item(ix));
        crate::open::write_params(&core.params_file, &models.params())?;
        listener.save(core.params_file.parent().unwrap_or(Path::new(".")))?;
        {
            let mut state = core.state.write();
            state.models = models;
            state.set_listener(listener);
        }
        // Older snapshots have other hyper-parameters or another reader and would be passed over at the next start.
        self.snapshot_or_warn();
        Ok(())
    }
}

/// Brings what was heard up to date: what was said since, and by whom nothing may be known any more.
fn hear_since(core: &Core, frozen: &Frozen, listener: &Listener, models: &mut OnlineModels) -> Result<(), EngineError> {
    let mut after = frozen.position;
    loop {
        let events = core.storage.events_after(after, ROWS)?;
        let Some(last) = events.last() else { break };
        after = last.position;
        let said = events.iter().filter_map(|event| listener.hear(event.position, &event.staged));
        said.for_each(|said| models.feedback.learn(said));
    }
    let state = core.state.read();
    let erased: Vec<ActorIx> = models.feedback.actors().filter(|&ix| state.actors.get(ix).is_none()).collect();
    erased.into_iter().for_each(|ix| models.feedback.forget(ix));
    Ok(())
}

/// Actors whose sequence or segment may differ from the frozen one.
fn changed_since(core: &Core, frozen: &Frozen) -> Result<BTreeSet<ActorIx>, EngineError> {
    let mut changed = BTreeSet::new();
    let mut after = frozen.position;
    loop {
        let events = core.storage.events_after(after, ROWS)?;
        let Some(last) = events.last() else { break };
        after = last.position;
        changed.extend(events.iter().map(|event| event.staged.actor));
    }
    let state = core.state.read();
    for ix in 0..u32::try_from(frozen.data.n_actors()).unwrap_or(u32::MAX) {
        let actor = state.actors.get(ix);
        let erased = actor.is_none() && !frozen.data.of(ix).is_empty();
        if erased || actor.is_some_and(|actor| actor.segment != frozen.data.segment(ix)) {
            changed.insert(ix);
        }
    }
    Ok(changed)
}

/// Exchanges an actor's frozen steps for the present ones.
fn exchange(core: &Core, frozen: &Dataset, models: &mut OnlineModels, ix: ActorIx) -> Result<(), EngineError> {
    unfold_all(models, ix, frozen.segment(ix), frozen.of(ix));
    let state = core.state.read();
    let present = state.actors.get(ix).map(|actor| (actor.segment, actor.is_incomplete(), actor.history.clone()));
    drop(state);
    match present {
        None => {}
        Some((segment, false, history)) => fold_all(models, ix, segment, &history),
        Some((segment, true, _)) => {
            for (_, sequence) in core.sequences(&[ix])? {
                fold_all(models, ix, segment, &sequence.history);
            }
        }
    }
    Ok(())
}

/// Items that changed since, and those that were deleted.
fn changed_items(core: &Core, frozen: &Dataset) -> (Vec<ItemIx>, Vec<ItemIx>) {
    let state = core.state.read();
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    for ix in 0..u32::try_from(state.items.len()).unwrap_or(u32::MAX) {
        let known = frozen.items.get(ix as usize);
        let now = state.items.facts(ix);
        let same = known.is_some_and(|known| known.text == now.text && known.categories == now.categories);
        if state.items.get(ix).is_none() {
            gone.push(ix);
        } else if !same {
            changed.push(ix);
        }
    }
    (changed, gone)
}
