//! Reads CSV: RFC 4180 with a header line, strictly. Every value is text; an empty one is null.
//!
//! Does not guess types, and does not trim. What can be told apart goes on: a row with too few or too many values is refused alone.
//! Where a quote leaves open which rows there are, the file is refused as a whole.

mod guess;
mod rows;

use bytes::Bytes;
use serde_json::value::RawValue;

use self::guess::{Guess, guess};
use self::rows::{Row, Rows};
use super::error::Damage;
use super::sink::Sink;
use super::text;
use pipeline::plan::Source;
use records::record::{Record, text_value};

pub(super) fn read(source: &Source, bytes: &Bytes, sink: &mut Sink<'_>) -> Result<(), Damage> {
    let delimiter = u8::try_from(source.dialect.delimiter).unwrap_or(b',');
    let all = text::open(source, bytes)?;
    let (text, line) = below_preamble(all, source.dialect.skip_lines, delimiter)?;
    let mut rows = Rows::new(text, delimiter, line).skip_while(|row| row.as_ref().is_ok_and(Row::is_blank));
    let header = match rows.next() {
        Some(Ok(row)) => row,
        None => return Err(Damage::at_line(line, "there is no header").hint(PREAMBLE)),
        Some(Err(damage)) => {
            let other = guess(all, delimiter, &source.key).filter(|guess| guess.delimiter != delimiter);
            return Err(other.map_or_else(|| quotes(damage), |guess| elsewhere(&guess, delimiter, "")));
        }
    };
    let columns = names(source, &header)?;
    let has_key = source.key.iter().all(|column| columns.contains(column));
    if !has_key
        && let Some(guess) = guess(all, delimiter, &source.key).filter(|guess| guess.differs(delimiter, header.line))
    {
        return Err(elsewhere(&guess, delimiter, &String::from_utf8_lossy(header.text)));
    }
    each_has_a_name(&columns, &header)?;
    if !sink.columns(columns.clone())? {
        return Ok(());
    }
    for row in rows {
        let row = row.map_err(quotes)?;
        if row.is_blank() {
            continue;
        }
        match record(&columns, &row) {
            Ok(record) => sink.record(row.line, record),
            Err(reason) => sink.bad(row.line, row.text, reason),
        }
    }
    Ok(())
}

const PREAMBLE: &str = "`skip_lines` under `[source]` is how many lines stand above the header";

/// What follows the lines above the header, and the number of its first line. `sep=;` is a note of Excel's to itself.
fn below_preamble(text: &[u8], lines: usize, delimiter: u8) -> Result<(&[u8], u64), Damage> {
    let mut rest = text;
    for skipped in 0..lines {
        if rest.is_empty() {
            let damage = Damage::whole(format!("it has {skipped} lines, and `skip_lines` is {lines}"));
            return Err(damage.hint(PREAMBLE));
        }
        rest = below_line(rest).1;
    }
    let line = u64::try_from(lines).unwrap_or(u64::MAX) + 1;
    let (first, below) = below_line(rest);
    let note = first.strip_prefix(b"\"").and_then(|first| first.strip_suffix(b"\"")).unwrap_or(first);
    match note {
        [s, e, p, b'=', separator] if [s, e, p].map(u8::to_ascii_lowercase) == *b"sep" => {
            if *separator != delimiter {
                let reason = format!("line {line} says that {} separates values", called(*separator));
                return Err(Damage::whole(reason).hint(write_delimiter(*separator)));
            }
            Ok((below, line + 1))
        }
        _ => Ok((rest, line)),
    }
}

/// A line without its end, and what follows.
fn below_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    let below = match rest {
        [b'\r', b'\n', below @ ..] | [_, below @ ..] => below,
        [] => &[],
    };
    (line, below)
}

/// The header that the pipeline needs is there by another delimiter, or further down.
fn elsewhere(guess: &Guess, delimiter: u8, header: &str) -> Damage {
    let shown: String = header.chars().take(80).collect();
    let skip = guess.line - 1;
    match (guess.delimiter == delimiter, skip) {
        (true, _) => {
            let damage = Damage::whole(format!(
                "line 1 is no header (`{shown}`): the key's columns stand in line {}",
                guess.line
            ));
            damage.hint(format!("write `skip_lines = {skip}` under `[source]`"))
        }
        (false, 0) => {
            let reason = format!(
                "values are not separated by {} but, it seems, by {}",
                called(delimiter),
                called(guess.delimiter)
            );
            let header = if header.is_empty() { String::new() } else { format!("; the header is `{shown}`") };
            Damage::whole(format!("line 1: {reason}{header}")).hint(write_delimiter(guess.delimiter))
        }
        (false, _) => {
            let reason = format!(
                "the header seems to be line {}, with {} between the names",
                guess.line,
                called(guess.delimiter)
            );
            Damage::whole(reason).hint(format!("{}, and `skip_lines = {skip}`", write_delimiter(guess.delimiter)))
        }
    }
}

