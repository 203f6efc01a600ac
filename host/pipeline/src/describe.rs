//! A plan as text and as JSON: what `check` prints and what golden tests compare.
//!
//! Cannot be read back: the file is the only source of a plan.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::plan::{Location, OrderBy, Percent, Plan, PluginRef, TOP_N_ALL, Template};

impl Plan {
    /// The whole plan as indented JSON with a fixed order of keys: equal plans have equal text.
    #[must_use]
    pub fn describe(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Display for OrderBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.column, if self.descending { "desc" } else { "asc" })
    }
}

macro_rules! serialize_as_text {
    ($($ty:ty),+) => {
        $(impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}

serialize_as_text!(Location, OrderBy, Percent, PluginRef, Template);

pub(super) fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn as_optional_text<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

pub(super) fn as_texts<S: Serializer>(
    values: &BTreeMap<String, impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, value.to_string())))
}

/// A number, or `all`.
pub(super) fn as_top_n<S: Serializer>(top_n: &NonZeroUsize, serializer: S) -> Result<S::Ok, S::Error> {
    if *top_n == TOP_N_ALL { serializer.serialize_str("all") } else { top_n.serialize(serializer) }
}

/// The text is JSON already.
pub(super) fn as_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
    value.serialize(serializer)
}

pub(super) fn as_millis<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(span.as_millis())
}

/// For spans that may be shorter than a millisecond.
pub(super) fn as_millis_with_fraction<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64() * 1_000.0)
}
