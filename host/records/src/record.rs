//! A record of the source: its columns in the source's order, each value as it was written.
//!
//! Does not interpret a value: a number keeps its digits, text its escapes. Only blanks between the tokens of a list or an object
//! are dropped, so that a record never holds a line break. Does not look for reserved names or depth: `records::document` does.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// A record of the source: one JSON object, columns in the source's order, each name once.
///
/// Values are JSON text, never numbers of the machine: `1.10`, 2^64 and forty digits behind the point stay what they are.
#[derive(Clone, Default)]
pub struct Record(Vec<(String, Box<RawValue>)>);

impl Record {
    /// A record without columns.
    #[must_use]
    pub fn new() -> Self {
        Record::default()
    }

    /// Adds a column. The caller makes sure that the record has no column of that name.
    pub fn push(&mut self, column: impl Into<String>, value: Box<RawValue>) {
        self.0.push((column.into(), value));
    }

    /// A value's JSON text, as it was written.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&RawValue> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| &**value)
    }

    /// A value that is a JSON string, decoded.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<String> {
        self.get(column).and_then(|value| serde_json::from_str(value.get()).ok())
    }

    /// Whether it has that column.
    #[must_use]
    pub fn contains_key(&self, column: &str) -> bool {
        self.get(column).is_some()
    }

    /// The columns, in the source's order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Columns and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Whether it has no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many columns it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The JSON text of a string.
#[must_use]
pub fn text_value(text: &str) -> Box<RawValue> {
    // A string can always be written as JSON.
    to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The value without the blanks between its tokens.
#[must_use]
pub fn compact(value: Box<RawValue>) -> Box<RawValue> {
    let text = value.get();
    // A blank can only stand between tokens where there are several.
    if !text.starts_with(['{', '[']) || !text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return value;
    }
    let (mut within, mut escaped) = (false, false);
    let kept = text.chars().filter(|character| {
        let blank = !within && character.is_ascii_whitespace();
        match character {
            '"' if !escaped => within = !within,
            _ => {}
        }
        escaped = within && *character == '\\' && !escaped;
        !blank
    });
    let kept = kept.collect();
    RawValue::from_string(kept).unwrap_or(value)
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(one, two)| one.0 == two.0 && one.1.get() == two.1.get())
    }
}

impl Eq for Record {}

impl fmt::Display for Record {
    /// Its JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Record {
    /// Reads JSON only: from `serde_json`'s own readers, and in no part of a type that `serde` reads into a buffer first.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Record, A::Error> {
                let mut record = Record(Vec::with_capacity(entries.size_hint().unwrap_or(0)));
                while let Some((name, value)) = entries.next_entry::<String, Box<RawValue>>()? {
                    record.0.push((name, compact(value)));
                }
                Ok(record)
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

impl FromIterator<(String, Box<RawValue>)> for Record {
    fn from_iter<I: IntoIterator<Item = (String, Box<RawValue>)>>(columns: I) -> Self {
        Record(columns.into_iter().map(|(name, value)| (name, compact(value))).collect())
    }
}

impl FromIterator<(String, Value)> for Record {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(columns: I) -> Self {
        let raw = |value: Value| to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Record(columns.into_iter().map(|(name, value)| (name, raw(value))).collect())
    }
}

impl From<Map<String, Value>> for Record {
    fn from(map: Map<String, Value>) -> Self {
        map.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_escapes_and_order_stay_as_written_and_blanks_go() {
        let text =
            r#"{"z":18446744073709551616,"a":0.12345678901234567890,"b":-0.0,"c":1e-400,"d":1.10,"e":"\u00e9 \" }"}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.to_string(), text);
        assert_eq!(record.text("e").as_deref(), Some("é \" }"));
        assert_eq!(record.text("d"), None);
        let spaced: Record =
            serde_json::from_str("{ \"a\" : [ 1,\r\n {\"b c\\\"\\\\\": \"x \\\\\" , \"d\" : 2} ] }").unwrap();
        assert_eq!(spaced.to_string(), r#"{"a":[1,{"b c\"\\":"x \\","d":2}]}"#);
    }

    #[test]
    fn a_record_is_read_out_of_other_types_with_its_digits() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Around {
            #[serde(flatten)]
            tagged: Tagged,
            record: Record,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case", tag = "outcome")]
        enum Tagged {
            Document,
        }
        let text = r#"{"outcome":"document","record":{"n":100000000000000000001}}"#;
        let around: Around = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&around).unwrap(), text);
    }

    #[test]
    fn depth_is_no_matter_of_reading() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(serde_json::from_str::<Record>(&deep).unwrap().to_string(), deep);
    }
}
