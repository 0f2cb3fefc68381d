//! Online Retail: a fixture for each rule, and the bundled data set with its known counts.

mod support;

use std::collections::{BTreeMap, HashSet};

use serde_json::json;
use support::{Read, bundled, file};
use tempfile::tempdir;
use zhiyin_core::TimeInput;
use zhiyin_datasets::{Format, Options, RetailLines, Source, interactions, open, open_with, rules};

const SAMPLE: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
500001,10001A,RED  CAKE STAND,6,2011-01-05 10:00:00,2.50,17850,United Kingdom
500001,10001a,RED  CAKE STAND,2,2011-01-05 10:00:00,2.50,17850,United Kingdom
500001,10001A,RED  CAKE STAND,6,2011-01-05 10:00:00,2.50,17850,United Kingdom
500001,POST,POSTAGE,1,2011-01-05 10:00:00,18.00,17850,United Kingdom
500002,10001A,red cake,1,2011-01-04 09:00:00,4.50,,France
C500003,10001A,RED  CAKE STAND,-6,2011-01-06 10:00:00,2.50,17850,Spain
500004,10002,damaged,-10,2011-01-06 11:00:00,0.00,,United Kingdom
500005,10002,GLASS LANTERN,1,2011-01-06 11:00:00,0.00,17850,United Kingdom
500006,10002,GLASS LANTERN,one,2011-01-06 11:00:00,1.00,17850,United Kingdom
500007,10002,GLASS LANTERN,1,06/01/2011,1.00,17850,United Kingdom
500008,,GLASS LANTERN,1,2011-01-06 11:00:00,1.00,17850,United Kingdom
500009,DCGSSBOY,BOYS PARTY BAG,1,2011-01-06 12:00:00,3.29,12345.0,United Kingdom
";

#[test]
fn each_line_becomes_an_event_or_names_the_rule_that_it_breaks() {
    let dir = tempdir().unwrap();
    let source = Source::new(Format::OnlineRetail, file(&dir, "retail.csv", SAMPLE));
    let mut reader = open(&source).unwrap();
    assert_eq!(reader.by_ref().count(), 2 + 2 + 5 + 7);
    assert_eq!(*reader.repairs(), [(rules::STOCK_CODE_CASE, 1)].into());
    let read = Read::all(&source);
    assert_eq!(
        read.broken(),
        [
            (4, rules::DUPLICATE_LINE),
            (5, rules::NOT_A_PRODUCT),
            (8, rules::STOCK_ADJUSTMENT),
            (9, rules::NO_PRICE),
            (10, rules::NOT_A_NUMBER),
            (11, rules::BAD_TIME),
            (12, rules::BAD_ID)
        ]
    );
    let events: Vec<_> = read
        .events
        .iter()
        .map(|e| (e.user.as_deref(), e.session.as_deref(), e.item.as_deref().unwrap(), e.quantity.unwrap()))
        .collect();
    assert_eq!(
        events,
        [
            (None, Some("invoice-500002"), "10001A", 1.0),
            (Some("17850"), None, "10001A", 6.0),
            (Some("17850"), None, "10001A", 2.0),
            (Some("17850"), None, "10001A", -6.0),
            (Some("12345"), None, "DCGSSBOY", 1.0),
        ]
    );
    let first = &read.events[1];
    assert_eq!((first.kind.as_str(), first.price), ("purchase", Some(2.5)));
    assert_eq!(first.time, Some(TimeInput::Millis(1_294_221_600_000)));
    assert_eq!(first.attributes["invoice"], json!("500001"));
    assert_eq!(first.attributes["country"], json!("United Kingdom"));
    assert!(first.id.as_deref().unwrap().starts_with("or-") && first.id.as_deref().unwrap().ends_with("-2"));
}

#[test]
fn articles_are_described_by_what_was_sold() {
    let dir = tempdir().unwrap();
    let read = Read::all(&Source::new(Format::OnlineRetail, file(&dir, "retail.csv", SAMPLE)));
    let stand = &read.items[0];
    assert_eq!((stand.id.as_str(), stand.title.as_str()), ("10001A", "RED CAKE STAND"));
    assert_eq!(stand.categories, ["tableware"]);
    assert_eq!(stand.price, Some(2.5));
    let bag = &read.items[1];
    assert_eq!((bag.title.as_str(), bag.categories[0].as_str()), ("BOYS PARTY BAG", "bags and purses"));
    assert_eq!(read.users[0].attributes["country"], json!("Spain"));
}

