//! Generic formats: csv, sessions, sequences, jsonl.

mod support;

use std::io::Write;

use serde_json::json;
use support::{Read, file};
use tempfile::tempdir;
use zhiyin_core::TimeInput;
use zhiyin_datasets::{
    ColumnMapping, DatasetError, Format, MappedField, Record, SEQUENCE_START_S, SEQUENCE_STEP_S, Source, open, rules,
};

fn csv(path: impl Into<std::path::PathBuf>, mapping: &str) -> Source {
    Source::new(Format::Csv, path).with_columns(mapping.parse().unwrap())
}

#[test]
fn every_format_is_found_by_its_name() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    let error = "parquet".parse::<Format>().unwrap_err().to_string();
    assert!(error.contains("`parquet`") && error.contains("movielens-1m"), "{error}");
}

#[test]
fn csv_maps_columns_and_constants() {
    let dir = tempdir().unwrap();
    let path = file(
        &dir,
        "shop.csv",
        "when,who,sku,note,stars,land\n\
         2024-05-01 10:00:00,user-42,A1,\"a \"\"fine\"\" thing, really\",4.5,Peru\n\
         1714557600,user-7,B2,,,\n",
    );
    let read =
        Read::all(&csv(path, "user=who,item=sku,time=when,text=note,value=stars,attributes.country=land,type:=review"));
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    let [first, second] = &read.events[..] else { panic!("{} events", read.events.len()) };
    assert_eq!(first.kind, "review");
    assert_eq!(first.user.as_deref(), Some("user-42"));
    assert_eq!(first.item.as_deref(), Some("A1"));
    assert_eq!(first.text.as_deref(), Some("a \"fine\" thing, really"));
    assert_eq!(first.value, Some(4.5));
    assert_eq!(first.attributes["country"], json!("Peru"));
    assert_eq!(first.time, Some(TimeInput::Millis(1_714_557_600_000)));
    assert_eq!(second.time, first.time);
    assert_eq!((second.value, second.text.as_deref(), second.attributes.len()), (None, None, 0));
    assert_ne!(first.id, second.id);
}

#[test]
fn csv_without_a_mapping_takes_the_columns_named_like_fields() {
    let dir = tempdir().unwrap();
    let path = file(&dir, "events.csv", "\u{feff}id;type;user;item;shelf\ne1;view;user-42;A;3\ne2;cart;user-42;B;4\n");
    let read = Read::all(&Source::new(Format::Csv, path));
    let seen: Vec<_> = read.events.iter().map(|event| (event.id.as_deref().unwrap(), event.kind.as_str())).collect();
    assert_eq!(seen, [("e1", "view"), ("e2", "cart")]);
    assert_eq!(read.events[1].time, None);
}

#[test]
fn csv_reports_bad_lines_and_goes_on() {
    let dir = tempdir().unwrap();
    let mut content = b"type,user,item,price,time\n".to_vec();
    content.extend_from_slice(b"view,user-1,A,1.5,2024-05-01\n"); // 2
    content.extend_from_slice(b"view,user-1,A\n"); // 3
    content.extend_from_slice(b"view,user-1,A,cheap,2024-05-01\n"); // 4
    content.extend_from_slice(b"view,user-1,A,1,tomorrow\n"); // 5
    content.extend_from_slice(b"view,user-\xff,A,1,2024-05-01\n"); // 6
    content.extend_from_slice(b"\n"); // 7
    content.extend_from_slice(b"view,user-1,A,NaN,2024-05-01\r\n"); // 8
    content.extend_from_slice(b"view,user-2,\"B\n2\",1,2024-05-01\n"); // 9 and 10
    content.extend_from_slice(b"view,user-3,C,1,2024-05-01"); // 11
    let read = Read::all(&Source::new(Format::Csv, file(&dir, "e.csv", content)));
    assert_eq!(
        read.broken(),
        [
            (3, rules::COLUMN_COUNT),
            (4, rules::NOT_A_NUMBER),
            (5, rules::BAD_TIME),
            (6, rules::NOT_UTF8),
            (8, rules::NOT_A_NUMBER)
        ]
    );
    let items: Vec<_> = read.events.iter().map(|event| event.item.as_deref().unwrap()).collect();
    assert_eq!(items, ["A", "B\n2", "C"]);
    assert!(read.events[2].id.as_deref().unwrap().ends_with("-11"), "{:?}", read.events[2].id);
    assert!(read.problems[1].to_string().contains("price is `cheap`"), "{}", read.problems[1]);
}

#[test]
fn a_stray_quote_costs_one_line_and_not_the_rest_of_the_file() {
    let dir = tempdir().unwrap();
    let mut content = "type,user,item\nview,user-1,\"A\n".to_owned();
    (0..200).for_each(|n| content.push_str(&format!("view,user-{n},B\n")));
    let read = Read::all(&Source::new(Format::Csv, file(&dir, "e.csv", content)));
    assert_eq!(read.broken(), [(2, rules::UNCLOSED_QUOTE)]);
    assert_eq!(read.events.len(), 200);
}

