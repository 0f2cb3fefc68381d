//! Items and users: creating, replacing, reading, listing, deleting.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use zhiyin_core::{
    Item, Problem, User, limits,
    storage::{ActorKind, Batch, Erased, ItemRow},
};
use zhiyin_intake::{clean::rules, filter::Filter};

use crate::{
    engine::{Engine, check_batch},
    error::EngineError,
    writer::{Writer, queue::Work},
};

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Engine {
    /// Creates or replaces items, all or none. Durable and visible to the next request when it returns; idempotent.
    ///
    /// # Errors
    /// An item breaks a rule, too many at once, or storage failed: nothing was changed then.
    pub async fn put_items(&self, items: Vec<Item>) -> Result<(), EngineError> {
        check_batch("items", items.len())?;
        items.iter().try_for_each(check_item)?;
        self.change(items.len(), |reply| Work::Items(items, reply)).await
    }

    /// Deletes an item; whether there was one. Durable and visible when it returns; idempotent.
    ///
    /// # Errors
    /// Storage failed: nothing was changed then.
    pub async fn delete_item(&self, id: &str) -> Result<bool, EngineError> {
        self.change(0, |reply| Work::DeleteItem(id.to_owned(), reply)).await
    }

    /// An item.
    pub fn item(&self, id: &str) -> Option<Arc<Item>> {
        let state = self.state();
        state.items.find(id).and_then(|ix| state.items.get(ix)).cloned()
    }

    /// Whether any item that may be shown now passes a filter. Looks at the whole catalogue if none does.
    ///
    /// # Errors
    /// The filter is wrong.
    pub fn any_item_passes(&self, filter: &str) -> Result<bool, EngineError> {
        let filter = Filter::parse(filter)?;
        let (state, now_ms) = (self.state(), self.clock().now_ms());
        let numbers = 0..u32::try_from(state.items.len()).unwrap_or(u32::MAX);
        Ok(numbers.filter_map(|ix| state.items.get(ix)).any(|item| item.is_live(now_ms) && filter.matches(item)))
    }

    /// Items in the order in which they were created, from the cursor `after` of an earlier page on. Pages never repeat or skip an
    /// item that exists all the while.
    ///
    /// # Errors
    /// The cursor is none of ours.
    pub fn items(&self, after: Option<&str>, limit: usize) -> Result<Page<Arc<Item>>, EngineError> {
        let state = self.state();
        let from = start(after)?;
        let numbers = from..u32::try_from(state.items.len()).unwrap_or(u32::MAX).max(from);
        let rows = numbers.filter_map(|ix| Some((ix, state.items.get(ix)?.clone())));
        Ok(page(rows, limit))
    }

    /// Creates or replaces users, all or none. Durable and visible to the next request when it returns; idempotent.
    ///
    /// # Errors
    /// A user breaks a rule, too many at once, or storage failed: nothing was changed then.
    pub async fn put_users(&self, users: Vec<User>) -> Result<(), EngineError> {
        check_batch("users", users.len())?;
        users.iter().try_for_each(check_user)?;
        self.change(users.len(), |reply| Work::Users(users, reply)).await
    }

    /// A user; one who is only known by events has nothing but the name.
    pub fn user(&self, id: &str) -> Option<Arc<User>> {
        let state = self.state();
        let actor = state.actors.find(ActorKind::User, id).and_then(|ix| state.actors.get(ix))?;
        Some(actor.extras.profile.clone().unwrap_or_else(|| Arc::new(User::bare(actor.id.clone()))))
    }

    /// The items that may be shown now and that most events are about, with the numbers of these, busiest first.
    pub fn busiest_items(&self, limit: usize) -> Vec<(Arc<Item>, u64)> {
        let (state, now_ms) = (self.state(), self.clock().now_ms());
        let numbers = 0..u32::try_from(state.items.len()).unwrap_or(u32::MAX);
        let live = numbers.filter_map(|ix| Some((state.items.get(ix).filter(|item| item.is_live(now_ms))?, ix)));
        let mut items: Vec<_> = live.map(|(item, ix)| (Arc::clone(item), state.items.interactions(ix))).collect();
        items.sort_by_key(|(_, events)| std::cmp::Reverse(*events));
        items.truncate(limit);
        items
    }

    /// Users in the order in which they were first seen, from the cursor `after` of an earlier page on. Pages never repeat or skip a
    /// user that exists all the while.
    ///
    /// # Errors
    /// The cursor is none of ours.
    pub fn users(&self, after: Option<&str>, limit: usize) -> Result<Page<Arc<User>>, EngineError> {
        let state = self.state();
        let users = state.actors.iter_from(start(after)?).filter(|(_, actor)| actor.kind == ActorKind::User);
        let rows = users.map(|(ix, actor)| {
            (ix, actor.extras.profile.clone().unwrap_or_else(|| Arc::new(User::bare(actor.id.clone()))))
        });
        Ok(page(rows, limit))
    }

    /// Erases a user and the sessions tied to the user: events, decisions, and every trace in the state, which is then as if they had
    /// never been. Fitted models that are not made of counts keep what they learned until the next training.
    ///
    /// # Errors
    /// The user doesn't exist, or storage failed: nothing was changed then.
    pub async fn delete_user(&self, id: &str) -> Result<Erased, EngineError> {
        self.change(0, |reply| Work::DeleteUser(id.to_owned(), reply)).await
    }
}

