//! A store's state of the inert WASI: unfinished lines, and the position in the random numbers.
//!
//! Does not keep more of an unfinished line than the log would show, and nothing from one call to the next.

use crate::bindings::Level;
use crate::log::MAX_LINE;

/// Handle numbers of the two output streams.
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// A store's state of WASI.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) output: Output,
    random: u64,
}

impl State {
    /// The same for every call.
    pub(crate) fn new() -> Self {
        State { output: Output::default(), random: 0 }
    }

    /// The next of a fixed sequence (SplitMix64: a counter and a hash).
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Lines that are not finished.
#[derive(Debug, Default)]
pub(crate) struct Output {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Output {
    fn of(&mut self, stream: u32) -> &mut Vec<u8> {
        if stream == STDERR { &mut self.err } else { &mut self.out }
    }

    /// Takes bytes and returns the lines that they finish.
    pub(super) fn take(&mut self, stream: u32, bytes: &[u8]) -> Vec<String> {
        let pending = self.of(stream);
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            // A little more than the log shows of a line, so that the log cuts it and says so.
            let room = (MAX_LINE + 4).saturating_sub(pending.len());
            pending.extend_from_slice(text.get(..text.len().min(room)).unwrap_or_default());
            if text.len() < part.len() {
                lines.push(String::from_utf8_lossy(pending).into_owned());
                pending.clear();
            }
        }
        lines
    }

    /// Returns the text that was written without an end of line.
    pub(crate) fn rest(&mut self) -> Vec<(Level, String)> {
        let rest = [(Level::Info, std::mem::take(&mut self.out)), (Level::Warn, std::mem::take(&mut self.err))];
        let some = rest.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        some.map(|(level, bytes)| (level, String::from_utf8_lossy(&bytes).into_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_an_endless_one_is_not_kept() {
        let mut output = Output::default();
        assert_eq!(output.take(STDOUT, b"a\nb"), ["a"]);
        assert_eq!(output.take(STDERR, b"x"), [""; 0]);
        assert_eq!(output.take(STDOUT, b"c\n\n"), ["bc", ""]);
        for _ in 0..1_000 {
            assert!(output.take(STDOUT, &[b'y'; 1_000]).is_empty());
        }
        let rest = output.rest();
        assert_eq!((rest.len(), rest[0].1.len(), rest[1].1.as_str()), (2, MAX_LINE + 4, "x"));
        assert!(output.rest().is_empty());
    }
}
