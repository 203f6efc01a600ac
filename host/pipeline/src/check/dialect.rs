//! `[source]`: what a format leaves open. `delimiter` and `skip_lines` of CSV, `timezone` of Parquet.
//!
//! Does not look at the source.

use crate::code;
use crate::plan::{Dialect, Location, SourceFormat};
use crate::problem::{Findings, Wrong};
use crate::reader::Section;
use crate::values;

/// More lines than that before a header are no preamble.
const MOST_SKIPPED: u32 = 10_000;

pub(super) fn dialect(
    section: &Section<'_>,
    location: Option<&Location>,
    format: Option<SourceFormat>,
    out: &mut Findings,
) -> Dialect {
    let given = section.parsed("delimiter", delimiter, out);
    let usual = if location.is_some_and(is_tsv) { '\t' } else { ',' };
    let skip_lines = section.number("skip_lines", 0..=MOST_SKIPPED, 0, out);
    let timezone = section.parsed("timezone", values::timezone, out);
    for key in ["delimiter", "skip_lines"] {
        let why = "only CSV has rows of delimited text";
        only_for(section, key, matches!(format, None | Some(SourceFormat::Csv)), why, out);
    }
    let why = "only Parquet has timestamps; the values of CSV and JSON are text, which the plugin makes timestamps of";
    only_for(section, "timezone", matches!(format, None | Some(SourceFormat::Parquet)), why, out);
    Dialect { delimiter: given.unwrap_or(usual), skip_lines: usize::try_from(skip_lines).unwrap_or_default(), timezone }
}

fn only_for(section: &Section<'_>, key: &str, fits: bool, why: &str, out: &mut Findings) {
    if let Some(entry) = section.table.get(key)
        && !fits
    {
        let wrong = Wrong::new(code::NO_EFFECT, format!("`{key}` has no effect on this source: {why}"));
        let hint = match key {
            "timezone" => "remove the line; `[schedule] timezone` is the zone in which ticks are planned",
            _ => "remove the line, or write `format = \"csv\"` if the source is CSV",
        };
        out.error(&entry.key_at, wrong.hint(hint));
    }
}

fn is_tsv(location: &Location) -> bool {
    let path = match location {
        Location::Local(path) => path.as_str(),
        Location::Remote(url) => url.path(),
    };
    path.to_lowercase().ends_with(".tsv")
}

fn delimiter(text: &str) -> Result<char, Wrong> {
    let wrong = || {
        Wrong::new(code::UNKNOWN_WORD, format!("`delimiter` cannot be `{}`", text.escape_debug()))
            .expected("one ASCII character that is no letter, digit, quote or line end")
    };
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None)
            if letter == '\t' || (letter == ' ' || letter.is_ascii_punctuation()) && !matches!(letter, '"' | '\\') =>
        {
            Ok(letter)
        }
        _ => {
            let meant = match text.to_lowercase().as_str() {
                "\\t" | "t" | "tab" | "tsv" => Some("\\t"),
                "semicolon" => Some(";"),
                "comma" => Some(","),
                "pipe" => Some("|"),
                "" | "space" | "blank" => Some(" "),
                _ => None,
            };
            Err(wrong().maybe_hint(meant.map(|meant| format!("write `delimiter = \"{meant}\"`"))))
        }
    }
}
