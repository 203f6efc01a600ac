//! A pipeline file as its author wrote it: a tree of values, each with its place in the text.
//!
//! Does not know which keys there are or what they mean. Unlike a serde mirror it survives any value of any type, so one wrong
//! value hides no other problem.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code;
use super::problem::{Findings, Place, Wrong};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// Wider than TOML promises, so that a number too large is out of range and not unreadable.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// In the form of RFC 3339, or the part of it that was written.
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The type with its article, as messages name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date-time",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys and values in the order of the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Place,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }
}

/// Reads a whole document. `None` if it cannot be made sense of; a key that stands twice is reported and the rest is still read.
pub(super) fn parse(text: &str, source: usize, out: &mut Findings) -> Option<Table> {
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(text.len(), |span| span.start));
    let mut readable = true;
    let mut last_line = None;
    for error in errors {
        let span = visible(text, error.span().unwrap_or(text.len()..text.len()));
        let line = text.get(..span.start).unwrap_or_default().matches('\n').count();
        let at = Place { source, span };
        if error.message() == "duplicate key" {
            let key = text.get(at.span.clone()).unwrap_or_default();
            let wrong = Wrong::new(code::DUPLICATE_KEY, format!("`{key}` stands twice in one table"));
            out.error(&at, wrong.hint("delete one of the two"));
            continue;
        }
        readable = false;
        // Further errors on the same line mostly follow from the first.
        if last_line.replace(line) != Some(line) {
            out.error(&at, syntax(error.message()));
        }
    }
    if !readable {
        mask_secrets(text, source, out);
    }
    readable.then(|| from_table(table.get_ref(), source))
}

/// Hides the values in `[secrets]` of a text that has no tree: a secret without its quotes is a syntax error, and would be shown.
fn mask_secrets(text: &str, source: usize, out: &mut Findings) {
    let mut start = 0;
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            inside = trimmed.contains("secrets");
        }
        if let Some((key, value)) = line.split_once('=')
            && (inside || key.contains("secrets"))
            && !["env:", "file:", "aws-secretsmanager:"]
                .iter()
                .any(|kind| value.trim_start().get(1..).is_some_and(|rest| rest.starts_with(kind)))
        {
            let from = start + key.len() + 1;
            out.mask(&Place { source, span: from..from + value.trim_end().len() });
        }
        start += line.len();
    }
}

/// A parser's message in the form of ours.
fn syntax(message: &str) -> Wrong {
    let (what, expected) = match message.split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (message, None),
    };
    let wrong = Wrong::new(code::SYNTAX, format!("not valid TOML: {what}"));
    match (what, expected) {
        ("string values must be quoted", _) => wrong.hint("put the value in double quotes"),
        ("invalid basic string", Some("`\"`")) => wrong.expected("`\"`").hint("the string has no end"),
        (_, Some(expected)) => wrong.expected(expected),
        (_, None) => wrong,
    }
}

/// Reads one value, as it may stand after a `=`.
pub(super) fn parse_value(text: &str, source: usize, offset: usize) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut node = from_value(&value, source);
    shift(&mut node, offset);
    Some(node)
}

/// A parser points at a line break with the break itself; the caret belongs after the last character before it.
fn visible(text: &str, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let trimmed = text.get(span.clone()).unwrap_or_default().trim_end_matches(['\r', '\n']).len();
    span.start..span.start + trimmed
}

fn from_table(table: &DeTable<'_>, source: usize) -> Table {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().to_string(),
        key_at: Place { source, span: key.span() },
        node: from_value(value, source),
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.key_at.span.start);
    Table { entries }
}

fn from_value(value: &Spanned<DeValue<'_>>, source: usize) -> Node {
    let at = Place { source, span: value.span() };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| from_value(item, source)).collect()),
        DeValue::Table(table) => Value::Table(from_table(table, source)),
    };
    Node { at, value }
}

fn shift(node: &mut Node, offset: usize) {
    let moved = |at: &mut Place| at.span = at.span.start + offset..at.span.end + offset;
    moved(&mut node.at);
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, offset)),
        Value::Table(table) => {
            for entry in &mut table.entries {
                moved(&mut entry.key_at);
                shift(&mut entry.node, offset);
            }
        }
        _ => {}
    }
}
