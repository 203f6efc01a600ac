//! `[pipeline]`, `[schedule]`, `[source]`, `[queue]`, `[lake]` and `[quarantine]`: what the pipeline is called, when it ticks, and where things are.
//!
//! Does not look whether anything is at those places.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use chrono_tz::Tz;

use super::dialect;
use crate::authored::{Entry, Node, Value};
use crate::code;
use crate::overlay::one_of;
use crate::plan::{
    AtMost, LakePlaces, Location, Percent, QuarantineSettings, QueueSettings, Source, SourceFormat, TOP_N_ALL,
};
use crate::problem::{Findings, Wrong, did_you_mean};
use crate::reader::{Section, wrong_type};
use crate::schedule::{Missed, NICKNAMES, Schedule, ScheduleError};
use crate::uris;
use crate::values;

/// How many records a tick takes if the file does not say.
const TOP_N_DEFAULT: u32 = 10;

const FORMATS: &[(&str, SourceFormat)] = &[
    ("csv", SourceFormat::Csv),
    ("json", SourceFormat::Json),
    ("jsonl", SourceFormat::JsonLines),
    ("parquet", SourceFormat::Parquet),
];
/// What the names of packed files end with.
const PACKED: &[&str] = &["gz", "zip", "zst", "bz2", "xz", "lz4", "7z"];
const MISSED: &[(&str, Missed)] = &[("skip", Missed::Skip), ("once", Missed::Once), ("all", Missed::All)];

pub(super) fn pipeline_name(top: &Section<'_>, out: &mut Findings) -> Option<String> {
    let section = top.section("pipeline", "pipeline", out);
    section.require("name", "name = \"orders\"", out);
    section.parsed("name", values::name, out)
}

pub(super) fn schedule(top: &Section<'_>, out: &mut Findings) -> Option<Schedule> {
    top.table.get("schedule")?;
    let section = top.section("schedule", "schedule", out);
    section.require("cron", "cron = \"0 3 * * *\"", out);
    let zone = section.parsed("timezone", values::timezone, out).unwrap_or(Tz::UTC);
    let missed = section.parsed("missed", |text| word(text, "missed", MISSED), out).unwrap_or_default();
    section.parsed("cron", |text| Schedule::parse(text, zone, missed).map_err(|error| explain_cron(text, error)), out)
}

pub(super) fn source(top: &Section<'_>, out: &mut Findings) -> Option<Source> {
    let section = top.section("source", "source", out);
    section.require("uri", "uri = \"data/orders.csv\"", out);
    section.require("key", "key = [\"id\"]", out);
    let location = section.parsed("uri", uris::location, out);
    let given = section.parsed("format", |text| word(text, "format", FORMATS), out);
    let format = match &location {
        Some(location) if section.table.get("format").is_none() => section.parsed("uri", |_| format_of(location), out),
        _ => given,
    };
    let key = section.table.get("key").and_then(|entry| key_columns(entry, out));
    let optional = section.table.get("optional").and_then(|entry| optional_columns(entry, out)).unwrap_or_default();
    let records = section.parsed("records", values::pointer, out);
    if let (Some(entry), Some(_), Some(other)) =
        (section.table.get("records"), &records, format.filter(|format| *format != SourceFormat::Json))
    {
        let wrong = Wrong::new(code::NO_EFFECT, "`records` has a meaning for a source in JSON only");
        let name = FORMATS.iter().find(|(_, format)| *format == other).map_or("", |(word, _)| *word);
        let hint = format!("add `format = \"json\"` (it is `{name}`), or take `records` out");
        out.error(&entry.node.at, wrong.expected("`format = \"json\"`").hint(hint));
    }
    let order_by = section.parsed("order_by", values::order_by, out);
    let top_n = top_n(&section, out);
    let batch_size = section.number("batch_size", 1..=100_000, 1, out);
    let dialect = dialect::dialect(&section, location.as_ref(), format, out);
    let suspend_above = section.percent("suspend_above", Percent::SUSPEND_ABOVE, out);
    Some(Source {
        location: location?,
        format: format?,
        records,
        key: key?,
        optional,
        order_by,
        top_n,
        batch_size: NonZeroUsize::new(usize::try_from(batch_size).ok()?)?,
        dialect,
        suspend_above,
    })
}

/// How many records a tick takes: a number, or `all`.
fn top_n(section: &Section<'_>, out: &mut Findings) -> NonZeroUsize {
    const KEY: &str = "top_n";
    match section.table.get(KEY).map(|entry| (entry, &entry.node.value)) {
        Some((_, Value::Text(text))) if text == "all" => TOP_N_ALL,
        Some((entry, Value::Text(text))) => {
            let hint = match text.parse::<u32>() {
                Ok(number) => format!("a number stands without quotes: `top_n = {number}`"),
                Err(_) => "`top_n = \"all\"` takes every record".to_owned(),
            };
            let wrong = wrong_type(KEY, "an integer or `\"all\"`", &entry.node);
            out.error(&entry.node.at, wrong.hint(hint));
            NonZeroUsize::MIN
        }
        _ => {
            let number = section.number(KEY, 1..=u32::MAX, TOP_N_DEFAULT, out);
            usize::try_from(number).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
        }
    }
}

