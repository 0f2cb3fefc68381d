//! Chinese frames.

use super::Told;
use crate::evidence::{Claim, Fact};

pub(super) fn explanation(told: &Told<'_>) -> String {
    let (item, end) = (told.item(), told.one_of(&["。", "！"]));
    let suits = told.one_of(&["可能适合您", "也许适合您", "可能合您的口味"]);
    if told.facts.is_empty() {
        return format!("{item}{suits}{end}");
    }
    let reasons = reasons(told);
    let invites = told.one_of(&["为您推荐", "向您推荐", "不妨看看"]);
    let since = told.one_of(&["因为", "由于"]);
    told.either(vec![
        format!("{invites}{item}，因为{reasons}{end}"),
        format!("{since}{reasons}，{invites}{item}{end}"),
        format!("{item}{suits}，因为{reasons}{end}"),
    ])
}

pub(super) fn headline(told: &Told<'_>) -> String {
    format!("{}{}", told.one_of(&["为您推荐", "为您挑选", "不妨看看"]), names(told))
}

fn names(told: &Told<'_>) -> String {
    told.names().join("和") + if told.has_more() { "等" } else { "" }
}

pub(super) fn blurb(told: &Told<'_>) -> String {
    let invites = told.one_of(&["不妨看看", "为您推荐", "向您推荐"]);
    let names = names(told);
    let of = told.category().map_or_else(String::new, |category| format!("，属于{category}"));
    let price = told.number().map_or_else(String::new, |number| format!("，价格{number}"));
    let end = told.one_of(&["。", "！"]);
    let first = format!("{invites}{names}{of}{price}{end}");
    if told.facts.is_empty() || !told.evidence.others.is_empty() {
        return first;
    }
    format!("{first}{}{}。", told.one_of(&["推荐它，因为", "它可能适合您，因为"]), reasons(told))
}

/// The reasons as they stand after 因为.
fn reasons(told: &Told<'_>) -> String {
    match told.facts.as_slice() {
        [first, second] if first.claim.is_of_user() && second.claim.is_of_user() => deeds(told, first, second),
        facts => facts.iter().map(|fact| clause(told, fact)).collect::<Vec<_>>().join("，也因为"),
    }
}

/// Two things that the user did: 您购买过「A」和「B」, 您购买过「A」，也浏览过「B」.
fn deeds(told: &Told<'_>, first: &Fact, second: &Fact) -> String {
    match (told.other_thing(first), told.other_thing(second)) {
        (Some(one), Some(other)) if first.claim == second.claim => {
            format!("您{}", deed(told, first.claim, &format!("{one}和{other}")))
        }
        (Some(_), Some(other)) => format!("{}，也{}", clause(told, first), deed(told, second.claim, &other)),
        _ => format!("{}，也因为{}", clause(told, first), clause(told, second)),
    }
}

/// What the user did with things.
fn deed(told: &Told<'_>, claim: Claim, things: &str) -> String {
    let verb = |verbs: &[&str]| told.one_of(verbs) + things;
    match claim {
        Claim::Bought => verb(&["购买过", "买过"]),
        Claim::Carted => format!("把{things}加入了购物车"),
        Claim::Liked => verb(&["喜欢", "喜爱"]),
        Claim::Reviewed => verb(&["评论过"]),
        Claim::Played => verb(&["播放过"]),
        Claim::Shared => verb(&["分享过"]),
        Claim::Searched => verb(&["搜索过"]),
        _ => verb(&["浏览过", "看过"]),
    }
}

fn clause(told: &Told<'_>, fact: &Fact) -> String {
    let thing = told.other_thing(fact);
    let named = thing.as_deref().unwrap_or("它");
    match fact.claim {
        claim if claim.is_of_user() && thing.is_none() => format!("您以前{}", deed(told, claim, "它")),
        Claim::Belongs => format!("它属于{named}"),
        Claim::Praised => format!("大家喜欢它的{named}"),
        Claim::WellReviewed => "它的评价很好".to_owned(),
        Claim::Popular => told.one_of(&["很多人选择它", "它很受欢迎"]),
        Claim::PopularNearby => "它在您所在的地区很受欢迎".to_owned(),
        Claim::Alike => "口味相近的人选择了它".to_owned(),
        Claim::Friends => "您的朋友选择了它".to_owned(),
        Claim::Price => "它的价格与您平时的花费相近".to_owned(),
        Claim::Usual => "它是您常选的类型".to_owned(),
        Claim::Timely => "这个时候常有人选择它".to_owned(),
        Claim::New => "它是新品".to_owned(),
        claim => format!("您{}", deed(told, claim, named)),
    }
}
