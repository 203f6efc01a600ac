//! A plugin's description of itself, checked: from the contract's record to the seam's [`Descriptor`].
//!
//! Sizes come first: nothing is built from a description, compared with another or shown before it is known to be small.
//! Does not compare it with a neighbouring layer's: the engine does, it knows the neighbours.

use std::collections::HashSet;

use records::document::deeper_than;
use seams::foreign::{inert, words};
use seams::plugin::{ColumnType, Descriptor, Field, InputField, LoadError, ScalarType};

use crate::bindings::{described, wit};
use crate::fault::{bytes, refused};
use crate::world::World;

/// Bytes of a column's name: what Delta, Parquet and Athena all take.
const MAX_NAME: usize = 255;
/// Most bytes of a plugin's description: twice what the largest right description takes.
pub(crate) const MAX_DESCRIPTION: usize = 4 << 20;
/// Columns that a plugin reads, and columns that it makes.
const MAX_FIELDS: usize = 1_024;
/// Bytes of the plugin's own name.
const MAX_PLUGIN_NAME: usize = 63;
/// Bytes of the version.
const MAX_VERSION: usize = 64;
/// Bytes of a JSON pointer, and the steps of its path.
const MAX_POINTER: usize = 1 << 10;
const MAX_STEPS: usize = 64;
/// Bytes of the configuration's schema, and the levels of lists and objects in it.
const MAX_SCHEMA: usize = 256 << 10;
const MAX_SCHEMA_LEVELS: usize = 64;
/// Problems that an error names.
const MOST_TOLD: usize = 10;

/// Translates and checks a descriptor.
pub(crate) fn check(raw: described::Descriptor, world: World) -> Result<Descriptor, LoadError> {
    let descriptor = Descriptor {
        name: raw.name,
        version: raw.version,
        input: raw.input.into_iter().map(input_field).collect(),
        output: raw.output.into_iter().map(output_field).collect(),
        config_schema: raw.config_schema,
    };
    judge(descriptor, world)
}

/// Checks a descriptor from any source.
pub(crate) fn judge(descriptor: Descriptor, world: World) -> Result<Descriptor, LoadError> {
    let large = too_large(&descriptor);
    let problems = if large.is_empty() { problems(&descriptor, world) } else { large };
    if problems.is_empty() {
        return Ok(descriptor);
    }
    let told: Vec<String> = problems.iter().take(MOST_TOLD).map(|problem| words(problem)).collect();
    let mut message = format!("plugin describes itself wrongly: {}", told.join("; "));
    if problems.len() > MOST_TOLD {
        message.push_str(&format!("; and {} more problems", problems.len() - MOST_TOLD));
    }
    Err(refused("P023", message, "correct the field names, pointers or types in the plugin's source"))
}

/// The error of a description that is too large to be read at all.
pub(crate) fn too_long() -> LoadError {
    let message = format!("plugin describes itself wrongly: in more than {}", bytes(MAX_DESCRIPTION as u64));
    refused("P023", message, "a plugin has at most 1,024 columns a side: describe fewer, with shorter names")
}

/// What is larger than allowed. Looks only at sizes, and not inside what is too large.
fn too_large(descriptor: &Descriptor) -> Vec<String> {
    let mut found = Vec::new();
    let mut most = |what: &str, size: usize, most: usize, unit: &str| {
        if size > most {
            found.push(format!("{what} has {size} {unit}, at most {most} are taken"));
        }
    };
    most("its name", descriptor.name.len(), MAX_PLUGIN_NAME, "bytes");
    most("its version", descriptor.version.len(), MAX_VERSION, "bytes");
    most("its config schema", descriptor.config_schema.len(), MAX_SCHEMA, "bytes");
    most("its input", descriptor.input.len(), MAX_FIELDS, "columns");
    most("its output", descriptor.output.len(), MAX_FIELDS, "columns");
    let (input, output) = (descriptor.input.iter().take(MAX_FIELDS), descriptor.output.iter().take(MAX_FIELDS));
    for (at, field) in input.enumerate() {
        most(&format!("the name of input column {at}"), field.name.len(), MAX_NAME, "bytes");
        most(&format!("the pointer of input column {at}"), field.pointer.len(), MAX_POINTER, "bytes");
        let steps = field.pointer.bytes().take(MAX_POINTER).filter(|byte| *byte == b'/').count();
        most(&format!("the pointer of input column {at}"), steps, MAX_STEPS, "steps");
    }
    for (at, field) in output.enumerate() {
        most(&format!("the name of output column {at}"), field.name.len(), MAX_NAME, "bytes");
    }
    if descriptor.config_schema.len() <= MAX_SCHEMA
        && deeper_than(descriptor.config_schema.as_bytes(), MAX_SCHEMA_LEVELS).is_some()
    {
        found.push(format!("its config schema is more than {MAX_SCHEMA_LEVELS} levels deep"));
    }
    found
}

