//! Text to words and clauses.
//!
//! A word is a lower-cased run of letters, digits and inner apostrophes, or one Chinese, Japanese or Korean character: whatever is
//! counted in pairs of neighbours then has the usual two-character words too. A clause ends at punctuation and before a word that turns
//! the sense, such as "but".

/// Words of one text that are looked at; reviews beyond that are cut.
pub(crate) const WORDS_MAX: usize = 4_096;

/// Words before which a new clause begins.
const TURNS: [&str; 9] = ["but", "however", "although", "though", "except", "yet", "whereas", "while", "despite"];
/// The same in Chinese, as sequences of characters.
const TURNS_CHINESE: [[&str; 2]; 5] = [["但", "是"], ["不", "过"], ["可", "是"], ["然", "而"], ["就", "是"]];

/// A text as words, cut into clauses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    words: Vec<String>,
    /// End of each clause among the words.
    ends: Vec<usize>,
    /// Ends of clauses that end a sentence too.
    stops: Vec<usize>,
}

impl Words {
    /// Reads a text.
    pub fn of(text: &str) -> Self {
        let mut words = Self::default();
        let mut run = String::new();
        let mut letters = text.chars().flat_map(char::to_lowercase).peekable();
        while let Some(letter) = letters.next() {
            if words.words.len() >= WORDS_MAX {
                run.clear();
                break;
            }
            let inner = letters.peek().copied().is_some_and(char::is_alphanumeric) && !run.is_empty();
            match letter {
                _ if is_ideograph(letter) => {
                    words.push(&mut run);
                    words.push(&mut letter.to_string());
                }
                _ if letter.is_alphanumeric() => run.push(letter),
                '\'' | '’' if inner => run.push('\''),
                // A number such as 4.5 is one word.
                '.' | ',' if inner && run.ends_with(|c: char| c.is_ascii_digit()) => run.push(letter),
                '-' if inner => words.push(&mut run),
                _ => {
                    words.push(&mut run);
                    words.punctuation(letter);
                }
            }
        }
        words.push(&mut run);
        words.end(true);
        words
    }

    fn push(&mut self, run: &mut String) {
        if run.is_empty() {
            return;
        }
        let word = std::mem::take(run);
        if TURNS.contains(&word.as_str()) {
            self.end(false);
        }
        self.words.push(word);
        self.turn_in_chinese();
    }

    /// Begins a clause before the last two characters if they turn the sense.
    fn turn_in_chinese(&mut self) {
        let Some([first, second]) = self.words.last_chunk::<2>() else { return };
        let is_turn = TURNS_CHINESE.iter().any(|turn| first == turn[0] && second == turn[1]);
        let end = self.words.len() - 2;
        if is_turn && end > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(end);
        }
    }

    fn punctuation(&mut self, letter: char) {
        match letter {
            '.' | '!' | '?' | '。' | '！' | '？' | '\n' => {
                self.end(true);
                if matches!(letter, '!' | '！') && !self.words.is_empty() {
                    self.emphasise();
                }
            }
            ',' | ';' | ':' | '(' | ')' | '，' | '；' | '：' | '、' | '…' => self.end(false),
            _ => {}
        }
    }

    /// An exclamation mark is a word of the clause that it ends.
    fn emphasise(&mut self) {
        if self.words.last().is_some_and(|word| word == "!") {
            return;
        }
        self.words.push("!".into());
        let end = self.words.len();
        for ends in [&mut self.ends, &mut self.stops] {
            if let Some(last) = ends.last_mut() {
                *last = end;
            }
        }
    }

    fn end(&mut self, is_sentence: bool) {
        let end = self.words.len();
        let last = self.ends.last().copied().unwrap_or(0);
        if end > last {
            self.ends.push(end);
        }
        if is_sentence && end > self.stops.last().copied().unwrap_or(0) {
            self.stops.push(end);
        }
    }

    /// All words.
    pub fn all(&self) -> &[String] {
        &self.words
    }

    /// The clauses, in order.
    pub fn clauses(&self) -> impl Iterator<Item = &[String]> {
        pieces(&self.words, &self.ends)
    }

    /// The sentences, in order.
    pub fn sentences(&self) -> impl Iterator<Item = &[String]> {
        pieces(&self.words, &self.stops)
    }
}

fn pieces<'a>(words: &'a [String], ends: &'a [usize]) -> impl Iterator<Item = &'a [String]> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(from, &to)| &words[from..to])
}

/// Whether a character is a word by itself.
pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x2fa1f)
}

/// Whether a word negates what follows it.
pub(crate) fn negates(word: &str) -> bool {
    const NEGATIONS: [&str; 16] = [
        "not", "no", "never", "nothing", "nor", "neither", "without", "hardly", "barely", "cannot", "不", "没", "無",
        "无", "沒", "未",
    ];
    NEGATIONS.contains(&word) || word.ends_with("n't") || matches!(word, "dont" | "doesnt" | "didnt" | "wont" | "cant")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clauses(text: &str) -> Vec<String> {
        Words::of(text).clauses().map(|clause| clause.join(" ")).collect()
    }

    #[test]
    fn clauses_end_at_punctuation_and_before_a_turn() {
        let found = clauses("It's great, but the well-made 4.5 inch knob DOESN’T turn! I returned it.");
        assert_eq!(found, ["it's great", "but the well made 4.5 inch knob doesn't turn !", "i returned it"]);
        assert!(clauses(" … .. \n").is_empty());
    }

    #[test]
    fn chinese_characters_are_words_and_turns_cut_there_too() {
        assert_eq!(clauses("音质很好但是太贵。"), ["音 质 很 好", "但 是 太 贵"]);
        assert_eq!(clauses("但是贵"), ["但 是 贵"]);
    }

    #[test]
    fn sentences_keep_their_commas_inside() {
        let words = Words::of("Good, cheap! Loud.");
        let found: Vec<String> = words.sentences().map(|sentence| sentence.join(" ")).collect();
        assert_eq!(found, ["good cheap !", "loud"]);
    }

    #[test]
    fn a_text_without_end_is_cut() {
        assert_eq!(Words::of(&"a ".repeat(3 * WORDS_MAX)).all().len(), WORDS_MAX);
    }
}
