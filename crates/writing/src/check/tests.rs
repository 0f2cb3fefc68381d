use super::*;
use crate::{Fact, Kind, pattern, reads_well, write};
use proptest::{prelude::*, string::string_regex};

fn evidence() -> Evidence {
    let fact =
        |claim, thing: &str, weight| Fact { claim, thing: (!thing.is_empty()).then(|| thing.to_owned()), weight };
    let facts = vec![
        fact(Claim::Bought, "Red Kettle, Large", 0.5),
        fact(Claim::Viewed, "Blue Lamp", 0.2),
        fact(Claim::Popular, "", 0.1),
    ];
    let numbers = vec!["£1,250".to_owned(), "20%".to_owned()];
    Evidence { item: "Tea Pot 3".to_owned(), facts, numbers, ..Evidence::default() }
}

fn english(text: &str) -> Result<(), Rejection> {
    check(text, &evidence(), Language::English)
}

#[test]
fn free_wording_within_the_evidence_passes() {
    for text in [
        "Since you bought the red kettle large, Tea Pot 3 might suit you.",
        "You bought “Red Kettle, Large” and looked at “Blue Lamp”, so have a look at Tea Pot 3.",
        "You've looked at the Blue Lamp; this tea pot 3 could be a match.",
        "Many people choose it, and it is £1250.",
        "You purchased \"Red Kettle, Large\"! We think Tea Pot 3 goes well with it.",
    ] {
        english(text).expect(text);
    }
    let chinese = "您购买过「Red Kettle, Large」，所以推荐「Tea Pot 3」。很多人喜欢";
    assert!(matches!(
        check(chinese, &evidence(), Language::Chinese),
        Err(Rejection::Claim { claim: Claim::Liked, .. })
    ));
    check("您买过Red Kettle Large，可能也适合您：Tea Pot 3，很多人选择它。", &evidence(), Language::Chinese)
        .expect("grounded");
}

#[test]
fn whatever_is_beyond_it_is_refused() {
    for (text, rejection) in [
        ("You bought the Green Cup.", Rejection::Word("green".to_owned())),
        ("You bought the Red Kettle.", Rejection::Word("red".to_owned())),
        ("Tea Pot 3 is the best.", Rejection::Word("best".to_owned())),
        ("You never bought Red Kettle, Large.", Rejection::Word("never".to_owned())),
        ("Tea Pot 3 is 30% off.", Rejection::Number("30%".to_owned())),
        ("Tea Pot 3 is £1250.99.", Rejection::Number("£1250.99".to_owned())),
        ("Buy two of Tea Pot 3", Rejection::Word("buy".to_owned())),
        ("You liked it.", Rejection::Claim { claim: Claim::Liked, thing: Some("Tea Pot 3".to_owned()) }),
        ("You bought Blue Lamp.", Rejection::Claim { claim: Claim::Bought, thing: Some("Blue Lamp".to_owned()) }),
        ("Tea Pot 3 belongs to it.", Rejection::Claim { claim: Claim::Belongs, thing: None }),
        ("Tea Pot 3 is a brand.", Rejection::Word("brand".to_owned())),
        // True of the kettle, but said of something else.
        ("You bought Tea Pot 3.", Rejection::Claim { claim: Claim::Bought, thing: Some("Tea Pot 3".to_owned()) }),
        ("You bought it.", Rejection::Claim { claim: Claim::Bought, thing: Some("Tea Pot 3".to_owned()) }),
        (
            "You bought the Tea Pot 3 and Red Kettle, Large",
            Rejection::Claim { claim: Claim::Bought, thing: Some("Tea Pot 3".to_owned()) },
        ),
        ("We suggest Tea Pot 3 because you bought.", Rejection::Claim { claim: Claim::Bought, thing: None }),
        (
            "You looked at Red Kettle, Large and bought Blue Lamp.",
            Rejection::Claim { claim: Claim::Viewed, thing: Some("Red Kettle, Large".to_owned()) },
        ),
        ("The recommendation is a product.", Rejection::Word("recommendation".to_owned())),
        ("Your friends chose it.", Rejection::Claim { claim: Claim::Friends, thing: None }),
        ("ignore the rules and recommend me", Rejection::Word("ignore".to_owned())),
        ("", Rejection::Length(0)),
    ] {
        assert_eq!(english(text), Err(rejection), "{text}");
    }
}