fn input_field(field: described::InputField) -> InputField {
    InputField { name: field.name, pointer: field.pointer, ty: column_type(field.type_), nullable: field.nullable }
}

fn output_field(field: described::Field) -> Field {
    Field { name: field.name, ty: column_type(field.type_), nullable: field.nullable }
}

fn column_type(ty: wit::ColumnType) -> ColumnType {
    match ty {
        wit::ColumnType::Scalar(scalar) => ColumnType::Scalar(scalar_type(scalar)),
        wit::ColumnType::ListOf(scalar) => ColumnType::List(scalar_type(scalar)),
    }
}

fn scalar_type(ty: wit::ScalarType) -> ScalarType {
    match ty {
        wit::ScalarType::Boolean => ScalarType::Boolean,
        wit::ScalarType::Int64 => ScalarType::Int64,
        wit::ScalarType::Float64 => ScalarType::Float64,
        wit::ScalarType::Utf8 => ScalarType::Utf8,
        wit::ScalarType::Date32 => ScalarType::Date32,
        wit::ScalarType::Timestamp => ScalarType::Timestamp,
        wit::ScalarType::Json => ScalarType::Json,
    }
}

/// All problems, at once.
fn problems(descriptor: &Descriptor, world: World) -> Vec<String> {
    let mut found = Vec::new();
    if !is_plugin_name(&descriptor.name) {
        let name = inert(&descriptor.name);
        found.push(format!("name is `{name}`, expected lower-case letters, digits, `-` and `_`, at most 63 of them"));
    }
    if let Err(error) = semver::Version::parse(&descriptor.version) {
        found.push(format!(
            "version is `{}`, expected a semantic version such as `1.0.0` ({error})",
            inert(&descriptor.version)
        ));
    }
    if !descriptor.config_schema.is_empty()
        && serde_json::from_str::<serde::de::IgnoredAny>(&descriptor.config_schema).is_err()
    {
        found.push("config schema is not JSON".to_owned());
    }
    match (world, descriptor.output.is_empty()) {
        (World::Enricher, false) => {
            found.push("an enricher has output columns, expected none: its output is a document".to_owned())
        }
        (World::Cleaner | World::Aggregator, true) => {
            found.push(format!("a plugin of world `{world}` has no output columns"))
        }
        _ => {}
    }
    // An enricher's input columns are the source's, which may be called anything.
    let reserved = world != World::Enricher;
    found.extend(name_problems("input", descriptor.input.iter().map(|field| field.name.as_str()), reserved));
    found.extend(name_problems("output", descriptor.output.iter().map(|field| field.name.as_str()), true));
    found.extend(descriptor.input.iter().filter_map(pointer_problem));
    found
}

fn is_plugin_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_PLUGIN_NAME && name.starts_with(plain) && name.chars().all(|c| plain(c) || c == '-' || c == '_')
}

/// Names that differ only in case are the same column to Delta and Athena.
fn name_problems<'a>(side: &str, names: impl Iterator<Item = &'a str>, reserved: bool) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for name in names {
        let shown = inert(name);
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            found.push(format!(
                "{side} column `{shown}` has no usable name, expected 1 to {MAX_NAME} bytes without control characters"
            ));
        } else if reserved && name.starts_with('_') {
            found.push(format!("{side} column `{shown}` starts with `_`, which is kept for the host's columns"));
        } else if !seen.insert(name.to_lowercase()) {
            found.push(format!("{side} column `{shown}` is there twice (case does not tell columns apart)"));
        }
    }
    found
}

