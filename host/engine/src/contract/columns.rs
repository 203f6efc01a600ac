//! Compares the columns of a source with those that its reader reads: the enrich plugin, or the clean plugin where there is none.
//!
//! Does not read a source. A column that is not there would be null in every record, and would overwrite good values. So what looks like a
//! slip is an error, and what may be meant is a warning. What the pipeline declares optional is neither.

use std::collections::BTreeSet;

use pipeline::plan::Source;
use seams::plugin::{Descriptor, InputField};
use serde::Serialize;

/// The plugin that reads the records of a source, and which of their columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// As in `clean (clean-orders 0.1.0)`.
    name: String,
    /// Each column once, and whether a record must have it.
    columns: Vec<(String, bool)>,
}

impl Reader {
    /// The enrich plugin, which reads columns by their names.
    #[must_use]
    pub fn enricher(plugin: &Descriptor) -> Self {
        let columns = plugin.input.iter().map(|field| (field.name.clone(), !field.nullable));
        Reader { name: format!("enrich ({} {})", plugin.name, plugin.version), columns: once_each(columns) }
    }

    /// The clean plugin of a pipeline without an enricher, which reads by JSON pointers: the first step of each is a column.
    #[must_use]
    pub fn cleaner(plugin: &Descriptor) -> Self {
        let columns = plugin.input.iter().filter_map(|field| Some((first_step(field)?, !field.nullable)));
        Reader { name: format!("clean ({} {})", plugin.name, plugin.version), columns: once_each(columns) }
    }

    /// The reader of a pipeline with these plugins.
    #[must_use]
    pub fn of(enrich: Option<&Descriptor>, clean: &Descriptor) -> Self {
        enrich.map_or_else(|| Reader::cleaner(clean), Reader::enricher)
    }
}

/// The column that a pointer leads through; none if it takes the whole record.
fn first_step(field: &InputField) -> Option<String> {
    let step = field.pointer.strip_prefix('/')?.split('/').next()?;
    Some(step.replace("~1", "/").replace("~0", "~"))
}

/// A column that is read twice must be there if one of its readers must have it.
fn once_each(columns: impl Iterator<Item = (String, bool)>) -> Vec<(String, bool)> {
    let mut once: Vec<(String, bool)> = Vec::new();
    for (name, must) in columns {
        match once.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known |= must,
            None => once.push((name, must)),
        }
    }
    once
}

/// How much a missing column says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It may be meant.
    Warning,
    /// Nothing is taken.
    Error,
}

/// Columns that are read and not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Whether the tick goes on.
    pub weight: Weight,
    /// The columns: one that looks like a slip, or all that may be missing on purpose.
    pub columns: Vec<String>,
    /// Which plugin reads them, and what columns there are.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nhint: {}", self.message, self.hint)
    }
}

/// The columns that `reader` reads and `found`, the source's columns, lacks. `earlier` are those that earlier ticks of this lake had.
#[must_use]
pub fn missing(source: &Source, found: &[String], reader: &Reader, earlier: &BTreeSet<String>) -> Vec<Missing> {
    let read: Vec<&str> = reader.columns.iter().map(|(name, _)| name.as_str()).collect();
    // A column that is read under its own name is no misspelling of another.
    let free: Vec<&str> = found.iter().map(String::as_str).filter(|name| !read.contains(name)).collect();
    let (mut all, mut meant) = (Vec::new(), Vec::new());
    for (name, must) in &reader.columns {
        if found.contains(name) || source.optional.contains(name) {
            continue;
        }
        match slip(source, (name, *must), reader, (found, &free), earlier) {
            Some(error) => all.push(error),
            None => meant.push(name.clone()),
        }
    }
    if !meant.is_empty() {
        let which = if meant.len() == 1 { "column" } else { "columns" };
        let (names, there) = (listed(&meant), listed(found));
        all.push(Missing {
            weight: Weight::Warning,
            message: format!(
                "{} reads {which} {names}, which source `{}` does not have: its columns are {there}",
                reader.name, source.location
            ),
            hint: format!(
                "null in every record; if that is meant, add to `[source]`: {}",
                optional_line(source, &meant)
            ),
            columns: meant,
        });
    }
    all
}