pub(super) fn queue(top: &Section<'_>, out: &mut Findings) -> QueueSettings {
    let section = top.section("queue", "queue", out);
    let hour = Duration::from_secs(3_600);
    let default = Duration::from_secs(60);
    QueueSettings {
        url: section.parsed("url", uris::queue, out),
        // SQS keeps a message invisible for at most 12 hours, and counts receives up to 1,000.
        visibility_timeout: section.duration("visibility_timeout", Duration::from_secs(1)..=12 * hour, default, out),
        max_receives: NonZeroU32::new(section.number("max_receives", 1..=1_000, 10, out)).unwrap_or(NonZeroU32::MIN),
    }
}

pub(super) fn lake(top: &Section<'_>, out: &mut Findings) -> Option<LakePlaces> {
    let section = top.section("lake", "lake", out);
    let mut place = |key: &str| match section.table.get(key) {
        Some(_) => section.parsed(key, uris::layer, out),
        None => Some(Location::Local(format!("lake/{key}"))),
    };
    let (bronze, silver, gold) = (place("bronze"), place("silver"), place("gold"));
    let buckets = NonZeroU32::new(section.number("buckets", 1..=4_096, 16, out))?;
    let (hour, year) = (Duration::from_secs(3_600), Duration::from_secs(31_557_600));
    // Within an hour a writer may still be about to commit what it has written.
    let retention = section.duration("retention", hour..=10 * year, 7 * 24 * hour, out);
    let layers = [("bronze", &bronze), ("silver", &silver), ("gold", &gold)];
    refuse_overlap(&section, &layers.map(|(name, place)| (name, place.as_ref().map(folder))), out);
    Some(LakePlaces { bronze: bronze?, silver: silver?, gold: gold?, buckets, retention })
}

pub(super) fn quarantine(top: &Section<'_>, out: &mut Findings) -> QuarantineSettings {
    let section = top.section("quarantine", "quarantine", out);
    let Some(entry) = section.table.get("at_most") else { return QuarantineSettings { at_most: AtMost::default() } };
    let at_most = match &entry.node.value {
        Value::Integer(number) => u64::try_from(*number).ok().map(AtMost::Records),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    if at_most.is_none() {
        let wrong = Wrong::new(code::NO_QUANTITY, "`at_most` is neither a number of records nor a share of them");
        let wrong = wrong.expected("a whole number such as `100`, or a percentage from `\"0%\"` to `\"100%\"`");
        out.error(&entry.node.at, wrong.hint("for example `at_most = \"20%\"`"));
    }
    QuarantineSettings { at_most: at_most.unwrap_or_default() }
}

/// A listing of one layer must not meet objects of another.
fn refuse_overlap(section: &Section<'_>, layers: &[(&str, Option<String>)], out: &mut Findings) {
    for (index, (inner, inside)) in layers.iter().enumerate() {
        for (outer, outside) in layers.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, layer)| layer) {
            let (Some(inside), Some(outside)) = (inside, outside) else { continue };
            let same = inside == outside;
            // Two layers in one place are one problem, reported at the second.
            if !inside.starts_with(outside.as_str()) || (same && inner < outer) {
                continue;
            }
            let entry = section.table.get(inner).or_else(|| section.table.get(outer));
            let at = entry.map_or(&section.at, |entry| &entry.node.at);
            let relation = if same { "at the same place as" } else { "inside" };
            let wrong = Wrong::new(code::LAYERS_OVERLAP, format!("layer `{inner}` is {relation} layer `{outer}`"));
            out.error(
                at,
                wrong
                    .expected("a place of its own")
                    .hint(format!("for example `{}-{inner}`", outside.trim_end_matches('/'))),
            );
        }
    }
}

/// The place with one `/` after each part, so that one place is inside another if its text begins with the other's.
fn folder(place: &Location) -> String {
    let text = place.to_string();
    let (root, path) = match text.split_once("://") {
        Some((scheme, path)) => (format!("{scheme}://"), path),
        None => (if text.starts_with('/') { "/".to_owned() } else { String::new() }, text.as_str()),
    };
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(root, |path, part| path + part + "/")
}

