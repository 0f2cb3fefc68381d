//! What rules make of a query.

use super::{Intent, OwnPart, Seen, WORDS_MAX, period};

/// Words before a number that make it a bound; those of two words are joined.
const BEFORE_MAX: &[&str] = &["under", "below", "max", "maximum", "most", "than", "to", "within", "less", "cheaper"];
const BEFORE_MIN: &[&str] = &["over", "above", "min", "minimum", "least", "from", "more"];
/// Characters after a number that make it a bound.
const AFTER_MAX: &[&str] = &["以下", "以内", "之内"];
const AFTER_MIN: &[&str] = &["以上", "起"];
/// Words that describe no item.
const FILLERS: &str = "a an and the this that these those with without in on at by of for to from or not no more less than under below over above \
     about around up max maximum min minimum most least within between cheaper cheap but i ive id im weve me my we our you your it its is are be was were what \
     which who when where how like likes liked similar want wants wanted need needs would could should can please show find search \
     looking look looked get give something anything some any item items product products thing things bought buy purchased ordered viewed saw \
     rated loved before pound pounds dollar dollars euro euros yuan gbp usd eur cny";
/// What somebody did, by the word for it.
const DEEDS: &[(&[&str], &str)] = &[
    (&["bought", "purchased", "ordered", "买", "购买", "下单"], "purchase"),
    (&["viewed", "saw", "looked", "browsed", "看过", "浏览"], "view"),
    (&["liked", "loved", "like", "love", "rated", "喜欢"], "like"),
];
/// Words before `like` with which it says what somebody wants, not what a thing is like.
const WANTING: &[&str] =
    &["would", "i", "d", "id", "we", "they", "you", "might", "may", "also", "really", "do", "what"];
/// Words before `I` with which it tells of things.
const ASKING: &[&str] = &["what", "that", "which", "those", "things", "ones", "everything"];
/// Words with which the name of an item begins no more.
const NAME_ENDS: &[&str] =
    &["but", "under", "below", "over", "above", "for", "in", "less", "more", "cheaper", "max", "from", "which"];
/// Words of a name.
const NAME_WORDS_MAX: usize = 8;

/// What the rules make of a query.
pub(super) fn read(query: &str, seen: Seen) -> Intent {
    let pieces = pieces(query);
    let mut intent = bounds(&pieces);
    let own = own_part(&pieces, seen);
    let name = if own.is_some() { None } else { name(&pieces, query) };
    intent.cheaper = name.is_some() && (pieces.iter().any(|piece| piece == "cheaper" || piece.contains("便宜")));
    let is_of_name = |at: usize| name.as_ref().is_some_and(|(_, places)| places.contains(&at));
    // A time that something was bought at describes no item; one that it is for may.
    let is_of_time = |piece: &str| own.as_ref().is_some_and(|own| own.from.is_some()) && period::is_word_of_time(piece);
    let telling = pieces
        .iter()
        .enumerate()
        .filter(|(at, piece)| number(piece).is_none() && is_telling(piece) && !is_of_time(piece) && !is_of_name(*at));
    let clauses = |piece: &str| own.is_some() && is_deed(piece);
    intent.words = telling.map(|(_, piece)| piece.clone()).filter(|piece| !clauses(piece)).collect();
    intent.words.dedup();
    intent.words.truncate(WORDS_MAX);
    intent.like_own = own;
    intent.like = name.map(|(name, _)| name);
    intent
}

fn bounds(pieces: &[String]) -> Intent {
    let mut intent = Intent::default();
    for (at, piece) in pieces.iter().enumerate() {
        let Some(number) = number(piece) else { continue };
        let before = |words: &[&str]| at > 0 && words.contains(&pieces[at - 1].as_str());
        let after = |words: &[&str]| pieces[at + 1..].iter().take(2).any(|next| words.iter().any(|w| next.contains(w)));
        // `no more than` is a bound from above, `more than` one from below.
        if is_more_than(pieces, at) || before(BEFORE_MIN) || after(AFTER_MIN) {
            intent.price_min = Some(number);
        } else if before(BEFORE_MAX) || after(AFTER_MAX) {
            intent.price_max = Some(number);
        }
    }
    intent
}

