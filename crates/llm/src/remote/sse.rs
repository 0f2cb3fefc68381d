//! Server-sent events, as far as chat completions use them: the `data` of each event, from bytes that come in any pieces.
//! Follows the WHATWG HTML standard, section "Server-sent events"; `event`, `id` and `retry` are ignored.

/// Bytes of one line; a server that sends more is broken.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A line was longer than any sane server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

/// Collects bytes into events.
#[derive(Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<String>,
    after_return: bool,
}

impl Events {
    /// Takes bytes and gives the data of the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, LineTooLong> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let ends = byte == b'\r' || (byte == b'\n' && !self.after_return);
            let is_second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            if ends {
                complete.extend(self.end_line());
            } else if !is_second_half {
                self.line.push(byte);
            }
        }
        if self.line.len() > LINE_BYTES_MAX { Err(LineTooLong) } else { Ok(complete) }
    }

    /// An empty line ends an event; one without data is none.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(value) = text.strip_prefix("data:") {
            self.data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str =
        ": hello\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:two\ndata: lines\n\n\n\ndata: 好\r\rdata: open";

    #[test]
    fn events_are_read_with_any_line_ends() {
        let events = Events::default().push(STREAM.as_bytes()).expect("short lines");
        assert_eq!(events, ["{\"a\":1}", "two\nlines", "好"]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; LINE_BYTES_MAX + 1]), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn cuts_between_bytes_change_nothing(cuts in prop::collection::vec(0..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut events = Events::default();
            let pieces = cuts.windows(2).map(|w| &STREAM.as_bytes()[w[0]..w[1]]);
            let read: Vec<String> = pieces.flat_map(|piece| events.push(piece).expect("short lines")).collect();
            prop_assert_eq!(read, ["{\"a\":1}", "two\nlines", "好"]);
        }
    }
}
