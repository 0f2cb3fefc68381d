//! Histories for the evaluator.

mod support;

use std::path::PathBuf;

use support::file;
use tempfile::{TempDir, tempdir};
use zhiyin_core::{Interaction, Weight};
use zhiyin_datasets::{
    DatasetError, Format, InteractionSet, Options, SEQUENCE_START_S, SEQUENCE_STEP_S, Source, interactions, load_pair,
    rules,
};

fn read(format: Format, path: PathBuf) -> InteractionSet {
    interactions(&Source::new(format, path), &Options::evaluation()).unwrap()
}

fn names(set: &InteractionSet, user: usize) -> Vec<&str> {
    set.histories[user].iter().map(|event| set.items[event.item as usize].as_str()).collect()
}

fn csv(dir: &TempDir, content: &str) -> PathBuf {
    file(dir, "events.csv", content)
}

#[test]
fn histories_are_sorted_by_time_with_ties_in_file_order() {
    let dir = tempdir().unwrap();
    let set = read(
        Format::Csv,
        csv(&dir, "type,user,item,time\nview,b,X,30\nview,a,Y,20\nview,b,Z,10\nview,b,Y,30\nview,b,X,10.5\n"),
    );
    assert_eq!(set.users, ["b", "a"]);
    assert_eq!(set.items, ["X", "Y", "Z"]);
    assert_eq!(names(&set, 0), ["Z", "X", "X", "Y"]);
    assert_eq!(set.histories[1], [Interaction { item: 1, time_s: 20, kind: 0, weight: Weight::ONE }]);
    assert!(!set.order_only && set.dropped.is_empty());
}

#[test]
fn what_isnt_positive_is_dropped_and_counted() {
    let dir = tempdir().unwrap();
    let set = read(
        Format::Csv,
        csv(
            &dir,
            "type,user,session,item,quantity,value,time\n\
             view,a,,X,,,1\n\
             purchase,a,,X,-2,,2\n\
             purchase,a,,X,2,,2\n\
             dislike,a,,X,,,3\n\
             impression,a,,X,,,3\n\
             rating,a,,Y,,1,4\n\
             wishlist,a,,Z,,,5\n\
             view,,,X,,,6\n\
             view,a,,,,,7\n\
             view,a,,X,,,\n\
             view,,a,X,,,8\n",
        ),
    );
    assert_eq!(names(&set, 0), ["X", "X", "Y", "Z"]);
    assert_eq!(set.users, ["a", "a"], "a user and a session of the same name are two");
    assert_eq!(
        set.dropped,
        [(rules::RETURN, 1), (rules::NOT_POSITIVE, 2), (rules::NO_ACTOR, 1), (rules::NO_ITEM, 1), (rules::NO_TIME, 1)]
            .into()
    );
}

#[test]
fn data_without_times_keeps_the_order_of_the_file() {
    let dir = tempdir().unwrap();
    let set = read(Format::Csv, csv(&dir, "type,user,item\nview,a,X\nview,b,X\nview,a,Y\n"));
    assert!(set.order_only);
    let times: Vec<_> = set.histories[0].iter().map(|event| event.time_s).collect();
    assert_eq!(times, [SEQUENCE_START_S, SEQUENCE_START_S + SEQUENCE_STEP_S]);
    let sequences = read(Format::Sequences, file(&dir, "seq.txt", "a X Y\nb X\n"));
    assert_eq!(sequences, set);
}

#[test]
fn items_that_never_occur_stay_out() {
    let dir = tempdir().unwrap();
    let items = file(&dir, "items.tsv", "item_id\ttitle\nX\tAn X\nW\tNobody's W\n");
    let source = Source::new(Format::Sequences, file(&dir, "seq.txt", "a Y X\n")).with_items(items);
    let set = interactions(&source, &Options::evaluation()).unwrap();
    assert_eq!(set.items, ["Y", "X"]);
    let titles: Vec<_> = set.item_facts.iter().map(|item| (item.id.as_str(), item.title.as_str())).collect();
    assert_eq!(titles, [("Y", ""), ("X", "An X")]);
}

#[test]
fn the_test_part_of_untimed_data_goes_on_where_training_ends() {
    let dir = tempdir().unwrap();
    let train = Source::new(Format::Sequences, file(&dir, "train.txt", "a X Y\nb X\n"));
    let test = Source::new(Format::Sequences, file(&dir, "test.txt", "b Z\na X\nc Y\n"));
    let split = load_pair(&train, &test, &Options::evaluation()).unwrap();
    assert!(split.train.order_only);
    assert_eq!(split.train.users, ["a", "b", "c"]);
    assert_eq!(split.train.items, ["X", "Y", "Z"]);
    let places = |history: &[Interaction]| -> Vec<(u32, u32)> {
        history.iter().map(|event| (event.item, (event.time_s - SEQUENCE_START_S) / SEQUENCE_STEP_S)).collect()
    };
    assert_eq!(split.test.iter().map(|history| places(history)).collect::<Vec<_>>(), [[(0, 2)], [(2, 1)], [(1, 0)]]);
    assert!(split.train.histories[2].is_empty());
}

#[test]
fn a_source_without_interactions_is_an_error_that_says_what_was_dropped() {
    let dir = tempdir().unwrap();
    let source = Source::new(Format::Csv, csv(&dir, "type,user,item\ndislike,a,X\nskip,a,X\n"));
    let error = interactions(&source, &Options::evaluation()).unwrap_err();
    assert!(matches!(error, DatasetError::Empty { .. }));
    assert!(error.to_string().contains("2 not-positive"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_not_a_shorter_data_set() {
    let dir = tempdir().unwrap();
    let path = file(&dir, "seq.txt.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
    let source = Source::new(Format::Sequences, path);
    assert!(interactions(&source, &Options::evaluation()).is_err());
}