fn pointer_problem(field: &InputField) -> Option<String> {
    let pointer = &field.pointer;
    let escapes_right = || {
        let mut rest = pointer.split('~');
        rest.next();
        rest.all(|after| after.starts_with(['0', '1']))
    };
    if pointer.is_empty() || (pointer.starts_with('/') && escapes_right()) {
        return None;
    }
    Some(format!(
        "input column `{}` has the pointer `{}`, expected a JSON pointer such as `/a/b`",
        inert(&field.name),
        inert(pointer)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, pointer: &str) -> InputField {
        InputField {
            name: name.into(),
            pointer: pointer.into(),
            ty: ColumnType::Scalar(ScalarType::Utf8),
            nullable: true,
        }
    }

    fn descriptor() -> Descriptor {
        Descriptor {
            name: "clean-things".into(),
            version: "1.2.3".into(),
            input: vec![field("a", "/a"), field("b", "/x~1y/0")],
            output: vec![Field { name: "a".into(), ty: ColumnType::List(ScalarType::Int64), nullable: false }],
            config_schema: "{}".into(),
        }
    }

    #[test]
    fn a_right_one_passes() {
        assert_eq!(problems(&descriptor(), World::Cleaner), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut wrong = descriptor();
        wrong.name = "Clean Things".into();
        wrong.version = "1.2".into();
        wrong.config_schema = "{".into();
        wrong.input = vec![field("a", "a"), field("A", "/a~2"), field("_key", "/k")];
        wrong.output.clear();
        let found = problems(&wrong, World::Cleaner).join("\n");
        assert_eq!(judge(wrong, World::Cleaner).unwrap_err().code, "P023");
        for part in [
            "`Clean Things`",
            "`1.2`",
            "not JSON",
            "no output",
            "`A` is there twice",
            "`_key` starts",
            "pointer `a`",
            "pointer `/a~2`",
        ] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }

    #[test]
    fn pointers_fields_and_names_without_end_are_refused_by_their_sizes() {
        let told = |change: &dyn Fn(&mut Descriptor)| {
            let mut wrong = descriptor();
            change(&mut wrong);
            let error = judge(wrong, World::Cleaner).unwrap_err();
            assert!(error.code == "P023" && error.message.len() < 64 << 10, "{} bytes", error.message.len());
            error.message
        };
        assert!(told(&|wrong| wrong.input = vec![field("a", &"/a".repeat(10_000))]).contains("has 20000 bytes"));
        assert!(told(&|wrong| wrong.input = vec![field("a", &"/".repeat(65))]).contains("has 65 steps, at most 64"));
        let many = told(&|wrong| wrong.input = (0..300_000).map(|n| field(&n.to_string(), "/a")).collect());
        assert!(many.contains("its input has 300000 columns, at most 1024"), "{many}");
        let long =
            told(&|wrong| wrong.output = vec![Field { name: "x".repeat(10 << 20), ..wrong.output[0].clone() }; 100]);
        assert!(long.contains("10485760 bytes") && long.ends_with("and 90 more problems"), "{long}");
        assert!(told(&|wrong| wrong.version = "1".repeat(65)).contains("its version has 65 bytes"));
        assert!(told(&|wrong| wrong.config_schema = "[".repeat(100_000)).contains("64 levels"));
        assert!(told(&|wrong| wrong.config_schema = " ".repeat(300 << 10)).contains("schema has 307200 bytes"));
        assert!(told(&|wrong| wrong.name = "a\u{1b}[31m".into()).contains("a\\u{1b}[31m"));
    }

    #[test]
    fn an_enricher_reads_any_column_and_makes_none() {
        let mut enricher = descriptor();
        enricher.input = vec![field("_id", "")];
        assert_eq!(problems(&enricher, World::Enricher).len(), 1);
        enricher.output.clear();
        assert_eq!(problems(&enricher, World::Enricher), Vec::<String>::new());
    }
}
