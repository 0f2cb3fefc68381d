use super::*;

fn fact(claim: Claim, thing: &str, weight: f64) -> Fact {
    Fact { claim, thing: (!thing.is_empty()).then(|| thing.to_owned()), weight }
}

fn of(facts: &[(Claim, &str)]) -> Evidence {
    let weighed = facts.iter().rev().zip(1..).map(|((claim, thing), weight)| fact(*claim, thing, f64::from(weight)));
    Evidence { item: "Tea Pot".to_owned(), facts: weighed.collect(), ..Evidence::default() }
}

#[test]
fn the_two_heaviest_reasons_are_told_in_both_languages() {
    use Claim::*;
    for (facts, english, chinese) in [
        (
            vec![(Bought, "Red Kettle"), (Viewed, "Blue Lamp"), (Popular, "")],
            "We recommend “Tea Pot” because you bought “Red Kettle” and looked at “Blue Lamp”.",
            "为您推荐「Tea Pot」，因为您购买过「Red Kettle」，也浏览过「Blue Lamp」。",
        ),
        (
            vec![(Bought, "Red Kettle"), (Bought, "Blue Lamp")],
            "We recommend “Tea Pot” because you bought “Red Kettle” and “Blue Lamp”.",
            "为您推荐「Tea Pot」，因为您购买过「Red Kettle」和「Blue Lamp」。",
        ),
        (
            vec![(Carted, "Red Kettle"), (Carted, "Blue Lamp")],
            "We recommend “Tea Pot” because you added “Red Kettle” and “Blue Lamp” to your cart.",
            "为您推荐「Tea Pot」，因为您把「Red Kettle」和「Blue Lamp」加入了购物车。",
        ),
        (
            vec![(Popular, ""), (Bought, "Red Kettle")],
            "We recommend “Tea Pot” because many people choose it, and you bought “Red Kettle”.",
            "为您推荐「Tea Pot」，因为很多人选择它，也因为您购买过「Red Kettle」。",
        ),
        (
            vec![(Bought, "Tea Pot"), (Bought, "Red Kettle")],
            "We recommend “Tea Pot” because you bought it before and you bought “Red Kettle”.",
            "为您推荐「Tea Pot」，因为您以前购买过它，也因为您购买过「Red Kettle」。",
        ),
        (
            vec![(WellReviewed, ""), (Praised, "sound")],
            "We recommend “Tea Pot” because its reviews are good, and others like its “sound”.",
            "为您推荐「Tea Pot」，因为它的评价很好，也因为大家喜欢它的「sound」。",
        ),
    ] {
        let evidence = of(&facts);
        assert_eq!(write(Kind::Explanation, &evidence, Language::English), english);
        assert_eq!(write(Kind::Explanation, &evidence, Language::from_tag("zh-Hans")), chinese);
    }
}

#[test]
fn without_a_reason_nothing_is_claimed() {
    let mut evidence = of(&[]);
    evidence.facts = vec![fact(Claim::Bought, "", 1.0), fact(Claim::Liked, "Broken Cup", -0.9)];
    assert_eq!(write(Kind::Explanation, &evidence, Language::English), "“Tea Pot” might suit you.");
    assert_eq!(write(Kind::Explanation, &evidence, Language::Chinese), "「Tea Pot」可能适合您。");
}

#[test]
fn headlines_and_blurbs_speak_of_the_item_or_the_list() {
    let mut evidence = of(&[(Claim::Bought, "Red Kettle"), (Claim::Belongs, "Kitchen")]);
    evidence.numbers = vec!["12.50".to_owned()];
    assert_eq!(write(Kind::Headline, &evidence, Language::English), "For you: “Tea Pot”");
    assert_eq!(
        write(Kind::Blurb, &evidence, Language::English),
        "Have a look at “Tea Pot” in “Kitchen”, for 12.50. We recommend it because you bought “Red Kettle”."
    );
    evidence.others = vec!["Blue Lamp".to_owned(), "Jug".to_owned()];
    assert_eq!(write(Kind::Headline, &evidence, Language::English), "For you: “Tea Pot”, “Blue Lamp” and more");
    assert_eq!(write(Kind::Headline, &evidence, Language::Chinese), "为您推荐「Tea Pot」和「Blue Lamp」等");
    evidence.numbers.clear();
    assert_eq!(
        write(Kind::Blurb, &evidence, Language::Chinese),
        "不妨看看「Tea Pot」和「Blue Lamp」等，属于「Kitchen」。"
    );
}

#[test]
fn a_pattern_matches_names_as_they_are() {
    let evidence = Evidence { item: "C++ (2nd) ^cup$".to_owned(), ..Evidence::default() };
    let pattern = pattern(Kind::Headline, &evidence, Language::English);
    assert!(pattern.contains(r"“C\+\+ \(2nd\) \^cup\$”"), "{pattern}");
}
