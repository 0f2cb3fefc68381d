//! Text to terms: lower-cased runs of letters and digits; Chinese, Japanese and Korean characters as unigrams and bigrams.
//!
//! No stemming and no stop list: on product titles the inverse document frequency already silences the words that a stop list would drop.
//! Two dozen titles don't show which words these are, so function words are listed; the index leaves them out of small catalogues.

/// Identity of a term: the 64-bit FNV-1a hash of its text, the top bit telling categories from words. Independent of the order in
/// which terms were met, so that two indices over the same items are equal whatever their history. With a million different terms
/// the chance that any two of them collide is about 10⁻⁷.
pub type TermId = u64;

const CATEGORY_BIT: u64 = 1 << 63;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Words that any text may have, whatever it is about.
const FUNCTION_WORDS: [&str; 36] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "in", "into", "is", "it", "its", "of", "on",
    "or", "our", "that", "the", "their", "these", "this", "to", "when", "which", "with", "without", "you", "your",
    "的", "和", "与", "及",
];

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

/// The term of a word.
pub fn word(text: &str) -> TermId {
    fnv(text.as_bytes()) & !CATEGORY_BIT
}

/// The term of a category.
pub fn category(number: u32) -> TermId {
    fnv(&number.to_le_bytes()) | CATEGORY_BIT
}

/// Whether a term stands for a category.
pub fn is_category(term: TermId) -> bool {
    term & CATEGORY_BIT != 0
}

/// The terms of words that any text may have, whatever it is about.
pub fn function_words() -> impl Iterator<Item = TermId> {
    FUNCTION_WORDS.into_iter().map(word)
}

fn is_ideographic(c: char) -> bool {
    matches!(u32::from(c),
        0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x2fa1f)
}

/// Calls `each` with every token of a text, in order of its end.
pub fn for_each(text: &str, mut each: impl FnMut(&str)) {
    let (mut run, mut pair) = (String::new(), String::new());
    let mut previous = None;
    for c in text.chars().flat_map(char::to_lowercase) {
        if is_ideographic(c) {
            flush(&mut run, &mut each);
            each(c.encode_utf8(&mut [0; 4]));
            if let Some(before) = previous {
                pair.clear();
                pair.extend([before, c]);
                each(&pair);
            }
            previous = Some(c);
            continue;
        }
        previous = None;
        if c.is_alphanumeric() {
            run.push(c);
        } else {
            flush(&mut run, &mut each);
        }
    }
    flush(&mut run, &mut each);
}

fn flush(run: &mut String, each: &mut impl FnMut(&str)) {
    if !run.is_empty() {
        each(run);
        run.clear();
    }
}

/// The terms of a text with how often each occurs, by term.
pub fn counts(text: &str, categories: &[u32]) -> Vec<(TermId, u32)> {
    let mut terms: Vec<TermId> = categories.iter().map(|&number| category(number)).collect();
    terms.sort_unstable();
    terms.dedup();
    for_each(text, |token| terms.push(word(token)));
    terms.sort_unstable();
    let mut counted: Vec<(TermId, u32)> = Vec::with_capacity(terms.len());
    for term in terms {
        match counted.last_mut() {
            Some((last, count)) if *last == term => *count += 1,
            _ => counted.push((term, 1)),
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for_each(text, |token| found.push(token.to_owned()));
        found
    }

    #[test]
    fn words_are_lower_cased_runs_of_letters_and_digits() {
        assert_eq!(tokens("OPI Nail-Lacquer, 0.5oz É"), ["opi", "nail", "lacquer", "0", "5oz", "é"]);
        assert!(tokens(" .-! ").is_empty());
    }

    #[test]
    fn chinese_gives_unigrams_and_bigrams_that_do_not_cross_gaps() {
        assert_eq!(tokens("红茶杯 茶a杯"), ["红", "茶", "红茶", "杯", "茶杯", "茶", "a", "杯"]);
    }

    #[test]
    fn categories_count_once_and_differ_from_words() {
        let counted = counts("red red box", &[7, 7]);
        assert_eq!(counted.len(), 3);
        assert_eq!(counted.iter().find(|(term, _)| *term == word("red")), Some(&(word("red"), 2)));
        let categories: Vec<_> = counted.iter().filter(|(term, _)| is_category(*term)).collect();
        assert_eq!(categories, [&(category(7), 1)]);
    }
}
