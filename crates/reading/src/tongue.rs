//! Which language a review is in, by its script and its commonest words. Tells English, Chinese and everything else apart, which is
//! what word lists and patterns exist for; it is no general identifier of languages.

use std::sync::LazyLock;

use rustc_hash::FxHashSet;
use zhiyin_core::opinion::Language;

use crate::{
    lexicon,
    text::{Words, is_ideograph},
};

/// Share of ideographs among all words from which a text is Chinese.
const CHINESE_SHARE_MIN: f64 = 0.3;
/// Share of common English words from which a text is English.
const ENGLISH_SHARE_MIN: f64 = 0.15;

const COMMON: &str = "the a an and or of to in is it its it's this that for with on as are was were be have has had i i've i'm my me you \
    your we they he she not but so if at from by all very just can will would do does did don't when what which there one than then \
    more only also get got use used after";

/// The language of a text.
pub(crate) fn of(words: &Words) -> Language {
    let all = words.all();
    let share = |count: usize| count as f64 / all.len().max(1) as f64;
    let count = |is_counted: &dyn Fn(&str) -> bool| all.iter().filter(|word| is_counted(word)).count();
    let has = |word: &str, from: char, to: char| word.starts_with(|c| (from..=to).contains(&c));
    let other_script = count(&|word| has(word, '\u{3040}', '\u{30ff}') || has(word, '\u{ac00}', '\u{d7af}'));
    let ideographs = count(&|word| word.starts_with(is_ideograph)) - other_script;
    // A text in Japanese has many ideographs too, but not without the other script.
    if share(ideographs) >= CHINESE_SHARE_MIN && other_script * 10 < ideographs {
        return Language::Chinese;
    }
    let common = count(&|word| is_common(word) || word.is_ascii() && lexicon::sense(word) != 0);
    if common > 0 && share(common) >= ENGLISH_SHARE_MIN { Language::English } else { Language::Other }
}

/// Whether a word is among the commonest of English.
pub(crate) fn is_common(word: &str) -> bool {
    static TABLE: LazyLock<FxHashSet<&'static str>> = LazyLock::new(|| COMMON.split_ascii_whitespace().collect());
    TABLE.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        let language = |text: &str| of(&Words::of(text));
        assert_eq!(language("The strings are bright and they stay in tune."), Language::English);
        assert_eq!(language("great"), Language::English);
        assert_eq!(language("这个琴弦音色很好，推荐购买"), Language::Chinese);
        assert_eq!(language("IPhone 用的，不错"), Language::Chinese);
        assert_eq!(language("Die Saiten klingen hell und halten die Stimmung."), Language::Other);
        assert_eq!(language("音がとてもきれいです"), Language::Other);
        assert_eq!(language(""), Language::Other);
    }
}
