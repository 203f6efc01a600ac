//! Is a text that an enricher hands over one JSON object that every later reader reads the same way?
//!
//! Does not know what is in it, beyond the one key that is the host's.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The key under which the host writes its own fields into a Bronze document.
pub(crate) const META: &str = "_meta";

/// Checks a document: one JSON object, no key twice in one object, at most 128 deep (the parser's bound), numbers within a double's
/// range, no key `_meta`.
pub(crate) fn check(document: &str) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_str(document);
    let result = Value { outermost: true }.deserialize(&mut reader).and_then(|()| reader.end());
    result.map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
struct Value {
    outermost: bool,
}

impl Value {
    fn inner<E: serde::de::Error>(self, found: &str) -> Result<(), E> {
        if self.outermost { Err(E::custom(format!("found {found}, expected an object"))) } else { Ok(()) }
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
        self.inner("a boolean")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.inner("a number")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.inner("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.inner("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.inner("a string")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.inner("null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.inner("an array")?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let value = Value { outermost: false };
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.outermost && key == META {
                return Err(A::Error::custom(format!("key `{META}` is the host's")));
            }
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("key `{}` is there twice in one object", key.escape_debug())));
            }
            keys.insert(key);
            entries.next_value_seed(value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_pass() {
        for document in ["{}", r#" {"a": [1, -2.5, null, true, "x", {"a": {"_meta": 1}}]} "#] {
            assert_eq!(check(document), Ok(()), "{document}");
        }
    }

    #[test]
    fn everything_that_readers_disagree_on_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let cases = [
            ("[1]", "found an array, expected an object"),
            ("\"x\"", "found a string"),
            (r#"{"a":1,"a":2}"#, "key `a` is there twice"),
            (r#"{"b":{"a":1,"a":2}}"#, "key `a` is there twice"),
            (r#"{"_meta":{}}"#, "key `_meta` is the host's"),
            (r#"{"a":1e400}"#, "number out of range"),
            (r#"{"a":1} x"#, "trailing characters"),
            (r#"{"a":"#, "EOF while parsing"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (&deep, "recursion limit"),
        ];
        for (document, part) in cases {
            let error = check(document).unwrap_err();
            assert!(error.contains(part), "`{error}` has no `{part}`");
        }
    }
}
