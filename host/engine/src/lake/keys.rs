//! Names: of a tick, of a record, of a message and of what they are made from.
//!
//! Does not read or write anything.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// A record of the source: one JSON object, columns in the source's order.
pub type Record = Map<String, Value>;

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
/// The text form is unique: in a value, `%`, `/` and control characters are percent-encoded; a null is empty and an empty text is `%-`.
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
    /// The key of `record` by `columns`. A record without a value in one of them has none.
    pub fn of(record: &Record, columns: &[String]) -> Result<Self, KeyError> {
        let mut text = String::new();
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push('/');
            }
            match record.get(column) {
                None | Some(Value::Null) => return Err(KeyError::Null(column.clone())),
                Some(Value::String(value)) if value.is_empty() => text.push_str("%-"),
                Some(Value::String(value)) => push_escaped(&mut text, value),
                Some(Value::Number(value)) => push_escaped(&mut text, &value.to_string()),
                Some(Value::Bool(value)) => text.push_str(if *value { "true" } else { "false" }),
                Some(Value::Array(_)) => return Err(KeyError::NotScalar(column.clone(), "list")),
                Some(Value::Object(_)) => return Err(KeyError::NotScalar(column.clone(), "object")),
            }
        }
        Ok(Key(text))
    }

    /// A key in its text form, as a user types it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Key(text.to_owned())
    }

    /// What stands in the place of the key of an erased record. No record has it: its first character is escaped in a key.
    #[must_use]
    pub fn forgotten() -> Self {
        Key("%forgotten".to_owned())
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

/// By what versions of a key are compared, of which the greatest stands: tick and enrich generation, then the Bronze object and line, and
/// only then the clean generation. Cleaning a line again makes it no other line: were its generation to count before the place, which of
/// two lines of a key stood would hang on which of them was cleaned again first.
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

    fn key(record: Value) -> Result<Key, KeyError> {
        let Value::Object(record) = record else { panic!("not an object") };
        Key::of(&record, &["a".to_owned(), "b".to_owned()])
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
