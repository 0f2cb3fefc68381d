//! One user or anonymous session. There are many, so the record is small.

use std::{mem, ops::Deref, sync::Arc};

use zhiyin_core::{
    ActorIx, ExternalId, Interaction, ItemIx, User,
    storage::{ActorKind, ActorRow},
};

/// A user or an anonymous session.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// User or session.
    pub kind: ActorKind,
    /// The client's name.
    pub id: ExternalId,
    /// For a session: the user whom it is tied to.
    pub linked_user: Option<ActorIx>,
    /// The last interactions of the effective sequence, oldest first, at most [`zhiyin_core::limits::HISTORY_MAX`].
    pub history: Vec<Interaction>,
    /// Sessions, dislikes, friends and profile.
    pub extras: Extras,
    /// Number of the user's segment.
    pub segment: Option<u32>,
    /// Whether history and negatives are in the log only.
    pub evicted: bool,
    /// Whether the effective sequence is longer than the history.
    pub cut: bool,
    /// Second of the newest event of any kind.
    pub last_s: u32,
}

impl Actor {
    pub(super) fn new(row: &ActorRow) -> Self {
        Self {
            kind: row.kind,
            id: row.id.clone(),
            linked_user: None,
            history: Vec::new(),
            extras: Extras::default(),
            segment: None,
            evicted: false,
            cut: false,
            last_s: 0,
        }
    }

    /// Whether the log is needed to know the whole effective sequence.
    pub fn is_incomplete(&self) -> bool {
        self.evicted || self.cut
    }

    pub(super) fn history_bytes(&self) -> usize {
        self.history.capacity() * size_of::<Interaction>()
            + self.extras.negatives.capacity() * size_of::<(ItemIx, u32)>()
    }
}

/// What most actors have nothing of.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// For a user: the sessions that are tied to it, by number.
    pub sessions: Vec<ActorIx>,
    /// Items that the actor spoke against, with the second, newest last, bounded.
    pub negatives: Vec<(ItemIx, u32)>,
    /// Friends that exist, by number.
    pub friends: Vec<ActorIx>,
    /// What is known of the user besides events; none if only the name is known.
    pub profile: Option<Arc<User>>,
}

static NOTHING: Extra = nothing();

const fn nothing() -> Extra {
    Extra { sessions: Vec::new(), negatives: Vec::new(), friends: Vec::new(), profile: None }
}

/// An [`Extra`] that takes no more than a pointer while there is nothing in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras(Option<Box<Extra>>);

impl Extras {
    /// Changes what there is.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Extra) -> T) -> T {
        let mut extra = self.0.as_mut().map_or(nothing(), |extra| mem::replace(extra, nothing()));
        let result = change(&mut extra);
        self.0 = (extra != NOTHING).then(|| Box::new(extra));
        result
    }
}

impl Deref for Extras {
    type Target = Extra;

    fn deref(&self) -> &Extra {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_stays_small_and_extras_leave_nothing_behind() {
        assert_eq!(size_of::<Option<Actor>>(), 72);
        let mut extras = Extras::default();
        extras.change(|extra| extra.friends.push(7));
        assert_eq!((&extras.friends[..], extras.sessions.len()), (&[7][..], 0));
        assert_eq!(extras.change(|extra| extra.friends.pop()), Some(7));
        assert_eq!(extras, Extras::default());
    }
}
