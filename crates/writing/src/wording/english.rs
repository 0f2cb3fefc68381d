//! English frames.

use super::Told;
use crate::evidence::{Claim, Fact};

pub(super) fn explanation(told: &Told<'_>) -> String {
    let (item, end) = (told.item(), told.one_of(&[".", "!"]));
    if told.facts.is_empty() {
        let suits = told.one_of(&["might suit you", "may suit you", "could be to your taste"]);
        return format!("{item} {suits}{end}");
    }
    let reasons = reasons(told);
    let because = told.one_of(&["because", "since", "as"]);
    let invites = told.one_of(&["We recommend", "We suggest", "You might like", "You may like", "Have a look at"]);
    let since = told.one_of(&["Because", "Since", "As"]);
    let so = told.one_of(&["you might like", "you may also like", "we suggest", "we thought of", "have a look at"]);
    let suits = told.one_of(&["might suit you", "may suit you", "could be to your taste"]);
    told.either(vec![
        format!("{invites} {item} {because} {reasons}{end}"),
        format!("{since} {reasons}, {so} {item}{end}"),
        format!("{item} {suits} {because} {reasons}{end}"),
    ])
}

pub(super) fn headline(told: &Told<'_>) -> String {
    let opens = told.one_of(&["For you: ", "Picked for you: ", "You might like ", "Have a look at ", "Our pick: "]);
    format!("{opens}{}", names(told))
}

fn names(told: &Told<'_>) -> String {
    let names = told.names();
    if told.has_more() { format!("{} and more", names.join(", ")) } else { names.join(" and ") }
}

pub(super) fn blurb(told: &Told<'_>) -> String {
    let invites = told.one_of(&["Have a look at", "Take a look at", "You might like", "We suggest", "We thought of"]);
    let names = names(told);
    let of = told.category().map_or_else(String::new, |category| format!(" in {category}"));
    let price = told.number().map_or_else(String::new, |number| format!(", for {number}"));
    let end = told.one_of(&[".", "!"]);
    let first = format!("{invites} {names}{of}{price}{end}");
    if told.facts.is_empty() || !told.evidence.others.is_empty() {
        return first;
    }
    let second = told.one_of(&["We recommend it because", "We suggest it because", "It might suit you because"]);
    format!("{first} {second} {}{}", reasons(told), told.plain("."))
}

/// The reasons as they stand after "because".
fn reasons(told: &Told<'_>) -> String {
    match told.facts.as_slice() {
        [first, second] if first.claim.is_of_user() && second.claim.is_of_user() => deeds(told, first, second),
        // With a comma: in "you bought A and it is popular", "it" could be a second thing that was bought.
        facts => facts.iter().map(|fact| clause(told, fact)).collect::<Vec<_>>().join(", and "),
    }
}

/// Two things that the user did: "you bought A and B", "you bought A and looked at B".
fn deeds(told: &Told<'_>, first: &Fact, second: &Fact) -> String {
    let things = (told.other_thing(first), told.other_thing(second));
    match things {
        (Some(one), Some(other)) if first.claim == second.claim => {
            format!("you {}", deed(told, first.claim, &format!("{one} and {other}")))
        }
        (Some(_), Some(other)) => format!("{} and {}", clause(told, first), deed(told, second.claim, &other)),
        _ => format!("{} and {}", clause(told, first), clause(told, second)),
    }
}

/// What the user did with things.
fn deed(told: &Told<'_>, claim: Claim, things: &str) -> String {
    let verb = |verbs: &[&str]| format!("{} {things}", told.one_of(verbs));
    match claim {
        Claim::Bought => verb(&["bought", "purchased"]),
        Claim::Carted => format!("added {things} to your cart"),
        Claim::Liked => verb(&["liked", "enjoyed"]),
        Claim::Reviewed => verb(&["reviewed"]),
        Claim::Played => verb(&["played"]),
        Claim::Shared => verb(&["shared"]),
        Claim::Searched => verb(&["searched for", "looked for"]),
        _ => verb(&["looked at", "viewed"]),
    }
}

fn clause(told: &Told<'_>, fact: &Fact) -> String {
    let thing = told.other_thing(fact);
    let named = thing.as_deref().unwrap_or("it");
    match fact.claim {
        claim if claim.is_of_user() && thing.is_none() => format!("you {} before", deed(told, claim, "it")),
        Claim::Belongs => format!("it belongs to {named}"),
        Claim::Praised => told.one_of(&["others like its", "others praise its"]) + &format!(" {named}"),
        Claim::WellReviewed => told.one_of(&["its reviews are good", "it has good reviews"]),
        Claim::Popular => told.one_of(&["many people choose it", "it is popular"]),
        Claim::PopularNearby => "it is popular where you are".to_owned(),
        Claim::Alike => told.one_of(&["people with a similar taste chose it", "people with similar choices chose it"]),
        Claim::Friends => "your friends chose it".to_owned(),
        Claim::Price => "its price is about what you usually pay".to_owned(),
        Claim::Usual => "it is of a kind that you often choose".to_owned(),
        Claim::Timely => "it is often chosen at this time".to_owned(),
        Claim::New => told.one_of(&["it is new", "it has just arrived"]),
        claim => format!("you {}", deed(told, claim, named)),
    }
}
