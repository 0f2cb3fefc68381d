//! Stretches of time as people name them: "in spring", "last month", "in May 2011", 春天, 上个月.

use jiff::{
    ToSpan,
    civil::{Date, date},
};

/// Months of the year by name; abbreviations of three letters are known too, except `may` and `mar`, which are words.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Names of seasons with their first month; winter begins in December.
const SEASONS: [(&[&str], i8); 4] = [
    (&["spring", "春天", "春季"], 3),
    (&["summer", "夏天", "夏季"], 6),
    (&["autumn", "fall", "秋天", "秋季"], 9),
    (&["winter", "冬天", "冬季"], 12),
];
/// Years that are years and no other numbers.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2105;

/// From when until when; the second day isn't in it.
pub(super) type Days = (Date, Date);

/// What a text says of time, seen from `today`; a season or month without a year is the newest one that has begun by `newest`. `pieces` are its words, in small
/// letters; Chinese ones hold whole clauses.
pub(super) fn named(pieces: &[String], today: Date, newest: Date) -> Option<Days> {
    let has = |words: &[&str]| pieces.iter().any(|piece| words.iter().any(|word| is_named(piece, word)));
    let follows = |first: &[&str], second: &str| {
        pieces.windows(2).any(|pair| first.contains(&pair[0].as_str()) && pair[1] == second)
    };
    let this_month = today.first_of_month();
    let this_year = date(today.year(), 1, 1);
    if has(&["yesterday", "昨天"]) {
        return days(today.checked_sub(1.day()).ok()?, today);
    }
    if follows(&["last", "past"], "week") || has(&["上周", "上星期", "上个星期"]) {
        return days(today.checked_sub(7.days()).ok()?, today.tomorrow().ok()?);
    }
    if follows(&["last", "past"], "month") || has(&["上个月", "上月"]) {
        return days(this_month.checked_sub(1.month()).ok()?, this_month);
    }
    if follows(&["this"], "month") || has(&["这个月", "本月"]) {
        return days(this_month, today.tomorrow().ok()?);
    }
    if has(&["recently", "lately", "最近"]) {
        return days(today.checked_sub(30.days()).ok()?, today.tomorrow().ok()?);
    }
    let year = year(pieces);
    let spoken_year = if follows(&["last", "past"], "year") || has(&["去年"]) {
        Some(today.year() - 1)
    } else if follows(&["this"], "year") || has(&["今年"]) {
        Some(today.year())
    } else {
        year
    };
    let part = part_of_year(pieces);
    match (part, spoken_year) {
        (Some((month, months)), Some(year)) => span(date(year, month, 1), months),
        (Some((month, months)), None) => newest_of(month, months, newest),
        (None, Some(year)) if year == today.year() => days(this_year, today.tomorrow().ok()?),
        (None, Some(year)) => days(date(year, 1, 1), date(year + 1, 1, 1)),
        (None, None) => None,
    }
}

/// Words of time, which describe no item where a text speaks of a time.
pub(super) fn is_word_of_time(piece: &str) -> bool {
    let of_seasons = SEASONS.iter().any(|(names, _)| names.iter().any(|name| is_named(piece, name)));
    let others = ["last", "past", "this", "week", "month", "year", "yesterday", "recently", "lately"];
    of_seasons || others.contains(&piece) || month(piece).is_some()
}

/// English words stand alone, Chinese ones within clauses.
fn is_named(piece: &str, word: &str) -> bool {
    if word.is_ascii() { piece == word } else { piece.contains(word) }
}

/// A season or a month: its first month and its length in months.
fn part_of_year(pieces: &[String]) -> Option<(i8, i8)> {
    let is_season = |names: &[&str]| pieces.iter().any(|piece| names.iter().any(|name| is_named(piece, name)));
    if let Some((_, first)) = SEASONS.iter().find(|(names, _)| is_season(names)) {
        return Some((*first, 3));
    }
    let spelt = pieces.windows(2).find_map(|pair| month(&pair[1]).filter(|_| is_before_time(&pair[0])));
    let chinese = || {
        let numbered = pieces.windows(2).find(|pair| pair[1].starts_with('月'))?;
        numbered[0].parse::<i8>().ok().filter(|month| (1..=12).contains(month))
    };
    spelt.or_else(chinese).map(|month| (month, 1))
}

fn is_before_time(piece: &str) -> bool {
    ["in", "during", "last", "this", "since", "of"].contains(&piece)
}

fn month(piece: &str) -> Option<i8> {
    let is_short = |name: &str| name.len() > 4 && name[..3] == *piece && piece != "mar";
    MONTHS.iter().zip(1..).find(|(name, _)| **name == piece || is_short(name)).map(|(_, number)| number)
}

/// `in 2011`, `2011年`, `spring 2011`; other numbers are no years.
fn year(pieces: &[String]) -> Option<i16> {
    let number = |piece: &str| piece.parse::<i16>().ok().filter(|year| YEARS.contains(year));
    pieces.iter().enumerate().find_map(|(at, piece)| {
        let year = number(piece)?;
        let before = at.checked_sub(1).map(|at| pieces[at].as_str());
        let is_year = before.is_some_and(|before| is_before_time(before) || is_word_of_time(before))
            || pieces.get(at + 1).is_some_and(|next| next.starts_with('年'));
        is_year.then_some(year)
    })
}

fn newest_of(month: i8, months: i8, newest: Date) -> Option<Days> {
    let this = date(newest.year(), month, 1);
    let first = if this > newest { date(newest.year() - 1, month, 1) } else { this };
    span(first, months)
}

fn span(first: Date, months: i8) -> Option<Days> {
    days(first, first.checked_add(i64::from(months).months()).ok()?)
}

fn days(from: Date, to: Date) -> Option<Days> {
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_seen_from_today() {
        let (today, newest) = (date(2026, 11, 24), date(2011, 11, 30));
        for (text, found) in [
            ("in spring", Some(("2011-03-01", "2011-06-01"))),
            ("last winter", Some(("2010-12-01", "2011-03-01"))),
            ("in autumn 2009", Some(("2009-09-01", "2009-12-01"))),
            ("in 2010", Some(("2010-01-01", "2011-01-01"))),
            ("in december", Some(("2010-12-01", "2011-01-01"))),
            ("in may", Some(("2011-05-01", "2011-06-01"))),
            ("in may 2008", Some(("2008-05-01", "2008-06-01"))),
            ("last month", Some(("2026-10-01", "2026-11-01"))),
            ("last week", Some(("2026-11-17", "2026-11-25"))),
            ("yesterday", Some(("2026-11-23", "2026-11-24"))),
            ("last year", Some(("2025-01-01", "2026-01-01"))),
            ("last year in june", Some(("2025-06-01", "2025-07-01"))),
            ("我 春天买的", Some(("2011-03-01", "2011-06-01"))),
            ("上个月看过的", Some(("2026-10-01", "2026-11-01"))),
            ("2010 年 12 月买的", Some(("2010-12-01", "2011-01-01"))),
            ("under 10 pounds", None),
            ("a set of 2011 pieces", Some(("2011-01-01", "2012-01-01"))),
            ("it may fit", None),
        ] {
            let pieces: Vec<String> = text.split(' ').map(str::to_owned).collect();
            let spelt = |day: Date| day.to_string();
            let days = named(&pieces, today, newest).map(|(from, to)| (spelt(from), spelt(to)));
            assert_eq!(days, found.map(|(from, to)| (from.to_owned(), to.to_owned())), "{text}");
        }
    }
}
