//! Splits CSV into rows by RFC 4180, strictly: what a lenient reader would guess at is damage with a line and a column.
//!
//! Does not know what a header is or how many fields a row must have. A row ends at LF, CR LF or a lone CR. A quote inside a field that
//! does not begin with one is a plain character, as in all strict readers; one that opens a field must close it.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

/// A place in the file: line and character of the line, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A row as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The line on which it begins.
    pub(super) line: u64,
    /// All of it without its line end.
    pub(super) text: &'a [u8],
    /// Its fields without the quotes around them.
    pub(super) fields: Vec<Cow<'a, [u8]>>,
}

impl Row<'_> {
    /// Whether there is nothing in it: an empty line, or one of blanks.
    pub(super) fn is_blank(&self) -> bool {
        // One field: of a file that is delimited by tabs, a line of tabs is a row of empty values.
        self.fields.len() == 1 && self.text.iter().all(|byte| matches!(byte, b' ' | b'\t'))
    }
}

/// Why rows after this place cannot be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// A quote opens a field and nothing closes it.
    Unclosed(Place),
    /// Neither a delimiter nor a line end follows a closing quote.
    AfterQuote {
        /// Where the text is.
        at: Place,
        /// Where the field's quote opened.
        opened: Place,
        /// Its first byte.
        found: u8,
        /// A backslash stands before the quote.
        backslash: bool,
    },
}

/// The rows of some bytes, from the first on. Ends after the first damage.
pub(super) struct Rows<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    at: usize,
    line: u64,
    /// Where the current line begins.
    line_at: usize,
}

