//! Names: of a tick, of a record, of a message and of what they are made from.
//!
//! Does not read or write anything.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use super::record::Record;

/// A scheduled instant, in whole seconds UTC. It is the sequence number of every record version that it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tick(DateTime<Utc>);

const TICK_FORMAT: &str = "%Y%m%dT%H%M%SZ";

impl Tick {
    /// The tick at `instant`, fractions of a second dropped.
    #[must_use]
    pub fn at(instant: DateTime<Utc>) -> Self {
        Tick(instant.trunc_subsecs(0))
    }

    /// The tick whose text form is `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        NaiveDateTime::parse_from_str(text, TICK_FORMAT).ok().map(|naive| Tick(naive.and_utc()))
    }

    /// The instant.
    #[must_use]
    pub fn instant(self) -> DateTime<Utc> {
        self.0
    }

    /// Its day in UTC: answers of a service are kept for so long.
    #[must_use]
    pub fn day(self) -> NaiveDate {
        self.0.date_naive()
    }
}

impl std::fmt::Display for Tick {
    /// `20261124T030000Z`: sorts as the instant does, and is safe in object names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.format(TICK_FORMAT))
    }
}

impl Serialize for Tick {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tick {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Tick::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a tick such as 20261124T030000Z")))
    }
}

/// What makes a record the same record tomorrow: the values of its key columns, joined by `/`.
///
/// The text form is unique: in a value, `%`, `/` and control characters are percent-encoded; an empty text is `%-`.
///
/// A value counts as it is written, whatever its type: `1` of a number, `"1"` of JSON text and `1` of CSV are one key. There is one more
/// rule, because a tool that rewrites a table may turn its whole numbers into fractions (pandas does as soon as one value is missing): a
/// whole number that is written with a zero fraction, an exponent or a sign before zero counts as that whole number, so that `1.0`, `1.00`
/// and `10e-1` are `1`, `1e2` is `100`, and `-0` is `0`. It holds for JSON, CSV and Parquet alike, and for text as for numbers. Anything
/// else stays as written: `1.10`, `01`, `+1`, ` 1`, and numbers of more than 400 digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

/// Why a record has no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key column has no value.
    #[error("key column `{0}` has no value")]
    Null(String),
    /// A key column holds a list or an object.
    #[error("key column `{0}` holds a {1}, expected text, a number or a boolean")]
    NotScalar(String, &'static str),
}

impl Key {
    /// The key of `record` by `columns`. A record without a value in one of the columns has no key.
    pub fn of(record: &Record, columns: &[String]) -> Result<Self, KeyError> {
        let mut text = String::new();
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push('/');
            }
            let raw = record.get(column).map_or("null", |value| value.get());
            match raw.bytes().next() {
                None | Some(b'n') => return Err(KeyError::Null(column.clone())),
                Some(b'[') => return Err(KeyError::NotScalar(column.clone(), "list")),
                Some(b'{') => return Err(KeyError::NotScalar(column.clone(), "object")),
                Some(b'"') => match record.text(column).as_deref() {
                    None => return Err(KeyError::NotScalar(column.clone(), "text that is not Unicode")),
                    Some("") => text.push_str("%-"),
                    Some(value) => push_value(&mut text, value),
                },
                Some(_) => push_value(&mut text, raw),
            }
        }
        Ok(Key(text))
    }

    /// A key in its text form, as a user types it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Key(text.to_owned())
    }

    /// The text in place of the key of an erased record. No record has this key: its first character is escaped in a key.
    #[must_use]
    pub fn forgotten() -> Self {
        Key("%forgotten".to_owned())
    }

    /// The text in place of the key of a line that could not be read and has no known record. No record has this key.
    #[must_use]
    pub fn unreadable() -> Self {
        Key("%unreadable".to_owned())
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_value(text: &mut String, value: &str) {
    push_escaped(text, whole_number(value).as_deref().unwrap_or(value));
}

/// The most digits of a whole number that is written out because it has an exponent.
const MOST_DIGITS: usize = 400;

/// The digits of a whole number that is written with a fraction, an exponent or as `-0`; none for any other text.
fn whole_number(text: &str) -> Option<String> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if !digits(whole) || leading_zero || fraction.is_some_and(|fraction| !digits(fraction)) {
        return None;
    }
    if fraction.is_none() && exponent.is_none() {
        return (sign == "-" && whole == "0").then(|| "0".to_owned());
    }
    let shift: i64 = match exponent {
        Some(exponent) if digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)) => exponent.parse().ok()?,
        Some(_) => return None,
        None => 0,
    };
    let fraction = fraction.unwrap_or_default();
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // Zeros after the last digit that counts: those that were trimmed, plus what the exponent adds to the fraction's length.
    let trimmed = all.len() - all.trim_end_matches('0').len();
    let zeros = i64::try_from(trimmed).ok()?.checked_add(shift)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let zeros = usize::try_from(zeros).ok().filter(|zeros| zeros.saturating_add(significant.len()) <= MOST_DIGITS)?;
    Some(format!("{sign}{significant}{}", "0".repeat(zeros)))
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        if character == '%' || character == '/' || character.is_control() {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        } else {
            text.push(character);
        }
    }
}

