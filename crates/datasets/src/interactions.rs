//! Data sets as the evaluator wants them: a history per user, dense numbers, all in memory.
//!
//! All interactions that speak for an item count as positive with weight 1: every rating whatever its stars, every view, every purchase.
//! What speaks against one (a return, a dislike, a skip) or says nothing (an impression, a search) is dropped and counted.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use zhiyin_core::{EventInput, ExternalId, Interaction, Item, Kind, KindWeights, TimeInput, User, clock::Millis};

use crate::{
    DatasetError, Format, Options, Reader, Record, Source, error::rules, intern::Names, reader::open_with,
    sequences::synthetic_time_s, time::parse_time,
};

/// Histories with dense numbers for users and items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InteractionSet {
    /// Names of the users (or sessions), by number. Numbered as they first occur.
    pub users: Vec<String>,
    /// Names of the items that occur in an interaction, by number. Numbered as they first occur.
    pub items: Vec<String>,
    /// What is known of each item: its title, texts, categories, price. An item of which nothing is known is bare.
    pub item_facts: Vec<Item>,
    /// What is known of each user; a user of whom nothing is known, and a session, is bare.
    pub user_facts: Vec<User>,
    /// Per user, oldest first, ties in the order of the file.
    pub histories: Vec<Vec<Interaction>>,
    /// How many lines or events were dropped, by rule (see [`rules`]).
    pub dropped: BTreeMap<&'static str, u64>,
    /// The data has an order and no times: the times are synthetic, and no protocol that cuts at a point in time makes sense.
    pub order_only: bool,
}

impl InteractionSet {
    /// How many interactions there are.
    pub fn events(&self) -> usize {
        self.histories.iter().map(Vec::len).sum()
    }
}

/// A data set that comes with its own split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SplitSet {
    /// The training part. Its users, items and facts are those of both parts; a user that only the test part has has no history here.
    pub train: InteractionSet,
    /// The histories of the test part, by the same numbers. For data without times they go on where the training part ends.
    pub test: Vec<Vec<Interaction>>,
    /// What was dropped from the test part.
    pub test_dropped: BTreeMap<&'static str, u64>,
}

/// Reads a data set for evaluation. [`Options::evaluation`] are the options whose figures compare with published ones.
///
/// # Errors
/// As [`open_with`]; a file that ends early or is damaged; a source without a single interaction.
pub fn interactions(source: &Source, options: &Options) -> Result<InteractionSet, DatasetError> {
    let mut collector = Collector::default();
    let part = collector.read(source, options)?;
    let (users, items) = (collector.users.names.len(), collector.items.len());
    let order_only = part.is_order_only;
    let dropped = part.dropped.clone();
    let histories = part.into_histories(users, &vec![0; users]);
    debug_assert!(histories.iter().flatten().all(|event| (event.item as usize) < items));
    Ok(collector.into_set(histories, dropped, order_only))
}

/// Reads a data set that is split into two files, with one numbering for both.
///
/// # Errors
/// As [`interactions`], for either file.
pub fn load_pair(train: &Source, test: &Source, options: &Options) -> Result<SplitSet, DatasetError> {
    let mut collector = Collector::default();
    let train_part = collector.read(train, options)?;
    let test_part = collector.read(test, options)?;
    let users = collector.users.names.len();
    let order_only = train_part.is_order_only && test_part.is_order_only;
    let (dropped, test_dropped) = (train_part.dropped.clone(), test_part.dropped.clone());
    let histories = train_part.into_histories(users, &vec![0; users]);
    let lengths: Vec<usize> = histories.iter().map(Vec::len).collect();
    let test = test_part.into_histories(users, &lengths);
    Ok(SplitSet { train: collector.into_set(histories, dropped, order_only), test, test_dropped })
}

/// One interaction before histories are made.
struct Row {
    user: u32,
    item: u32,
    time_ms: Option<Millis>,
}

/// The interactions of one file.
#[derive(Default)]
struct Part {
    rows: Vec<Row>,
    dropped: BTreeMap<&'static str, u64>,
    is_order_only: bool,
}

impl Part {
    fn drop_one(&mut self, rule: &'static str) {
        *self.dropped.entry(rule).or_default() += 1;
    }

    /// When no row has a time, the order of the file is all there is; when some have one, the others are of no use.
    fn settle_times(&mut self, format: Format) {
        let timed = self.rows.iter().filter(|row| row.time_ms.is_some()).count();
        self.is_order_only = format == Format::Sequences || timed == 0;
        let untimed = self.rows.len() - timed;
        if timed > 0 && untimed > 0 {
            self.rows.retain(|row| row.time_ms.is_some());
            *self.dropped.entry(rules::NO_TIME).or_default() += untimed as u64;
        }
    }

