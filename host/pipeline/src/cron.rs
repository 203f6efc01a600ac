//! Cron expressions: the five fields of POSIX, names such as `@daily`, and EventBridge's six fields.
//!
//! `croner` reads and evaluates them; this module adds which field is wrong and what it takes. Does not know time zones: that is
//! `schedule`.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

/// Why a cron expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// It has another number of fields than its form takes.
    #[error("a cron expression of {got} fields")]
    FieldCount {
        /// Fields found.
        got: usize,
        /// What the form takes.
        expected: &'static str,
    },
    /// A field cannot be read.
    #[error("`{text}` is not a value for the {name}")]
    Field {
        /// The field's name.
        name: &'static str,
        /// The field.
        text: String,
        /// What it takes.
        expected: &'static str,
    },
    /// An `@name` that does not exist.
    #[error("`{0}` is not the name of a schedule")]
    Nickname(String),
    /// Both day fields, or neither, are `?` in EventBridge's form.
    #[error("one of day of month and day of week must be `?`, and only one")]
    QuestionMarks,
    /// No instant matches, ever.
    #[error("`{0}` never comes")]
    Never(String),
}

/// The names for schedules, with their expressions.
pub const NICKNAMES: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

struct FieldSpec {
    name: &'static str,
    expected: &'static str,
    /// Letters that have a meaning of their own.
    marks: &'static str,
    words: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const FIELDS: &[FieldSpec] = &[
    FieldSpec { name: "minute", expected: "0 to 59, `*`, `a-b`, `a,b`, `*/n`", marks: "", words: &[] },
    FieldSpec { name: "hour", expected: "0 to 23, `*`, `a-b`, `a,b`, `*/n`", marks: "", words: &[] },
    FieldSpec { name: "day of month", expected: "1 to 31, `*`, `a-b`, `a,b`, `*/n`, `L`", marks: "LW?", words: &[] },
    FieldSpec {
        name: "month",
        expected: "1 to 12 or `JAN` to `DEC`, `*`, `a-b`, `a,b`, `*/n`",
        marks: "",
        words: MONTHS,
    },
    FieldSpec {
        name: "day of week",
        expected: "0 to 7 (0 and 7 are Sunday) or `SUN` to `SAT`, `*`, `a-b`, `a,b`, `1#2`, `5L`",
        marks: "L#?",
        words: DAYS,
    },
    FieldSpec { name: "year", expected: "1970 to 2199, `*`, `a-b`, `a,b`", marks: "", words: &[] },
];

/// The expression, and whether its hours are steps instead of named hours.
pub(super) fn parse(text: &str) -> Result<(Cron, bool), ScheduleError> {
    match text.strip_prefix("cron(").and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => event_bridge(inner),
        None => posix(text),
    }
}

fn posix(text: &str) -> Result<(Cron, bool), ScheduleError> {
    let named = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, expression)| *expression);
    if named.is_none() && text.starts_with('@') {
        return Err(ScheduleError::Nickname(text.to_owned()));
    }
    let fields: Vec<&str> = named.unwrap_or(text).split_whitespace().collect();
    let [_, hour, _, _, _] = fields.as_slice() else {
        return Err(ScheduleError::FieldCount {
            got: fields.len(),
            expected: "5 fields: minute, hour, day of month, month, day of week",
        });
    };
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let rolling = is_rolling(hour);
    read(&fields, |fields| parser.parse(&fields.join(" ")).ok()).map(|cron| (cron, rolling))
}

fn event_bridge(text: &str) -> Result<(Cron, bool), ScheduleError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [_, hour, day, _, weekday, _] = fields.as_slice() else {
        let expected = "6 fields in `cron(…)`: minute, hour, day of month, month, day of week, year";
        return Err(ScheduleError::FieldCount { got: fields.len(), expected });
    };
    let rolling = is_rolling(hour);
    let marks = [*day, *weekday].iter().filter(|field| **field == "?").count();
    // Sunday is 1 here, and `0/15` is `*/15`.
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .sloppy_ranges(true)
        .build();
    let cron =
        read(&fields, |fields| parser.parse(&format!("0 {}", fields.join(" "))).ok()).map_err(count_days_from_one)?;
    if marks != 1 {
        return Err(ScheduleError::QuestionMarks);
    }
    Ok((cron, rolling))
}

fn count_days_from_one(error: ScheduleError) -> ScheduleError {
    match error {
        ScheduleError::Field { name: "day of week", text, .. } => {
            let expected = "1 to 7 (1 is Sunday here) or `SUN` to `SAT`, `?`, `*`, `a-b`, `a,b`, `2#2`, `6L`";
            ScheduleError::Field { name: "day of week", text, expected }
        }
        other => other,
    }
}

fn is_rolling(hour: &str) -> bool {
    hour.starts_with('*') || (hour.contains('/') && !hour.contains(['-', ',']))
}

/// Parses the fields together; if that fails, finds the first one that fails alone.
fn read(fields: &[&str], parse: impl Fn(&[&str]) -> Option<Cron>) -> Result<Cron, ScheduleError> {
    let bad = |spec: &FieldSpec, field: &str| ScheduleError::Field {
        name: spec.name,
        text: field.to_owned(),
        expected: spec.expected,
    };
    for (index, (field, spec)) in fields.iter().zip(FIELDS).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        if let Some(place) = alone.get_mut(index) {
            *place = field;
        }
        if !is_well_formed(field, spec) || parse(&alone).is_none() {
            return Err(bad(spec, field));
        }
    }
    parse(fields).ok_or_else(|| ScheduleError::Never(fields.join(" ")))
}

/// Whether a field has nothing but numbers, its own words and marks between separators. The parser replaces words anywhere,
/// so it would take `MON` for an hour.
fn is_well_formed(field: &str, spec: &FieldSpec) -> bool {
    let upper = field.to_ascii_uppercase();
    !field.is_empty()
        && field.len() <= 200
        && field.is_ascii()
        && upper
            .split(|c: char| matches!(c, ',' | '-' | '/' | '*') || spec.marks.contains(c))
            .all(|token| token.len() <= 4 && (token.chars().all(|c| c.is_ascii_digit()) || spec.words.contains(&token)))
}
