//! What the tests of the store share: small events, decisions and stores.

#![allow(dead_code, reason = "every test program uses a part of it")]

use std::path::Path;

use uuid::Uuid;
use zhiyin_core::{
    ActorIx, Decision, DecisionId, Event, ExternalId, Item, ItemIx, Kind, ShownItem, User,
    event::EventDetails,
    storage::{ActorKind, ActorRow, Batch, ItemRow, StagedEvent},
};
use zhiyin_store::{Store, StoreOptions};

pub const HOUR: i64 = 3_600_000;
pub const START: i64 = 1_700_000_000_000 - 1_700_000_000_000 % HOUR;
pub const ALWAYS: std::ops::Range<i64> = i64::MIN..i64::MAX;

pub fn id(text: &str) -> ExternalId {
    ExternalId::parse("id", text).unwrap()
}

pub fn open(folder: &Path) -> Store {
    Store::open(folder, StoreOptions::default()).unwrap()
}

/// User `user-N` with number N.
pub fn user(ix: ActorIx) -> ActorRow {
    let name = id(&format!("user-{ix}"));
    ActorRow { ix, kind: ActorKind::User, id: name.clone(), linked_user: None, user: Some(User::bare(name)) }
}

/// Session `session-N` with number N.
pub fn session(ix: ActorIx, linked_user: Option<ActorIx>) -> ActorRow {
    ActorRow { ix, kind: ActorKind::Session, id: id(&format!("session-{ix}")), linked_user, user: None }
}

/// Item `item-N` with number N.
pub fn item(ix: ItemIx) -> ItemRow {
    ItemRow { ix, item: Some(Item::bare(id(&format!("item-{ix}")))) }
}

/// An event of user `actor` about `item`.
pub fn event(name: &str, kind: Kind, actor: ActorIx, item: ItemIx) -> StagedEvent {
    let event = Event {
        id: id(name),
        kind,
        user: Some(id(&format!("user-{actor}"))),
        session: None,
        item: Some(id(&format!("item-{item}"))),
        time_ms: START,
        details: EventDetails::default(),
    };
    StagedEvent { event, actor, item: Some(item) }
}

/// The same event, naming a decision.
pub fn after(decision: DecisionId, mut staged: StagedEvent) -> StagedEvent {
    staged.event.details.decision = Some(decision);
    staged
}

/// The same event, with a price and a number of pieces.
pub fn paid(price: f64, quantity: f64, mut staged: StagedEvent) -> StagedEvent {
    staged.event.details.price = Some(price);
    staged.event.details.quantity = Some(quantity);
    staged
}

/// Identity of a decision made at `time_ms`.
pub fn decision_id(time_ms: i64, n: u64) -> DecisionId {
    Uuid::from_u128((time_ms as u128) << 80 | 7 << 76 | 2 << 62 | u128::from(n))
}

/// A decision that showed these items, each from the source named with it.
pub fn decision(time_ms: i64, n: u64, actor: Option<ActorIx>, model: &str, shown: &[(ItemIx, &str)]) -> Decision {
    let item = |(rank, (item, source)): (usize, &(ItemIx, &str))| ShownItem {
        item: *item,
        score: 1.0 / (rank as f32 + 3.0),
        source: (*source).to_owned().into(),
        propensity: 1.0,
    };
    Decision {
        id: decision_id(time_ms, n),
        actor,
        surface: Some("home".into()),
        model: model.into(),
        arm: None,
        fallback: false,
        items: shown.iter().enumerate().map(item).collect(),
    }
}

/// Users 0 to 3 and items 0 to 5.
pub fn cast() -> Batch {
    Batch { actors: (0..4).map(user).collect(), items: (0..6).map(item).collect(), ..Batch::default() }
}

pub fn events(events: Vec<StagedEvent>) -> Batch {
    Batch { events, ..Batch::default() }
}

pub fn decisions(decisions: Vec<Decision>) -> Batch {
    Batch { decisions, ..Batch::default() }
}