impl Writer {
    pub(crate) fn delete_item(&mut self, id: &str) -> Result<bool, EngineError> {
        let Some(ix) = self.core.state.read().items.find(id) else { return Ok(false) };
        let row = ItemRow { ix, item: None };
        self.core.storage.commit(&Batch { items: vec![row], ..Batch::default() })?;
        self.core.state.write().put_item(ix, None);
        self.core.texts.changed(std::iter::once(ix));
        Ok(true)
    }
}

/// The first number of a page.
fn start(after: Option<&str>) -> Result<u32, Problem> {
    let Some(cursor) = after else { return Ok(0) };
    let number = cursor.strip_prefix('n').and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| {
        Problem::field("after", "is no cursor of this listing", "use `next` of the page before, or none")
    })
}

fn page<T>(rows: impl Iterator<Item = (u32, T)>, limit: usize) -> Page<T> {
    let limit = limit.clamp(1, limits::PAGE_ROWS_MAX);
    let mut rows = rows.peekable();
    let mut taken = Vec::new();
    while taken.len() < limit {
        let Some((_, row)) = rows.next() else { break };
        taken.push(row);
    }
    Page { rows: taken, next: rows.peek().map(|(ix, _)| format!("n{ix:x}")) }
}

fn check_item(item: &Item) -> Result<(), Problem> {
    let problem =
        |field: &str, rule: String, remedy: &str| Problem::field(format!("items[{}].{field}", item.id), rule, remedy);
    for (field, text) in [("title", &item.title), ("description", &item.description)] {
        if text.len() > limits::TEXT_BYTES_MAX {
            let rule = format!("has {} bytes, at most {} are allowed", text.len(), limits::TEXT_BYTES_MAX);
            return Err(problem(field, rule, "shorten it"));
        }
    }
    for (field, labels) in [("categories", &item.categories), ("tags", &item.tags)] {
        check_labels(labels).map_err(|rule| problem(field, rule, "use fewer and shorter ones"))?;
    }
    if let Some(price) = item.price.filter(|price| !price.is_finite() || *price < 0.0) {
        return Err(problem("price", format!("is {price}"), "give a finite number of at least 0, or leave it out"));
    }
    check_vector(item.vector.as_deref())
        .map_err(|rule| problem("vector", rule, "send finite numbers within the limit"))?;
    check_attributes(&item.attributes).map_err(|rule| problem("attributes", rule, "send less"))
}

fn check_labels(labels: &[String]) -> Result<(), String> {
    if labels.len() > limits::LABELS_MAX {
        return Err(format!("has {} entries, at most {} are allowed", labels.len(), limits::LABELS_MAX));
    }
    match labels.iter().find(|label| label.is_empty() || label.len() > limits::ID_BYTES_MAX) {
        Some(label) => Err(format!("has an entry of {} bytes, 1 to {} are allowed", label.len(), limits::ID_BYTES_MAX)),
        None => Ok(()),
    }
}

fn check_vector(vector: Option<&[f32]>) -> Result<(), String> {
    let Some(vector) = vector else { return Ok(()) };
    if vector.is_empty() || vector.len() > limits::VECTOR_DIMENSIONS_MAX {
        return Err(format!("has {} dimensions, 1 to {} are allowed", vector.len(), limits::VECTOR_DIMENSIONS_MAX));
    }
    if vector.iter().any(|number| !number.is_finite()) {
        return Err("has an infinite number or one that is none".into());
    }
    Ok(())
}

fn check_attributes(attributes: &Map<String, Value>) -> Result<(), String> {
    rules::attributes(attributes).map_err(|(_, wrong)| wrong)
}

fn check_user(user: &User) -> Result<(), Problem> {
    let problem =
        |field: &str, rule: String, remedy: &str| Problem::field(format!("users[{}].{field}", user.id), rule, remedy);
    if user.friends.len() > limits::FRIENDS_MAX {
        let rule = format!("has {} entries, at most {} are allowed", user.friends.len(), limits::FRIENDS_MAX);
        return Err(problem("friends", rule, "name the closest ones only"));
    }
    check_attributes(&user.attributes).map_err(|rule| problem("attributes", rule, "send less"))
}