/// A column that is probably missing by mistake.
fn slip(
    source: &Source,
    (name, must): (&String, bool),
    reader: &Reader,
    (found, free): (&[String], &[&str]),
    earlier: &BTreeSet<String>,
) -> Option<Missing> {
    let optional = if source.key.contains(name) {
        "the key needs it".to_owned()
    } else {
        format!("if it may be missing, add to `[source]`: {}", optional_line(source, std::slice::from_ref(name)))
    };
    let (what, hint) = if let Some(near) = similar(name, free.iter().copied()) {
        let near = shown(near);
        (format!("it has {near}"), format!("did you mean {near}? rename it in the source or in the plugin; {optional}"))
    } else if earlier.contains(name) {
        let new: Vec<String> = found.iter().filter(|column| !earlier.contains(*column)).cloned().collect();
        let instead = if new.is_empty() { String::new() } else { format!(", new since then is {}", listed(&new)) };
        let what = format!("earlier ticks had it, now there is {}{instead}", listed(found));
        (what, format!("bring it back, or rename it in the plugin; {optional}"))
    } else if must {
        let hint = "every record would be refused: add it to the source, or read it as optional in the plugin";
        (format!("its columns are {}", listed(found)), format!("{hint}; {optional}"))
    } else {
        return None;
    };
    let location = &source.location;
    let message = format!("{} reads column `{name}`, which source `{location}` does not have: {what}", reader.name);
    Some(Missing { weight: Weight::Error, columns: vec![name.clone()], message, hint })
}

/// The whole line, since there may be one already.
fn optional_line(source: &Source, more: &[String]) -> String {
    let names = source.optional.iter().chain(more).map(|name| format!("{name:?}"));
    format!("optional = [{}]", names.collect::<Vec<_>>().join(", "))
}

/// The most columns of a source that a message lists: a wide one has thousands.
const MOST_TOLD: usize = 20;

