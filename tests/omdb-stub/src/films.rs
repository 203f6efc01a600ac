//! Answers for the films: read from the CSV, found by title and year or by id, overridden and removed on request.
//!
//! Does not know what an answer looks like, and repairs nothing: the file's odd titles and dates are part of the test.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Below all made-up ids and above most real ones.
const FIRST_ID: usize = 9_000_000;

/// One row of the file, by column name, plus what a test has put on top.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Film {
    /// Counted from 1 in file order; the film's made-up id comes from it.
    pub(crate) row: usize,
    columns: HashMap<String, String>,
    /// Fields of the answer that a test dictates, in OMDb's names.
    pub(crate) fields: Map<String, Value>,
}

impl Film {
    /// The column's text, if it has any.
    pub(crate) fn get(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The four digits at the end of the release date.
    pub(crate) fn year(&self) -> Option<&str> {
        self.get("release_date")?.rsplit(' ').next()
    }

    /// Stable as long as the file is: seven digits after `tt`, as IMDb has it.
    pub(crate) fn imdb_id(&self) -> String {
        format!("tt{:07}", FIRST_ID + self.row)
    }

    fn votes(&self) -> u64 {
        self.get("imdb_votes").and_then(|votes| votes.parse().ok()).unwrap_or(0)
    }
}

/// All films that the stand-in knows at the moment.
pub(crate) struct Films {
    original: Vec<Film>,
    current: Vec<Option<Film>>,
    columns: Vec<String>,
    by_title: HashMap<String, Vec<usize>>,
}

impl Films {
    /// Reads the file; its header names the columns.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        let mut reader = csv::Reader::from_reader(file);
        let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        for needed in ["title", "release_date"] {
            if !columns.iter().any(|column| column == needed) {
                bail!("`{}` has no column `{needed}`", path.display());
            }
        }
        let mut original = Vec::new();
        for (index, record) in reader.records().enumerate() {
            let record = record.with_context(|| format!("in `{}`", path.display()))?;
            let cells = record.iter().map(str::to_owned);
            original.push(Film {
                row: index + 1,
                columns: columns.iter().cloned().zip(cells).collect(),
                fields: Map::new(),
            });
        }
        let mut by_title: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, film) in original.iter().enumerate() {
            if let Some(title) = film.get("title") {
                by_title.entry(folded(title)).or_default().push(index);
            }
        }
        Ok(Self { current: original.iter().cloned().map(Some).collect(), original, columns, by_title })
    }

    /// How many films there are now.
    pub(crate) fn len(&self) -> usize {
        self.current.iter().flatten().count()
    }

    /// The film of that title, in that year if one is given, else the best known: most votes, then first in the file.
    pub(crate) fn by_title(&self, title: &str, year: Option<&str>) -> Option<&Film> {
        self.places(title, year)
            .into_iter()
            .filter_map(|index| self.current.get(index)?.as_ref())
            .max_by_key(|film| (film.votes(), std::cmp::Reverse(film.row)))
    }

    /// The film with that made-up id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Film> {
        let number: usize = id.strip_prefix("tt")?.parse().ok()?;
        let index = number.checked_sub(FIRST_ID)?.checked_sub(1)?;
        self.current.get(index)?.as_ref()
    }

    /// Sets columns (by the file's names) and fields (by OMDb's, which start with a capital or are `imdb…`). Says what is wrong.
    pub(crate) fn set(&mut self, title: &str, year: &str, changes: &Map<String, Value>) -> Result<(), String> {
        let film = self.find_mut(title, year)?;
        let mut changed = film.clone().unwrap_or_default();
        for (name, value) in changes {
            if self.columns.contains(name) {
                changed.columns.insert(name.clone(), text_of(value));
            } else if is_answer_field(name) {
                changed.fields.insert(name.clone(), value.clone());
            } else {
                return Err(format!(
                    "`{name}` is neither a column ({}) nor a field of an answer",
                    self.columns.join(", ")
                ));
            }
        }
        *self.find_mut(title, year)? = Some(changed);
        Ok(())
    }

    /// Takes a film away until `restore`.
    pub(crate) fn remove(&mut self, title: &str, year: &str) -> Result<(), String> {
        *self.find_mut(title, year)? = None;
        Ok(())
    }

    /// All films as they are in the file.
    pub(crate) fn restore(&mut self) {
        self.current = self.original.iter().cloned().map(Some).collect();
    }

    fn find_mut(&mut self, title: &str, year: &str) -> Result<&mut Option<Film>, String> {
        let unknown = || format!("no film `{title}` of the year `{year}`");
        let place = self
            .places(title, Some(year))
            .into_iter()
            .find(|&index| self.current.get(index).is_some_and(Option::is_some))
            .ok_or_else(unknown)?;
        self.current.get_mut(place).ok_or_else(unknown)
    }

    /// Positions by what the file says, so that an override cannot make a film unfindable.
    fn places(&self, title: &str, year: Option<&str>) -> Vec<usize> {
        let all = self.by_title.get(&folded(title));
        all.into_iter()
            .flatten()
            .copied()
            .filter(|&index| year.is_none() || self.original.get(index).and_then(Film::year) == year)
            .collect()
    }
}

fn folded(title: &str) -> String {
    title.trim().to_lowercase()
}

fn is_answer_field(name: &str) -> bool {
    name.starts_with("imdb") && !name.contains('_') || name.starts_with(|first: char| first.is_ascii_uppercase())
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
