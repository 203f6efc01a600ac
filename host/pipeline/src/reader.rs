//! Reading a table key by key: right types, no unknown keys, nothing missing, each problem with its place.
//!
//! Does not stop at a problem: what cannot be read is `None` (or its default) and the finding is kept. Does not know what a
//! value means: those are `values` and `check`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::authored::{Entry, Node, Table, Value};
use super::code;
use super::overlay::one_of;
use super::plan::Percent;
use super::problem::{Findings, Place, Wrong, nearest};
use super::values;

/// Every section and the keys that it takes. A section whose keys are names of the author's own is not here.
const SECTIONS: &[(&str, &[&str])] = &[
    ("pipeline", &["name"]),
    ("schedule", &["cron", "timezone", "missed"]),
    (
        "source",
        &[
            "uri",
            "format",
            "records",
            "key",
            "order_by",
            "top_n",
            "batch_size",
            "suspend_above",
            "optional",
            "delimiter",
            "skip_lines",
            "timezone",
        ],
    ),
    ("queue", &["url", "visibility_timeout", "max_receives"]),
    ("endpoints.*", &["url", "query", "headers", "rate", "burst", "timeout", "attempts", "max_body"]),
    ("enrich", &["plugin", "sha256", "config", "limits", "concurrency", "suspend_above"]),
    ("clean", &["plugin", "sha256", "config", "limits", "concurrency", "suspend_above"]),
    ("aggregate", &["name", "plugin", "sha256", "config", "limits", "concurrency"]),
    ("lake", &["bronze", "silver", "gold", "buckets", "retention"]),
    ("quarantine", &["at_most"]),
    ("swap", &["watch", "rehearse", "canary", "shadow", "compare"]),
    ("signatures", &["trusted_keys"]),
    (
        "limits",
        &[
            "memory",
            "deadline",
            "fuel",
            "output",
            "rows",
            "document_rows",
            "document",
            "log",
            "stack",
            "component",
            "compile_time",
            "compile_memory",
            "isolation",
        ],
    ),
];

/// The sections of a file.
const TOP: &[&str] = &[
    "pipeline",
    "schedule",
    "source",
    "queue",
    "secrets",
    "endpoints",
    "enrich",
    "clean",
    "aggregate",
    "lake",
    "limits",
    "quarantine",
    "swap",
    "signatures",
    "target",
];

static NOTHING: Table = Table { entries: Vec::new() };

/// A table that is being read.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    /// Its name from the top of the file, such as `endpoints.geo`; empty for the file itself.
    path: String,
    /// Whether it is a member of a list of tables.
    listed: bool,
    /// Whether the author wrote it, as a table.
    declared: bool,
    /// Where a missing key is reported.
    pub(super) at: Place,
    pub(super) table: &'t Table,
}

impl<'t> Section<'t> {
    /// The whole file; `end` is where a missing section is reported.
    pub(super) fn top(table: &'t Table, end: Place, out: &mut Findings) -> Self {
        let section = Section { path: String::new(), listed: false, declared: true, at: end, table };
        section.refuse_unknown(TOP, out);
        section
    }

