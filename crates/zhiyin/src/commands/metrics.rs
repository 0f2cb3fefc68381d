//! `zhiyin metrics`: what the recommendations led to, also while a server runs.

use anyhow::{Result, anyhow};
use clap::Args;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use zhiyin_core::{
    Problem,
    clock::Millis,
    storage::{OutcomeRow, Storage},
};

use crate::{
    cli::HomeArguments,
    home,
    output::{self, Align},
};

/// Milliseconds of the window without `--from`.
const WINDOW_MS: Millis = 7 * 24 * 3_600_000;

/// Arguments of `zhiyin metrics`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Start of the window, as `2026-11-24` or `2026-11-24T08:00:00Z`; a week before its end without it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Millis>,
    /// End of the window; now without it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Millis>,
    #[command(flatten)]
    home: HomeArguments,
}

/// Prints the counts.
///
/// # Errors
/// A window that ends before it begins; failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    // A decision made this very millisecond belongs into the default window.
    let to = arguments.to.unwrap_or_else(|| home::now_ms() + 1);
    let from = arguments.from.unwrap_or(to - WINDOW_MS);
    if from >= to {
        let rule = format!("{} is not before {}", output::time(from), output::time(to));
        return Err(Problem::field("--from", rule, "give a window that begins before it ends").into());
    }
    let store = home::guest(&home::configuration(&arguments.home)?)?;
    let rows = store.outcomes(from..to)?;
    if arguments.home.json {
        return output::json(&rows);
    }
    output::say(format_args!("{} to {}", output::time(from), output::time(to)));
    let names = ["by", "name", "impressions", "clicks", "CTR", "carts", "purchases", "CVR", "revenue"];
    let align = |at| if at < 2 { Align::Left } else { Align::Right };
    let columns: Vec<(&str, Align)> = names.into_iter().enumerate().map(|(at, name)| (name, align(at))).collect();
    output::say(output::table(&columns, rows.iter().map(cells)));
    Ok(())
}

fn cells(row: &OutcomeRow) -> Vec<String> {
    let counts = &row.counts;
    let share = |part: u64| match counts.impressions {
        0 => String::new(),
        shown => format!("{:.2} %", 100.0 * part as f64 / shown as f64),
    };
    vec![
        row.dimension.clone(),
        row.name.clone(),
        output::count(counts.impressions),
        output::count(counts.clicks),
        share(counts.clicks),
        output::count(counts.carts),
        output::count(counts.purchases),
        share(counts.purchases),
        format!("{:.2}", counts.revenue),
    ]
}

/// A day (its start in UTC) or a moment, in milliseconds since 1970.
fn time(text: &str) -> Result<Millis> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let day: Date =
        text.parse().map_err(|_| anyhow!("is neither a day like 2026-11-24 nor a time like 2026-11-24T08:00:00Z"))?;
    Ok(day.at(0, 0, 0, 0).to_zoned_datetime(TimeZone::UTC)?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn days_and_moments_are_read() {
        assert_eq!(time("1970-01-02").unwrap(), 86_400_000);
        assert_eq!(time("1970-01-01T00:00:01.5Z").unwrap(), 1_500);
        assert!(time("yesterday").is_err());
    }
}
