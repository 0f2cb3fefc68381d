//! Query parameters: strict (unknown names, repeated names and bad UTF-8 are refused), and cheap enough for the hottest route.

use std::{borrow::Cow, str::FromStr, time::Duration};

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use zhiyin_core::{clock::Millis, limits};
use zhiyin_engine::{RecommendRequest, SearchRequest, request::Explain};

use crate::fault::Fault;

/// Calls `set` for each parameter and refuses names that aren't in one of the lists `known`.
fn each<'q>(
    query: Option<&'q str>,
    known: &[&[&str]],
    mut set: impl FnMut(&str, Cow<'q, str>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode("query", name)?;
        let value = decode(&name, value)?;
        if !known.iter().any(|names| names.contains(&&*name)) {
            let known = known.concat();
            let remedy = if known.is_empty() {
                "leave it out: the route has no parameters".to_owned()
            } else {
                format!("the known parameters are {}", known.join(", "))
            };
            return Err(Fault::bad(cut(&name), "is not a parameter of this route", remedy));
        }
        set(&name, value)?;
    }
    Ok(())
}

fn decode<'q>(name: &str, text: &'q str) -> Result<Cow<'q, str>, Fault> {
    let bad = |_| Fault::bad(cut(name), "is not UTF-8 after percent-decoding", "percent-encode UTF-8");
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().map_err(bad);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(bad)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::bad(name, "is given twice", "give it once")),
    }
}

fn number<T: FromStr>(name: &str, text: &str, expected: &str) -> Result<T, Fault> {
    text.parse()
        .map_err(|_| Fault::bad(name, format!("is {:?}, must be {expected}", cut(text)), format!("give {expected}")))
}

fn finite(name: &str, text: &str) -> Result<f32, Fault> {
    let value: f32 = number(name, text, "a number")?;
    if value.is_finite() { Ok(value) } else { Err(Fault::bad(name, format!("is {value}"), "give a finite number")) }
}

fn flag(name: &str, text: &str) -> Result<bool, Fault> {
    number(name, text, "`true` or `false`")
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned)
}

fn explain(text: &str) -> Result<Explain, Fault> {
    match text {
        "none" => Ok(Explain::None),
        "reasons" => Ok(Explain::Reasons),
        "text" => Ok(Explain::Text),
        "trace" => Ok(Explain::Trace),
        _ => {
            let rule = format!("is {:?}, must be `none`, `reasons`, `text` or `trace`", cut(text));
            Err(Fault::bad("explain", rule, "give one of the four"))
        }
    }
}

/// Parameters that every recommending GET knows.
const LIST: [&str; 9] = ["limit", "filter", "exclude", "surface", "explain", "diversity", "explore", "page", "sources"];

/// Which parameters a recommending GET knows besides [`LIST`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// None.
    Nothing,
    /// `item` and `include_seen`, for lists of an actor.
    Actor,
    /// `segment`.
    Segment,
}

/// Reads the parameters of a recommending GET; the second part of the answer is `segment`.
pub(crate) fn recommend(query: Option<&str>, extra: Extra) -> Result<(RecommendRequest, Option<String>), Fault> {
    let mut request = RecommendRequest::default();
    let (mut level, mut segment) = (None, None);
    let known: &[&str] = match extra {
        Extra::Nothing => &[],
        Extra::Actor => &["item", "include_seen"],
        Extra::Segment => &["segment"],
    };
    each(query, &[&LIST, known], |name, value| match name {
        "explain" => once(&mut level, name, explain(&value)?),
        "segment" => once(&mut segment, name, value.into_owned()),
        _ => set_list_parameter(&mut request, name, value),
    })?;
    request.explain = level.unwrap_or_default();
    Ok((request, segment))
}

fn set_list_parameter(request: &mut RecommendRequest, name: &str, value: Cow<'_, str>) -> Result<(), Fault> {
    match name {
        "limit" => once(&mut request.limit, name, number(name, &value, "a whole number from 1 to 200")?),
        "filter" => once(&mut request.filter, name, value.into_owned()),
        "item" => once(&mut request.item, name, value.into_owned()),
        "surface" => once(&mut request.surface, name, value.into_owned()),
        "page" => once(&mut request.page, name, value.into_owned()),
        "diversity" => once(&mut request.diversity, name, finite(name, &value)?),
        "explore" => once(&mut request.explore, name, flag(name, &value)?),
        "include_seen" => once(&mut request.include_seen, name, flag(name, &value)?),
        "sources" => once(&mut request.sources, name, list(&value).collect()),
        _ => {
            request.exclude.extend(list(&value));
            Ok(())
        }
    }
}

/// Milliseconds that a search may give its encoding when it doesn't say.
pub(crate) const SEARCH_DEADLINE_MS: u64 = 500;

