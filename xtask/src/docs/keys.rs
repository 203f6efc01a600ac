//! Answers for the page of all keys of `pipeline.toml`: names, types and bounds from the program, defaults from the plans of
//! `tests/golden`, meanings from `docs/keys.json`. A key without a meaning, and a meaning without a key, fail the page.
//!
//! Does not find the keys: `probe` does.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::probe::{self, Key};
use super::said::{cell, text};
use crate::shell;

/// What each section is for, what each key means, and the defaults that no plan shows.
const MEANINGS: &str = "docs/keys.json";
/// The plan of a minimal file.
const LEAST: &str = "tests/golden/good-minimal.plan";
/// The plan of a file that has an endpoint with all defaults.
const FULL: &str = "tests/golden/good-full.plan";

pub(super) fn page(program: &Path) -> Result<String> {
    let meanings = Meanings { all: read(MEANINGS)?, least: read(LEAST)?, full: read(FULL)? };
    let sections = probe::sections(program)?;
    let mut page = "# Keys of `pipeline.toml`\n\nEvery section and key. [The pipeline file](pipeline.md) explains how they work \
                    together. Durations are text such as `\"90s\"`, `\"2m 30s\"` or `\"7d\"`. Sizes are text such as `\"64 MiB\"`.\n"
        .to_owned();
    for (section, keys) in &sections {
        let title = match section.as_str() {
            "endpoints" => "[endpoints.NAME]".to_owned(),
            "aggregate" => "[[aggregate]]".to_owned(),
            other => format!("[{other}]"),
        };
        write!(page, "\n## `{title}`\n\n{}\n\n", meanings.of(section, "")?)?;
        page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in keys {
            let default = if key.required { "required".to_owned() } else { meanings.default(section, key) };
            let meaning = meanings.of(section, &key.name)?;
            writeln!(page, "| `{}` | {} | {default} | {} |", key.name, cell(&value(key)), cell(meaning))?;
        }
    }
    for (section, title) in [("secrets", "[secrets]"), ("target", "[target.NAME]")] {
        write!(page, "\n## `{title}`\n\n{}\n", meanings.of(section, "")?)?;
    }
    meanings.refuse_others(&sections)?;
    Ok(page)
}

/// The values that a key accepts.
fn value(key: &Key) -> String {
    match (&key.within, key.kind.as_str()) {
        (Some(within), "a string") => within.clone(),
        (Some(within), "an integer") => format!("an integer, {}", words(within, grouped)),
        (Some(within), kind) => format!("{kind}, {within}"),
        (None, kind) => kind.to_owned(),
    }
}

/// The words of a text, with `show` for each that is a number.
fn words(text: &str, show: impl Fn(u64) -> String) -> String {
    text.split(' ').map(|word| word.parse().map_or(word.to_owned(), &show)).collect::<Vec<_>>().join(" ")
}

struct Meanings {
    all: Value,
    least: Value,
    full: Value,
}

impl Meanings {
    /// The meaning of a key, or of the section itself.
    fn of(&self, section: &str, key: &str) -> Result<&str> {
        let found = self.all.get(section).and_then(|section| section.get(key));
        let meaning = found.and_then(|one| one.as_str().or_else(|| text(one, "meaning").ok()));
        meaning.with_context(|| format!("`{MEANINGS}` does not say what `{key}` of `{section}` means"))
    }

    fn default(&self, section: &str, key: &Key) -> String {
        let written =
            self.all.get(section).and_then(|section| section.get(&key.name)).and_then(|one| one.get("default"));
        if let Some(written) = written.and_then(Value::as_str) {
            return written.to_owned();
        }
        let (plan, place) = match section {
            "endpoints" => (&self.full, "/endpoints/fx".to_owned()),
            "limits" => (&self.least, "/clean/limits".to_owned()),
            "enrich" => (&self.least, "/clean".to_owned()),
            other => (&self.least, format!("/{other}")),
        };
        shown(plan.pointer(&format!("{place}/{}", key.name)), &key.kind)
    }

    /// Fails for a meaning of something that does not exist.
    fn refuse_others(&self, sections: &[(String, Vec<Key>)]) -> Result<()> {
        for (section, keys) in self.all.as_object().into_iter().flatten() {
            let known = sections.iter().find(|(name, _)| name == section).map(|(_, keys)| keys.as_slice());
            if known.is_none() && !["secrets", "target"].contains(&section.as_str()) {
                bail!("`{MEANINGS}` has the section `{section}`, which no pipeline file has");
            }
            for name in keys.as_object().into_iter().flatten().map(|(name, _)| name).filter(|name| !name.is_empty()) {
                if !known.unwrap_or_default().iter().any(|key| key.name == *name) {
                    bail!("`{MEANINGS}` has the key `{name}` of `{section}`, which no pipeline file has");
                }
            }
        }
        Ok(())
    }
}

/// A default as an author would write it; a plan has durations in milliseconds and sizes in bytes.
fn shown(value: Option<&Value>, kind: &str) -> String {
    let number = value.and_then(Value::as_u64);
    match (value, number) {
        (_, Some(number)) if kind == "a duration" => {
            unit(number, &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)])
        }
        (_, Some(number)) if kind == "a size" => {
            unit(number, &[(" GiB", 1 << 30), (" MiB", 1 << 20), (" KiB", 1 << 10), (" B", 1)])
        }
        (_, Some(number)) => grouped(number),
        (Some(Value::Bool(flag)), _) => flag.to_string(),
        (Some(Value::String(text)), _) => format!("`\"{text}\"`"),
        _ => "none".to_owned(),
    }
}

fn unit(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, size)| number >= *size && number.is_multiple_of(*size));
    fits.map_or_else(|| number.to_string(), |(name, size)| format!("{}{name}", number / size))
}

/// With a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn read(path: &str) -> Result<Value> {
    let text =
        fs::read_to_string(shell::workspace_root().join(path)).with_context(|| format!("cannot read `{path}`"))?;
    serde_json::from_str(&text).with_context(|| format!("`{path}` is not JSON"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_have_the_unit_of_their_type() {
        assert_eq!(shown(Some(&json!(604_800_000)), "a duration"), "7d");
        assert_eq!(shown(Some(&json!(65_536)), "a size"), "64 KiB");
        assert_eq!(shown(Some(&json!(1_000_000)), "an integer"), "1,000,000");
        assert_eq!(shown(Some(&json!("20%")), "a percentage"), "`\"20%\"`");
        assert_eq!(shown(Some(&Value::Null), "a string"), "none");
    }

    #[test]
    fn a_key_without_a_meaning_and_a_meaning_without_a_key_fail() {
        let all = json!({ "queue": { "": "The queue.", "url": "Where it is." } });
        let meanings = Meanings { all, least: json!({}), full: json!({}) };
        let key = |name: &str| Key { name: name.to_owned(), ..Key::default() };
        assert!(meanings.of("queue", "depth").is_err());
        assert!(meanings.refuse_others(&[("queue".to_owned(), vec![key("url")])]).is_ok());
        assert!(meanings.refuse_others(&[("queue".to_owned(), vec![key("depth")])]).is_err());
        assert!(meanings.refuse_others(&[]).is_err());
    }
}
