//! The text of one JSON value: what a `json` column holds, for what has no fixed shape.
//!
//! Nothing is parsed until the author asks. Not here: pointers into a document; what a plugin needs
//! often it should declare as a column of its own, which the host extracts far faster.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// The text of one JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Json(String);

/// Like [`Json`], borrowed from the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JsonRef<'a>(&'a str);

impl Json {
    /// The JSON of a value; an error where the value has none (a map whose keys are no strings).
    pub fn of(value: &impl Serialize) -> Result<Self, String> {
        serde_json::to_string(value).map(Self).map_err(|error| error.to_string())
    }

    /// Takes a text as it is. The host refuses output that is not valid JSON.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the value. `T` may borrow from this text.
    pub fn parse<'s, T: Deserialize<'s>>(&'s self) -> Result<T, String> {
        JsonRef(&self.0).parse()
    }
}

impl<'a> JsonRef<'a> {
    /// Takes a text as it is.
    pub const fn from_text(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Reads the value. `T` may borrow from the column.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T, String> {
        serde_json::from_str(self.0).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for JsonRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Takes a value of any shape as its text. Works below `serde_json` only.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.get().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_parsed_when_asked() {
        #[derive(Deserialize)]
        struct Entry {
            year: Option<Json>,
        }
        let entry: Entry = serde_json::from_str(r#"{"year": [19, {"a": null}]}"#).unwrap();
        let year = entry.year.unwrap();
        assert_eq!(year.as_str(), r#"[19, {"a": null}]"#);
        assert!(year.parse::<Vec<serde_json::Value>>().is_ok());
        assert!(year.parse::<u32>().is_err());
    }

    #[test]
    fn a_null_is_no_value() {
        #[derive(Deserialize)]
        struct Entry {
            year: Option<Json>,
        }
        assert!(serde_json::from_str::<Entry>(r#"{"year": null}"#).unwrap().year.is_none());
        assert!(serde_json::from_str::<Entry>("{}").unwrap().year.is_none());
    }

    #[test]
    fn text_may_be_borrowed() {
        assert_eq!(JsonRef::from_text("\"Drama\"").parse(), Ok("Drama"));
    }
}
