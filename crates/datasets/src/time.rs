//! Times as they are written in interaction files.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use zhiyin_core::clock::Millis;

/// Numbers from this size on are milliseconds, below they are seconds: as seconds it is the year 5138, as milliseconds 1973.
const MILLIS_FROM: f64 = 1e11;
/// The last millisecond of the year 9999.
const MILLIS_MAX: f64 = 253_402_300_799_999.0;

/// Milliseconds since 1970 UTC of seconds or milliseconds since then (with or without fraction), RFC 3339 text, or
/// `YYYY-MM-DD[ HH:MM:SS]`, which is taken as UTC.
pub(crate) fn parse_time(text: &str) -> Option<Millis> {
    let text = text.trim();
    if text.len() == 19 && text.as_bytes()[4] == b'-' {
        return civil(text);
    }
    match text.parse::<f64>() {
        Ok(number) => from_number(number),
        Err(_) => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond).or_else(|| civil(text)),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn from_number(number: f64) -> Option<Millis> {
    let millis = if number.abs() < MILLIS_FROM { (number * 1000.0).round() } else { number.trunc() };
    (millis.abs() <= MILLIS_MAX).then_some(millis as Millis)
}

fn civil(text: &str) -> Option<Millis> {
    let date_time: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(date_time).ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn every_notation_of_one_instant_gives_the_same_time() {
        let expected = Some(1_291_191_960_000);
        for text in [
            "1291191960",
            " 1291191960.0 ",
            "1291191960000",
            "2010-12-01T08:26:00Z",
            "2010-12-01T09:26:00+01:00",
            "2010-12-01 08:26:00",
            "2010-12-01T08:26:00",
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn fractions_and_bare_dates_count() {
        assert_eq!(parse_time("1396860669.277"), Some(1_396_860_669_277));
        assert_eq!(parse_time("1970-01-02"), Some(86_400_000));
        assert_eq!(parse_time("0"), Some(0));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "nan", "inf", "1e300", "2010-13-01 08:26:00", "12/01/2010 8:26"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
