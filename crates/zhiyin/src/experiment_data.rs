//! From a data set as it is read to the data of an experiment.

use std::collections::HashMap;

use anyhow::Result;
use zhiyin_core::{ActorIx, User};
use zhiyin_datasets::{InteractionSet, Options, Source};
use zhiyin_engine::{EngineConfig, experiment::ExperimentData};

/// Reads `source` as published figures read it.
///
/// # Errors
/// Files that cannot be read.
pub fn load(source: &Source) -> Result<ExperimentData> {
    Ok(data(name(source), zhiyin_datasets::interactions(source, &Options::evaluation())?))
}

/// Reads a training file and a test file.
///
/// # Errors
/// Files that cannot be read.
pub fn load_pair(train: &Source, test: &Source) -> Result<ExperimentData> {
    let pair = zhiyin_datasets::load_pair(train, test, &Options::evaluation())?;
    Ok(ExperimentData { test_histories: Some(pair.test), ..data(name(train), pair.train) })
}

fn name(source: &Source) -> String {
    source.path.file_name().unwrap_or(source.path.as_os_str()).to_string_lossy().into_owned()
}

fn data(name: String, set: InteractionSet) -> ExperimentData {
    let friends = friends(&set.users, &set.user_facts);
    let segment = EngineConfig::default().events.segment_attribute;
    let data = ExperimentData::new(name, &set.item_facts, &set.user_facts, &segment, set.histories, set.order_only);
    ExperimentData { friends, ..data }
}

/// Friends of each user, as far as they are users of the data; nothing when no user has one.
fn friends(names: &[String], users: &[User]) -> Vec<Vec<ActorIx>> {
    if users.iter().all(|user| user.friends.is_empty()) {
        return Vec::new();
    }
    let numbers: HashMap<&str, ActorIx> = names.iter().zip(0..).map(|(name, ix)| (name.as_str(), ix)).collect();
    let known = |user: &User| user.friends.iter().filter_map(|friend| numbers.get(friend.as_str()).copied()).collect();
    users.iter().map(known).collect()
}
