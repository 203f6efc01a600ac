//! Why a CSV file lacks the header that the pipeline needs: another delimiter, or lines above the header.
//!
//! Only asked when a key column is missing, so that a file that reads well is never doubted. Does not read records.

use super::rows::Rows;

/// What stands between values where it is not a comma.
const DELIMITERS: [u8; 5] = *b",;\t|:";

/// How many rows may come before a header.
const PREAMBLE: usize = 20;

/// What would give the file the header that is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// What probably stands between the values.
    pub(super) delimiter: u8,
    /// The line of the header.
    pub(super) line: u64,
}

impl Guess {
    /// Whether it differs from the header with this delimiter in this line.
    pub(super) fn differs(&self, delimiter: u8, line: u64) -> bool {
        self.delimiter != delimiter || self.line != line
    }
}

/// The delimiter and line with which the header has all columns of `key`; or, if there is none, the delimiter by which a header of one
/// column and the row below it have equally many.
pub(super) fn guess(bytes: &[u8], delimiter: u8, key: &[String]) -> Option<Guess> {
    let others = DELIMITERS.into_iter().filter(|other| *other != delimiter);
    let all: Vec<u8> = std::iter::once(delimiter).chain(others).collect();
    all.iter().find_map(|delimiter| with_key(bytes, *delimiter, key)).or_else(|| {
        let widths = all.iter().skip(1).filter_map(|other| Some((width(bytes, *other)?, *other)));
        let is_one = width(bytes, delimiter).is_none();
        let (_, delimiter) = widths.max_by_key(|(width, _)| *width).filter(|_| is_one)?;
        Some(Guess { delimiter, line: 1 })
    })
}

fn with_key(bytes: &[u8], delimiter: u8, key: &[String]) -> Option<Guess> {
    let plain = |name: &str| name.trim().to_lowercase();
    let wanted: Vec<String> = key.iter().map(|name| plain(name)).collect();
    let rows = Rows::new(bytes, delimiter, 1).take(PREAMBLE).map_while(Result::ok);
    for row in rows {
        let names: Vec<String> = row.fields.iter().map(|field| plain(&String::from_utf8_lossy(field))).collect();
        // A row with one value that happens to be the key's name is no header.
        if names.len() > wanted.len() && wanted.iter().all(|name| names.contains(name)) {
            return Some(Guess { delimiter, line: row.line });
        }
    }
    None
}

/// How many columns the first two rows have in common, if more than one.
fn width(bytes: &[u8], delimiter: u8) -> Option<usize> {
    let mut widths = Rows::new(bytes, delimiter, 1).take(2).map_while(Result::ok).map(|row| row.fields.len());
    let (header, row) = (widths.next()?, widths.next());
    (header > 1 && row.is_none_or(|row| row == header)).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Guess> {
        guess(text.as_bytes(), b',', &["id".to_owned()])
    }

    #[test]
    fn another_delimiter_is_found_by_the_key_also_in_quotes_and_capitals() {
        for (text, delimiter) in [
            ("id;a;b\n1;x;3,5\n", b';'),
            ("id\ta\n1\tx, y\n", b'\t'),
            ("ID|a\n1|x\n", b'|'),
            ("\"a\";\"id\"\r\n\"x\";\"1\"\r\n", b';'),
        ] {
            assert_eq!(of(text), Some(Guess { delimiter, line: 1 }), "{text:?}");
        }
    }

    #[test]
    fn lines_above_the_header_are_counted() {
        assert_eq!(of("# made by tool 1.2\nid,a\n1,x\n"), Some(Guess { delimiter: b',', line: 2 }));
        assert_eq!(of("Report\n\nof May, 2026\nid;a\n1;x\n"), Some(Guess { delimiter: b';', line: 4 }));
    }

    #[test]
    fn without_the_key_the_widths_of_two_rows_tell() {
        assert_eq!(of("no;name\n1;x\n"), Some(Guess { delimiter: b';', line: 1 }));
        assert_eq!(of("no,name\n1,x\n"), None);
        assert_eq!(of("just text; with a mark\nand another line\n"), None);
        assert_eq!(of(""), None);
    }
}
