//! A small HTTP server that does to each request what the test says, well-behaved or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to one request.
pub enum Act {
    /// Streams these pieces and ends well.
    Say(Vec<&'static str>),
    /// Streams these pieces with this pause after each and ends well.
    SaySlowly(Vec<&'static str>, Duration),
    /// Streams these pieces and breaks the connection.
    BreakAfter(Vec<&'static str>),
    /// Answers with a status, further header lines, and a body.
    Refuse(u16, &'static str, &'static str),
    /// Answers with JSON in one piece.
    Json(String),
    /// Streams bytes that are no JSON.
    Babble,
    /// Takes the request and says nothing until the client goes.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: serde_json::Value,
}

/// The running server; it ends with the test's process.
pub struct Server {
    pub base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    left: Arc<Mutex<usize>>,
}

impl Server {
    /// Does the acts in order, one per request; then refuses everything with 500.
    pub fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let (seen, left) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (seen_by, left_by) = (Arc::clone(&seen), Arc::clone(&left));
        std::thread::spawn(move || serve(&listener, acts, &seen_by, &left_by));
        Self { base_url, seen, left }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Waits until as many clients went away from a silent act.
    pub fn wait_for_leavers(&self, count: usize) {
        let begun = std::time::Instant::now();
        while *self.left.lock().expect("no panic") < count {
            assert!(begun.elapsed() < Duration::from_secs(20), "the client holds on to the connection");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(listener: &TcpListener, acts: Vec<Act>, seen: &Arc<Mutex<Vec<Seen>>>, left: &Arc<Mutex<usize>>) {
    let mut acts = acts.into_iter();
    for stream in listener.incoming().flatten() {
        let Some(request) = read(&stream) else { continue };
        seen.lock().expect("no panic").push(request);
        let act = acts.next().unwrap_or(Act::Refuse(500, "", "nothing left to do"));
        let left = Arc::clone(left);
        std::thread::spawn(move || perform(stream, act, &left));
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { head, body: serde_json::from_slice(&body).ok()? })
}

/// Clients may be gone at any time: failed writes are theirs.
fn perform(mut stream: TcpStream, act: Act, left: &Mutex<usize>) {
    let _ = match act {
        Act::Say(pieces) => say(&mut stream, &pieces, Duration::ZERO, true),
        Act::SaySlowly(pieces, pause) => say(&mut stream, &pieces, pause, true),
        Act::BreakAfter(pieces) => say(&mut stream, &pieces, Duration::ZERO, false),
        Act::Babble => begin(&mut stream, "text/event-stream").and_then(|()| stream.write_all(b"data: {oops\n\n")),
        Act::Json(body) => begin(&mut stream, "application/json").and_then(|()| stream.write_all(body.as_bytes())),
        Act::Refuse(status, headers, body) => {
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())
        }
        Act::Silence => silence(&mut stream, left),
    };
}

fn begin(stream: &mut TcpStream, kind: &str) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n").as_bytes())
}

fn say(stream: &mut TcpStream, pieces: &[&str], pause: Duration, ends_well: bool) -> std::io::Result<()> {
    begin(stream, "text/event-stream")?;
    for piece in pieces {
        let chunk = serde_json::json!({"choices": [{"index": 0, "delta": {"content": piece}}]});
        write!(stream, "data: {chunk}\n\n")?;
        std::thread::sleep(pause);
    }
    if ends_well {
        let last = serde_json::json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        let usage =
            serde_json::json!({"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": pieces.len()}});
        write!(stream, "data: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n")?;
    }
    Ok(())
}

fn silence(stream: &mut TcpStream, left: &Mutex<usize>) -> std::io::Result<()> {
    let mut byte = [0];
    let _ = stream.read(&mut byte);
    *left.lock().expect("no panic") += 1;
    Ok(())
}