#[test]
fn a_missing_column_is_named_with_those_that_there_are() {
    let dir = tempdir().unwrap();
    let path = file(&dir, "e.csv", "who,sku\nuser-1,A\n");
    let error = open(&csv(&path, "user=customer,item=sku,type:=view")).err().unwrap().to_string();
    for part in ["e.csv", "`customer`", "who, sku", "user=customer"] {
        assert!(error.contains(part), "{part} isn't in: {error}");
    }
    let error = open(&csv(&path, "user=who,item=sku")).err().unwrap().to_string();
    assert!(error.contains("type:=view"), "{error}");
    assert!(matches!(open(&Source::new(Format::Csv, &path)), Err(DatasetError::MissingColumn { .. })));
    assert!(matches!(open(&Source::new(Format::Sessions, &path)), Err(DatasetError::MissingColumn { .. })));
    assert!(matches!(open(&Source::new(Format::OnlineRetail, &path)), Err(DatasetError::MissingColumn { .. })));
}

#[test]
fn mappings_that_make_no_sense_are_refused() {
    for (text, part) in [
        ("user", "`=`"),
        ("colour=x", "`colour`"),
        ("user=a,user=b", "twice"),
        ("user=", "no column"),
        ("attributes.=x", "no field"),
    ] {
        let error = text.parse::<ColumnMapping>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let built = ColumnMapping::new().column(MappedField::User, "who").constant(MappedField::Type, "view");
    assert_eq!("user=who, type:=view".parse::<ColumnMapping>().unwrap(), built);
}

#[test]
fn missing_files_and_folders_give_errors_that_name_them() {
    let dir = tempdir().unwrap();
    let error = open(&Source::new(Format::Jsonl, dir.path().join("nowhere.jsonl"))).err().unwrap().to_string();
    assert!(error.contains("nowhere.jsonl"), "{error}");
    let error = open(&Source::new(Format::Movielens1m, dir.path())).err().unwrap().to_string();
    assert!(error.contains("ratings.dat"), "{error}");
    assert!(open(&Source::new(Format::Jsonl, dir.path())).is_err());
}

#[test]
fn identifiers_stay_when_a_file_moves_or_grows_and_differ_between_files() {
    let ids = |name: &str, content: &str| -> Vec<String> {
        let dir = tempdir().unwrap();
        let read = Read::all(&Source::new(Format::Csv, file(&dir, name, content)));
        read.events.into_iter().map(|event| event.id.unwrap()).collect()
    };
    let day = ids("day.csv", "type,user,item\nview,user-1,A\nview,user-2,A\n");
    assert_eq!(day, ids("day.csv", "type,user,item\nview,user-1,A\nview,user-2,A\n"));
    assert_eq!(day[..], ids("day.csv", "type,user,item\nview,user-1,A\nview,user-2,A\nview,user-3,A\n")[..2]);
    assert_ne!(day[1], ids("day.csv", "type,user,item\nview,user-9,A\nview,user-2,A\n")[1]);
    assert_ne!(day[1], ids("week.csv", "type,user,item\nview,user-1,A\nview,user-2,A\n")[1]);
}

#[test]
fn sessions_become_views() {
    let dir = tempdir().unwrap();
    let text = "SessionId\tItemId\tTime\n7\t11\t1396860669.277\n7\t12\t1396860886.998\n8\t\t1\n8\t12\t\n8\t12\tsoon\n9\t11\t1396860887\n";
    let read = Read::all(&Source::new(Format::Sessions, file(&dir, "clicks.txt", text)));
    assert_eq!(read.broken(), [(4, rules::BAD_ID), (5, rules::NO_TIME), (6, rules::BAD_TIME)]);
    let first = &read.events[0];
    assert_eq!((first.kind.as_str(), first.session.as_deref(), first.user.as_deref()), ("view", Some("7"), None));
    assert_eq!(first.time, Some(TimeInput::Millis(1_396_860_669_277)));
    assert_eq!(read.events.len(), 3);
}

#[test]
fn sequences_keep_their_order_and_the_item_table_comes_first() {
    let dir = tempdir().unwrap();
    let items = "item_id\tasin\ttitle\tcategories\tprice\n5\tB05\tA 12\" \"fine\" ruler\ttools|rulers\t3.5\n6\t\tGlue\t\t\n7\tB07\n";
    let source = Source::new(Format::Sequences, file(&dir, "seq.txt", "1 5 6 5\n\n2\n3 6\r\n")).with_items(file(
        &dir,
        "items.tsv",
        items,
    ));
    let records: Vec<_> = open(&source).unwrap().collect();
    assert!(matches!(&records[0], Ok(Record::Item(item)) if item.id.as_str() == "5"));
    let read = Read::all(&source);
    assert_eq!(read.items[0].title, "A 12\" \"fine\" ruler");
    assert_eq!(read.items[0].categories, ["tools", "rulers"]);
    assert_eq!(read.items[0].price, Some(3.5));
    assert_eq!(read.items[0].attributes["asin"], json!("B05"));
    assert!(read.items[1].attributes.is_empty());
    assert_eq!(read.broken(), [(4, rules::COLUMN_COUNT), (3, rules::NO_ITEMS)]);
    let events: Vec<_> = read
        .events
        .iter()
        .map(|event| (event.user.as_deref().unwrap(), event.item.as_deref().unwrap(), event.time.clone().unwrap()))
        .collect();
    let at = |place: u32| TimeInput::Millis(i64::from(SEQUENCE_START_S + place * SEQUENCE_STEP_S) * 1000);
    assert_eq!(events, [("1", "5", at(0)), ("1", "6", at(1)), ("1", "5", at(2)), ("3", "6", at(0))]);
}

#[test]
fn identifiers_of_sequences_stay_when_they_grow() {
    let ids = |text: &str| -> Vec<String> {
        let dir = tempdir().unwrap();
        let read = Read::all(&Source::new(Format::Sequences, file(&dir, "seq.txt", text)));
        read.events.into_iter().map(|event| event.id.unwrap()).collect()
    };
    let before = ids("1 5 6 5\n2 6\n");
    let after = ids("2 6 7\n1 5 6 5 9\n");
    assert!(before.iter().all(|id| after.contains(id)));
    assert_eq!(before.iter().collect::<std::collections::HashSet<_>>().len(), 4);
}

#[test]
fn jsonl_takes_events_items_and_users() {
    let dir = tempdir().unwrap();
    let text = concat!(
        "{\"type\":\"view\",\"user\":\"user-42\",\"item\":\"A\",\"time\":\"2024-05-01T10:00:00Z\"}\n",
        "{\"id\":\"mine\",\"type\":\"search\",\"session\":\"s1\",\"query\":\"red shoes\"}\n",
        "\n",
        "{\"item\":{\"id\":\"A\",\"title\":\"Anvil\"}}\n",
        "{\"user\":{\"id\":\"user-42\",\"friends\":[\"user-7\"]}}\n",
        "[1,2]\n",
        "{\"type\":\"view\",\"colour\":\"red\"}\n",
        "{\"item\":{\"title\":\"nameless\"}}\n",
        "{\"type\":\"view\"\n",
    );
    let read = Read::all(&Source::new(Format::Jsonl, file(&dir, "log.jsonl", text)));
    assert_eq!(
        read.broken(),
        [(6, rules::NOT_JSON), (7, rules::BAD_RECORD), (8, rules::BAD_RECORD), (9, rules::NOT_JSON)]
    );
    assert!(read.problems[1].detail.contains("colour"), "{}", read.problems[1]);
    assert!(read.events[0].id.as_deref().unwrap().ends_with("-1"));
    assert_eq!(read.events[1].id.as_deref(), Some("mine"));
    assert_eq!((read.items[0].title.as_str(), read.users[0].friends.len()), ("Anvil", 1));
}

#[test]
fn compressed_files_are_recognised_by_content_and_progress_ends_at_the_total() {
    let text: String = (0..5000).map(|n| format!("user-{n} item-{} item-{}\n", n % 97, n % 13)).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(text.as_bytes()).unwrap();
    for content in [text.clone().into_bytes(), gzip.finish().unwrap(), xz.finish().unwrap()] {
        let dir = tempdir().unwrap();
        let mut reader = open(&Source::new(Format::Sequences, file(&dir, "data", &content))).unwrap();
        assert_eq!(reader.progress().1, content.len() as u64);
        let mut done = 0;
        let mut events = 0;
        while let Some(record) = reader.next() {
            assert!(record.is_ok());
            assert!(reader.progress().0 >= done);
            (done, events) = (reader.progress().0, events + 1);
        }
        assert_eq!((events, done), (10_000, content.len() as u64));
    }
}

#[test]
fn a_file_that_is_cut_off_says_so_at_the_end() {
    let text: String =
        (0..50_000_u64).map(|n| format!("user-{n} item-{} item-{}\n", n * 7 % 9973, n * n % 9967)).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let mut content = gzip.finish().unwrap();
    content.truncate(content.len() / 2);
    let dir = tempdir().unwrap();
    let read = Read::all(&Source::new(Format::Sequences, file(&dir, "data.gz", content)));
    assert!(read.events.len() > 1000);
    assert_eq!(read.by_rule(), [(rules::UNREADABLE, 1)].into());
}

#[test]
fn a_reader_resumes_where_another_stopped() {
    let dir = tempdir().unwrap();
    let source = Source::new(Format::Sequences, file(&dir, "seq.txt", "1 5 6 5\n2\n3 6 7 8\n"));
    let all: Vec<_> = open(&source).unwrap().collect();
    for stop in 0..=all.len() {
        let mut first = open(&source).unwrap();
        let mut records: Vec<_> = first.by_ref().take(stop).collect();
        let mut second = open(&source).unwrap();
        second.skip_to(first.position());
        records.extend(second);
        assert_eq!(records, all);
    }
}
