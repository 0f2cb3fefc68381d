//! Judges a text against the evidence.
//!
//! The text is cut into words (a Chinese character is a word). From left to right each stretch has to be, in this order: the whole name of a
//! thing in the evidence; a number of the evidence; a phrase that makes a claim, or a harmless one. Anything else is refused. Then each clause
//! is looked at: what it claims has to hold for every thing that it names. Parts of names don't count, so `blue kettle` can't be made of a
//! blue lamp and a red kettle; negations, superlatives, comparisons and number words are in no list, so they are refused.

mod lexicon;
mod words;

use crate::evidence::{Claim, Evidence, Language};
use lexicon::{Lexicon, Meaning};
use std::collections::BTreeSet;
use thiserror::Error;
use words::{Word, words};

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
}

/// What a text that passes the checker can be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Harmless phrases, and those that make a claim of the evidence, in small letters.
    pub words: Vec<String>,
    /// Names and numbers of the evidence, as they are written there.
    pub names: Vec<String>,
}

/// The vocabulary of an evidence, to hold a model to. Not everything made of it passes: a claim has to be made of the right thing.
pub fn vocabulary(evidence: &Evidence, language: Language) -> Vocabulary {
    let facts = evidence.ranked();
    let claims: Vec<Claim> = facts.iter().map(|fact| fact.claim).collect();
    let mut names = vec![evidence.item.clone()];
    names.extend(facts.into_iter().filter_map(|fact| fact.thing.clone()).chain(evidence.numbers.iter().cloned()));
    names.retain(|name| !name.trim().is_empty());
    names.dedup();
    Vocabulary { words: lexicon::phrases(language, &claims), names }
}

/// Whether a text says nothing beyond the evidence.
///
/// # Errors
/// The first thing that it says beyond it.
pub fn check(text: &str, evidence: &Evidence, language: Language) -> Result<(), Rejection> {
    if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(Rejection::Length(text.len()));
    }
    let names = Names::of(evidence);
    let lexicon = Lexicon::of(language);
    let words = words(text);
    let (mut clause, mut at) = (Clause::default(), 0);
    while at < words.len() {
        at += read(&words[at..], &names, &lexicon, evidence, &mut clause)?;
    }
    clause.judge(evidence)
}

/// What one clause names and claims.
#[derive(Default)]
struct Clause {
    things: BTreeSet<String>,
    claims: BTreeSet<Claim>,
}

impl Clause {
    fn judge(&mut self, evidence: &Evidence) -> Result<(), Rejection> {
        let (things, claims) = (std::mem::take(&mut self.things), std::mem::take(&mut self.claims));
        claims.iter().try_for_each(|&claim| judge_claim(claim, &things, evidence))
    }
}

fn judge_claim(claim: Claim, things: &BTreeSet<String>, evidence: &Evidence) -> Result<(), Rejection> {
    let said_of = |thing: Option<&str>| {
        evidence
            .ranked()
            .iter()
            .any(|fact| fact.claim == claim && thing.is_none_or(|name| fact.thing.as_deref() == Some(name)))
    };
    // What an item belongs to has to be named, or the words say something else, such as that it is a category.
    let is_vague = things.is_empty() && claim != Claim::Belongs;
    if !claim.has_thing() || is_vague {
        return if said_of(None) { Ok(()) } else { Err(Rejection::Claim { claim, thing: None }) };
    }
    match things.iter().find(|thing| !said_of(Some(thing))) {
        None if things.is_empty() => Err(Rejection::Claim { claim, thing: None }),
        None => Ok(()),
        Some(thing) => Err(Rejection::Claim { claim, thing: Some(thing.clone()) }),
    }
}

/// Reads one stretch. Returns its length in words.
fn read(
    rest: &[Word],
    names: &Names<'_>,
    lexicon: &Lexicon,
    evidence: &Evidence,
    clause: &mut Clause,
) -> Result<usize, Rejection> {
    if let Some((length, name)) = names.longest(rest) {
        clause.things.extend(name.map(str::to_owned));
        return Ok(length);
    }
    match &rest[0] {
        Word::Break => clause.judge(evidence).map(|()| 1),
        Word::Number(number) if names.numbers.contains(number) => Ok(1),
        Word::Number(number) => Err(Rejection::Number(number.clone())),
        Word::Text(word) => match lexicon.longest(rest) {
            Some((length, Meaning::Harmless)) => Ok(length),
            Some((length, Meaning::Says(claim))) => {
                clause.claims.insert(claim);
                Ok(length)
            }
            None => Err(Rejection::Word(word.clone())),
        },
    }
}

/// Names as words. The recommended item's own name ties no claim to itself.
struct Names<'a> {
    names: Vec<(Vec<Word>, Option<&'a str>)>,
    numbers: BTreeSet<String>,
}

impl<'a> Names<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let things =
            evidence.facts.iter().filter_map(|fact| fact.thing.as_deref()).map(|thing| (spelt(thing), Some(thing)));
        let mut names: Vec<_> =
            things.chain([(spelt(&evidence.item), None)]).filter(|(words, _)| !words.is_empty()).collect();
        names.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
        let numbers = evidence.numbers.iter().flat_map(|number| words(number));
        let numbers =
            numbers.filter_map(|word| if let Word::Number(number) = word { Some(number) } else { None }).collect();
        Self { names, numbers }
    }

    fn longest(&self, rest: &[Word]) -> Option<(usize, Option<&'a str>)> {
        self.names.iter().find_map(|(name, thing)| Some((length_of(name, rest)?, *thing)))
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
