//! MovieLens 100K and 1M, on small files of the same layout.

mod support;

use serde_json::json;
use support::{Read, file};
use tempfile::{TempDir, tempdir};
use zhiyin_core::TimeInput;
use zhiyin_datasets::{Format, Options, Source, interactions, load_pair, open, rules};

fn ml_100k() -> TempDir {
    let dir = tempdir().unwrap();
    file(&dir, "u.data", "1\t10\t3\t300\n2\t10\t5\t100\n1\t20\t4\t100\nx\n1\t30\tgood\t50\n");
    let mut items =
        b"10|Caf\xe9 (1995)|01-Jan-1995||http://example.org/|0|1|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n".to_vec();
    items.extend_from_slice(b"20|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n30|too short|\n");
    file(&dir, "u.item", items);
    file(&dir, "u.user", "1|24|M|technician|00000\n2|53|F|other|00000\n3|old|F|other|00000\n");
    dir
}

#[test]
fn the_files_of_100k_give_films_users_and_ratings_in_time_order() {
    let dir = ml_100k();
    let read = Read::all(&Source::new(Format::Movielens100k, dir.path()));
    assert_eq!(read.items[0].title, "Café (1995)");
    assert_eq!(read.items[0].categories, ["Action", "Comedy"]);
    assert_eq!(read.items[0].attributes["year"], json!(1995));
    assert!(read.items[1].categories.is_empty() && read.items[1].attributes.is_empty());
    assert_eq!(read.users[0].attributes["age"], json!(24));
    assert_eq!(read.users[1].attributes["gender"], json!("F"));
    assert!(read.users.iter().all(|user| !user.attributes.contains_key("zip")));
    let ratings: Vec<_> = read
        .events
        .iter()
        .map(|event| (event.user.as_deref().unwrap(), event.item.as_deref().unwrap(), event.value.unwrap()))
        .collect();
    assert_eq!(ratings, [("2", "10", 5.0), ("1", "20", 4.0), ("1", "10", 3.0)]);
    assert_eq!(read.events[0].time, Some(TimeInput::Millis(100_000)));
    assert_eq!(read.events[0].kind, "rating");
    let expected = [
        ("u.item", 3, rules::COLUMN_COUNT),
        ("u.user", 3, rules::NOT_A_NUMBER),
        ("u.data", 4, rules::COLUMN_COUNT),
        ("u.data", 5, rules::NOT_A_NUMBER),
    ];
    let problems: Vec<_> = read.problems.iter().map(|problem| (&*problem.file, problem.line, problem.rule)).collect();
    assert_eq!(problems, expected);
}

#[test]
fn a_split_shares_its_numbers_and_the_identifiers_of_the_whole() {
    let dir = ml_100k();
    let base = Source::new(Format::Movielens100k, file(&dir, "ua.base", "1\t10\t3\t300\n1\t20\t4\t100\n"));
    let test = Source::new(Format::Movielens100k, file(&dir, "ua.test", "2\t10\t5\t100\n1\t40\t1\t200\n"));
    let whole: Vec<_> =
        Read::all(&Source::new(Format::Movielens100k, dir.path())).events.into_iter().map(|e| e.id).collect();
    assert!(Read::all(&base).events.iter().all(|event| whole.contains(&event.id)));

    let split = load_pair(&base, &test, &Options::evaluation()).unwrap();
    assert_eq!(split.train.users, ["1", "2"]);
    assert_eq!(split.train.items, ["20", "10", "40"]);
    assert_eq!(split.train.item_facts[1].title, "Café (1995)");
    assert_eq!(split.train.item_facts[2].title, "");
    assert_eq!(split.train.user_facts[1].attributes["age"], json!(53));
    let items = |histories: &[Vec<zhiyin_core::Interaction>]| -> Vec<Vec<u32>> {
        histories.iter().map(|history| history.iter().map(|event| event.item).collect()).collect()
    };
    assert_eq!(items(&split.train.histories), [vec![0, 1], vec![]]);
    assert_eq!(items(&split.test), [vec![2], vec![1]]);
}

#[test]
fn the_files_of_1m_are_read_in_both_layouts() {
    let dir = tempdir().unwrap();
    file(&dir, "movies.dat", b"10::Am\xe9lie (2001)::Comedy|Romance\n20::Heat (1995)::\n");
    file(&dir, "users.dat", "1::F::1::10::00000\n2::M::56::99::00000\n3\n");
    let tabs =
        file(&dir, "merged.tsv", "user_id\titem_id\trating\ttimestamp\n1\t10\t5\t200\n1\t20\t4\t\n2\t20\t3\t100\n");
    let colons = file(&dir, "ratings.dat", "1::10::5::200\n1::20::4::\n2::20::3::100\n");
    let read = Read::all(&Source::new(Format::Movielens1m, &tabs));
    assert_eq!(read.items[0].title, "Amélie (2001)");
    assert_eq!(read.items[0].categories, ["Comedy", "Romance"]);
    assert_eq!(read.users[0].attributes["age_band"], json!("under 18"));
    assert_eq!(read.users[0].attributes["occupation"], json!("K-12 student"));
    assert_eq!(read.users[1].attributes["occupation"], json!("99"));
    assert_eq!(read.broken(), [(3, rules::COLUMN_COUNT), (3, rules::NO_TIME)]);
    assert_eq!(read.events.len(), 2);
    assert_eq!(read.events[0].user.as_deref(), Some("2"));
    assert_eq!(Read::all(&Source::new(Format::Movielens1m, colons)).events, read.events);
    assert_eq!(Read::all(&Source::new(Format::Movielens1m, dir.path())).events, read.events);

    let set = interactions(&Source::new(Format::Movielens1m, tabs), &Options::evaluation()).unwrap();
    assert_eq!(set.dropped, [(rules::NO_TIME, 1), (rules::COLUMN_COUNT, 1)].into());
    assert!(!set.order_only);
}

#[test]
fn progress_follows_what_was_handed_out() {
    let dir = ml_100k();
    let mut reader = open(&Source::new(Format::Movielens100k, dir.path())).unwrap();
    let (start, total) = reader.progress();
    assert_eq!(start, 0);
    reader.by_ref().take(5).for_each(drop);
    let (middle, _) = reader.progress();
    assert!(0 < middle && middle < total);
    reader.by_ref().for_each(drop);
    assert_eq!(reader.progress(), (total, total));
}
