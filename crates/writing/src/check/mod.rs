//! Judges a text against the evidence.
//!
//! The text is cut into words (a Chinese character is a word). From left to right each stretch has to be, in this order: the whole name of a
//! thing in the evidence; a number of the evidence; a phrase that makes a claim, or a harmless one. Anything else is refused. Then each clause
//! is looked at: what it claims has to hold for every thing beside the claim. Parts of names don't count, so `blue kettle` can't be made of a
//! blue lamp and a red kettle; negations, superlatives, comparisons and number words are in no list, so they are refused.

mod clause;
mod lexicon;
mod words;

use crate::evidence::{Claim, Evidence, Language};
use clause::Clause;
use lexicon::{Lexicon, Meaning};
use std::collections::BTreeSet;
use thiserror::Error;
pub(crate) use words::{Word, words};

/// Bytes of a text that is judged; a longer one is refused.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It is empty or too long.
    #[error("the text has {0} bytes; it has to have 1 to {TEXT_BYTES_MAX}")]
    Length(usize),
    /// A word that is neither harmless nor part of the evidence.
    #[error("{0:?} is not in the evidence")]
    Word(String),
    /// A number that isn't in the evidence.
    #[error("the number {0:?} is not in the evidence")]
    Number(String),
    /// A claim that the evidence doesn't make, or not of this thing.
    #[error("the evidence doesn't say {claim:?} of {thing:?}")]
    Claim {
        /// What is claimed.
        claim: Claim,
        /// Of which thing; none for a claim about the recommended item or about nothing that is named.
        thing: Option<String>,
    },
    /// It is no proper sentence.
    #[error("the text {0}")]
    Form(&'static str),
}

/// Whether a text says nothing beyond the evidence.
///
/// # Errors
/// The first thing that it says beyond it.
pub fn check(text: &str, evidence: &Evidence, language: Language) -> Result<(), Rejection> {
    read_whole(text, evidence, language).map(|_| ())
}

/// What was found in a text that says nothing beyond the evidence.
#[derive(Default)]
pub(crate) struct Found {
    /// How often the recommended item is named.
    pub item_names: usize,
    /// Phrases that claim something.
    pub claims: usize,
}

pub(crate) fn read_whole(text: &str, evidence: &Evidence, language: Language) -> Result<Found, Rejection> {
    if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(Rejection::Length(text.len()));
    }
    let mut reader = Reader {
        evidence,
        names: Names::of(evidence),
        lexicon: Lexicon::of(language),
        clause: Clause::default(),
        item_names: 0,
    };
    let words = words(text);
    let mut at = 0;
    while at < words.len() {
        at += reader.read(&words[at..])?;
    }
    reader.clause.judge(evidence)?;
    Ok(Found { item_names: reader.item_names, claims: reader.clause.claims })
}

struct Reader<'a> {
    evidence: &'a Evidence,
    names: Names<'a>,
    lexicon: Lexicon,
    clause: Clause,
    item_names: usize,
}

impl Reader<'_> {
    /// Reads one stretch. Returns its length in words.
    fn read(&mut self, rest: &[Word]) -> Result<usize, Rejection> {
        if let Some((length, name)) = self.names.longest(rest) {
            self.name(name);
            return Ok(length);
        }
        match &rest[0] {
            Word::Break => self.clause.judge(self.evidence).map(|()| 1),
            Word::Number(number) if self.names.numbers.contains(number) => Ok(1),
            Word::Number(number) => Err(Rejection::Number(number.clone())),
            Word::Text(word) => {
                let found = self.lexicon.longest(rest);
                let (length, meaning) = found.ok_or_else(|| Rejection::Word(word.clone()))?;
                match meaning {
                    Meaning::Harmless => self.clause.other_word(),
                    Meaning::Item => self.clause.item(&self.evidence.item),
                    Meaning::Joins => {}
                    Meaning::Says(claim) => self.clause.claim(claim),
                }
                Ok(length)
            }
        }
    }

    fn name(&mut self, name: &str) {
        self.item_names += usize::from(name == self.evidence.item);
        if self.evidence.facts.iter().any(|fact| fact.thing.as_deref() == Some(name) && name != self.evidence.item) {
            self.clause.thing(name);
        } else {
            self.clause.item(name);
        }
    }
}

/// Names as words, and as they are written.
struct Names<'a> {
    names: Vec<(Vec<Word>, &'a str)>,
    numbers: BTreeSet<String>,
}

impl<'a> Names<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let things = evidence.facts.iter().filter_map(|fact| fact.thing.as_deref());
        let items = std::iter::once(&evidence.item).chain(&evidence.others).map(String::as_str);
        let spelt = things.chain(items).map(|name| (spelt(name), name));
        let mut names: Vec<_> = spelt.filter(|(words, _)| !words.is_empty()).collect();
        names.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
        let numbers = evidence.numbers.iter().flat_map(|number| words(number));
        let numbers =
            numbers.filter_map(|word| if let Word::Number(number) = word { Some(number) } else { None }).collect();
        Self { names, numbers }
    }

    fn longest(&self, rest: &[Word]) -> Option<(usize, &'a str)> {
        self.names.iter().find_map(|(words, name)| Some((length_of(words, rest)?, *name)))
    }
}

/// A name without its punctuation, which a text may leave out or change.
fn spelt(name: &str) -> Vec<Word> {
    words(name).into_iter().filter(|word| *word != Word::Break).collect()
}

/// How many words of the text spell this name; breaks inside it don't count.
fn length_of(name: &[Word], rest: &[Word]) -> Option<usize> {
    let mut at = 0;
    for (i, word) in name.iter().enumerate() {
        while i > 0 && rest.get(at) == Some(&Word::Break) {
            at += 1;
        }
        if rest.get(at) != Some(word) {
            return None;
        }
        at += 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests;
