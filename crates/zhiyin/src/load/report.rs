//! What a benchmark prints.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Outcome, Usage};

/// Quantiles of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1,000 are at most this.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// Milliseconds of a histogram of nanoseconds.
    pub fn of(histogram_ns: &Histogram<u64>) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        let quantile = |q| ms(histogram_ns.value_at_quantile(q));
        Self {
            mean: histogram_ns.mean() / 1e6,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: ms(histogram_ns.max()),
        }
    }
}

/// Result of one benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was measured.
    pub benchmark: &'static str,
    /// `closed`, or `open` with a rate.
    pub mode: &'static str,
    /// Requests per second that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Connections.
    pub connections: usize,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Requests that were answered with success.
    pub requests: u64,
    /// Successful answers per second.
    pub throughput_per_second: f64,
    /// Milliseconds to the answer; in an open loop from when the request was due.
    pub latency_ms: Latency,
    /// Requests that failed.
    pub errors: u64,
    /// Failed requests by status; 0 for a broken connection.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors_by_status: BTreeMap<u16, u64>,
    /// CPU seconds of the server; absent when it is not our child.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_seconds: Option<f64>,
    /// CPU seconds of the load generator.
    pub generator_cpu_seconds: f64,
    /// Microseconds of CPU that the generator took per request.
    pub generator_cpu_microseconds_per_request: f64,
    /// Resident memory of the server afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_bytes: Option<u64>,
    /// Most resident memory that the server ever had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_peak_bytes: Option<u64>,
    /// What only this benchmark has.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// CPU and memory around a run: (server before, server after), generator CPU seconds.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The server before and after; none when it is not our child.
    pub server: Option<(Usage, Usage)>,
    /// CPU seconds of the generator.
    pub generator_cpu_seconds: f64,
}

impl Report {
    /// Puts a run together.
    pub fn new(benchmark: &'static str, rate: Option<f64>, connections: usize, outcome: &Outcome, cost: &Cost) -> Self {
        let requests = outcome.latencies_ns.len();
        let errors: u64 = outcome.errors.values().sum();
        let seconds = outcome.elapsed.as_secs_f64();
        let sent = (requests + errors).max(1) as f64;
        Self {
            benchmark,
            mode: if rate.is_some() { "open" } else { "closed" },
            rate,
            connections,
            seconds,
            requests,
            throughput_per_second: requests as f64 / seconds.max(1e-9),
            latency_ms: Latency::of(&outcome.latencies_ns),
            errors,
            errors_by_status: outcome.errors.clone(),
            server_cpu_seconds: cost.server.map(|(before, after)| after.cpu_seconds - before.cpu_seconds),
            generator_cpu_seconds: cost.generator_cpu_seconds,
            generator_cpu_microseconds_per_request: 1e6 * cost.generator_cpu_seconds / sent,
            server_rss_bytes: cost.server.map(|(_, after)| after.rss_bytes),
            server_rss_peak_bytes: cost.server.map(|(_, after)| after.rss_peak_bytes),
            more: Map::new(),
        }
    }

    /// With one more figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.more.insert(name.to_owned(), json!(value));
        self
    }
}
