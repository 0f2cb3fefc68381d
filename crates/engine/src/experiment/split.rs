//! From interactions to what is fitted on, what is chosen by, and what is measured.

use serde_json::Value;
use zhiyin_core::{ActorIx, Interaction, Item, ItemIx, User};
use zhiyin_models::{Dataset, ItemFacts, ItemVectors, dataset::Labels};

use crate::rank::{Case, Cases};

/// Interactions to evaluate on.
#[derive(Clone, Debug, Default)]
pub struct ExperimentData {
    /// Name of the file or folder, for the report.
    pub name: String,
    /// Facts by item.
    pub items: Vec<ItemFacts>,
    /// History of each user or session, oldest first.
    pub histories: Vec<Vec<Interaction>>,
    /// The second file of protocols with a given split: history of the same users (or of other sessions).
    pub test_histories: Option<Vec<Vec<Interaction>>>,
    /// Segment of each user, or empty.
    pub segments: Vec<u32>,
    /// Friends of each user, or empty.
    pub friends: Vec<Vec<ActorIx>>,
    /// Title of each item; empty where it has none.
    pub titles: Vec<String>,
    /// What an encoder reads of each item; empty where there is nothing to read.
    pub texts: Vec<String>,
    /// What an encoder made of the texts, or nothing.
    pub vectors: ItemVectors,
    /// Whether the times only tell the order within a history.
    pub order_only: bool,
}

impl ExperimentData {
    /// Data from a catalogue, users and their histories. `users` may be empty; else users and histories go together.
    pub fn new(
        name: String,
        items: &[Item],
        users: &[User],
        segment_attribute: &str,
        histories: Vec<Vec<Interaction>>,
        order_only: bool,
    ) -> Self {
        let (mut categories, mut segments) = (Labels::default(), Labels::default());
        let segment_of = |user: &User| match user.attributes.get(segment_attribute).and_then(Value::as_str) {
            Some(label) => segments.number(label),
            None => Dataset::NO_SEGMENT,
        };
        let texts = items.iter().map(crate::state::encoder_text).collect();
        let titles = items.iter().map(|item| item.title.clone()).collect();
        let items = items.iter().map(|item| crate::state::facts(item, &mut categories)).collect();
        let segments: Vec<u32> = users.iter().map(segment_of).collect();
        let has_segments = segments.iter().any(|segment| *segment != Dataset::NO_SEGMENT);
        let segments = if has_segments { segments } else { Vec::new() };
        Self { name, items, titles, texts, histories, segments, order_only, ..Self::default() }
    }
}

/// Which of the test cases a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// No distinction.
    Whole,
    /// The target was in the training part.
    Warm,
    /// The target was not.
    Cold,
    /// The history had this many events.
    Events(u8),
}

/// A case that owns its history.
#[derive(Clone, Debug)]
pub struct OwnedCase {
    /// The actor, if they are one of the training part.
    pub actor: Option<ActorIx>,
    /// What was known, oldest first.
    pub history: Vec<Interaction>,
    /// What was chosen.
    pub targets: Vec<ItemIx>,
    /// When.
    pub now_s: u32,
    /// The unit of the bootstrap: cases of one user or session belong together.
    pub unit: u32,
    /// Its group.
    pub group: Group,
}

impl From<&Case<'_>> for OwnedCase {
    fn from(case: &Case<'_>) -> Self {
        Self {
            actor: case.actor,
            history: case.history.to_vec(),
            targets: case.targets.clone(),
            now_s: case.now_s,
            unit: case.actor.unwrap_or(0),
            group: Group::Whole,
        }
    }
}

/// A set of these histories with the items, segments and friends of the data.
pub fn dataset_of(data: &ExperimentData, histories: &[Vec<Interaction>]) -> Dataset {
    let mut set = Dataset::from_histories(data.items.clone(), histories.iter().map(Vec::as_slice));
    set.segments.clone_from(&data.segments);
    set.friends.clone_from(&data.friends);
    set.vectors.clone_from(&data.vectors);
    set
}

/// A split: everything that a protocol decides.
pub struct Split {
    /// What models are fitted on while hyper-parameters and weights are chosen.
    pub train: Dataset,
    /// By what they are chosen.
    pub validation: Vec<OwnedCase>,
    /// What they are fitted on again, with the choices kept, before the test; none if the protocol forbids it.
    pub refit: Option<Dataset>,
    /// What is measured.
    pub test: Vec<OwnedCase>,
    /// Whether items of the history are left out of the rankings.
    pub mask_history: bool,
    /// Items that were removed from the training part, for `cold-items`.
    pub cold_items: Vec<bool>,
}

impl Split {
    /// What is known when the test begins.
    pub fn known(&self) -> &Dataset {
        self.refit.as_ref().unwrap_or(&self.train)
    }

    /// Owned cases as the scorer takes them.
    pub fn cases<'a>(&self, owned: &'a [OwnedCase], data: &'a Dataset) -> Cases<'a> {
        let list = owned.iter().map(|case| Case {
            actor: case.actor,
            segment: case.actor.and_then(|actor| data.segment(actor)),
            history: &case.history,
            targets: case.targets.clone(),
            now_s: case.now_s,
        });
        Cases {
            list: list.collect(),
            histories: data,
            friends: &data.friends,
            n_items: data.n_items(),
            mask_history: self.mask_history,
        }
    }
}