/// Reads the parameters of a search, and how long its encoding may take.
pub(crate) fn search(query: Option<&str>) -> Result<(SearchRequest, Duration), Fault> {
    let mut request = SearchRequest::default();
    let (mut text, mut deadline) = (None, None);
    each(query, &[&["q", "limit", "filter", "surface", "deadline_ms"]], |name, value| match name {
        "q" => once(&mut text, name, value.into_owned()),
        "limit" => once(&mut request.limit, name, number(name, &value, "a whole number from 1 to 200")?),
        "filter" => once(&mut request.filter, name, value.into_owned()),
        "surface" => once(&mut request.surface, name, value.into_owned()),
        _ => once(&mut deadline, name, number::<u64>(name, &value, "a whole number of milliseconds")?),
    })?;
    request.query = text.unwrap_or_default();
    let (deadline, most) = (deadline.unwrap_or(SEARCH_DEADLINE_MS), limits::SEARCH_MILLISECONDS_MAX);
    if deadline > most {
        let rule = format!("is {deadline}, must be at most {most}");
        return Err(Fault::bad("deadline_ms", rule, "give a shorter time"));
    }
    Ok((request, Duration::from_millis(deadline)))
}

/// Refuses every parameter, for routes that know none.
pub(crate) fn none(query: &str) -> Result<(), Fault> {
    each(Some(query), &[], |_, _| Ok(()))
}

/// Reads `limit` and one cursor parameter of a listing; the limit is `default` when absent and at most `max`.
pub(crate) fn page<'q>(
    query: Option<&'q str>,
    cursor: &'static str,
    default: usize,
    max: usize,
) -> Result<(Option<Cow<'q, str>>, usize), Fault> {
    let (mut after, mut limit) = (None, None);
    each(query, &[&["limit", cursor]], |name, value| match name {
        "limit" => once(&mut limit, name, number::<usize>(name, &value, "a whole number")?),
        _ => once(&mut after, name, value),
    })?;
    let limit = limit.unwrap_or(default);
    if limit == 0 || limit > max {
        return Err(Fault::bad("limit", format!("is {limit}, must be 1 to {max}"), "choose a limit in that range"));
    }
    Ok((after, limit))
}

/// Reads a row number that an earlier page gave.
pub(crate) fn row_number(name: &str, text: &str) -> Result<u64, Fault> {
    number(name, text, "a row number from an earlier answer")
}

/// Milliseconds of a day, the default window.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Reads `from` and `to`, each RFC 3339 or milliseconds since 1970; the 24 hours before `now_ms` when absent.
pub(crate) fn window(query: Option<&str>, now_ms: Millis) -> Result<std::ops::Range<i64>, Fault> {
    let (mut from, mut to) = (None, None);
    each(query, &[&["from", "to"]], |name, value| {
        let slot = if name == "from" { &mut from } else { &mut to };
        once(slot, name, moment(name, &value)?)
    })?;
    // One more than now, because the window is open at its end.
    let to = to.unwrap_or_else(|| now_ms.saturating_add(1));
    let from = from.unwrap_or_else(|| to.saturating_sub(DAY_MS));
    if from >= to {
        return Err(Fault::bad("from", format!("is {from}, not before `to`, {to}"), "choose an earlier `from`"));
    }
    Ok(from..to)
}

fn moment(name: &str, text: &str) -> Result<i64, Fault> {
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(millis);
    }
    // A literal `+` of an offset was decoded to a space; RFC 3339 has no other use for one after the seconds.
    let text = text.replace(' ', "+");
    text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| {
        let rule = format!("is {:?}, must be RFC 3339 or milliseconds since 1970", cut(&text));
        Fault::bad(name, rule, "give a time such as 2026-11-24T08:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = "item=a%2Fb&filter=price+%3C+20&sources=ease,slist&exclude=x,y&exclude=z&limit=21&explain=none";
        let (request, _) = recommend(Some(query), Extra::Actor).unwrap();
        assert_eq!(request.item.as_deref(), Some("a/b"));
        assert_eq!(request.filter.as_deref(), Some("price < 20"));
        assert_eq!(request.sources, Some(vec!["ease".into(), "slist".into()]));
        assert_eq!(request.exclude, ["x", "y", "z"]);
        assert_eq!((request.limit, request.explain), (Some(21), Explain::None));
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(window(Some("from=1000&to=1970-01-01T00:00:02Z"), 0).unwrap(), 1_000..2_000);
        assert_eq!(window(Some("from=0&to=1970-01-01T01:00:02+01:00"), 0).unwrap(), 0..2_000);
        assert!(window(Some("from=2&to=1"), 0).is_err());
        assert_eq!(window(None, DAY_MS).unwrap(), 1..DAY_MS + 1);
    }
}
