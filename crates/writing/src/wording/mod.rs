//! Texts from evidence: by template, or as a pattern of all ways in which a model may put them.
//!
//! Both come from the same frames: each place has one or more alternatives, of which the template takes the first. So a model chooses among whole
//! phrases that make a sentence in any combination, and even a small one can't write nonsense.

mod chinese;
mod english;

use crate::evidence::{Claim, Evidence, Fact, Kind, Language};

/// Reasons that one text tells.
const REASONS_MAX: usize = 2;
/// Names that the headline of a list tells.
const NAMES_MAX: usize = 2;

/// The text of a kind, by template.
pub fn write(kind: Kind, evidence: &Evidence, language: Language) -> String {
    compose(kind, evidence, language, Style::First)
}

/// A regular expression of all texts of a kind that a model may write, for a whole text; the template is among them.
pub fn pattern(kind: Kind, evidence: &Evidence, language: Language) -> String {
    format!("^{}$", compose(kind, evidence, language, Style::Pattern))
}

fn compose(kind: Kind, evidence: &Evidence, language: Language, style: Style) -> String {
    // What an item belongs to is part of the first sentence of a blurb.
    let is_reason = |fact: &&Fact| kind != Kind::Blurb || fact.claim != Claim::Belongs;
    let facts: Vec<&Fact> = evidence.ranked().into_iter().filter(is_reason).take(REASONS_MAX).collect();
    let told = Told { evidence, facts, language, style };
    match (language, kind) {
        (Language::English, Kind::Explanation) => english::explanation(&told),
        (Language::English, Kind::Headline) => english::headline(&told),
        (Language::English, Kind::Blurb) => english::blurb(&told),
        (Language::Chinese, Kind::Explanation) => chinese::explanation(&told),
        (Language::Chinese, Kind::Headline) => chinese::headline(&told),
        (Language::Chinese, Kind::Blurb) => chinese::blurb(&told),
    }
}

/// What becomes of alternatives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// The first one is taken.
    First,
    /// All of them stand in a pattern.
    Pattern,
}

/// What is told, and how.
struct Told<'a> {
    evidence: &'a Evidence,
    /// The reasons, the heaviest first.
    facts: Vec<&'a Fact>,
    language: Language,
    style: Style,
}

impl Told<'_> {
    /// One of several phrases.
    fn one_of(&self, phrases: &[&str]) -> String {
        self.either(phrases.iter().map(|phrase| self.plain(phrase)).collect())
    }

    /// One of several texts that are patterns already.
    fn either(&self, mut texts: Vec<String>) -> String {
        match self.style {
            _ if texts.len() == 1 => texts.remove(0),
            Style::First => texts.swap_remove(0),
            Style::Pattern => format!("({})", texts.join("|")),
        }
    }

    /// A text as it is.
    fn plain(&self, text: &str) -> String {
        if self.style == Style::First { text.to_owned() } else { escaped(text) }
    }

    fn name(&self, name: &str) -> String {
        self.plain(&self.language.quoted(name))
    }

    fn item(&self) -> String {
        self.name(&self.evidence.item)
    }

    /// The names of the first items.
    fn names(&self) -> Vec<String> {
        let names = std::iter::once(&self.evidence.item).chain(&self.evidence.others);
        names.take(NAMES_MAX).map(|name| self.name(name)).collect()
    }

    /// Whether there are items that [`Self::names`] leaves out.
    fn has_more(&self) -> bool {
        self.evidence.others.len() + 1 > NAMES_MAX
    }

    /// What a fact is about; none if that is the recommended item itself.
    fn other_thing(&self, fact: &Fact) -> Option<String> {
        let thing = fact.thing.as_deref().filter(|thing| *thing != self.evidence.item)?;
        Some(self.name(thing))
    }

    /// What the item belongs to.
    fn category(&self) -> Option<String> {
        let facts = self.evidence.ranked();
        let belongs = facts.into_iter().find(|fact| fact.claim == Claim::Belongs)?;
        belongs.thing.as_deref().map(|thing| self.name(thing))
    }

    /// The first number, such as the price.
    fn number(&self) -> Option<String> {
        self.evidence.numbers.first().map(|number| self.plain(number))
    }
}

/// A text as a pattern that only it matches.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests;
