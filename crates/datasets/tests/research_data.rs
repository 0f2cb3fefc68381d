//! Counts of the research data sets, where they are there. They may not be shipped with the project.

mod support;

use support::research;
use zhiyin_datasets::{Format, InteractionSet, Options, Source, interactions, load_pair, rules};

fn sizes(set: &InteractionSet) -> (usize, usize, usize) {
    (set.users.len(), set.items.len(), set.events())
}

fn read(source: &Source) -> InteractionSet {
    interactions(source, &Options::evaluation()).unwrap()
}

#[test]
fn amazon_beauty() {
    let Some(folder) = research("amazon-beauty") else { return };
    let source = Source::new(Format::Sequences, folder.join("Beauty.txt")).with_items(folder.join("Beauty_items.tsv"));
    let set = read(&source);
    assert_eq!(sizes(&set), (22_363, 12_101, 198_502));
    assert!(set.order_only && set.dropped.is_empty());
    assert_eq!(set.item_facts.iter().filter(|item| !item.title.is_empty()).count(), 12_094);
}

#[test]
fn amazon_sports() {
    let Some(folder) = research("amazon-sports") else { return };
    let source = Source::new(Format::Sequences, folder.join("Sports_and_Outdoors.txt"))
        .with_items(folder.join("Sports_and_Outdoors_items.tsv"));
    assert_eq!(sizes(&read(&source)), (35_598, 18_357, 296_337));
}

#[test]
fn movielens_100k_and_its_split() {
    let Some(folder) = research("movielens-100k") else { return };
    let set = read(&Source::new(Format::Movielens100k, &folder));
    assert_eq!(sizes(&set), (943, 1_682, 100_000));
    assert!(set.dropped.is_empty() && set.item_facts.iter().all(|item| !item.title.is_empty()));
    assert!(set.user_facts.iter().all(|user| user.attributes.len() == 3));
    let part = |name| Source::new(Format::Movielens100k, folder.join(name));
    let split = load_pair(&part("ua.base"), &part("ua.test"), &Options::evaluation()).unwrap();
    assert_eq!(sizes(&split.train), (943, 1_682, 90_570));
    assert_eq!(split.test.iter().map(Vec::len).sum::<usize>(), 9_430);
    assert!(split.test.iter().all(|history| history.len() == 10));
}

#[test]
fn movielens_1m() {
    let Some(folder) = research("movielens-1m") else { return };
    let set = read(&Source::new(Format::Movielens1m, &folder));
    assert_eq!(sizes(&set), (6_040, 3_614, 975_301));
    assert_eq!(set.dropped, [(rules::NO_TIME, 24_908)].into());
    assert!(set.item_facts.iter().all(|item| !item.title.is_empty() && !item.categories.is_empty()));
    let user = set.users.iter().position(|user| user == "1").unwrap();
    let last: Vec<_> =
        set.histories[user].iter().rev().take(3).map(|event| set.items[event.item as usize].as_str()).collect();
    assert_eq!(last, ["48", "1566", "783"]);
}

#[test]
fn yoochoose_sessions() {
    let Some(folder) = research("yoochoose-100k") else { return };
    let part = |name| Source::new(Format::Sessions, folder.join(name));
    let train = part("yoochoose-clicks-100k_train_full.txt");
    assert_eq!(sizes(&read(&train)), (17_794, 2_933, 70_278));
    let split = load_pair(&train, &part("yoochoose-clicks-100k_test.txt"), &Options::evaluation()).unwrap();
    assert_eq!(sizes(&split.train), (17_794 + 3_416, 2_933, 70_278));
    assert_eq!(split.test.iter().map(Vec::len).sum::<usize>(), 13_568);
    assert_eq!(split.test.iter().filter(|history| !history.is_empty()).count(), 3_416);
}
