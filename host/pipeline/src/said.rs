//! Where a file says what: the way back from a plan to lines, for a later step that finds that the plan is not usable.
//!
//! Does not judge a plan.

use super::authored::{Entry, Table, Value};
use super::problem::{Findings, Place, Problems, Source, Wrong, line_of};

/// Where a plan's values come from: the file, the chosen target, or a `--set`.
#[derive(Clone, Debug)]
pub struct Said {
    /// What was read, target and `--set` laid over it.
    tree: Table,
    sources: Vec<Source>,
}

/// Why a valid plan is not usable for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// What it is about: a path of keys such as `lake.silver` or `aggregate.NAME.plugin`. For a value that the file does not have, the
    /// place of the section that would hold it counts.
    pub about: String,
    /// One of [`code::CODES`](super::code::CODES).
    pub code: &'static str,
    /// What is wrong, what was found included.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// A line of a file, or an argument.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// The file's name as it was given, or `--set`.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Said {
    pub(super) fn new(tree: Table, sources: Vec<Source>) -> Self {
        Said { tree, sources }
    }

    /// The line in which `path` was said, or else what would hold it; `None` if neither was.
    #[must_use]
    pub fn line(&self, path: &str) -> Option<Line> {
        let at = self.place(path)?;
        let source = self.sources.get(at.source)?;
        Some(Line { file: source.name.clone(), line: line_of(&source.text, at.span.start) })
    }

    /// Whether `path` itself was said, and not only what would hold it.
    #[must_use]
    pub fn says(&self, path: &str) -> bool {
        let mut table = &self.tree;
        let mut keys = path.split('.').peekable();
        while let Some(entry) = keys.next().and_then(|key| table.get(key)) {
            match (&entry.node.value, keys.peek()) {
                (_, None) => return true,
                (Value::Table(inner), Some(_)) => table = inner,
                (_, Some(_)) => return false,
            }
        }
        false
    }

    /// The objections as problems of the file; `None` if there are none.
    #[must_use]
    pub fn problems(&self, objections: Vec<Objection>) -> Option<Problems> {
        self.placed(objections, Findings::error)
    }

    /// As [`Self::problems`], for objections that stop nothing.
    #[must_use]
    pub fn warnings(&self, objections: Vec<Objection>) -> Option<Problems> {
        self.placed(objections, Findings::warn)
    }

    fn placed(&self, objections: Vec<Objection>, add: fn(&mut Findings, &Place, Wrong)) -> Option<Problems> {
        let mut out = Findings::default();
        for Objection { about, code, message, expected, hint } in objections {
            let end = self.sources.first().map_or(0, |file| file.text.trim_end().len());
            let at = self.place(&about).unwrap_or(Place { source: 0, span: end..end });
            add(&mut out, &at, Wrong::new(code, message).maybe_expected(expected).maybe_hint(hint));
        }
        out.into_problems(self.sources.clone())
    }

    fn place(&self, path: &str) -> Option<Place> {
        let mut found = None;
        let mut table = &self.tree;
        let mut keys = path.split('.');
        while let Some(entry) = keys.next().and_then(|key| table.get(key)) {
            found = Some(place_of(entry));
            table = match &entry.node.value {
                Value::Table(inner) => inner,
                Value::Array(members) => {
                    let wanted = keys.next()?;
                    let named = members.iter().find_map(|member| match &member.value {
                        Value::Table(member) if name_of(member) == Some(wanted) => Some(member),
                        _ => None,
                    });
                    let Some(member) = named else { break };
                    found = member.get("name").map(place_of).or(found);
                    member
                }
                _ => break,
            };
        }
        found
    }
}

/// A value's own place; for a section the place of its name.
fn place_of(entry: &Entry) -> Place {
    match entry.node.value {
        Value::Table(_) | Value::Array(_) => entry.key_at.clone(),
        _ => entry.node.at.clone(),
    }
}

fn name_of(table: &Table) -> Option<&str> {
    match &table.get("name")?.node.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}
