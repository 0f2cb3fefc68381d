//! Collects one transaction. Numbers are given out here, and nothing is applied to the state: if the commit fails, dropping the
//! staging undoes everything.

use ahash::AHashMap;
use zhiyin_core::{
    ActorIx, ExternalId, Item, ItemIx, User,
    storage::{ActorKind, ActorRow, Batch, ItemRow, StagedEvent},
};
use zhiyin_intake::clean::{Finding, Rule, Screened, rules::Refused};

use crate::{config::EventsConfig, state::OnlineState};

/// First numbers that are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Free {
    pub actor: ActorIx,
    pub item: ItemIx,
}

/// One transaction in the making.
pub(crate) struct Staging<'a> {
    state: &'a OnlineState,
    config: &'a EventsConfig,
    pub batch: Batch,
    pub free: Free,
    actors: AHashMap<(ActorKind, ExternalId), ActorIx>,
    items: AHashMap<ExternalId, ItemIx>,
    /// Places in the batch of rows that it writes already.
    actor_rows: AHashMap<ActorIx, usize>,
    item_rows: AHashMap<ItemIx, usize>,
}

impl<'a> Staging<'a> {
    pub(crate) fn new(state: &'a OnlineState, config: &'a EventsConfig, free: Free) -> Self {
        Self {
            state,
            config,
            batch: Batch::default(),
            free,
            actors: AHashMap::new(),
            items: AHashMap::new(),
            actor_rows: AHashMap::new(),
            item_rows: AHashMap::new(),
        }
    }

    /// Stages an event; gives its place among the batch's events.
    ///
    /// # Errors
    /// It names somebody or something unknown, and creating them is off. Nothing is staged then.
    pub(crate) fn event(&mut self, screened: &mut Screened) -> Result<usize, Finding> {
        let event = &screened.event;
        self.check_known(event.user.as_ref(), event.session.as_ref(), event.item.as_ref())?;
        let item = event.item.as_ref().map(|id| self.item(id));
        let user = event.user.as_ref().map(|id| self.actor(ActorKind::User, id));
        let session = event.session.as_ref().map(|id| self.actor(ActorKind::Session, id));
        if let (Some(session), Some(user)) = (session, user) {
            self.tie(session, user);
        }
        // The rules let no event pass that names neither.
        let Some(actor) = user.or(session) else { return Err(Finding::new(Rule::MissingActor, "names no actor")) };
        self.batch.events.push(StagedEvent { event: event.clone(), actor, item });
        Ok(self.batch.events.len() - 1)
    }

    /// Stages a refused event.
    pub(crate) fn refused(&mut self, refused: &Refused, received_ms: i64) {
        self.batch.rejected.push(refused.row(received_ms));
    }

    /// Stages an item, new or changed.
    pub(crate) fn put_item(&mut self, item: Item) {
        let ix = self.find_item(&item.id).unwrap_or_else(|| self.new_item(item.id.clone()));
        self.write_item(ItemRow { ix, item: Some(item) });
    }

    /// Stages a user, new or changed.
    pub(crate) fn put_user(&mut self, user: User) {
        let ix = self.actor(ActorKind::User, &user.id);
        let row = self.actor_row(ix, ActorKind::User, &user.id);
        row.user = Some(user);
    }

    fn check_known(
        &self,
        user: Option<&ExternalId>,
        session: Option<&ExternalId>,
        item: Option<&ExternalId>,
    ) -> Result<(), Finding> {
        if !self.config.create_unknown_users {
            let named = [(ActorKind::User, user), (ActorKind::Session, session)];
            let unknown =
                named.into_iter().find(|(kind, id)| id.is_some_and(|id| self.find_actor(*kind, id).is_none()));
            if let Some((kind, Some(id))) = unknown {
                let kind = if kind == ActorKind::User { "user" } else { "session" };
                let remedy = "create it first, or set events.create_unknown_users";
                return Err(Finding::new(
                    Rule::UnknownUser,
                    format!("{kind} {:?} does not exist; {remedy}", id.as_str()),
                ));
            }
        }
        match item {
            Some(id) if !self.config.create_unknown_items && self.find_item(id).is_none() => {
                let remedy = "create it first, or set events.create_unknown_items";
                Err(Finding::new(Rule::UnknownItem, format!("item {:?} does not exist; {remedy}", id.as_str())))
            }
            _ => Ok(()),
        }
    }

    fn find_actor(&self, kind: ActorKind, id: &ExternalId) -> Option<ActorIx> {
        self.state.actors.find(kind, id.as_str()).or_else(|| {
            let staged = !self.actors.is_empty();
            staged.then(|| self.actors.get(&(kind, id.clone())).copied()).flatten()
        })
    }

    fn find_item(&self, id: &ExternalId) -> Option<ItemIx> {
        self.state.items.find(id.as_str()).or_else(|| self.items.get(id.as_str()).copied())
    }

    fn actor(&mut self, kind: ActorKind, id: &ExternalId) -> ActorIx {
        if let Some(ix) = self.find_actor(kind, id) {
            return ix;
        }
        let ix = self.free.actor;
        self.free.actor += 1;
        self.actors.insert((kind, id.clone()), ix);
        self.actor_row(ix, kind, id);
        ix
    }

    fn item(&mut self, id: &ExternalId) -> ItemIx {
        if let Some(ix) = self.find_item(id) {
            return ix;
        }
        let ix = self.new_item(id.clone());
        self.write_item(ItemRow { ix, item: Some(Item::bare(id.clone())) });
        ix
    }

    fn new_item(&mut self, id: ExternalId) -> ItemIx {
        let ix = self.free.item;
        self.free.item += 1;
        self.items.insert(id, ix);
        ix
    }

    fn write_item(&mut self, row: ItemRow) {
        match self.item_rows.get(&row.ix) {
            Some(&at) => self.batch.items[at] = row,
            None => {
                self.item_rows.insert(row.ix, self.batch.items.len());
                self.batch.items.push(row);
            }
        }
    }

    /// The row of an actor that this batch writes, made from the state if it doesn't yet.
    fn actor_row(&mut self, ix: ActorIx, kind: ActorKind, id: &ExternalId) -> &mut ActorRow {
        let at = *self.actor_rows.entry(ix).or_insert_with(|| {
            let known = self.state.actors.get(ix);
            let linked_user = known.and_then(|actor| actor.linked_user);
            let user = known.and_then(|actor| actor.extras.profile.as_deref().cloned());
            self.batch.actors.push(ActorRow { ix, kind, id: id.clone(), linked_user, user });
            self.batch.actors.len() - 1
        });
        &mut self.batch.actors[at]
    }

    /// Ties a session to a user; the first tie wins.
    fn tie(&mut self, session: ActorIx, user: ActorIx) {
        let staged = self.actor_rows.get(&session).and_then(|&at| self.batch.actors[at].linked_user);
        let known = self.state.actors.get(session);
        if staged.is_some() || known.is_some_and(|actor| actor.linked_user.is_some()) {
            return;
        }
        if let Some(actor) = known {
            let id = actor.id.clone();
            self.actor_row(session, ActorKind::Session, &id).linked_user = Some(user);
        } else if let Some(&at) = self.actor_rows.get(&session) {
            self.batch.actors[at].linked_user = Some(user);
        }
    }
}
