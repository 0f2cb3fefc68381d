//! What people have opinions about: a closed list of nouns and pairs of nouns, mined from the deployment's own reviews.
//!
//! A candidate is a word (or two) that stands where nouns stand, beside a word of opinion: "great sound", "the price is low", "音质很好"
//! (after Hu and Liu 2004, without a tagger). Candidates are ranked by how many reviews speak of them so, times how evenly they are
//! spread over the items: what only some kinds of items have names those kinds. Words of fewer than [`ACTORS_MIN`] people never get
//! into the list, so that nobody's own words are in it.

use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use zhiyin_core::{ActorIx, AspectIx, ItemIx};

use crate::{
    lexicon::{sense, sense_at},
    text::{Words, is_ideograph},
    tongue::is_common,
};

/// Length of the list.
pub const ASPECTS_MAX: usize = 40;
/// People, and items, without which a word is no aspect.
pub const ACTORS_MIN: usize = 3;
const ITEMS_MIN: usize = 3;
/// Reviews that speak of it beside a word of opinion: at least so many, and this share of all.
const REVIEWS_MIN: usize = 4;
const REVIEWS_SHARE_MIN: f64 = 0.002;
/// Share of its occurrences after an article or the like, a word of opinion in between or not, without which a word is no noun.
const NOUN_SHARE_MIN: f64 = 0.15;
/// Share of its occurrences with no other noun right after it; with fewer it is an adjective, or the first half of a name.
const END_SHARE_MIN: f64 = 0.5;
/// Evenness below which a word names a kind of item.
const EVENNESS_MIN: f64 = 0.6;
/// Words after "is" and the like among which an opinion is looked for.
const PREDICATE_WORDS: usize = 3;
/// A pair counts as one thing if it makes up this share of the rarer word.
const PAIR_SHARE_MIN: f64 = 0.1;
const LETTERS_MIN: usize = 3;

const DETERMINERS: [&str; 16] = [
    "the", "its", "this", "that", "my", "your", "their", "these", "those", "a", "an", "any", "some", "of", "no", "our",
];
const COPULAS: [&str; 9] = ["is", "are", "was", "were", "sounds", "feels", "seems", "looks", "isn't"];
/// Nouns that stand for the thing itself, for people or for time.
const GENERIC: &str = "product thing item one way lot bit time money job deal purchase buy people person something anything everything \
    nothing review star year month day week hour minute guy friend son daughter wife husband kid amazon hand side end place part kind \
    sort type idea reason problem issue fact case point top bottom rest company brand store reviewer description order opinion fan \
    beginner player choice addition pair set piece stuff everyone anyone someone option thought luck investment pick need use pro con \
    complaint condition difference experience result work world home house gift user owner model version unit couple number \
    other another same solution device amount alternative replacement bang customer tool feeling first second next last \
    both all most every each much many such well few while because since though";
/// Characters that no Chinese noun of the list has.
const FUNCTION_CHARACTERS: &str = "的了是我你他她它这那就都也还很太不没有在和与及个把被给让又再才只会能可要想说看用买非常真挺较超\
    特一二三两几个天次点些吧吗呢啊呀哦但而且如果因为所以";
const DEGREE_CHARACTERS: &str = "很非太真挺较超特不有";

/// One review as it is mined.
pub(crate) struct Mined<'a> {
    pub words: &'a Words,
    pub item: ItemIx,
    pub actor: ActorIx,
}

/// The closed list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aspects {
    names: Vec<String>,
    /// Hash of the words in their plain form, rising, with the number of the aspect.
    forms: Vec<(u64, AspectIx)>,
}

/// What is known of a candidate.
#[derive(Default)]
struct Candidate {
    occurrences: u32,
    determined: u32,
    ending: u32,
    /// Reviews that have it beside a word of opinion, and whose and about what they are.
    reviews: u32,
    last_review: Option<usize>,
    items: FxHashSet<ItemIx>,
    actors: FxHashSet<ActorIx>,
    /// The forms in which it is met.
    surfaces: FxHashMap<String, u32>,
}