#[test]
fn published_figures_count_positive_lines_of_customers_as_they_stand() {
    let dir = tempdir().unwrap();
    let source = Source::new(Format::OnlineRetail, file(&dir, "retail.csv", SAMPLE));
    let reader = open_with(&source, &Options { retail: RetailLines::PositiveCustomer }).unwrap();
    let read = Read::from_reader(reader);
    let items: Vec<_> = read.events.iter().map(|event| event.item.as_deref().unwrap()).collect();
    assert_eq!(items, ["10001A", "10001a", "10001A"]);
    let expected: BTreeMap<_, _> = [
        (rules::NO_CUSTOMER, 2),
        (rules::RETURN, 1),
        (rules::NOT_A_PRODUCT, 2),
        (rules::NO_PRICE, 1),
        (rules::NOT_A_NUMBER, 1),
        (rules::BAD_TIME, 1),
        (rules::BAD_ID, 1),
    ]
    .into();
    assert_eq!(read.by_rule(), expected);
}

#[test]
fn the_bundled_data_is_cleaned_with_known_counts() {
    let source = Source::new(Format::OnlineRetail, bundled());
    let mut reader = open(&source).unwrap();
    let mut by_rule: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut items, mut users, mut sessions) = (0, 0, HashSet::new());
    let (mut events, mut returns, mut last, mut with_category) = (0, 0, 0, 0);
    for record in reader.by_ref() {
        match record {
            Ok(zhiyin_datasets::Record::Item(item)) => {
                items += 1;
                assert!(!item.title.is_empty() && item.price.unwrap() > 0.0, "{item:?}");
                with_category += item.categories.len();
            }
            Ok(zhiyin_datasets::Record::User(_)) => users += 1,
            Ok(zhiyin_datasets::Record::Event(event)) => {
                let Some(TimeInput::Millis(time_ms)) = event.time else { panic!("an event without time") };
                assert!(last <= time_ms, "events come in the order of time");
                last = time_ms;
                events += 1;
                returns += u64::from(event.quantity.unwrap() < 0.0);
                sessions.extend(event.session);
            }
            Err(problem) => *by_rule.entry(problem.rule).or_default() += 1,
        }
    }
    assert_eq!((events, items, users, returns), (531_119, 3_809, 4_362, 8_667));
    assert_eq!(sessions.len(), 1_410);
    let expected: BTreeMap<_, _> = [
        (rules::DUPLICATE_LINE, 5_259),
        (rules::NOT_A_PRODUCT, 3_036),
        (rules::STOCK_ADJUSTMENT, 1_336),
        (rules::NO_PRICE, 1_159),
    ]
    .into();
    assert_eq!(by_rule, expected);
    assert_eq!(events + by_rule.values().sum::<u64>(), 541_909, "no line is lost");
    assert_eq!(*reader.repairs(), [(rules::STOCK_CODE_CASE, 1_942)].into());
    assert!(with_category * 100 > items * 85, "{with_category} of {items} have a category");
}

#[test]
fn the_bundled_data_gives_the_interactions_of_the_published_trial() {
    let set = interactions(&Source::new(Format::OnlineRetail, bundled()), &Options::evaluation()).unwrap();
    assert_eq!((set.events(), set.users.len(), set.items.len()), (396_337, 4_334, 3_659));
    assert_eq!(set.histories.iter().map(Vec::len).max(), Some(7_838));
    let expected: BTreeMap<_, _> =
        [(rules::NO_CUSTOMER, 135_080), (rules::RETURN, 8_905), (rules::NOT_A_PRODUCT, 1_547), (rules::NO_PRICE, 40)]
            .into();
    assert_eq!(set.dropped, expected);
    // The sum over users, places and items of the trial's own histories: it changes when any two interactions are swapped.
    let weigh = |(history, user): (&Vec<zhiyin_core::Interaction>, u64)| -> u64 {
        let terms = history.iter().zip(1..).map(|(event, place): (_, u64)| place * u64::from(event.item + 1));
        user * terms.sum::<u64>()
    };
    assert_eq!(set.histories.iter().zip(1..).map(weigh).sum::<u64>(), 138_234_116_946_915);
    assert_eq!(set.users[0], "17850");
    assert_eq!(set.item_facts[0].title, "WHITE HANGING HEART T-LIGHT HOLDER");
    assert_eq!(set.user_facts[0].attributes["country"], json!("United Kingdom"));
    assert!(set.histories[0].is_sorted_by_key(|event| event.time_s));
}
