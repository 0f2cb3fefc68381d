//! One keep-alive connection: writes a rendered request, reads one answer.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS_MAX: usize = 48;
/// Seconds after which an answer is given up.
const ANSWER_SECONDS_MAX: u64 = 30;

/// A request as the bytes that go over the wire.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// Renders a request; without a body it has no content headers.
    pub fn new(method: &str, path: &str, key: Option<&str>, body: Option<&str>) -> Self {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if let Some(key) = key {
            text.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        match body {
            Some(body) => {
                let length = body.len();
                text.push_str(&format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"));
            }
            None => text.push_str("\r\n"),
        }
        Self(text.into_bytes())
    }
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// HTTP status.
    pub status: u16,
    /// The body as it came.
    pub body: &'a [u8],
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What the system reports.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))?;
        Ok(Self { stream, buffer: vec![0; READ_BYTES], filled: 0 })
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// A broken connection, or an answer that is no HTTP with a `content-length`. The connection is of no use afterwards.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Reply<'_>> {
        self.stream.write_all(&request.0)?;
        self.filled = 0;
        let head = loop {
            self.fill()?;
            if let Some(head) = parse_head(&self.buffer[..self.filled])? {
                break head;
            }
        };
        let end = head.bytes + head.body_bytes;
        while self.filled < end {
            self.fill()?;
        }
        Ok(Reply { status: head.status, body: &self.buffer[head.bytes..end] })
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            n => {
                self.filled += n;
                Ok(())
            }
        }
    }
}

struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

/// The head of an answer, once it is complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.unwrap_or(0);
    let declared = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body_bytes = match declared {
        Some(header) => std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok()),
        None => (status == 204).then_some(0),
    };
    let body_bytes = body_bytes.ok_or_else(|| io::Error::other("an answer has no content-length"))?;
    Ok(Some(Head { status, bytes: length, body_bytes }))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers each of `pieces` as one write, after reading a request.
    fn answering(pieces: Vec<&'static [u8]>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            for piece in pieces {
                stream.write_all(piece).unwrap();
                stream.flush().unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        });
        address
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let address = answering(vec![b"HTTP/1.1 202 Acc", b"epted\r\nContent-Length: 5\r\n", b"\r\nhe", b"llo"]);
        let mut connection = Connection::open(address).unwrap();
        let reply = connection.exchange(&Request::new("GET", "/", None, None)).unwrap();
        assert_eq!(reply, Reply { status: 202, body: b"hello" });
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let address = answering(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello"]);
        let mut connection = Connection::open(address).unwrap();
        let error = connection.exchange(&Request::new("GET", "/", None, None)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_request_carries_key_and_body() {
        let request = Request::new("POST", "/v1/events", Some("zk_1"), Some("[]"));
        let text = String::from_utf8(request.0).unwrap();
        assert!(
            text.starts_with("POST /v1/events HTTP/1.1\r\n") && text.ends_with("content-length: 2\r\n\r\n[]"),
            "{text}"
        );
        assert!(text.contains("authorization: Bearer zk_1\r\n"), "{text}");
    }
}