/// The SHA-256 of `bytes`: 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The first 16 hexadecimal digits of the SHA-256 of `parts`, each preceded by its length so that no two lists of parts are alike.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(16);
    text
}

/// How two versions of a key are ordered: by tick, then by the generation of the enrich plugin that made the document (0 without
/// one), then by the generation of the clean plugin that made the row.
#[must_use]
pub fn order(seq: Tick, enrich: u32, clean: u32) -> String {
    format!("{seq}.{enrich:06}.{clean:06}")
}

/// What versions of a key are compared by; the greatest version stands. First tick and enrich generation, then the Bronze object and line,
/// and only then the clean generation. Cleaning a line again does not make it another line: if its generation came before the place, the
/// order of cleaning would decide which of two lines of a key stands.
#[must_use]
pub fn rank<'a>(ord: &'a str, source: &'a str) -> (&'a str, &'a str, &'a str) {
    let (document, clean) = ord.rsplit_once('.').unwrap_or((ord, ""));
    (document, source, clean)
}

/// What [`order`] was made from, if `text` is one.
#[must_use]
pub fn ordered(text: &str) -> Option<(Tick, u32, u32)> {
    let mut parts = text.split('.');
    let (seq, enrich, clean) = (parts.next()?, parts.next()?, parts.next()?);
    Some((Tick::parse(seq)?, enrich.parse().ok()?, clean.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(record: serde_json::Value) -> Result<Key, KeyError> {
        let serde_json::Value::Object(record) = record else { panic!("not an object") };
        Key::of(&record.into(), &["a".to_owned(), "b".to_owned()])
    }

    fn key_of(value: &str) -> String {
        let record: Record = serde_json::from_str(&format!("{{\"a\":{value}}}")).unwrap();
        Key::of(&record, &["a".to_owned()]).unwrap().to_string()
    }

    #[test]
    fn a_whole_number_is_one_key_however_it_is_written() {
        let one = ["1", "1.0", "1.00", "10e-1", "0.1e1", "0.01E+2", "1e0", "\"1\"", "\"1.0\""];
        for value in one {
            assert_eq!(key_of(value), "1", "{value}");
        }
        for (value, key) in
            [("1e2", "100"), ("-0", "0"), ("-0.0", "0"), ("0e9", "0"), ("-1.50e1", "-15"), ("1200e-2", "12")]
        {
            assert_eq!(key_of(value), key, "{value}");
        }
        assert_eq!(key_of("1e399").len(), 400);
    }

    #[test]
    fn everything_else_is_a_key_as_it_is_written() {
        for value in [
            "1.10",
            "0.5",
            "15e-1",
            "1e400",
            "-1e400",
            "100000000000000000001",
            "9007199254740993",
            "1.0000000000000000001",
        ] {
            assert_eq!(key_of(value), value, "{value}");
        }
        for text in [
            "01",
            "+1",
            " 1",
            "1 ",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1e+-2",
            "0x10",
            "1_000",
            "NaN",
            "-",
            "1.0.0",
            "00.0",
            "1e99999999999999999999",
        ] {
            assert_eq!(key_of(&format!("\"{text}\"")), text, "{text}");
        }
    }

    #[test]
    fn keys_are_readable_and_unique() {
        let text = |record| key(record).unwrap().to_string();
        assert_eq!(text(serde_json::json!({"a": "The Fog", "b": 1980})), "The Fog/1980");
        assert_eq!(text(serde_json::json!({"a": "x/y", "b": "z"})), "x%2Fy/z");
        assert_ne!(text(serde_json::json!({"a": "x/y", "b": "z"})), text(serde_json::json!({"a": "x", "b": "y/z"})));
        assert_eq!(text(serde_json::json!({"a": "100%", "b": ""})), "100%25/%-");
        assert_eq!(text(serde_json::json!({"a": "é\n", "b": true})), "é%0A/true");
    }

    #[test]
    fn a_record_without_a_key_value_has_no_key() {
        assert_eq!(key(serde_json::json!({"a": null, "b": 1})), Err(KeyError::Null("a".into())));
        assert_eq!(key(serde_json::json!({"a": "x"})), Err(KeyError::Null("b".into())));
        assert_eq!(key(serde_json::json!({"a": [], "b": 1})), Err(KeyError::NotScalar("a".into(), "list")));
    }

    #[test]
    fn a_tick_survives_its_text_form_and_sorts_like_time() {
        let early = Tick::parse("20261124T030000Z").unwrap();
        let late = Tick::parse("20261125T030000Z").unwrap();
        assert_eq!(early.to_string(), "20261124T030000Z");
        assert!(early < late && early.to_string() < late.to_string());
        assert!(order(early, 1, 9) < order(early, 1, 10) && order(early, 2, 1) > order(early, 1, 10));
        assert!(order(early, 9, 10) < order(late, 1, 1));
        assert_eq!(ordered(&order(late, 3, 12)), Some((late, 3, 12)));
        let (first, second) = (order(early, 1, 1), order(early, 1, 2));
        assert!(rank(&first, "a") < rank(&second, "a") && rank(&second, "a") < rank(&first, "b"));
        assert_eq!(Tick::parse("2026-11-24"), None);
    }

    #[test]
    fn fingerprints_tell_where_one_part_ends() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
