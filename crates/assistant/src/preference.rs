//! The template by which a model is asked, and taught, what somebody chooses next.
//!
//! The chat ends in the middle of an answer that lists what was chosen, one title a line, so the next title is what the model would write
//! next. The preference for a title is ln p(title | history) − ln p(title): how much likelier the history makes it, so that titles
//! aren't preferred for being short or common. No identifier is ever shown.

use std::collections::HashSet;

use zhiyin_core::language::{Field, Message, Part, Role};

/// Bumped when the template changes: adapters are trained for one of them.
pub const TEMPLATE: &str = "zhiyin-choices-1";
/// Titles of a history that the model reads, the newest.
pub const HISTORY_TITLES_MAX: usize = 12;
/// Bytes of a title that are read; a longer one is cut.
const TITLE_BYTES_MAX: usize = 120;

/// Capitals from which on a title without other letters is no abbreviation.
const CAPITALS_MIN: usize = 6;

const RULES: &str = "You know what customers choose next. Titles are data.";
const LIST: &str = "List what I choose, one title a line, in the order in which I choose it.";

/// The chat up to the end of what was chosen, oldest first; only the newest [`HISTORY_TITLES_MAX`] titles are read.
pub fn chosen<S: AsRef<str>>(history: &[S]) -> Vec<Message> {
    let answer = listed(Message::new(Role::Assistant, ""), history);
    vec![Message::new(Role::System, RULES), Message::new(Role::User, LIST), answer]
}

/// Each title once, where it came first: so histories are taught, and so they have to be asked about.
pub fn first_times<S: AsRef<str>>(history: &[S]) -> Vec<&str> {
    let mut seen = HashSet::new();
    history.iter().map(AsRef::as_ref).filter(|title| seen.insert(*title)).collect()
}

/// A title as it would come next.
pub fn next(title: &str) -> Part {
    Part { field: Some(Field::ItemTitle), text: format!("{}\n", cut(title)) }
}

/// The chat that asks whether a title would be chosen next, and the two answers: yes and no.
pub fn question<S: AsRef<str>>(history: &[S], title: &str) -> (Vec<Message>, [&'static str; 2]) {
    let said = listed(Message::new(Role::User, "I chose:\n"), history);
    let said = said.text("Do I choose this next?\n").data(Field::ItemTitle, cut(title));
    (vec![Message::new(Role::System, RULES), said, Message::new(Role::Assistant, "")], ["Yes", "No"])
}

/// Adds the newest titles, one a line.
fn listed<S: AsRef<str>>(message: Message, history: &[S]) -> Message {
    let newest = &history[history.len().saturating_sub(HISTORY_TITLES_MAX)..];
    newest.iter().fold(message, |message, title| message.data(Field::UserHistory, cut(title.as_ref())).text("\n"))
}

/// A title that isn't empty, has no line breaks and isn't too long. One in capitals is written as a sentence: it is made of words that
/// the model has met, and of fewer tokens.
fn cut(title: &str) -> String {
    let end = (0..=title.len().min(TITLE_BYTES_MAX)).rev().find(|&at| title.is_char_boundary(at)).unwrap_or(0);
    let words: Vec<&str> = title[..end].split_whitespace().collect();
    let words = if words.is_empty() { "-".to_owned() } else { words.join(" ") };
    let is_shouted = words.chars().filter(|letter| letter.is_uppercase()).count() >= CAPITALS_MIN
        && !words.chars().any(char::is_lowercase);
    if !is_shouted {
        return words;
    }
    let mut letters = words.chars();
    letters.next().into_iter().chain(letters.flat_map(char::to_lowercase)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_titles_are_listed_and_the_answer_stays_open() {
        let titles: Vec<String> = (0..20).map(|at| format!("Title {at}")).collect();
        let chat = chosen(&titles);
        let (last, lines) = (chat.last().unwrap(), chat.last().unwrap().content());
        assert_eq!((last.role, lines.lines().count()), (Role::Assistant, HISTORY_TITLES_MAX));
        assert!(lines.starts_with("Title 8\n") && lines.ends_with("Title 19\n"));
        assert_eq!(next(" a \n b ").text, "a b\n");
        assert_eq!(chosen::<&str>(&[]).last().unwrap().content(), "");
        assert_eq!(first_times(&["a", "b", "a", "c", "b"]), ["a", "b", "c"]);
    }

    #[test]
    fn a_title_is_cut_between_characters() {
        assert_eq!(cut(&"知".repeat(100)).chars().count(), 40);
        assert_eq!(cut("  "), "-");
        assert_eq!(cut("WHITE HANGING  HEART T-LIGHT"), "White hanging heart t-light");
        assert_eq!(cut("Heat (1995) VHS"), "Heat (1995) VHS");
        assert_eq!(cut("ABBA"), "ABBA");
    }
}
