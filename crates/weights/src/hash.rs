//! Copying with a running SHA-256.

use std::{
    fmt::Write as _,
    io::{Read, Write},
};

use sha2::{Digest, Sha256};

/// Bytes that are copied at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// A hash in the making.
#[derive(Default)]
pub struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    /// Copies everything from `from` to `to`, telling `progress` the bytes so far.
    pub fn copy(
        &mut self,
        from: &mut dyn Read,
        to: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.state.update(&buffer[..count]);
            self.bytes += count as u64;
            to.write_all(&buffer[..count])?;
            progress(self.bytes);
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash in lower-case hexadecimal.
    pub fn finish(self) -> String {
        self.state.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_abc_is_that_of_the_standard() {
        let mut hasher = Hasher::default();
        hasher.copy(&mut &b"abc"[..], &mut std::io::sink(), &mut |_| {}).unwrap();
        assert_eq!(hasher.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
