//! Answers for what `sluicebox check` says of files that are wrong on purpose: which sections and keys there are, and what each takes.
//!
//! Does not know any key: the program names them when it refuses an unknown one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use super::said::{plain, text};

/// A key that no section has.
const NO_KEY: &str = "no_such_key";

/// A section as a file opens it, such as `[[aggregate]]`.
fn header(section: &str) -> String {
    match section {
        "aggregate" => "[[aggregate]]".to_owned(),
        other => format!("[{other}]"),
    }
}

/// A key, and the values that it accepts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    /// The type, such as `an integer`.
    pub(super) kind: String,
    /// The bounds or the words that it accepts, if it has some.
    pub(super) within: Option<String>,
    pub(super) required: bool,
}

/// Every section with its keys, in the order of the program's own list.
pub(super) fn sections(program: &Path) -> Result<Vec<(String, Vec<Key>)>> {
    let folder = tempfile::tempdir()?;
    let probe = Probe { program, file: folder.path().join("pipeline.toml") };
    let mut sections = Vec::new();
    for name in probe.refused(None)? {
        // Keys of these are names of the author's own.
        let names = match name.as_str() {
            "secrets" | "target" => continue,
            "endpoints" => format!("endpoints.{NO_KEY}"),
            other => other.to_owned(),
        };
        let keys = probe.keys(&names)?;
        sections.push((name, keys));
    }
    Ok(sections)
}

struct Probe<'p> {
    program: &'p Path,
    file: std::path::PathBuf,
}

impl Probe<'_> {
    /// The keys of a section, each with the problems that `check` reports for several wrong values.
    fn keys(&self, section: &str) -> Result<Vec<Key>> {
        let names = self.refused(Some(section))?;
        let missing = self.problems(&format!("{}\n", header(section)))?;
        let missing: Vec<String> = missing.iter().filter_map(|(_, problem)| missing_key(problem)).collect();
        let wrong_types = self.values(section, &names, |_| "1.5".to_owned())?;
        let kinds: Vec<String> = names.iter().map(|name| kind(wrong_types.get(name))).collect();
        let kind_of: BTreeMap<&str, &str> =
            names.iter().map(String::as_str).zip(kinds.iter().map(String::as_str)).collect();
        let refused = self.values(section, &names, |name| far_off(kind_of.get(name).copied().unwrap_or_default()))?;
        let key = |(name, kind): (&String, &String)| Key {
            name: name.clone(),
            kind: kind.clone(),
            within: refused.get(name).and_then(within),
            required: missing.contains(name),
        };
        Ok(names.iter().zip(&kinds).map(key).collect())
    }

    /// The keys that are expected in the place of one that does not exist.
    fn refused(&self, section: Option<&str>) -> Result<Vec<String>> {
        let header = section.map(header).unwrap_or_default();
        let problems = self.problems(&format!("{header}\n{NO_KEY} = 1\n"))?;
        let found =
            problems.iter().find(|(line, problem)| *line == 2 && text(problem, "code").is_ok_and(|it| it == "C003"));
        let (_, problem) = found.with_context(|| format!("`{header}` takes any key"))?;
        Ok(quoted(text(problem, "expected")?))
    }

    /// The first problem of each key when its value is what `value` says.
    fn values(
        &self,
        section: &str,
        names: &[String],
        value: impl Fn(&str) -> String,
    ) -> Result<BTreeMap<String, Value>> {
        let lines: Vec<String> = names.iter().map(|name| format!("{name} = {}", value(name))).collect();
        let problems = self.problems(&format!("{}\n{}\n", header(section), lines.join("\n")))?;
        let mut first = BTreeMap::new();
        for (line, problem) in problems {
            if let Some(name) = line.checked_sub(2).and_then(|index| names.get(index)) {
                first.entry(name.clone()).or_insert(problem);
            }
        }
        Ok(first)
    }

    /// The problems that `check` reports for a file, each with its line.
    fn problems(&self, file: &str) -> Result<Vec<(usize, Value)>> {
        fs::write(&self.file, file)?;
        let ran = plain(self.program).arg("check").arg(&self.file).arg("--json").stdin(Stdio::null()).output()?;
        let said: Value = serde_json::from_slice(&ran.stdout).context("`sluicebox check --json` printed no JSON")?;
        let problems = said.pointer("/error/problems/0/problems").and_then(Value::as_array);
        let problems = problems.with_context(|| format!("`sluicebox check` found nothing wrong with\n{file}"))?;
        let line =
            |problem: &Value| problem.get("line").and_then(Value::as_u64).and_then(|line| usize::try_from(line).ok());
        Ok(problems.iter().filter_map(|problem| Some((line(problem)?, problem.clone()))).collect())
    }
}

/// The type that a problem with `1.5` tells.
fn kind(problem: Option<&Value>) -> String {
    let said = problem.map_or("", |problem| text(problem, "message").unwrap_or_default());
    let expected = problem.map_or("", |problem| text(problem, "expected").unwrap_or_default());
    let unit = quoted(expected).first().map(|sample| sample.trim_matches('"').to_owned()).unwrap_or_default();
    match said {
        _ if said.contains("a string with a unit") && unit.ends_with('%') => "a percentage",
        _ if said.contains("a string with a unit") && unit.ends_with('B') => "a size",
        _ if said.contains("a string with a unit") => "a duration",
        _ => expected,
    }
    .to_owned()
}

/// A value of that type that no key accepts.
fn far_off(kind: &str) -> String {
    match kind {
        "a percentage" => "\"101%\"",
        "a size" => "\"100000 GiB\"",
        "a duration" => "\"100000h\"",
        "an integer" => "-1",
        _ => "\"no such word\"",
    }
    .to_owned()
}

/// Bounds or words, from a problem that names them.
fn within(problem: &Value) -> Option<String> {
    let told = ["C006", "C008"].contains(&text(problem, "code").ok()?);
    told.then(|| text(problem, "expected").ok().map(str::to_owned)).flatten()
}

/// The key that a problem says is missing.
fn missing_key(problem: &Value) -> Option<String> {
    let message = text(problem, "message").ok().filter(|message| message.contains("has no `"))?;
    quoted(message).pop()
}

/// The text between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_told_by_what_is_expected() {
        let unit = |sample: &str| json!({ "message": "`a` must be a string with a unit, found a float", "expected": format!("for example `\"{sample}\"`") });
        assert_eq!(kind(Some(&unit("60s"))), "a duration");
        assert_eq!(kind(Some(&unit("64 MiB"))), "a size");
        assert_eq!(kind(Some(&unit("20%"))), "a percentage");
        assert_eq!(kind(Some(&json!({ "message": "m", "expected": "an integer" }))), "an integer");
    }

    #[test]
    fn a_missing_key_is_the_last_that_is_quoted() {
        assert_eq!(missing_key(&json!({ "message": "`[source]` has no `uri`" })), Some("uri".to_owned()));
        assert_eq!(missing_key(&json!({ "message": "unknown key `uri`" })), None);
    }
}
