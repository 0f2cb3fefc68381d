//! What a piece of work cost: wall time, CPU time of the process, peak memory. Read from the operating system, where it tells.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Wall and CPU seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds on the clock.
    pub seconds: f64,
    /// Seconds of all threads of this process together.
    pub cpu_seconds: f64,
}

/// A point from which costs are counted.
pub struct Started {
    wall: Instant,
    cpu_seconds: f64,
}

impl Cost {
    /// Starts counting.
    pub fn now() -> Started {
        Started { wall: Instant::now(), cpu_seconds: cpu_seconds() }
    }
}

impl Started {
    /// What was spent since.
    pub fn elapsed(&self) -> Cost {
        Cost { seconds: self.wall.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - self.cpu_seconds }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// CPU seconds of this process so far; 0 where the system doesn't tell.
pub fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of /proc/self/stat, counted from 1, in ticks of 1/100 s; the second field may hold spaces but ends with ')'.
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Largest resident memory of this process so far, in bytes; 0 where the system doesn't tell.
pub fn peak_rss_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// Resident memory of this process now, in bytes; 0 where the system doesn't tell.
pub fn rss_bytes() -> u64 {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