    /// A history per user; synthetic times start at the place `first` of the user's history.
    fn into_histories(self, users: usize, first: &[usize]) -> Vec<Vec<Interaction>> {
        let mut timed: Vec<Vec<(Millis, u32)>> = vec![Vec::new(); users];
        for row in &self.rows {
            timed[row.user as usize].push((row.time_ms.unwrap_or_default(), row.item));
        }
        let make = |(mut history, &first): (Vec<(Millis, u32)>, &usize)| -> Vec<Interaction> {
            history.sort_by_key(|&(time_ms, _)| time_ms);
            let place_time = |place: usize, time_ms| match self.is_order_only {
                true => synthetic_time_s(first + place),
                false => seconds(time_ms),
            };
            let interactions = history.iter().enumerate();
            interactions.map(|(place, &(time_ms, item))| Interaction::plain(item, place_time(place, time_ms))).collect()
        };
        timed.into_iter().zip(first).map(make).collect()
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(time_ms: Millis) -> u32 {
    time_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX)) as u32
}

/// Users and anonymous sessions: their names live in separate spaces, their numbers in one.
#[derive(Default)]
struct Actors {
    numbers: Names,
    names: Vec<(bool, String)>,
}

impl Actors {
    fn number(&mut self, is_session: bool, name: &str) -> u32 {
        let key = format!("{}{name}", if is_session { 's' } else { 'u' });
        let number = self.numbers.number(&key);
        if number as usize == self.names.len() {
            self.names.push((is_session, name.to_owned()));
        }
        number
    }
}

/// Gives numbers, and keeps what is known of items and users.
#[derive(Default)]
struct Collector {
    users: Actors,
    items: Names,
    item_facts: FxHashMap<String, Item>,
    user_facts: FxHashMap<String, User>,
    weights: KindWeights,
}

impl Collector {
    fn read(&mut self, source: &Source, options: &Options) -> Result<Part, DatasetError> {
        let mut part = Part::default();
        self.read_records(open_with(source, options)?, &mut part)?;
        part.settle_times(source.format);
        if part.rows.is_empty() {
            return Err(empty(source, &part.dropped));
        }
        Ok(part)
    }

    fn read_records(&mut self, reader: Reader, part: &mut Part) -> Result<(), DatasetError> {
        for record in reader {
            match record {
                Ok(Record::Item(item)) => drop(self.item_facts.insert(item.id.as_str().to_owned(), item)),
                Ok(Record::User(user)) => drop(self.user_facts.insert(user.id.as_str().to_owned(), user)),
                Ok(Record::Event(event)) => match self.row(&event) {
                    Ok(row) => part.rows.push(row),
                    Err(rule) => part.drop_one(rule),
                },
                Err(problem) if problem.rule == rules::UNREADABLE => return Err(problem.into()),
                Err(problem) => part.drop_one(problem.rule),
            }
        }
        Ok(())
    }

    /// The event with numbers for its names, or the rule by which it is dropped.
    fn row(&mut self, event: &EventInput) -> Result<Row, &'static str> {
        self.check_positive(event)?;
        let item = event.item.as_deref().ok_or(rules::NO_ITEM)?;
        let (is_session, actor) = match (&event.user, &event.session) {
            (Some(user), _) => (false, user),
            (None, Some(session)) => (true, session),
            (None, None) => return Err(rules::NO_ACTOR),
        };
        let is_name = |text: &str| ExternalId::parse("id", text).is_ok();
        if !is_name(item) || !is_name(actor) {
            return Err(rules::BAD_ID);
        }
        let time_ms = match &event.time {
            Some(TimeInput::Millis(time_ms)) => Some(*time_ms),
            Some(TimeInput::Text(text)) => Some(parse_time(text).ok_or(rules::BAD_TIME)?),
            None => None,
        };
        Ok(Row { user: self.users.number(is_session, actor), item: self.items.number(item), time_ms })
    }

    /// A kind of one's own counts as positive: why else would it be evaluated.
    fn check_positive(&self, event: &EventInput) -> Result<(), &'static str> {
        let kind = Kind::named(&event.kind);
        if kind == Kind::Purchase && event.quantity.is_some_and(|quantity| quantity < 0.0) {
            return Err(rules::RETURN);
        }
        match self.weights.index(&kind) {
            Some(_) if self.weights.weight(&kind) <= 0.0 => Err(rules::NOT_POSITIVE),
            _ => Ok(()),
        }
    }

    fn into_set(
        mut self,
        histories: Vec<Vec<Interaction>>,
        dropped: BTreeMap<&'static str, u64>,
        order_only: bool,
    ) -> InteractionSet {
        let items = self.items.into_names();
        let bare = |name: &str| ExternalId::parse("id", name).ok();
        let item_facts =
            items.iter().filter_map(|name| self.item_facts.remove(name).or_else(|| bare(name).map(Item::bare)));
        let item_facts = item_facts.collect();
        let user_facts = self.users.names.iter().filter_map(|(is_session, name)| {
            let known = if *is_session { None } else { self.user_facts.remove(name) };
            known.or_else(|| bare(name).map(User::bare))
        });
        let user_facts = user_facts.collect();
        let users = self.users.names.into_iter().map(|(_, name)| name).collect();
        InteractionSet { users, items, item_facts, user_facts, histories, dropped, order_only }
    }
}

fn empty(source: &Source, dropped: &BTreeMap<&'static str, u64>) -> DatasetError {
    let counts: Vec<String> = dropped.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
    let dropped =
        if counts.is_empty() { "the file has no lines".to_owned() } else { format!("dropped: {}", counts.join(", ")) };
    DatasetError::Empty { path: source.path.display().to_string(), dropped }
}
