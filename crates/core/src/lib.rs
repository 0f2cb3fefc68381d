//! The vocabulary of Zhiyin: events, items, users, decisions, limits, and the ports through which the engine reaches storage.
//!
//! This crate does no I/O and knows no model. Everything else depends on it; it depends on nothing of ours.

pub mod capacity;
pub mod clock;
pub mod decision;
pub mod encoder;
pub mod event;
pub mod ids;
pub mod interaction;
pub mod item;
pub mod kind;
pub mod language;
pub mod limits;
pub mod opinion;
pub mod problem;
pub mod storage;
pub mod user;

pub use clock::{Clock, SystemClock, TestClock};
pub use decision::{Decision, DecisionId, ShownItem, decision_id, decision_time, ids_within};
pub use encoder::{EncodeError, Encoder, VectorCache, VectorKey};
pub use event::{Event, EventInput, TimeInput};
pub use ids::{ActorIx, ExternalId, ItemIx};
pub use interaction::{Interaction, Weight};
pub use item::Item;
pub use kind::{Kind, KindWeights};
pub use opinion::{AspectIx, Opinion, Said, Sentiment};
pub use problem::Problem;
pub use user::User;
