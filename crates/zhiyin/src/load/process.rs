//! A server in a child process, and what a process has used so far.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How the line begins with which a server tells its address.
pub const LISTENING: &str = "listening on http://";
/// Seconds that a server may take to shut down before it is killed.
const SHUTDOWN_SECONDS_MAX: u64 = 60;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Most resident memory so far.
    pub rss_peak_bytes: u64,
}

/// What this process has used.
///
/// # Errors
/// A system without `/proc`.
pub fn own_usage() -> Result<Usage> {
    usage("self")
}

fn usage(process: &str) -> Result<Usage> {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).context("benchmarks need Linux's /proc")?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    let stat = fs_err::read_to_string(format!("/proc/{process}/stat"))?;
    Ok(Usage {
        cpu_seconds: cpu_seconds(&stat).context("/proc/PID/stat has another layout than expected")?,
        rss_bytes: 1024 * kib("VmRSS:"),
        rss_peak_bytes: 1024 * kib("VmHWM:"),
    })
}

/// User and system time: the 14th and 15th field; the second one is a name in parentheses that may hold blanks.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `zhiyin serve` in a child process; shut down when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server of this program on a free port over the data in `folder`, and waits until it listens.
    ///
    /// # Errors
    /// A server that doesn't come up.
    pub fn start(folder: &Path, config: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("cannot find the program's own file")?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the server")?;
        let output = child.stdout.take().ok_or_else(|| anyhow!("the server has no standard output"))?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| line.strip_prefix(LISTENING).and_then(|text| text.trim_end_matches('/').parse().ok()));
        let Some(address) = address else {
            let status = child.wait()?;
            bail!("the server ended before it listened ({status})");
        };
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    /// What the server has used so far.
    ///
    /// # Errors
    /// A server that has ended.
    pub fn usage(&self) -> Result<Usage> {
        usage(&self.child.id().to_string())
    }

    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(SHUTDOWN_SECONDS_MAX);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_blanks() {
        let stat =
            "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 100 18446744073709551615";
        let expected = 300.0 / rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(cpu_seconds(stat), Some(expected));
        assert_eq!(cpu_seconds("42 (a) S"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = own_usage().unwrap();
        assert!(usage.rss_bytes > 100_000 && usage.rss_peak_bytes >= usage.rss_bytes, "{usage:?}");
    }
}