    /// The section `key` of this one, whose keys are those of `shape` in [`SECTIONS`]. Reads as empty if it is not there.
    pub(super) fn section(&self, key: &str, shape: &str, out: &mut Findings) -> Section<'t> {
        let section = self.names(key, out);
        section.refuse_unknown(keys_of(shape), out);
        section
    }

    /// The section `key` of this one, whose keys are names of the author's own.
    pub(super) fn names(&self, key: &str, out: &mut Findings) -> Section<'t> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let found = self.table.get(key).and_then(|entry| Section::of(entry, &path, out));
        found.unwrap_or(Section { path, listed: false, declared: false, at: self.at.clone(), table: &NOTHING })
    }

    /// The table that an entry holds, which is called `path` in messages.
    pub(super) fn of(entry: &'t Entry, path: &str, out: &mut Findings) -> Option<Section<'t>> {
        let Value::Table(table) = &entry.node.value else {
            out.error(&entry.node.at, wrong_type(&entry.key, "a table", &entry.node));
            return None;
        };
        Some(Section { path: path.to_owned(), listed: false, declared: true, at: entry.key_at.clone(), table })
    }

    /// The members of the list of sections `key`, each with the keys of `key` in [`SECTIONS`].
    pub(super) fn list(&self, key: &str, out: &mut Findings) -> Vec<Section<'t>> {
        let Some(entry) = self.table.get(key) else { return Vec::new() };
        let Value::Array(members) = &entry.node.value else {
            let wrong = wrong_type(key, "a list of tables", &entry.node);
            out.error(&entry.key_at, wrong.hint(format!("write `[[{key}]]` with two brackets on each side")));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for member in members {
            let Value::Table(table) = &member.value else {
                out.error(&member.at, wrong_type(key, "a list of tables", member));
                continue;
            };
            let section = Section { path: key.to_owned(), listed: true, declared: true, at: member.at.clone(), table };
            section.refuse_unknown(keys_of(key), out);
            sections.push(section);
        }
        sections
    }

    /// Reports unless `key` is there. A section that is missing as a whole is reported by its parent, and once is enough.
    pub(super) fn require(&self, key: &str, example: &str, out: &mut Findings) {
        if self.declared && self.table.get(key).is_none() {
            let wrong = Wrong::new(code::MISSING, format!("{} has no `{key}`", self.label()));
            out.error(&self.at, wrong.hint(format!("add for example `{example}`")));
        }
    }

    /// Reports unless the section `key` is there.
    pub(super) fn require_section(&self, key: &str, example: &str, out: &mut Findings) {
        if self.table.get(key).is_none() {
            let wrong = Wrong::new(code::MISSING, format!("the file has no section `[{key}]`"));
            out.error(&self.at, wrong.hint(format!("add for example\n{example}")));
        }
    }

    /// The keys must be among `known`.
    pub(super) fn refuse_unknown(&self, known: &[&str], out: &mut Findings) {
        for entry in self.table.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = match (&entry.node.value, self.path.as_str()) {
                (Value::Table(_), "") => format!("unknown section `[{}]`", entry.key),
                (_, "") => format!("unknown key `{}` at the top of the file", entry.key),
                _ => format!("unknown key `{}` in {}", entry.key, self.label()),
            };
            let wrong = Wrong::new(code::UNKNOWN_KEY, message);
            let mut sorted = known.to_vec();
            sorted.sort_unstable();
            out.error(&entry.key_at, wrong.expected(one_of(sorted)).maybe_hint(advice(&entry.key, known)));
        }
    }

    fn label(&self) -> String {
        if self.listed { format!("`[[{}]]`", self.path) } else { format!("`[{}]`", self.path) }
    }

    /// The text of `key` and its place.
    pub(super) fn text(&self, key: &str, out: &mut Findings) -> Option<(&'t str, &'t Place)> {
        let entry = self.table.get(key)?;
        let text = text_of(entry, out)?;
        // A URL with an `@` may hold a password, and one with a query a token: no message shows it.
        if text.contains("://") && text.contains(['@', '?']) {
            out.mask(&entry.node.at);
        }
        Some((text, &entry.node.at))
    }

    /// What `parse` makes of the text of `key`.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
        out: &mut Findings,
    ) -> Option<T> {
        let (text, at) = self.text(key, out)?;
        out.take(at, parse(text))
    }

    /// The duration of `key`.
    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
        out: &mut Findings,
    ) -> Duration {
        let Some(entry) = self.quantity(key, "60s", out) else { return default };
        let parsed = text_of(entry, out).map(values::duration);
        let in_range = |got| values::in_range(key, got, &range, values::duration_text);
        parsed.and_then(|parsed| out.take(&entry.node.at, parsed.and_then(in_range))).unwrap_or(default)
    }

    /// The size of `key` in bytes.
    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>, default: u64, out: &mut Findings) -> u64 {
        let Some(entry) = self.quantity(key, "64 MiB", out) else { return default };
        let parsed = text_of(entry, out).map(values::size);
        let in_range = |got| values::in_range(key, got, &range, values::size_text);
        parsed.and_then(|parsed| out.take(&entry.node.at, parsed.and_then(in_range))).unwrap_or(default)
    }

    /// The percentage of `key`.
    pub(super) fn percent(&self, key: &str, default: Percent, out: &mut Findings) -> Percent {
        let Some(entry) = self.quantity(key, &default.to_string(), out) else { return default };
        let parsed = text_of(entry, out).map(values::percent);
        parsed.and_then(|parsed| out.take(&entry.node.at, parsed)).unwrap_or(default)
    }

    /// Whether `key` is true.
    pub(super) fn flag(&self, key: &str, default: bool, out: &mut Findings) -> bool {
        match self.table.get(key).map(|entry| &entry.node) {
            None => default,
            Some(Node { value: Value::Boolean(flag), .. }) => *flag,
            Some(node) => {
                out.error(&node.at, wrong_type(key, "true or false", node));
                default
            }
        }
    }

    /// The whole number of `key`.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u32>, default: u32, out: &mut Findings) -> u32 {
        let Some(entry) = self.table.get(key) else { return default };
        let Value::Integer(number) = &entry.node.value else {
            out.error(&entry.node.at, wrong_type(key, "an integer", &entry.node));
            return default;
        };
        let wide = i128::from(*range.start())..=i128::from(*range.end());
        let show = |number: &i128| number.to_string();
        let number = match (*range.end(), *number) {
            (u32::MAX, small) if small < *wide.start() => Err(values::too_small(key, show(&small), show(wide.start()))),
            (_, number) => values::in_range(key, number, &wide, show),
        };
        let narrow = out.take(&entry.node.at, number).and_then(|number| u32::try_from(number).ok());
        narrow.unwrap_or(default)
    }

    /// The whole number of `key`, which may be a large one; `None` where it is not there.
    pub(super) fn count(&self, key: &str, range: RangeInclusive<u64>, out: &mut Findings) -> Option<u64> {
        let entry = self.table.get(key)?;
        let Value::Integer(number) = &entry.node.value else {
            out.error(&entry.node.at, wrong_type(key, "an integer", &entry.node));
            return None;
        };
        let wide = i128::from(*range.start())..=i128::from(*range.end());
        let number = out.take(&entry.node.at, values::in_range(key, *number, &wide, |number| number.to_string()));
        number.and_then(|number| u64::try_from(number).ok())
    }

    /// An entry that must not be a bare number, which has no unit.
    fn quantity(&self, key: &str, example: &str, out: &mut Findings) -> Option<&'t Entry> {
        let entry = self.table.get(key)?;
        if matches!(entry.node.value, Value::Integer(_) | Value::Float(_)) {
            let wrong = wrong_type(key, "a string with a unit", &entry.node);
            out.error(&entry.node.at, wrong.expected(format!("for example `\"{example}\"`")));
            return None;
        }
        Some(entry)
    }
}

