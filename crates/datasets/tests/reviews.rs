//! Reviews of Amazon products become events with text, stars and time.

mod support;

use support::{Read, file};
use tempfile::tempdir;
use zhiyin_core::TimeInput;
use zhiyin_datasets::{Format, Source, rules};

#[test]
fn a_line_is_a_review() {
    let dir = tempdir().unwrap();
    let text = concat!(
        "{\"reviewerID\": \"user-42\", \"asin\": \"B1\", \"helpful\": [0, 0], \"reviewText\": \"It broke.\", ",
        "\"overall\": 1.0, \"summary\": \"Bad\", \"unixReviewTime\": 1393545600, \"reviewTime\": \"02 28, 2014\"}\n",
        "\n{\"asin\": \"B1\"}\nno object\n",
        "{\"reviewerID\": \"user-7\", \"asin\": \"B2\", \"reviewText\": \"\", \"overall\": 4, \"unixReviewTime\": 1}\n",
    );
    let read = Read::all(&Source::new(Format::AmazonReviews, file(&dir, "reviews.jsonl", text)));
    assert_eq!(read.broken(), [(3, rules::BAD_RECORD), (4, rules::NOT_JSON)]);
    let first = &read.events[0];
    assert_eq!(
        (first.kind.as_str(), first.user.as_deref(), first.item.as_deref()),
        ("review", Some("user-42"), Some("B1"))
    );
    assert_eq!((first.value, first.text.as_deref()), (Some(1.0), Some("Bad\nIt broke.")));
    assert_eq!(first.time, Some(TimeInput::Millis(1_393_545_600_000)));
    assert!(first.id.as_ref().is_some_and(|id| id.ends_with("-1")));
    assert_eq!((read.events.len(), read.events[1].text.as_deref()), (2, None));
}