/// "what I bought in spring": what the asker did, and when.
fn own_part(pieces: &[String], seen: Seen) -> Option<OwnPart> {
    let deed = |piece: &str| DEEDS.iter().find(|(words, _)| words.iter().any(|word| is_deed_word(piece, word)));
    let english = pieces.iter().enumerate().find_map(|(at, piece)| {
        let is_own = matches!(piece.as_str(), "i" | "ive" | "we" | "weve");
        let asks = at > 0 && ASKING.contains(&pieces[at - 1].as_str());
        // "I like red" is no history; "what I like" is.
        let is_past = |next: &str| asks || !(next.starts_with("like") || next.starts_with("love"));
        let next = pieces[at + 1..].iter().take(3).filter(|_| is_own);
        next.filter(|next| is_past(next)).find_map(|next| deed(next))
    });
    let chinese = || {
        let is_own = pieces.iter().any(|piece| piece.contains('我'));
        pieces.iter().filter(|piece| is_own && !piece.is_ascii()).find_map(|piece| deed(piece))
    };
    let (_, event) = english.or_else(chinese)?;
    let days = period::named(pieces, seen.today, seen.newest);
    let spelt = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string());
    Some(OwnPart {
        event: Some((*event).to_owned()),
        from: spelt(days.map(|days| days.0)),
        to: spelt(days.map(|days| days.1)),
    })
}

fn is_deed_word(piece: &str, word: &str) -> bool {
    if word.is_ascii() { piece == word } else { piece.contains(word) }
}

/// A Chinese clause that says what the asker did.
fn is_deed(piece: &str) -> bool {
    !piece.is_ascii()
        && (piece.contains('我')
            || DEEDS.iter().any(|(words, _)| words.iter().any(|word| !word.is_ascii() && piece.contains(word))))
}

/// What the item is to be like, with the places of its words: "like the blue kettle but cheaper", 像红水壶一样的.
fn name(pieces: &[String], query: &str) -> Option<(String, std::ops::Range<usize>)> {
    if let Some(name) = chinese_name(query) {
        // Its words stand in clauses, all of which are about it.
        return Some((name, 0..pieces.len()));
    }
    let starts = |at: usize| match pieces[at].as_str() {
        "like" => at == 0 || !WANTING.contains(&pieces[at - 1].as_str()),
        "to" => at > 0 && pieces[at - 1] == "similar",
        _ => false,
    };
    let from = (0..pieces.len()).find(|&at| starts(at))? + 1;
    let is_end = |piece: &String| NAME_ENDS.contains(&piece.as_str());
    let length = pieces[from..].iter().take(NAME_WORDS_MAX).take_while(|piece| !is_end(piece)).count();
    let places = from..from + length;
    let articles = ["a", "an", "the", "that", "this", "my"];
    let words: Vec<&str> =
        pieces[places.clone()].iter().map(String::as_str).filter(|word| !articles.contains(word)).collect();
    words.iter().any(|word| is_telling(word)).then(|| (words.join(" "), places))
}

fn chinese_name(query: &str) -> Option<String> {
    let start = ["类似于", "类似", "像"].into_iter().find_map(|word| query.find(word).map(|at| at + word.len()))?;
    let rest = &query[start..];
    let end = ["一样", "那样", "的", "，", ",", "但"]
        .into_iter()
        .filter_map(|word| rest.find(word))
        .min()
        .unwrap_or(rest.len());
    let name = rest[..end].trim();
    (!name.is_empty() && !name.contains('我')).then(|| name.to_owned())
}

/// Words and numbers in small letters, without signs of money. Chinese, which has no spaces, breaks after a bound: 元以下, 红色礼物.
pub(super) fn pieces(query: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let bounds = AFTER_MAX.iter().chain(AFTER_MIN).filter(|bound| bound.chars().count() > 1);
    let spaced = bounds.fold(query.to_lowercase(), |text, bound| text.replace(bound, &format!("{bound} ")));
    let characters: Vec<char> = spaced.replace(" 的", " ").replace(['\'', '’'], "").chars().collect();
    for (at, &c) in characters.iter().enumerate() {
        let is_point = c == '.'
            && at > 0
            && characters[at - 1].is_ascii_digit()
            && characters.get(at + 1).is_some_and(char::is_ascii_digit);
        let turns = pieces
            .last()
            .and_then(|piece| piece.chars().last())
            .is_some_and(|last| last.is_ascii_digit() != c.is_ascii_digit() && !is_point && last != '.');
        if !(c.is_alphanumeric() || is_point) {
            pieces.push(String::new());
        } else if turns {
            pieces.push(c.to_string());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// A number; `inf` and `nan` are words.
pub(super) fn number(piece: &str) -> Option<f64> {
    piece.parse().ok().filter(|_| piece.starts_with(|first: char| first.is_ascii_digit()))
}

fn is_more_than(pieces: &[String], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| pieces[at].as_str());
    before(1) == Some("than") && before(2) == Some("more") && !matches!(before(3), Some("no" | "not"))
}

pub(super) fn is_telling(word: &str) -> bool {
    let bounds = [AFTER_MAX, AFTER_MIN].concat();
    word.chars().count() > 1
        && !FILLERS.split_whitespace().any(|filler| filler == word)
        && !bounds.iter().any(|b| word.contains(b))
        && word != "元"
}