impl<'a> Rows<'a> {
    /// `line` is the number of the first line.
    pub(super) fn new(bytes: &'a [u8], delimiter: u8, line: u64) -> Self {
        Rows { bytes, delimiter, at: 0, line, line_at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn place(&self, at: usize) -> Place {
        let before = self.bytes.get(self.line_at..at).unwrap_or_default();
        // Bytes that continue a character of UTF-8 do not count.
        let characters = before.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        Place { line: self.line, column: characters + 1 }
    }

    /// Steps over the line end that begins here, if one does.
    fn line_end(&mut self) -> bool {
        let length = match self.rest() {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => return false,
        };
        self.at += length;
        self.line += 1;
        self.line_at = self.at;
        true
    }

    fn row(&mut self) -> Result<Row<'a>, Damage> {
        let (start, line) = (self.at, self.line);
        let mut fields = Vec::new();
        loop {
            let field = if self.rest().first() == Some(&b'"') { self.quoted()? } else { self.plain() };
            fields.push(field);
            if self.rest().first() != Some(&self.delimiter) {
                break;
            }
            self.at += 1;
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        self.line_end();
        Ok(Row { line, text, fields })
    }

    fn plain(&mut self) -> Cow<'a, [u8]> {
        let rest = self.rest();
        let length = memchr3(self.delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
        self.at += length;
        Cow::Borrowed(rest.get(..length).unwrap_or_default())
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Damage> {
        let opened = self.place(self.at);
        self.at += 1;
        let start = self.at;
        let mut doubled = false;
        loop {
            let Some(length) = memchr(b'"', self.rest()) else { return Err(Damage::Unclosed(opened)) };
            let quote = self.at + length;
            self.count_lines(quote);
            self.at = quote + 1;
            match self.rest().first() {
                Some(b'"') => {
                    doubled = true;
                    self.at += 1;
                }
                Some(byte) if *byte != self.delimiter && !matches!(byte, b'\r' | b'\n') => {
                    let backslash = self.bytes.get(start..quote).is_some_and(|value| value.ends_with(b"\\"));
                    return Err(Damage::AfterQuote { at: self.place(self.at), opened, found: *byte, backslash });
                }
                _ => {
                    let value = self.bytes.get(start..quote).unwrap_or_default();
                    return Ok(if doubled { Cow::Owned(without_doubles(value)) } else { Cow::Borrowed(value) });
                }
            }
        }
    }

    /// Counts the lines that end inside a quoted field, up to `end`.
    fn count_lines(&mut self, end: usize) {
        while self.at < end {
            if !self.line_end() {
                let rest = self.bytes.get(self.at..end).unwrap_or_default();
                self.at += memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            }
        }
    }
}

fn without_doubles(value: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        kept.push(*byte);
        if *byte == b'"' {
            bytes.next();
        }
    }
    kept
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.at = self.bytes.len();
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(u64, Vec<String>)>, Damage> {
        let text_of = |field: &Cow<'_, [u8]>| String::from_utf8(field.to_vec()).unwrap();
        Rows::new(text.as_bytes(), b',', 1)
            .map(|row| row.map(|row| (row.line, row.fields.iter().map(text_of).collect())))
            .collect()
    }

    fn fields(text: &str) -> Vec<Vec<String>> {
        read(text).unwrap().into_iter().map(|(_, fields)| fields).collect()
    }

    fn at(line: u64, column: usize) -> Place {
        Place { line, column }
    }

    #[test]
    fn all_three_line_ends_end_a_row_also_in_one_file() {
        let rows = [["a", "b"], ["1", "2"], ["3", ""]];
        for text in ["a,b\n1,2\n3,\n", "a,b\r\n1,2\r\n3,\r\n", "a,b\r1,2\r3,\r", "a,b\r1,2\n3,", "a,b\r\n1,2\r3,\n"] {
            assert_eq!(fields(text), rows, "{text:?}");
        }
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_doubled_quotes_and_lines_are_counted_through_them() {
        let rows = read("a,\"b\r\nc,\"\"d\"\"\"\n\"\",x\n").unwrap();
        assert_eq!(rows[0], (1, vec!["a".to_owned(), "b\r\nc,\"d\"".to_owned()]));
        assert_eq!(rows[1], (3, vec![String::new(), "x".to_owned()]));
    }

    #[test]
    fn a_quote_that_nothing_closes_is_named_where_it_opens() {
        assert_eq!(read("a,b\n1,x\n2,\"y\n3,z\n"), Err(Damage::Unclosed(at(3, 3))));
        assert_eq!(read("a,b\n1,\"cut \"\" he"), Err(Damage::Unclosed(at(2, 3))));
        assert_eq!(read("ä,\""), Err(Damage::Unclosed(at(1, 3))));
        assert_eq!(read("\""), Err(Damage::Unclosed(at(1, 1))));
    }

    #[test]
    fn text_behind_a_closing_quote_is_named_with_the_quote_that_opened() {
        let after = |at, opened, found, backslash| Err(Damage::AfterQuote { at, opened, found, backslash });
        assert_eq!(read("1,\"a\"b\n"), after(at(1, 6), at(1, 3), b'b', false));
        assert_eq!(read("1,\"a\" ,b\n"), after(at(1, 6), at(1, 3), b' ', false));
        assert_eq!(read("1,\"say \\\"hi\\\"\"\n"), after(at(1, 10), at(1, 3), b'h', true));
        // Two stray quotes, lines apart: what stands between them is no field.
        assert_eq!(read("1,\"Boston\n2,Paris\n3,\"Rome\n"), after(at(3, 4), at(1, 3), b'R', false));
    }

    #[test]
    fn a_quote_inside_a_plain_field_is_a_character() {
        assert_eq!(fields("1,5\" pipe, \"x\"\n"), [["1", "5\" pipe", " \"x\""]]);
    }

    #[test]
    fn an_empty_line_is_a_row_of_one_empty_field_and_blank() {
        let blank =
            |text: &str| Rows::new(text.as_bytes(), b',', 1).map(|row| row.unwrap().is_blank()).collect::<Vec<_>>();
        assert_eq!(blank("a\n\n \t\n\"\"\n,\n"), [false, true, true, false, false]);
        assert!(fields("").is_empty());
    }
}
