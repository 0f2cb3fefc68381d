//! Cuts a text into words, numbers and breaks between clauses.

/// Symbols that belong to the number that they stand before or after.
const MONEY: &[char] = &['$', '£', '€', '¥', '￥'];
/// Marks that say nothing and separate nothing.
const SILENT: &[char] = &[
    '"', '“', '”', '‘', '’', '\'', '「', '」', '『', '』', '《', '》', '(', ')', '（', '）', '-', '–', '、', '/', '&',
    '*', '#',
];
/// Marks that end a clause.
const BREAKS: &[char] = &[',', '.', ';', ':', '!', '?', '，', '。', '；', '：', '！', '？', '—', '…', '\n'];

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A word in small letters, a Chinese character, or any symbol that means something.
    Text(String),
    /// A number with its sign of money or percent, without marks between thousands.
    Number(String),
    /// The end of a clause.
    Break,
}

/// The pieces of a text in order.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let characters: Vec<char> = text.chars().collect();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < characters.len() {
        let (length, word) = next(&characters[at..]);
        words.extend(word);
        at += length;
    }
    words
}

/// The first piece and its length in characters.
fn next(rest: &[char]) -> (usize, Option<Word>) {
    let first = rest[0];
    if first.is_ascii_digit() || (MONEY.contains(&first) && rest.get(1).is_some_and(char::is_ascii_digit)) {
        return number(rest);
    }
    if is_letter(first) {
        let length = rest.iter().take_while(|c| is_letter(**c) || c.is_ascii_digit() || is_apostrophe(**c)).count();
        let word: String = rest[..length].iter().filter(|c| !is_apostrophe(**c)).collect();
        return (length, Some(Word::Text(word.to_lowercase())));
    }
    if BREAKS.contains(&first) {
        return (1, Some(Word::Break));
    }
    let is_silent = first.is_whitespace() || SILENT.contains(&first);
    (1, (!is_silent).then(|| Word::Text(first.to_string())))
}

/// `£1,234.50`, `20%`: one number. Letters right after it (`3rd`, `5kg`) belong to it too.
fn number(rest: &[char]) -> (usize, Option<Word>) {
    let sign = usize::from(MONEY.contains(&rest[0]));
    let mut length = sign;
    while length < rest.len() {
        let inner = matches!(rest[length], '.' | ',') && rest.get(length + 1).is_some_and(char::is_ascii_digit);
        if !(rest[length].is_ascii_digit() || inner) {
            break;
        }
        length += 1;
    }
    length += rest[length..].iter().take_while(|c| **c == '%' || is_letter(**c)).count();
    let text = rest[..length].iter().filter(|c| **c != ',').flat_map(|c| c.to_lowercase()).collect();
    (length, Some(Word::Number(text)))
}

/// Letters of alphabets; a Chinese character, kana or hangul is a word by itself.
fn is_letter(c: char) -> bool {
    c.is_alphabetic()
        && !matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_breaks_are_told_apart() {
        let text = |word: &str| Word::Text(word.to_owned());
        let number = |word: &str| Word::Number(word.to_owned());
        assert_eq!(
            words("You've £1,234.50, a 20% cut!"),
            [text("youve"), number("£1234.50"), Word::Break, text("a"), number("20%"), text("cut"), Word::Break]
        );
        assert_eq!(words("「红」茶 3rd ☕"), [text("红"), text("茶"), number("3rd"), text("☕")]);
    }
}
