//! Where the values of a JSON text begin and end, and on which line: so that one element that is wrong costs itself alone.
//!
//! Looks at brackets and strings only: the reader of a value decides whether it is right.

use std::ops::Range;

use super::error::Damage;

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

/// The reason of a text that ends too early.
fn cut(line: u64, what: &str, begun: u64) -> Damage {
    let damage = Damage::at_line(line, format!("the file ends within {what} that begins on line {begun}"));
    damage.hint("the file is cut off: have it written again")
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Scan { bytes, at: 0, line: 1 }
    }

    /// The line of the place, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The bytes of a range that this scan has given.
    pub(super) fn text(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The next byte that is not blank, without taking it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(*byte);
            }
            self.take();
        }
        None
    }

    /// What is left of the line.
    pub(super) fn rest_of_line(&self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
    }

    /// Takes the next byte that is not blank if it is this one.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.take();
        }
        there
    }

    fn take(&mut self) {
        if self.bytes.get(self.at) == Some(&b'\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    /// Takes one value: what stands between its brackets, between its quotes, or up to the next blank, comma or bracket.
    pub(super) fn value(&mut self) -> Result<Range<usize>, Damage> {
        self.peek();
        let start = self.at;
        match self.bytes.get(start) {
            Some(b'"') => self.string()?,
            Some(b'[' | b'{') => self.nested()?,
            _ => {
                while let Some(byte) = self.bytes.get(self.at)
                    && !byte.is_ascii_whitespace()
                    && !b",[]{}\"".contains(byte)
                {
                    self.take();
                }
            }
        }
        Ok(start..self.at)
    }

    fn string(&mut self) -> Result<(), Damage> {
        let begun = self.line;
        self.take();
        loop {
            match self.bytes.get(self.at) {
                None => return Err(cut(self.line, "a string", begun)),
                Some(b'"') => {
                    self.take();
                    return Ok(());
                }
                Some(b'\n') => {
                    let damage = Damage::at_line(begun, "a string is not closed before the end of the line");
                    return Err(damage
                        .hint("a quote is missing or not escaped as `\\\"`, or a line break is not written as `\\n`"));
                }
                Some(b'\\') => {
                    self.take();
                    if self.bytes.get(self.at).is_some_and(|byte| *byte != b'\n') {
                        self.take();
                    }
                }
                Some(_) => self.take(),
            }
        }
    }

    fn nested(&mut self) -> Result<(), Damage> {
        let mut open: Vec<(u8, u64)> = Vec::new();
        loop {
            match self.bytes.get(self.at).copied() {
                None => {
                    let (bracket, begun) = open.first().copied().unwrap_or((b'{', self.line));
                    return Err(cut(self.line, if bracket == b'[' { "a list" } else { "an object" }, begun));
                }
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(bracket @ (b'[' | b'{')) => open.push((bracket, self.line)),
                Some(bracket @ (b']' | b'}')) => {
                    let (opened, begun) = open.pop().unwrap_or((b' ', self.line));
                    if (opened == b'[') != (bracket == b']') {
                        let (found, opened) = (char::from(bracket), char::from(opened));
                        let reason = format!(
                            "found `{found}`, but the last bracket that is open is the `{opened}` of line {begun}"
                        );
                        return Err(Damage::at_line(self.line, reason));
                    }
                    if open.is_empty() {
                        self.take();
                        return Ok(());
                    }
                }
                Some(_) => {}
            }
            self.take();
        }
    }

    /// Takes everything up to the comma or closing bracket after an element of a list, the element and whatever else is there.
    pub(super) fn element(&mut self) -> Result<Range<usize>, Damage> {
        self.peek();
        let (start, mut end) = (self.at, self.at);
        loop {
            match self.peek() {
                Some(b',' | b']') => return Ok(start..end),
                Some(b'}') => return Err(Damage::at_line(self.line, "found `}` where the list ends with `]`")),
                None => return Err(cut(self.line, "the list of records", self.line)),
                Some(_) => end = self.value()?.end,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end_whatever_is_in_their_strings() {
        let text = r#" {"a":"]}\"\\","b":[1,{"c":2}]} 12 "x" "#;
        let mut scan = Scan::new(text.as_bytes());
        let mut next = || {
            let range = scan.value().unwrap();
            String::from_utf8_lossy(scan.text(range)).into_owned()
        };
        assert_eq!([next(), next(), next()], [r#"{"a":"]}\"\\","b":[1,{"c":2}]}"#, "12", "\"x\""]);
    }

    #[test]
    fn damage_is_told_with_the_line_where_it_begins() {
        let cases = [
            ("[\n{\"a\":1},\n{\"a\":[1}\n]", "line 3: found `}`"),
            ("[\n{\"a\":\"x},\n{\"a\":1}]", "line 2: a string is not closed"),
            ("[\n{\"a\":1},\n{\"a\":", "ends within a list that begins on line 1"),
            ("{\"a\":\"x", "ends within a string that begins on line 1"),
        ];
        for (text, part) in cases {
            let damage = Scan::new(text.as_bytes()).value().unwrap_err();
            assert!(damage.reason.contains(part), "{damage:?}");
        }
    }
}