/// The text of an entry, or a problem.
pub(super) fn text_of<'t>(entry: &'t Entry, out: &mut Findings) -> Option<&'t str> {
    match &entry.node.value {
        Value::Text(text) => Some(text),
        other => {
            let mut wrong = wrong_type(&entry.key, "a string", &entry.node);
            if matches!(other, Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)) {
                wrong = wrong.hint("put the value in double quotes");
            }
            out.error(&entry.node.at, wrong);
            None
        }
    }
}

/// A value of another type than `key` takes.
pub(super) fn wrong_type(key: &str, expected: &str, node: &Node) -> Wrong {
    Wrong::new(code::WRONG_TYPE, format!("`{key}` must be {expected}, found {}", node.value.kind())).expected(expected)
}

fn keys_of(shape: &str) -> &'static [&'static str] {
    SECTIONS.iter().find(|(name, _)| *name == shape).map_or(&[], |(_, keys)| keys)
}

/// What the author of an unknown key most likely wants.
fn advice(key: &str, known: &[&str]) -> Option<String> {
    let here = nearest(key, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    let elsewhere = || {
        let (section, _) = SECTIONS.iter().find(|(_, keys)| keys.contains(&key))?;
        Some(format!("`{key}` belongs in `[{}]`", section.replace('*', "NAME")))
    };
    let section = || TOP.contains(&key).then(|| format!("`[{key}]` is a section of its own, at the top of the file"));
    here.or_else(elsewhere).or_else(section)
}
