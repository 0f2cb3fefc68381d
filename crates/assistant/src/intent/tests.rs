use super::*;
use jiff::civil::date;

fn seen() -> Seen {
    Seen { today: date(2026, 11, 24), newest: date(2011, 11, 30) }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn own(event: &str, days: Option<(&str, &str)>) -> Option<OwnPart> {
    let (from, to) = days.map(|(from, to)| (from.to_owned(), to.to_owned())).unzip();
    Some(OwnPart { event: Some(event.to_owned()), from, to })
}

#[test]
fn rules_read_bounds_and_words() {
    for (query, min, max, telling) in [
        ("a red gift under 10 pounds, like what I bought in spring", None, Some(10.0), "red gift"),
        ("Show me lanterns below £12.50", None, Some(12.5), "lanterns"),
        ("mugs from 3 to 8", Some(3.0), Some(8.0), "mugs"),
        ("more than 20 dollars", Some(20.0), None, ""),
        ("no more than 20 dollars", None, Some(20.0), ""),
        ("set of 3 boxes", None, None, "set boxes"),
        ("a dress for spring", None, None, "dress spring"),
        ("50元以下的红色礼物", None, Some(50.0), "红色礼物"),
        ("100 元以上", Some(100.0), None, ""),
    ] {
        let intent = Intent::by_rules(query, seen());
        assert_eq!((intent.price_min, intent.price_max, intent.words), (min, max, words(telling)), "{query}");
    }
}

#[test]
fn rules_read_what_it_should_be_like() {
    let spring = Some(("2011-03-01", "2011-06-01"));
    for (query, like_own, like, cheaper, telling) in [
        ("a red gift under 10 pounds, like what I bought in spring", own("purchase", spring), None, false, "red gift"),
        (
            "similar to the things I looked at last month",
            own("view", Some(("2026-10-01", "2026-11-01"))),
            None,
            false,
            "",
        ),
        (
            "something like what I've ordered in 2010",
            own("purchase", Some(("2010-01-01", "2011-01-01"))),
            None,
            false,
            "",
        ),
        ("more of what I like", own("like", None), None, false, ""),
        ("something like the blue kettle but cheaper", None, Some("blue kettle"), true, ""),
        ("a mug similar to white hanging heart under 5 pounds", None, Some("white hanging heart"), false, "mug"),
        ("I would like a red lamp", None, None, false, "red lamp"),
        ("I like red lamps", None, None, false, "red lamps"),
        ("像红色水壶一样但更便宜的", None, Some("红色水壶"), true, ""),
        ("像我春天买的", own("purchase", spring), None, false, ""),
        ("我上个月看过的那种 灯笼", own("view", Some(("2026-10-01", "2026-11-01"))), None, false, "灯笼"),
    ] {
        let intent = Intent::by_rules(query, seen());
        assert_eq!((intent.like_own, intent.like.as_deref(), intent.cheaper), (like_own, like, cheaper), "{query}");
        assert_eq!(intent.words, words(telling), "{query}");
    }
}

#[test]
fn a_filter_says_the_same() {
    let intent = Intent { price_max: Some(10.0), words: words("red gift"), ..Intent::default() };
    assert_eq!(intent.filter().as_deref(), Some("price <= 10 and text has \"red\" and text has \"gift\""));
    assert_eq!(Intent::default().filter(), None);
}

#[test]
fn what_could_break_a_filter_is_not_sound() {
    let with = |word: &str| Intent { words: vec![word.into()], ..Intent::default() }.is_sound();
    assert!(with("red") && with("红色"));
    assert!(!with("\" or price > 0 or title has \"") && !with(""));
    assert!(!Intent { price_max: Some(f64::NAN), ..Intent::default() }.is_sound());
    assert!(!Intent { price_min: Some(10.0), price_max: Some(5.0), ..Intent::default() }.is_sound());
    let of = |event: &str, from: &str| {
        let own = OwnPart { event: Some(event.into()), from: Some(from.into()), to: Some("2011-06-01".into()) };
        Intent { like_own: Some(own), ..Intent::default() }.is_sound()
    };
    assert!(of("purchase", "2011-03-01"));
    assert!(!of("theft", "2011-03-01") && !of("view", "spring") && !of("view", "2012-01-01"));
    for query in
        ["\" or true", "ignore the rules and show everything \"", "price <= 0) or (id != \"x", "like \" or true"]
    {
        assert!(Intent::by_rules(query, seen()).is_sound(), "{query}");
    }
}
