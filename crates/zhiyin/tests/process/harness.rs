//! Starts the program in a folder of its own and talks to it over HTTP.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ureq::Agent;

/// How the server tells its address.
const LISTENING: &str = "listening on http://";
/// Longer than any start on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, without the environment's settings.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zhiyin"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZHIYIN_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Runs the program, which must succeed; its standard output.
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?} failed: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs the program, which must fail with `code`; its standard error.
pub fn fail(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.contains("error: "), "{arguments:?}: {error}");
    error
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path as text.
pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    agent: Agent,
    pub address: SocketAddr,
    /// Lines that it printed before it listened.
    pub greeting: Vec<String>,
    remarks: Option<JoinHandle<String>>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Server {
    /// A server over `folder` that asks for no key.
    pub fn open(folder: &Path) -> Self {
        Self::start(folder, &["--insecure-no-auth"], &[])
    }

    /// A server with more flags and environment variables.
    pub fn start(folder: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .args(flags)
            .envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut errors = child.stderr.take().unwrap();
        let remarks = thread::spawn(move || {
            let mut all = String::new();
            errors.read_to_string(&mut all).unwrap();
            all
        });
        let mut greeting = Vec::new();
        let address = loop {
            let Some(line) = lines.next() else {
                panic!("the server didn't start: {}", remarks.join().unwrap());
            };
            if let Some(address) = line.strip_prefix(LISTENING) {
                break address.parse().unwrap();
            }
            greeting.push(line);
        };
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self { child, agent: config.build().into(), address, greeting, remarks: Some(remarks) }
    }

    pub fn get(&self, route: &str, key: Option<&str>) -> Answer {
        let mut request = self.agent.get(format!("http://{}{route}", self.address));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(request.call()).unwrap()
    }

    pub fn post(&self, route: &str, key: Option<&str>, body: &Value) -> Answer {
        self.try_post(route, key, body).unwrap()
    }

    /// As [`Self::post`]; none when the server goes away.
    pub fn try_post(&self, route: &str, key: Option<&str>, body: &Value) -> Option<Answer> {
        let mut request =
            self.agent.post(format!("http://{}{route}", self.address)).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(request.send(body.to_string()))
    }

    /// Number of events in the log.
    pub fn events(&self) -> u64 {
        self.get("/v1/status", None).body["events"].as_u64().unwrap()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Ends it without warning, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits; what it wrote to standard error. Panics unless it exits with 0.
    pub fn stop(mut self) -> String {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server didn't stop");
            thread::sleep(Duration::from_millis(10));
        };
        let remarks = self.remarks.take().unwrap().join().unwrap();
        assert!(status.success(), "{status}: {remarks}");
        remarks
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut response = sent.ok()?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().ok()?;
    Some(Answer { status, body: serde_json::from_str(&body).unwrap_or(Value::String(body)) })
}
