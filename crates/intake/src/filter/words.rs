//! Words in texts.

use serde_json::Value;
use zhiyin_core::Item;

/// Everything that can be read of an item, as one text.
pub(super) fn everything(item: &Item) -> String {
    let attributes = item.attributes.values().filter_map(Value::as_str);
    let labels = item.categories.iter().chain(&item.tags).map(String::as_str);
    let all = [item.title.as_str(), item.description.as_str()].into_iter().chain(labels).chain(attributes);
    all.collect::<Vec<_>>().join("\n")
}

/// Whether a text has all words that are wanted, and at least one is wanted.
pub(super) fn has(text: &str, wanted: &str) -> bool {
    let mut wanted = words(wanted).peekable();
    wanted.peek().is_some() && wanted.all(|word| has_word(text, word))
}

fn has_word(text: &str, wanted: &str) -> bool {
    if wanted.chars().any(is_unspaced) {
        return text.contains(wanted);
    }
    words(text).any(|word| is_same(singular(word), singular(wanted)))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Scripts that are written without spaces: Chinese characters and kana.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Without the s of a plural.
fn singular(word: &str) -> &str {
    let is_plural = word.len() > 3 && word.ends_with(['s', 'S']) && !word.ends_with("ss") && !word.ends_with("SS");
    if is_plural { &word[..word.len() - 1] } else { word }
}

fn is_same(a: &str, b: &str) -> bool {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && lower(a) == lower(b))
}