impl Aspects {
    /// Mines the list.
    pub(crate) fn mine(reviews: &[Mined<'_>]) -> Self {
        let mut candidates: FxHashMap<String, Candidate> = FxHashMap::default();
        for (number, review) in reviews.iter().enumerate() {
            for clause in review.words.clauses() {
                (0..clause.len()).for_each(|place| note(&mut candidates, clause, place, number, review));
            }
        }
        let spread = Spread::of(reviews);
        let least = REVIEWS_MIN.max((reviews.len() as f64 * REVIEWS_SHARE_MIN) as usize);
        let value = |(name, candidate): (_, &Candidate)| {
            let evenness = spread.evenness(candidate);
            (evenness >= EVENNESS_MIN).then(|| (f64::from(candidate.reviews) * evenness.powi(2), name))
        };
        let mut ranked: Vec<(f64, &String)> = candidates
            .iter()
            .filter(|(name, candidate)| candidate.reviews as usize >= least && is_noun(&candidates, name, candidate))
            .filter_map(value)
            .collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        ranked.truncate(ASPECTS_MAX);
        let named = ranked.iter().map(|(_, name)| (surface(&candidates[*name]), plain_hash(&words_of(name))));
        let mut aspects = Self::default();
        for ((name, form), number) in named.zip(0..) {
            aspects.names.push(name);
            aspects.forms.push((form, number));
        }
        aspects.forms.sort_unstable();
        aspects
    }

    /// Names by number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The aspects that a clause names, in order; of overlapping ones the longer.
    pub(crate) fn named_in(&self, clause: &[String]) -> Vec<AspectIx> {
        let mut found = Vec::new();
        let mut place = 0;
        while place < clause.len() {
            let longest = (1..=2_usize).rev().find_map(|length| {
                let words = clause.get(place..place + length)?;
                Some((self.find(plain_hash(words))?, length))
            });
            place += longest.map_or(1, |(_, length)| length);
            found.extend(longest.map(|(aspect, _)| aspect));
        }
        found
    }

    fn find(&self, form: u64) -> Option<AspectIx> {
        let place = self.forms.binary_search_by_key(&form, |(known, _)| *known).ok()?;
        Some(self.forms[place].1)
    }
}

/// Notes the candidates that begin at a place.
fn note(
    candidates: &mut FxHashMap<String, Candidate>,
    clause: &[String],
    place: usize,
    number: usize,
    review: &Mined<'_>,
) {
    let is_chinese = clause[place].starts_with(is_ideograph);
    let first = if place > 0 && sense(&clause[place - 1]) != 0 { place - 1 } else { place };
    let determined = first > 0 && DETERMINERS.contains(&clause[first - 1].as_str());
    for length in if is_chinese { 2..=2 } else { 1..=2 } {
        let Some(words) = clause.get(place..place + length) else { return };
        if !words.iter().all(|word| if is_chinese { is_chinese_part(word) } else { is_word(word) }) {
            return;
        }
        let beside = if is_chinese { said_in_chinese(clause, place + 2) } else { is_judged(clause, place, length) };
        // Of pairs only those that are judged matter; of words all, to tell what is a noun.
        if !beside && length == 2 {
            continue;
        }
        let candidate = candidates.entry(plain(words)).or_default();
        candidate.occurrences += 1;
        candidate.determined += u32::from(determined);
        candidate.ending += u32::from(clause.get(place + length).is_none_or(|next| ends_a_name(next)));
        if beside {
            *candidate.surfaces.entry(words.join(if is_chinese { "" } else { " " })).or_default() += 1;
            candidate.items.insert(review.item);
            candidate.actors.insert(review.actor);
            candidate.reviews += u32::from(candidate.last_review != Some(number));
            candidate.last_review = Some(number);
        }
    }
}

fn is_word(word: &str) -> bool {
    word.len() >= LETTERS_MIN
        && word.chars().all(|c| c.is_alphabetic() && !is_ideograph(c))
        && !word.ends_with("ly")
        && !is_common(word)
        && sense(word) == 0
        && !is_generic(singular(word))
}

fn is_generic(word: &str) -> bool {
    static TABLE: LazyLock<FxHashSet<&'static str>> = LazyLock::new(|| GENERIC.split_ascii_whitespace().collect());
    TABLE.contains(word)
}

/// Whether a name is over before this word.
fn ends_a_name(next: &str) -> bool {
    is_common(next) || COPULAS.contains(&next) || sense(next) != 0
}

fn is_chinese_part(word: &str) -> bool {
    word.starts_with(is_ideograph) && !FUNCTION_CHARACTERS.contains(word) && sense(word) == 0
}

/// Whether a word of opinion stands right before, or after "is" and the like.
fn is_judged(clause: &[String], place: usize, length: usize) -> bool {
    let before = place > 0 && sense(&clause[place - 1]) != 0;
    let after = &clause[place + length..];
    let said = after.first().is_some_and(|word| COPULAS.contains(&word.as_str()));
    before || said && after.iter().skip(1).take(PREDICATE_WORDS).any(|word| sense(word) != 0)
}

/// Whether a word of degree or of opinion follows.
fn said_in_chinese(clause: &[String], after: usize) -> bool {
    clause.get(after).is_some_and(|word| DEGREE_CHARACTERS.contains(word.as_str()) || sense_at(clause, after).0 != 0)
}

fn is_noun(all: &FxHashMap<String, Candidate>, name: &str, candidate: &Candidate) -> bool {
    let is_known = candidate.items.len() >= ITEMS_MIN && candidate.actors.len() >= ACTORS_MIN;
    let words = words_of(name);
    let stands = match words.as_slice() {
        [first, _] if first.starts_with(is_ideograph) => true,
        [first, second] => {
            let occurrences = |word: &str| all.get(word).map_or(u32::MAX, |known| known.occurrences);
            let rarer = occurrences(first).min(occurrences(second));
            f64::from(candidate.occurrences) >= PAIR_SHARE_MIN * f64::from(rarer)
        }
        _ => {
            let share = |count: u32| f64::from(count) / f64::from(candidate.occurrences);
            share(candidate.determined) >= NOUN_SHARE_MIN && share(candidate.ending) >= END_SHARE_MIN
        }
    };
    is_known && stands
}

/// The commonest form, without which of two equally common ones it is depending on the order of the table.
fn surface(candidate: &Candidate) -> String {
    let commonest = candidate.surfaces.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
    commonest.map_or_else(String::new, |(form, _)| form.clone())
}

/// How evenly reviews are spread over items.
struct Spread {
    /// Share of all reviews, by item.
    shares: Vec<f64>,
}

impl Spread {
    fn of(reviews: &[Mined<'_>]) -> Self {
        let mut counts: FxHashMap<ItemIx, u32> = FxHashMap::default();
        reviews.iter().for_each(|review| *counts.entry(review.item).or_default() += 1);
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable();
        Self { shares: counts.iter().map(|&count| f64::from(count) / reviews.len() as f64).collect() }
    }

    /// Items that have the candidate, over those that as many reviews drawn at random would have.
    fn evenness(&self, candidate: &Candidate) -> f64 {
        let draws = f64::from(candidate.reviews);
        let expected: f64 = self.shares.iter().map(|share| 1.0 - (1.0 - share).powf(draws)).sum();
        (candidate.items.len() as f64 / expected.max(1.0)).min(1.0)
    }
}

/// A word without the plural's s.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() >= LETTERS_MIN && !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => word,
    }
}

