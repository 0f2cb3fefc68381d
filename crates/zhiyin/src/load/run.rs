//! Sends requests at a pace and measures how long the answers take.
//!
//! Closed loop: each connection sends its next request when the last one was answered. Open loop: request `i` is due at `start + i / rate`
//! whatever the server does, and its latency counts from then, not from when a connection got round to sending it. That is what a user
//! would wait, and it keeps a stalling server from hiding its stall (coordinated omission).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;

use super::{Connection, Request};

/// Longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;
/// Failures after which a connection gives up.
const FAILURES_MAX: u64 = 100;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As soon as the answer to the last one came.
    Closed,
    /// At a fixed rate per second over all connections.
    Open {
        /// Requests per second.
        rate: f64,
    },
}

/// How a load runs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Connections, one thread each.
    pub connections: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// For how long.
    pub duration: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Latencies of the answers with a success status, in nanoseconds.
    pub latencies_ns: Histogram<u64>,
    /// Answers with another status, by status; 0 for none at all.
    pub errors: BTreeMap<u16, u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Outcome {
    /// Nothing measured yet.
    ///
    /// # Errors
    /// None with the bounds that are compiled in.
    pub fn empty() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).context("cannot make the histogram")?;
        Ok(Self { latencies_ns: histogram, errors: BTreeMap::new(), elapsed: Duration::ZERO })
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.latencies_ns.add(&other.latencies_ns).context("cannot add the histograms")?;
        for (status, n) in &other.errors {
            *self.errors.entry(*status).or_default() += n;
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        Ok(())
    }
}

/// Runs a load. Connection `c` takes the requests `c`, `c + connections`, … in turn, again from the start when they are used up.
///
/// # Errors
/// No requests; a server that cannot be connected to.
pub fn run(plan: &Plan, requests: &[Request]) -> Result<Outcome> {
    if requests.is_empty() || plan.connections == 0 {
        return Err(anyhow!("a load needs at least one request and one connection"));
    }
    let open = |_| Connection::open(plan.address).with_context(|| format!("cannot connect to {}", plan.address));
    let connections = (0..plan.connections).map(open).collect::<Result<Vec<_>>>()?;
    let schedule = Schedule { start: Instant::now(), plan, next: AtomicU64::new(0) };
    let outcomes = thread::scope(|scope| {
        let schedule = &schedule;
        let work = |(at, connection)| scope.spawn(move || one_connection(connection, at, requests, schedule));
        let threads: Vec<_> = connections.into_iter().enumerate().map(work).collect();
        threads.into_iter().map(|t| t.join().map_err(|_| anyhow!("a load thread died"))?).collect::<Result<Vec<_>>>()
    })?;
    let mut total = Outcome::empty()?;
    outcomes.iter().try_for_each(|outcome| total.add(outcome))?;
    Ok(total)
}

/// Tells each request when it is due.
struct Schedule<'a> {
    start: Instant,
    plan: &'a Plan,
    next: AtomicU64,
}

impl Schedule<'_> {
    /// Waits until the next request is due and gives that moment; none when the time is over.
    fn wait(&self) -> Option<Instant> {
        let due = match self.plan.pace {
            Pace::Closed => Instant::now(),
            Pace::Open { rate } => {
                let place = self.next.fetch_add(1, Ordering::Relaxed);
                self.start + Duration::from_secs_f64(place as f64 / rate)
            }
        };
        if due.duration_since(self.start) >= self.plan.duration {
            return None;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        Some(due)
    }
}

fn one_connection(
    mut connection: Connection,
    first: usize,
    requests: &[Request],
    schedule: &Schedule<'_>,
) -> Result<Outcome> {
    sharpen_timer();
    let mut outcome = Outcome::empty()?;
    let mut at = first % requests.len();
    let mut failures = 0;
    while let Some(due) = schedule.wait() {
        match connection.exchange(&requests[at]) {
            Ok(reply) if (200..300).contains(&reply.status) => record(&mut outcome, due),
            Ok(reply) => *outcome.errors.entry(reply.status).or_default() += 1,
            Err(_) => {
                *outcome.errors.entry(0).or_default() += 1;
                failures += 1;
                match Connection::open(schedule.plan.address) {
                    Ok(fresh) if failures < FAILURES_MAX => connection = fresh,
                    _ => break,
                }
            }
        }
        at = (at + schedule.plan.connections) % requests.len();
    }
    outcome.elapsed = schedule.start.elapsed();
    Ok(outcome)
}

fn record(outcome: &mut Outcome, due: Instant) {
    let latency_ns = u64::try_from(due.elapsed().as_nanos()).unwrap_or(LATENCY_NS_MAX);
    outcome.latencies_ns.saturating_record(latency_ns);
}

/// Lets this thread's sleeps end on time: the system may otherwise stretch each by 50 µs to save wake-ups.
fn sharpen_timer() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers every request at once, except that it sleeps `stall` before its tenth answer on each connection.
    fn server(stall: Duration, status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    for n in 0_u64.. {
                        if stream.read(&mut buffer).unwrap_or(0) == 0 {
                            return;
                        }
                        if n == 9 {
                            thread::sleep(stall);
                        }
                        let _ =
                            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes());
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr, pace: Pace) -> Outcome {
        let plan = Plan { address, connections: 1, pace, duration: Duration::from_millis(500) };
        run(&plan, &[Request::new("GET", "/", None, None)]).unwrap()
    }

    #[test]
    fn an_open_loop_keeps_its_rate() {
        let outcome = load(server(Duration::ZERO, "200 OK"), Pace::Open { rate: 200.0 });
        assert_eq!(outcome.latencies_ns.len(), 100);
        assert!(outcome.errors.is_empty());
    }

    #[test]
    fn a_stall_counts_for_every_request_that_was_due_during_it() {
        let stall = Duration::from_millis(200);
        let outcome = load(server(stall, "200 OK"), Pace::Open { rate: 200.0 });
        // 40 requests fall due during the stall; those due in its first half wait more than 100 ms.
        let slow = outcome.latencies_ns.count_between(100_000_000, LATENCY_NS_MAX);
        assert!((15..=25).contains(&slow), "{slow} slow requests");
        let closed = load(server(stall, "200 OK"), Pace::Closed);
        assert_eq!(closed.latencies_ns.count_between(100_000_000, LATENCY_NS_MAX), 1);
    }

    #[test]
    fn failures_are_counted_by_status() {
        let outcome = load(server(Duration::ZERO, "429 Too Many Requests"), Pace::Open { rate: 100.0 });
        assert_eq!(outcome.errors, BTreeMap::from([(429, 50)]));
        assert_eq!(outcome.latencies_ns.len(), 0);
    }
}