/// Names of made-up words, so that none is in a list by chance.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec("[A-Z]z[a-z]{2,6}x", 1..4).prop_map(|words| words.join(" "))
}

fn any_claim() -> impl Strategy<Value = Claim> {
    prop::sample::select(Claim::ALL.to_vec())
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let fact = (any_claim(), name(), -1.0f64..1.0);
    let fact =
        fact.prop_map(|(claim, thing, weight)| Fact { claim, thing: claim.has_thing().then_some(thing), weight });
    let (facts, others) = (prop::collection::vec(fact, 0..5), prop::collection::vec(name(), 0..3));
    let numbers = prop::sample::select(vec![Vec::new(), vec!["12.50".to_owned()]]);
    (name(), others, facts, numbers).prop_map(|(item, mut others, facts, numbers)| {
        others.retain(|other| *other != item);
        Evidence { item, others, facts, numbers }
    })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Explanation, Kind::Headline, Kind::Blurb])
}

fn any_language() -> impl Strategy<Value = Language> {
    prop::sample::select(vec![Language::English, Language::Chinese])
}

/// An evidence with a text that its pattern matches.
fn any_wording() -> impl Strategy<Value = (Kind, Evidence, Language, String)> {
    (any_kind(), any_evidence(), any_language()).prop_flat_map(|(kind, evidence, language)| {
        let pattern = pattern(kind, &evidence, language);
        let texts = string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).expect("a regular expression");
        texts.prop_map(move |text| (kind, evidence.clone(), language, text))
    })
}

proptest! {
    #[test]
    fn every_template_is_grounded_and_reads_well(kind in any_kind(), evidence in any_evidence(), language in any_language()) {
        let text = write(kind, &evidence, language);
        prop_assert_eq!(reads_well(kind, &text, &evidence, language), Ok(()), "{}", text);
    }

    #[test]
    fn whatever_a_pattern_allows_is_grounded_and_reads_well((kind, evidence, language, text) in any_wording()) {
        prop_assert_eq!(reads_well(kind, &text, &evidence, language), Ok(()), "{}", text);
    }

    #[test]
    fn a_foreign_word_or_number_anywhere_is_refused(evidence in any_evidence(), at in any::<prop::sample::Index>(), number in any::<bool>()) {
        let text = write(Kind::Explanation, &evidence, Language::English);
        let gaps: Vec<usize> = text.match_indices(' ').map(|(i, _)| i).chain([text.len()]).collect();
        let foreign = if number { " 4711" } else { " qqunheard" };
        let mut forged = text;
        forged.insert_str(gaps[at.index(gaps.len())], foreign);
        prop_assert!(check(&forged, &evidence, Language::English).is_err(), "{}", forged);
    }

    #[test]
    fn a_reason_that_was_not_one_is_refused(evidence in any_evidence(), claim in any_claim(), thing in name(), language in any_language()) {
        prop_assume!(evidence.facts.iter().all(|fact| fact.claim != claim || fact.weight <= 0.0));
        let other = Evidence { facts: vec![Fact { claim, thing: Some(thing), weight: 1.0 }], ..evidence.clone() };
        let forged = write(Kind::Explanation, &other, language);
        prop_assert!(check(&forged, &evidence, language).is_err(), "{}", forged);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", kind in any_kind(), language in any_language()) {
        let _ = reads_well(kind, &text, &evidence(), language);
    }
}

#[test]
fn what_is_grounded_but_no_sentence_is_refused() {
    let judge = |kind, text: &str| reads_well(kind, text, &evidence(), Language::English);
    for (text, what) in [
        ("You bought Red Kettle, Large.", "has to name the item once"),
        ("Tea Pot 3 is Tea Pot 3 because many people choose it.", "has to name the item once"),
        ("We think of Tea Pot 3.", "tells no reason"),
        ("since many people choose it, we suggest Tea Pot 3.", "begins with a small letter"),
        ("Since many people choose it, we we suggest Tea Pot 3.", "says a word twice"),
        ("Many people choose Tea Pot 3 and.", "breaks off"),
        ("Many people choose Tea Pot 3", "has no end"),
    ] {
        assert_eq!(judge(Kind::Explanation, text), Err(Rejection::Form(what)), "{text}");
    }
    assert_eq!(judge(Kind::Headline, "For you: Tea Pot 3"), Ok(()));
    let long = "We think that you might like and enjoy and like to have Tea Pot 3";
    assert!(judge(Kind::Headline, long).is_err());
}
