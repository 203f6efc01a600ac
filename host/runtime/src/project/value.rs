//! One value from raw JSON text. `None` means that the text is of another type, and never a guess.
//!
//! Does not trim, parse numbers out of strings, or know formats of dates other than ISO 8601: that is what a plugin is for.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use seams::plugin::{ColumnType, ScalarType};

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

/// RFC 3339 as microseconds since 1970-01-01T00:00:00Z; finer digits are cut off. Without a zone it is UTC: that is what most databases
/// and data frames write.
pub(super) fn timestamp(raw: &str) -> Option<i64> {
    let text = text(raw)?;
    if let Ok(instant) = DateTime::parse_from_rfc3339(&text) {
        return Some(instant.timestamp_micros());
    }
    // Two formats instead of one with a blank, which a parser would take for any number of them. A year has four digits: no sign.
    let form = match text.as_bytes() {
        [b'0'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', b'0'..=b'9', ..] => &text,
        [b'0'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b' ', b'0'..=b'9', ..] => {
            &Cow::Owned(text.replacen(' ', "T", 1))
        }
        _ => return None,
    };
    let local = NaiveDateTime::parse_from_str(&form.to_ascii_uppercase(), "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(local.and_utc().timestamp_micros())
}

/// What a value of the type looks like; nothing where the type's name says it all.
pub(super) fn form(ty: ColumnType) -> Option<&'static str> {
    let (ColumnType::Scalar(scalar) | ColumnType::List(scalar)) = ty;
    match scalar {
        ScalarType::Timestamp => Some(
            "a timestamp is text such as 2026-01-31T03:00:00Z or 2026-01-31 03:00:00, which is UTC where no zone is written",
        ),
        ScalarType::Date32 => Some("a date is text such as 2026-01-31"),
        _ => None,
    }
}

/// A value for an error message: its type, and its first characters.
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
