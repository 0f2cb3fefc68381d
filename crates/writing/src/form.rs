//! Whether a grounded text is a proper sentence, as far as that can be told without understanding it.

use crate::check::{Rejection, Word, read_whole, words};
use crate::evidence::{Evidence, Kind, Language};

/// Words that no sentence ends with.
const DANGLING: &[&str] = &[
    "a", "an", "and", "as", "at", "because", "by", "could", "for", "have", "if", "in", "is", "may", "might", "of",
    "on", "or", "our", "since", "so", "that", "the", "to", "we", "which", "with", "would", "your",
];
/// Words of a headline besides names.
const HEADLINE_WORDS_MAX: usize = 8;
/// Marks that end a sentence.
const ENDS: &[char] = &['.', '!', '?', '。', '！', '？'];

/// Whether a text is grounded, as [`crate::check`] says, and reads like a sentence or a headline about the item: it names it once, tells a reason
/// if it is an explanation and there is one, begins and ends properly, and stammers nowhere.
///
/// # Errors
/// The first thing that is wrong.
pub fn reads_well(kind: Kind, text: &str, evidence: &Evidence, language: Language) -> Result<(), Rejection> {
    let found = read_whole(text, evidence, language)?;
    let words = words(text);
    let refuse = |is_wrong: bool, what| if is_wrong { Err(Rejection::Form(what)) } else { Ok(()) };
    refuse(found.item_names != 1, "has to name the item once")?;
    let has_to_tell = kind == Kind::Explanation && !evidence.ranked().is_empty();
    refuse(has_to_tell && found.claims == 0, "tells no reason")?;
    let begins_small = text.chars().next().is_some_and(char::is_lowercase);
    refuse(begins_small, "begins with a small letter")?;
    refuse(words.windows(2).any(|pair| pair[0] == pair[1] && is_word(&pair[0], language)), "says a word twice")?;
    refuse(breaks_off(text), "breaks off")?;
    if kind == Kind::Headline {
        return refuse(words.len() > HEADLINE_WORDS_MAX + names(evidence), "is too long for a headline");
    }
    refuse(!text.ends_with(ENDS), "has no end")
}

/// A name in quotation marks may end with any word.
fn breaks_off(text: &str) -> bool {
    let last = words(text).into_iter().rfind(|word| *word != Word::Break);
    let is_quoted = text.trim_end_matches(ENDS).ends_with(['"', '”', '」']);
    !is_quoted && matches!(last, Some(Word::Text(word)) if DANGLING.contains(&word.as_str()))
}

/// In Chinese a doubled character is usually a word.
fn is_word(word: &Word, language: Language) -> bool {
    language == Language::English && matches!(word, Word::Text(_))
}

/// Words of the names of the items.
fn names(evidence: &Evidence) -> usize {
    std::iter::once(&evidence.item).chain(&evidence.others).map(|name| words(name).len()).sum()
}
