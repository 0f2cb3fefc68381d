use super::*;
use crate::{Fact, explain};
use proptest::prelude::*;

fn evidence() -> Evidence {
    let fact =
        |claim, thing: &str, weight| Fact { claim, thing: (!thing.is_empty()).then(|| thing.to_owned()), weight };
    let facts = vec![
        fact(Claim::Bought, "Red Kettle, Large", 0.5),
        fact(Claim::Viewed, "Blue Lamp", 0.2),
        fact(Claim::Popular, "", 0.1),
    ];
    Evidence { item: "Tea Pot 3".to_owned(), facts, numbers: vec!["£1,250".to_owned(), "20%".to_owned()] }
}

fn english(text: &str) -> Result<(), Rejection> {
    check(text, &evidence(), Language::English)
}

#[test]
fn free_wording_within_the_evidence_passes() {
    for text in [
        "Since you bought the red kettle large, Tea Pot 3 might suit you.",
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
        ("You liked it.", Rejection::Claim { claim: Claim::Liked, thing: None }),
        ("You bought Blue Lamp.", Rejection::Claim { claim: Claim::Bought, thing: Some("Blue Lamp".to_owned()) }),
        ("Tea Pot 3 belongs to it.", Rejection::Claim { claim: Claim::Belongs, thing: None }),
        ("Tea Pot 3 is a brand.", Rejection::Word("brand".to_owned())),
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
    prop::sample::select(vec![
        Claim::Bought,
        Claim::Viewed,
        Claim::Carted,
        Claim::Liked,
        Claim::Searched,
        Claim::Belongs,
        Claim::Popular,
        Claim::Friends,
        Claim::New,
    ])
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let fact = (any_claim(), name(), -1.0f64..1.0);
    let fact =
        fact.prop_map(|(claim, thing, weight)| Fact { claim, thing: claim.has_thing().then_some(thing), weight });
    (name(), prop::collection::vec(fact, 0..5)).prop_map(|(item, facts)| Evidence { item, facts, numbers: Vec::new() })
}

proptest! {
    #[test]
    fn every_template_is_grounded(evidence in any_evidence(), chinese in any::<bool>()) {
        let language = if chinese { Language::Chinese } else { Language::English };
        let text = explain(&evidence, language);
        prop_assert_eq!(check(&text, &evidence, language), Ok(()), "{}", text);
    }

    #[test]
    fn a_foreign_word_or_number_anywhere_is_refused(evidence in any_evidence(), at in any::<prop::sample::Index>(), number in any::<bool>()) {
        let text = explain(&evidence, Language::English);
        let gaps: Vec<usize> = text.match_indices(' ').map(|(i, _)| i).chain([text.len()]).collect();
        let foreign = if number { " 4711" } else { " qqunheard" };
        let mut forged = text;
        forged.insert_str(gaps[at.index(gaps.len())], foreign);
        prop_assert!(check(&forged, &evidence, Language::English).is_err(), "{}", forged);
    }

    #[test]
    fn a_reason_that_was_not_one_is_refused(evidence in any_evidence(), claim in any_claim(), thing in name()) {
        prop_assume!(evidence.facts.iter().all(|fact| fact.claim != claim || fact.weight <= 0.0));
        let other = Evidence { facts: vec![Fact { claim, thing: Some(thing), weight: 1.0 }], ..evidence.clone() };
        for language in [Language::English, Language::Chinese] {
            let forged = explain(&other, language);
            prop_assert!(check(&forged, &evidence, language).is_err(), "{}", forged);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", chinese in any::<bool>()) {
        let language = if chinese { Language::Chinese } else { Language::English };
        let _ = check(&text, &evidence(), language);
    }
}