fn key_columns(entry: &Entry, out: &mut Findings) -> Option<Vec<String>> {
    let Value::Array(items) = &entry.node.value else {
        let mut wrong = wrong_type("key", "a list of columns", &entry.node);
        if let Value::Text(column) = &entry.node.value {
            wrong = wrong.hint(format!("write `key = [\"{column}\"]`"));
        }
        out.error(&entry.node.at, wrong);
        return None;
    };
    if items.is_empty() {
        let wrong = Wrong::new(code::EMPTY, "`key` names no column").expected("the columns that tell records apart");
        out.error(&entry.node.at, wrong.hint("for example `key = [\"id\"]`"));
        return None;
    }
    let mut seen = BTreeSet::new();
    let columns: Vec<String> = items.iter().filter_map(|item| key_column(item, &mut seen, out)).collect();
    (columns.len() == items.len()).then_some(columns)
}

/// Names that no source has are fine: they only say that a missing column is no problem.
fn optional_columns(entry: &Entry, out: &mut Findings) -> Option<Vec<String>> {
    let Value::Array(items) = &entry.node.value else {
        let mut wrong = wrong_type("optional", "a list of columns", &entry.node);
        if let Value::Text(column) = &entry.node.value {
            wrong = wrong.hint(format!("write `optional = [\"{column}\"]`"));
        }
        out.error(&entry.node.at, wrong);
        return None;
    };
    let column = |item: &Node, out: &mut Findings| match &item.value {
        Value::Text(column) => Some(column.clone()),
        _ => {
            out.error(&item.at, wrong_type("optional", "a list of strings", item));
            None
        }
    };
    items.iter().map(|item| column(item, out)).collect()
}

fn key_column<'t>(item: &'t Node, seen: &mut BTreeSet<&'t str>, out: &mut Findings) -> Option<String> {
    let Value::Text(column) = &item.value else {
        out.error(&item.at, wrong_type("key", "a list of strings", item));
        return None;
    };
    if column.trim().is_empty() {
        out.error(&item.at, Wrong::new(code::EMPTY, "a column without a name"));
        return None;
    }
    if !seen.insert(column) {
        out.error(&item.at, Wrong::new(code::DUPLICATE_NAME, format!("column `{column}` stands twice in `key`")));
        return None;
    }
    Some(column.clone())
}

fn format_of(location: &Location) -> Result<SourceFormat, Wrong> {
    let path = match location {
        Location::Local(path) => path.as_str(),
        Location::Remote(url) => url.path(),
    };
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    if name.is_empty() {
        let wrong = Wrong::new(code::UNKNOWN_FORMAT, format!("`{path}` is a folder"));
        return Err(wrong.expected("a file").hint(format!("for example `uri = \"{location}orders.csv\"`")));
    }
    if PACKED.contains(&extension.as_str()) {
        let wrong = Wrong::new(code::UNKNOWN_FORMAT, format!("`{name}` is packed, and packed files are not read"));
        return Err(wrong
            .expected("a name ending in `.csv`, `.json`, `.jsonl` or `.parquet`")
            .hint("unpack the file first"));
    }
    let wanted = match extension.as_str() {
        "ndjson" => "jsonl",
        // The same except for its delimiter, which also follows from the name.
        "tsv" => "csv",
        other => other,
    };
    let known = FORMATS.iter().find(|(word, _)| *word == wanted).map(|(_, format)| *format);
    known.ok_or_else(|| {
        let wrong = Wrong::new(code::UNKNOWN_FORMAT, format!("`{name}` does not tell how the source is written"));
        let words = FORMATS.iter().map(|(word, _)| *word);
        wrong
            .expected("a name ending in `.csv`, `.tsv`, `.json`, `.jsonl` or `.parquet`")
            .hint(format!("add `format`: {}", one_of(words)))
    })
}

fn explain_cron(text: &str, error: ScheduleError) -> Wrong {
    let wrong = Wrong::new(code::BAD_CRON, error.to_string());
    match error {
        ScheduleError::FieldCount { got, expected } => {
            let seconds = text.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
            let hint = match got {
                6 => Some(format!("leave the seconds away: `{seconds}` (EventBridge's six fields stand in `cron(…)`)")),
                _ if text.starts_with("rate(") => Some("write a rate as steps: `*/15 * * * *`".to_owned()),
                _ => None,
            };
            wrong.expected(expected).maybe_hint(hint)
        }
        ScheduleError::Field { expected, .. } => wrong.expected(expected),
        ScheduleError::Nickname(name) => {
            let names = || NICKNAMES.iter().map(|(name, _)| *name);
            wrong.expected(one_of(names())).maybe_hint(did_you_mean(&name, names()))
        }
        ScheduleError::QuestionMarks => wrong.hint("write `?` for the day that does not matter: `cron(0 3 * * ? *)`"),
        ScheduleError::Never(_) => wrong.expected("a day that exists"),
    }
}

/// The meaning of one of a few words.
pub(super) fn word<T: Copy>(text: &str, key: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    let names = || words.iter().map(|(word, _)| *word);
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let wrong = Wrong::new(code::UNKNOWN_WORD, format!("`{key}` cannot be `{text}`"));
        wrong.expected(one_of(names())).maybe_hint(did_you_mean(text, names()))
    })
}