fn plain(words: &[String]) -> String {
    words.iter().map(|word| singular(word)).collect::<Vec<_>>().join(" ")
}

fn words_of(name: &str) -> Vec<String> {
    name.split(' ').map(str::to_owned).collect()
}

fn plain_hash(words: &[String]) -> u64 {
    crate::ngrams::hash_words(words.iter().map(|word| singular(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine(texts: &[&str]) -> Aspects {
        let words: Vec<Words> = texts.iter().map(|text| Words::of(text)).collect();
        let mined = |(number, words): (u32, _)| Mined { words, item: number % 5, actor: number % 7 };
        Aspects::mine(&(0..).zip(&words).map(mined).collect::<Vec<_>>())
    }

    #[test]
    fn nouns_beside_opinions_are_found_and_nothing_else() {
        let texts = [
            "Great sound, and the price is good.",
            "The sound is clear. I play it daily.",
            "An excellent price for the drum.",
            "The battery life is terrible",
            "Terrible battery life. Great sounds!",
            "the battery life was bad, the price was great",
            "bad battery life. Nice price!",
            "The sound was muddy",
            "I walk the dog and the weather changes.",
            "the price was fine, the sound was dull",
        ];
        assert_eq!(mine(&texts).names(), ["price", "sound", "battery life"]);
    }

    #[test]
    fn chinese_nouns_are_found_by_what_follows() {
        let texts =
            ["音质很好，价格太贵", "音质不错", "音质非常好，价格实惠", "价格便宜", "音质差", "价格太高，我喜欢"];
        assert_eq!(mine(&texts).names(), ["价格", "音质"]);
    }

    #[test]
    fn what_too_few_people_say_is_no_aspect() {
        let words = Words::of("great zither");
        let mined: Vec<_> = (0..50).map(|n| Mined { words: &words, item: n, actor: n % 2 }).collect();
        assert!(Aspects::mine(&mined).names().is_empty());
    }

    #[test]
    fn the_longer_aspect_wins_and_plurals_are_the_same() {
        let aspects = mine(&[
            "the sound is good",
            "the sound is bad",
            "a great sound",
            "nice sound",
            "the sound quality is good",
            "the sound quality is bad",
            "great sound quality",
            "nice sound quality",
        ]);
        let names = |text: &str| -> Vec<&str> {
            let words = Words::of(text);
            let found = words.clauses().flat_map(|clause| aspects.named_in(clause));
            found.map(|aspect| aspects.names()[usize::from(aspect)].as_str()).collect()
        };
        assert_eq!(names("sound quality and sounds"), ["sound quality", "sound"]);
    }
}
