//! Explanations by template: the heaviest reasons, in the user's language.

use crate::evidence::{Claim, Evidence, Fact, Language};

/// Reasons that one explanation tells.
const REASONS_MAX: usize = 2;

/// One sentence with the heaviest reasons. Without any, a sentence that claims nothing.
pub fn explain(evidence: &Evidence, language: Language) -> String {
    let facts = evidence.ranked();
    let reasons: Vec<String> = facts.into_iter().take(REASONS_MAX).map(|fact| reason(fact, language)).collect();
    match (language, reasons.as_slice()) {
        (Language::English, []) => format!("{} might suit you.", evidence.item),
        (Language::English, _) => format!("{}: recommended because {}.", evidence.item, reasons.join(", and because ")),
        (Language::Chinese, []) => format!("{}可能适合您。", quoted(&evidence.item)),
        (Language::Chinese, _) => format!("为您推荐{}，因为{}。", quoted(&evidence.item), reasons.join("，也因为")),
    }
}

/// A headline: the name alone, which claims nothing.
pub fn headline(evidence: &Evidence) -> String {
    evidence.item.clone()
}

/// An invitation with what the item belongs to and its first number, such as its price.
pub fn blurb(evidence: &Evidence, language: Language) -> String {
    let of =
        evidence.ranked().into_iter().find(|fact| fact.claim == Claim::Belongs).and_then(|fact| fact.thing.as_deref());
    match (language, of, evidence.numbers.first()) {
        (Language::English, Some(of), Some(number)) => format!("{} of {of}, for {number}.", evidence.item),
        (Language::English, Some(of), None) => format!("{} of {of}.", evidence.item),
        (Language::English, None, Some(number)) => format!("{}, for {number}.", evidence.item),
        (Language::English, None, None) => format!("{} might suit you.", evidence.item),
        (Language::Chinese, Some(of), Some(number)) => {
            format!("{}，属于{}，{number}。", quoted(&evidence.item), quoted(of))
        }
        (Language::Chinese, Some(of), None) => format!("{}，属于{}。", quoted(&evidence.item), quoted(of)),
        (Language::Chinese, None, Some(number)) => format!("{}，{number}。", quoted(&evidence.item)),
        (Language::Chinese, None, None) => format!("{}可能适合您。", quoted(&evidence.item)),
    }
}

fn reason(fact: &Fact, language: Language) -> String {
    let thing = fact.thing.as_deref().unwrap_or_default();
    match language {
        Language::English => english(fact.claim, thing),
        Language::Chinese => chinese(fact.claim, &quoted(thing)),
    }
}

fn english(claim: Claim, thing: &str) -> String {
    match claim {
        Claim::Bought => format!("you bought {thing}"),
        Claim::Viewed => format!("you looked at {thing}"),
        Claim::Carted => format!("you added {thing} to your cart"),
        Claim::Liked => format!("you liked {thing}"),
        Claim::Searched => format!("you searched for {thing}"),
        Claim::Belongs => format!("it belongs to {thing}"),
        Claim::Popular => "many people choose it".to_owned(),
        Claim::Friends => "your friends chose it".to_owned(),
        Claim::New => "it is new".to_owned(),
    }
}

fn chinese(claim: Claim, thing: &str) -> String {
    match claim {
        Claim::Bought => format!("您购买过{thing}"),
        Claim::Viewed => format!("您浏览过{thing}"),
        Claim::Carted => format!("您将{thing}加入了购物车"),
        Claim::Liked => format!("您喜欢{thing}"),
        Claim::Searched => format!("您搜索过{thing}"),
        Claim::Belongs => format!("它属于{thing}"),
        Claim::Popular => "很多人选择它".to_owned(),
        Claim::Friends => "您的朋友选择了它".to_owned(),
        Claim::New => "它是新品".to_owned(),
    }
}

/// Names stand in brackets, as Chinese has no spaces to tell where they end.
fn quoted(name: &str) -> String {
    format!("「{name}」")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(claim: Claim, thing: &str, weight: f64) -> Fact {
        Fact { claim, thing: (!thing.is_empty()).then(|| thing.to_owned()), weight }
    }

    #[test]
    fn the_two_heaviest_reasons_are_told_in_both_languages() {
        let facts = vec![
            fact(Claim::Viewed, "Blue Lamp", 0.2),
            fact(Claim::Bought, "Red Kettle", 0.5),
            fact(Claim::Popular, "", 0.1),
            fact(Claim::Liked, "Broken Cup", -0.9),
        ];
        let evidence = Evidence { item: "Tea Pot".to_owned(), facts, numbers: Vec::new() };
        assert_eq!(
            explain(&evidence, Language::English),
            "Tea Pot: recommended because you bought Red Kettle, and because you looked at Blue Lamp."
        );
        assert_eq!(
            explain(&evidence, Language::from_tag("zh-Hans")),
            "为您推荐「Tea Pot」，因为您购买过「Red Kettle」，也因为您浏览过「Blue Lamp」。"
        );
    }

    #[test]
    fn without_a_reason_nothing_is_claimed() {
        let evidence =
            Evidence { item: "Tea Pot".to_owned(), facts: vec![fact(Claim::Bought, "", 1.0)], numbers: vec![] };
        assert_eq!(explain(&evidence, Language::English), "Tea Pot might suit you.");
        assert_eq!(explain(&evidence, Language::Chinese), "「Tea Pot」可能适合您。");
    }
}
