//! One value from raw JSON text. `None` means that the text is of another type, and never a guess.
//!
//! Does not trim, parse numbers out of strings, or know formats of dates other than ISO 8601: that is what a plugin is for.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate};

/// Characters of a value that an error message shows.
const SHOWN: usize = 40;
/// Doubles are exact integers up to here.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn boolean(raw: &str) -> Option<bool> {
    match raw {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A number without a fraction; `3.0` and `3e2` are such numbers, as in JSON Schema.
pub(super) fn int64(raw: &str) -> Option<i64> {
    if let Ok(value) = raw.parse::<i64>() {
        return (!raw.starts_with('+')).then_some(value);
    }
    if !raw.contains(['.', 'e', 'E']) {
        return None;
    }
    let value = float64(raw)?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within the exact range")]
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

/// A number whose nearest double is finite.
pub(super) fn float64(raw: &str) -> Option<f64> {
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    raw.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// A string, unescaped. A lone surrogate is no text.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        return sonic_rs::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// `YYYY-MM-DD` as days since 1970-01-01.
pub(super) fn date32(raw: &str) -> Option<i32> {
    let text = text(raw)?;
    let date = if text.len() == 10 { NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()? } else { return None };
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// RFC 3339 as microseconds since 1970-01-01T00:00:00Z; what is finer is cut off.
pub(super) fn timestamp(raw: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(&text(raw)?).ok().map(|instant| instant.timestamp_micros())
}

/// A value for an error message: its type, and as much of it as is polite.
pub(super) fn describe(raw: &str) -> String {
    let kind = match raw.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => return "null".to_owned(),
        _ => "number",
    };
    // Line breaks can stand between the items of a list or an object.
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let start: String = raw.chars().take(SHOWN).map(shown).collect();
    let more = if raw.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("{kind} {start}{more}")
}
