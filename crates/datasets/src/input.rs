//! Opens files, decompresses them, counts the bytes read, and gives lines with their numbers.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

use crate::{LineProblem, error::rules};

/// Bytes of one line. A longer one is reported and skipped.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes at the start of a file from which it is recognised.
const HEAD_BYTES: u64 = 4096;
/// Characters of a file's name that go into the identifiers of its events.
const STEM_CHARS_MAX: usize = 40;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const UTF8_BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Bytes read from the files of a source, as stored on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteCount {
    done: Arc<AtomicU64>,
    total: u64,
}

impl ByteCount {
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed).min(self.total)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

struct Counted<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.done.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The decompressed text of a file, line by line.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    file: Arc<str>,
    stem: String,
    fingerprint: String,
    first_line: Vec<u8>,
    /// Number of the line that `buffer` holds, 0 before the first.
    line: u64,
    buffer: Vec<u8>,
    put_back: VecDeque<(u64, Vec<u8>)>,
    last_read: u64,
}

impl Lines {
    /// Opens a file; its size is added to the total of `bytes`.
    pub(crate) fn open(path: &Path, bytes: &mut ByteCount) -> io::Result<Self> {
        let file = fs_err::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other(format!("{} is a folder, a file is needed", path.display())));
        }
        bytes.total += metadata.len();
        let mut reader = decompressed(Counted { inner: file, done: Arc::clone(&bytes.done) })?;
        let mut head = Vec::new();
        reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        if head.starts_with(UTF8_BYTE_ORDER_MARK) {
            head.drain(..UTF8_BYTE_ORDER_MARK.len());
        }
        Ok(Self::new(path, head, reader))
    }

    fn new(path: &Path, head: Vec<u8>, rest: Box<dyn BufRead + Send>) -> Self {
        let name = path.file_name().unwrap_or(OsStr::new("input")).to_string_lossy();
        let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("input");
        Self {
            file: Arc::from(&*name),
            stem: stem.chars().filter(|c| !c.is_control()).take(STEM_CHARS_MAX).collect(),
            fingerprint: fingerprint(&head),
            first_line: head.split(|&byte| byte == b'\n').next().unwrap_or_default().to_vec(),
            reader: Box::new(Cursor::new(head).chain(rest)),
            line: 0,
            buffer: Vec::new(),
            put_back: VecDeque::new(),
            last_read: 0,
        }
    }

    /// The first line (or as much of it as was looked at), without reading it.
    pub(crate) fn first_line(&self) -> &[u8] {
        &self.first_line
    }

    /// Goes to the next line; false at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<bool, LineProblem> {
        self.buffer.clear();
        if let Some((line, text)) = self.put_back.pop_front() {
            (self.line, self.buffer) = (line, text);
            return Ok(true);
        }
        self.line = self.last_read;
        self.read_line()
    }

    fn read_line(&mut self) -> Result<bool, LineProblem> {
        let limit = LINE_BYTES_MAX as u64 + 1;
        let n = match self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(error) => return Err(self.unreadable(&error)),
        };
        self.last_read += 1;
        self.line = self.last_read;
        if n as u64 == limit && !self.buffer.ends_with(b"\n") {
            self.reader.skip_until(b'\n').map_err(|error| self.unreadable(&error))?;
            return Err(self.problem(rules::LINE_TOO_LONG, format!("has more than {LINE_BYTES_MAX} bytes")));
        }
        while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
            self.buffer.pop();
        }
        Ok(true)
    }

    /// Gives lines back, to be read again next.
    pub(crate) fn put_back(&mut self, lines: Vec<(u64, Vec<u8>)>) {
        for line in lines.into_iter().rev() {
            self.put_back.push_front(line);
        }
    }

    /// The line as bytes, without its end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The line as UTF-8 text.
    pub(crate) fn text(&self) -> Result<&str, LineProblem> {
        std::str::from_utf8(&self.buffer).map_err(|error| {
            self.problem(rules::NOT_UTF8, format!("byte {} is not UTF-8; convert the file", error.valid_up_to() + 1))
        })
    }

    /// Number of the line, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Name of the file.
    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The start of the file's name, for identifiers.
    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }

    /// What the identifiers of a file's events start with: its name and a hash of its first two lines. A file that was moved, or has
    /// grown, keeps the identifiers of its events; another file of the same name gets other ones.
    pub(crate) fn id_prefix(&self) -> String {
        format!("{}-{}", self.stem, self.fingerprint)
    }

    /// The hash of [`Self::id_prefix`] alone.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A problem with the line.
    pub(crate) fn problem(&self, rule: &'static str, detail: impl Into<String>) -> LineProblem {
        LineProblem { file: Arc::clone(&self.file), line: self.line, rule, detail: detail.into() }
    }

    fn unreadable(&self, error: &io::Error) -> LineProblem {
        self.problem(rules::UNREADABLE, format!("{error}; the rest of the file is lost"))
    }
}

fn decompressed(file: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut raw = BufReader::with_capacity(128 * 1024, file);
    let start = raw.fill_buf()?;
    Ok(if start.starts_with(GZIP_MAGIC) {
        Box::new(BufReader::with_capacity(128 * 1024, MultiGzDecoder::new(raw)))
    } else if start.starts_with(XZ_MAGIC) {
        Box::new(BufReader::with_capacity(128 * 1024, XzDecoder::new_multi_decoder(raw)))
    } else {
        Box::new(raw)
    })
}

fn fingerprint(head: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in head.split_inclusive(|&byte| byte == b'\n').take(2) {
        hasher.update(line.trim_ascii_end());
        hasher.update(b"\n");
    }
    short_hash(&hasher)
}

/// Eight bytes of a hash, as hexadecimal digits.
pub(crate) fn short_hash(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..16].to_owned()
}

/// The text of a line that is UTF-8 or, where it isn't, latin-1: old research files are one or the other.
pub(crate) fn latin1_or_utf8(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}
