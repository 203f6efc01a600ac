//! The door of the lake: is a text one JSON object that every later reader reads, and reads the same way?
//!
//! The one check of a source's records and of an enricher's documents. A text that passes can be written into any object of the lake and be
//! read again: the readers' own bounds are wider. Does not know what a document means.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::columns::{BUCKET, KEY, ORD, PLUGIN, SEQ, SOURCE};
use super::record::Record;

/// The key under which the host writes its own fields into a Bronze document.
pub const META: &str = "_meta";

/// Levels of lists and objects that the value of a column may have. Readers of JSON stop at 128 (`serde_json`) or later, and the
/// lake puts a record some levels deep into its own objects.
pub const MOST_LEVELS: usize = 100;

/// Column names that are the host's: in Bronze, and in Silver.
const RESERVED: [&str; 7] = [META, BUCKET, KEY, ORD, SEQ, SOURCE, PLUGIN];

/// Whether a column of that name would stand beside one of the host's own.
#[must_use]
pub fn is_reserved(column: &str) -> bool {
    RESERVED.contains(&column)
}

/// The message for a column with a reserved name.
#[must_use]
pub fn reserved(column: &str) -> String {
    format!(
        "column `{column}` has a name that is reserved: {} are the host's own",
        RESERVED.map(|name| format!("`{name}`")).join(", ")
    )
}

/// Why a text is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What is wrong, without the place.
    pub reason: String,
    /// The line within the text, from 1.
    pub line: usize,
    /// The column within the line, from 1, in bytes; 0 if it is about the whole.
    pub column: usize,
}

impl Unfit {
    fn of(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text).to_owned();
        Unfit { reason, line, column }
    }
}

impl fmt::Display for Unfit {
    /// What is wrong, and the column if the text is one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) | (_, 0) => f.write_str(&self.reason),
            (1, column) => write!(f, "{}, at column {column}", self.reason),
            (line, column) => write!(f, "{}, at line {line} column {column}", self.reason),
        }
    }
}

/// Checks a document: one JSON object, no key twice in one object, values at most [`MOST_LEVELS`] deep, numbers within a double's range,
/// text in well-formed Unicode, no column with a name of the host's.
pub fn check(document: &str) -> Result<(), Unfit> {
    check_bytes(document.as_bytes())
}

/// As [`check`], for bytes.
pub fn check_bytes(document: &[u8]) -> Result<(), Unfit> {
    let mut reader = serde_json::Deserializer::from_slice(document);
    let result = Value { level: 0 }.deserialize(&mut reader).and_then(|()| reader.end());
    result.map_err(|error| Unfit::of(&error))
}

/// Where a JSON text is more than [`MOST_LEVELS`] deep: the byte of the bracket that is one too many. Looks only at brackets, whatever else
/// is wrong with the text, and uses no more stack for a deeper text.
#[must_use]
pub fn too_deep(text: &[u8]) -> Option<usize> {
    deeper_than(text, MOST_LEVELS)
}

/// As [`too_deep`], for texts of at most `most` levels.
#[must_use]
pub fn deeper_than(text: &[u8], most: usize) -> Option<usize> {
    let (mut level, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                level += 1;
                if level > most {
                    return Some(at);
                }
            }
            b']' | b'}' if !quoted => level = level.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The record in a text that passes [`check`].
pub fn record(text: &[u8]) -> Result<Record, Unfit> {
    check_bytes(text)?;
    serde_json::from_slice(text).map_err(|error| Unfit::of(&error))
}

#[derive(Clone, Copy)]
struct Value {
    /// Levels around it: 0 is the document itself.
    level: usize,
}

impl Value {
    fn scalar<E: serde::de::Error>(self, found: &str) -> Result<(), E> {
        if self.level == 0 { Err(E::custom(format!("found {found}, expected an object"))) } else { Ok(()) }
    }

    fn within<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.level > MOST_LEVELS {
            return Err(E::custom(format!("a value is more than {MOST_LEVELS} levels deep")));
        }
        Ok(Value { level: self.level + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar("a boolean")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar("a number")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar("a string")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar("null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.scalar("a list")?;
        let inner = self.within()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.within()?;
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.level == 0 && is_reserved(&key) {
                return Err(A::Error::custom(reserved(&key)));
            }
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("key `{}` is there twice in one object", key.escape_debug())));
            }
            keys.insert(key);
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_pass() {
        for document in ["{}", r#" {"a": [1, -2.5, null, true, "x", {"a": {"_meta": 1, "_key": 2}}]} "#] {
            assert_eq!(check(document), Ok(()), "{document}");
        }
        for number in ["9007199254740993", "18446744073709551616", "0.1234567890123456789", "1e-400", "-0.0"] {
            let text = format!(r#"{{"a":{number}}}"#);
            assert_eq!(record(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_that_readers_disagree_on_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let cases = [
            ("[1]", "found a list, expected an object"),
            ("\"x\"", "found a string"),
            (r#"{"a":1,"a":2}"#, "key `a` is there twice"),
            (r#"{"b":{"a":1,"a":2}}"#, "key `a` is there twice"),
            (r#"{"_meta":{}}"#, "column `_meta` has a name that is reserved"),
            (r#"{"_source":"crm"}"#, "column `_source` has a name that is reserved"),
            (r#"{"a":1e400}"#, "number out of range"),
            (r#"{"a":1} x"#, "trailing characters"),
            (r#"{"a":"#, "EOF while parsing"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":NaN}"#, "expected value, at column 6"),
            (&deep, "more than 100 levels"),
        ];
        for (document, part) in cases {
            let error = check(document).unwrap_err().to_string();
            assert!(error.contains(part), "`{error}` has no `{part}`");
        }
    }

    #[test]
    fn brackets_are_counted_and_those_in_text_are_not() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(too_deep(nested(MOST_LEVELS).as_bytes()), None);
        assert_eq!(too_deep(nested(100_000).as_bytes()), Some(MOST_LEVELS));
        assert_eq!(deeper_than(br#"{"a[[\"[[": "[[[["}"#, 1), None);
        assert_eq!(deeper_than(br#"{"a": [1, {"b": []}]}"#, 3), Some(16));
    }

    #[test]
    fn a_hundred_levels_pass_and_one_more_does_not() {
        let nested = |levels: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(&nested(MOST_LEVELS)), Ok(()));
        assert!(check(&nested(MOST_LEVELS + 1)).is_err());
    }
}