fn called(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".to_owned(),
        b' ' => "blanks".to_owned(),
        other => format!("`{}`", char::from(other)),
    }
}

fn write_delimiter(delimiter: u8) -> String {
    format!("write `delimiter = \"{}\"` under `[source]`", char::from(delimiter).escape_default())
}

/// The names in the header as they stand there.
fn names(source: &Source, header: &Row<'_>) -> Result<Vec<String>, Damage> {
    let name = |field: &std::borrow::Cow<'_, [u8]>| match std::str::from_utf8(field) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => {
            let reason = text::not_utf8(header.text).unwrap_or_default();
            Err(Damage::at_line(header.line, reason).hint(text::to_utf8(source)))
        }
    };
    header.fields.iter().map(name).collect()
}

fn each_has_a_name(columns: &[String], header: &Row<'_>) -> Result<(), Damage> {
    let Some(index) = columns.iter().position(|name| name.trim().is_empty()) else { return Ok(()) };
    let damage = Damage::at_line(header.line, format!("column {} of the header has no name", index + 1));
    let is_last = index + 1 == columns.len();
    Err(damage.hint(match index {
        0 => "give it a name in the source; pandas leaves it empty for its index: `to_csv(…, index=False)`",
        _ if is_last => "take the delimiter at the end of each line away in the source, or give the column a name",
        _ => "give it a name in the source",
    }))
}

/// The record of a row, or why it has none.
fn record(columns: &[String], row: &Row<'_>) -> Result<Record, String> {
    if let Some(reason) = text::not_utf8(row.text) {
        return Err(reason);
    }
    if let Some(at) = memchr::memchr(0, row.text) {
        return Err(format!("a NUL byte stands at column {}", at + 1));
    }
    if row.fields.len() != columns.len() {
        return Err(ragged(columns.len(), row));
    }
    let value = |field: &[u8]| match std::str::from_utf8(field) {
        Ok("") | Err(_) => RawValue::NULL.to_owned(),
        Ok(text) => text_value(text),
    };
    Ok(columns.iter().cloned().zip(row.fields.iter().map(|field| value(field))).collect())
}

fn ragged(columns: usize, row: &Row<'_>) -> String {
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let values = row.fields.len();
    let quote_behind_blank = |field: &[u8]| field.starts_with(b" ") && field.trim_ascii_start().starts_with(b"\"");
    let cause = if row.fields.iter().any(|field| quote_behind_blank(field)) {
        "; a quote behind a blank opens no field: take the blank away"
    } else if values > columns && row.fields.last().is_some_and(|last| last.is_empty()) {
        "; the last one is empty: there is a delimiter too many at the end"
    } else {
        ""
    };
    format!("it has {}, expected {} as in the header{cause}", counted(values, "value"), columns)
}

/// Where a quote leaves open which rows there are.
fn quotes(damage: rows::Damage) -> Damage {
    const TWICE: &str =
        "a quote that belongs to a value is written twice, and the whole value stands in quotes: `\"5\"\" pipe\"`";
    match damage {
        rows::Damage::Unclosed(at) => Damage::whole(format!("{at}: a quote opens a value here and never closes"))
            .hint(format!("{TWICE}; if the file was cut, write it again")),
        rows::Damage::AfterQuote { at, opened, backslash: true, .. } => {
            let reason =
                format!("{at}: text behind a closing quote: a backslash does not keep it from closing the value");
            Damage::whole(format!("{reason} (which opened at {opened})"))
                .hint(format!("{TWICE}, without backslashes; have the file written so"))
        }
        rows::Damage::AfterQuote { at, opened, found, .. } => {
            let reason = format!("{at}: text behind a closing quote; the value opened at {opened}");
            let hint = match found {
                b';' | b'\t' | b'|' => {
                    format!("if values are separated by {}, {}", called(found), write_delimiter(found))
                }
                _ => TWICE.to_owned(),
            };
            Damage::whole(reason).hint(hint)
        }
    }
}

#[cfg(test)]
mod tests;