/// Columns in backticks, with characters that cannot be seen spelled out.
#[must_use]
pub fn listed(columns: &[String]) -> String {
    let told = columns.iter().take(MOST_TOLD).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    match columns.len().saturating_sub(MOST_TOLD) {
        0 if columns.is_empty() => "none".to_owned(),
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// A name in backticks, with a note about what cannot be seen in it.
#[must_use]
pub fn shown(name: &str) -> String {
    let unseen = |c: char| {
        (c.is_whitespace() && c != ' ') || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}')
    };
    let note = if name.is_empty() {
        " (no name)"
    } else if name.chars().any(unseen) {
        return format!("`{}` (with a character that cannot be seen)", escaped(name, unseen));
    } else if name.starts_with(' ') {
        " (with a blank in front)"
    } else if name.ends_with(' ') {
        " (with a blank behind)"
    } else {
        ""
    };
    format!("`{name}`{note}")
}

fn escaped(name: &str, which: impl Fn(char) -> bool) -> String {
    name.chars().map(|c| if which(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Letters of a name that is compared letter by letter, and how many others it is compared with: plugins and sources choose both.
const MOST_COMPARED: usize = 64;
const MOST_CANDIDATES: usize = 256;

/// The column that the author of `name` most likely meant: one that differs in case, blanks or signs between words only, or else in few
/// letters.
#[must_use]
pub fn similar<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let wanted = plain(name);
    if wanted.is_empty() {
        return None;
    }
    if let Some(same) = candidates.clone().find(|candidate| plain(candidate) == wanted) {
        return Some(same);
    }
    // Short names are near to each other by chance.
    let allowed = (wanted.chars().count() / 4).min(2);
    if wanted.chars().count() > MOST_COMPARED {
        return None;
    }
    let like = |candidate: &&str| candidate.len().abs_diff(name.len()) <= MOST_COMPARED;
    candidates
        .filter(like)
        .take(MOST_CANDIDATES)
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters and digits in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seams::plugin::{ColumnType, ScalarType};

    fn field(pointer: &str, nullable: bool) -> InputField {
        let name = pointer.trim_start_matches('/').replace('/', "_");
        InputField { name, pointer: pointer.into(), ty: ColumnType::Scalar(ScalarType::Utf8), nullable }
    }

    fn reader(fields: &[(&str, bool)]) -> Reader {
        let input = fields.iter().map(|(pointer, nullable)| field(pointer, *nullable)).collect();
        let (name, version, config_schema) = ("tidy".into(), "1.0.0".into(), "{}".into());
        Reader::cleaner(&Descriptor { name, version, input, output: Vec::new(), config_schema })
    }

    fn source(optional: &[&str]) -> Source {
        let text = "[pipeline]\nname = \"x\"\n[source]\nuri = \"data.csv\"\nkey = [\"id\"]\n[clean]\nplugin = \"c\"";
        let mut source = pipeline::check("pipeline.toml", text, &Default::default()).unwrap().source;
        source.optional = optional.iter().map(|name| (*name).to_owned()).collect();
        source
    }

    fn look(optional: &[&str], found: &[&str], earlier: &[&str]) -> Vec<(String, Weight, String)> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let reader = reader(&[("/id", false), ("/a", true), ("/unit price/net", true)]);
        let earlier = owned(earlier).into_iter().collect();
        let missing = missing(&source(optional), &owned(found), &reader, &earlier);
        missing.into_iter().map(|one| (one.columns.join("+"), one.weight, one.to_string())).collect()
    }

    #[test]
    fn a_source_with_every_column_misses_nothing() {
        assert_eq!(look(&[], &["id", "a", "unit price", "more"], &[]), []);
    }

    #[test]
    fn a_column_that_differs_in_case_blanks_or_a_letter_is_an_error_that_names_it() {
        for near in [" a", "A", "a ", "\u{a0}a", "\u{feff}a", "a_"] {
            let found = look(&[], &["id", near, "unit price"], &[]);
            assert!(matches!(&found[..], [(column, Weight::Error, _)] if column == "a"), "{near:?}: {found:?}");
        }
        for near in ["unit_price", "Unit Price", "unitPrice", "unit prise"] {
            let found = look(&[], &["id", "a", near], &[]);
            let (column, weight, text) = &found[0];
            assert_eq!((column.as_str(), *weight), ("unit price", Weight::Error), "{near}");
            assert!(text.contains(&format!("did you mean `{near}`?")), "{text}");
            assert!(text.contains("optional = [\"unit price\"]"), "{text}");
        }
    }

    #[test]
    fn a_column_that_the_plugin_requires_or_that_earlier_ticks_had_is_an_error() {
        let found = look(&[], &["a", "unit price"], &[]);
        assert!(matches!(&found[..], [(column, Weight::Error, _)] if column == "id"), "{found:?}");
        let found = look(&[], &["id", "b", "unit price"], &["id", "a", "unit price"]);
        let (column, weight, text) = &found[0];
        assert_eq!((column.as_str(), *weight), ("a", Weight::Error));
        assert!(text.contains("earlier ticks had it") && text.contains("new since then is `b`"), "{text}");
    }

    #[test]
    fn a_column_that_was_never_there_is_a_warning_with_the_line_to_add() {
        let found = look(&["z"], &["id", "x", "unit price"], &["id", "x"]);
        let (column, weight, text) = &found[0];
        assert_eq!((column.as_str(), *weight), ("a", Weight::Warning));
        assert!(text.ends_with("add to `[source]`: optional = [\"z\", \"a\"]"), "{text}");
    }

    #[test]
    fn columns_that_may_be_meant_are_one_warning() {
        let found = look(&[], &["id", "x"], &[]);
        let (columns, weight, text) = &found[0];
        assert_eq!((columns.as_str(), *weight, found.len()), ("a+unit price", Weight::Warning, 1));
        assert!(text.ends_with("optional = [\"a\", \"unit price\"]"), "{text}");
    }

    #[test]
    fn what_is_declared_optional_is_neither() {
        assert_eq!(look(&["a", "unit price"], &["id", "A"], &["a"]), []);
    }

    #[test]
    fn short_names_are_not_near_each_other() {
        assert_eq!(similar("a", ["b", "ab", "id"].into_iter()), None);
        assert_eq!(similar("lat", ["lon"].into_iter()), None);
        assert_eq!(similar("price", ["prise", "prince"].into_iter()), Some("prise"));
    }
}
