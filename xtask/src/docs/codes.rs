//! Answers for the page of all codes, from `sluicebox explain-error --json`.
//!
//! Does not know any code.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::said::{cell, text};

/// The groups of codes, by their letter. A letter that is not here has no place in the page, and fails it.
const GROUPS: [(char, &str, &str); 4] = [
    (
        'C',
        "Pipeline files",
        "Nothing runs until the file is right. `sluicebox check` shows every problem at once, with its line and column.",
    ),
    (
        'P',
        "Plugins",
        "P0 codes refuse a component when it is loaded. P1 codes come from a call, P2 codes are notes in the log, P900 is a bug of the host.",
    ),
    ('R', "Records", "A record or a message that cannot be worked."),
    ('S', "Stores", "A place that cannot hold a lake."),
];

/// What follows, by the class of a code.
const FOLLOWS: [(&str, &str); 6] = [
    ("file", "nothing runs"),
    ("load", "the component is refused; the version that serves goes on"),
    ("record", "the record is quarantined; the others are committed"),
    ("told", "a line in the log, nothing else"),
    ("retried", "tried again, then the record is quarantined"),
    ("place", "nothing runs, and nothing was written"),
];

pub(super) fn page(explained: &Value) -> Result<String> {
    let codes = explained.get("codes").and_then(Value::as_array).context("no list of codes")?;
    let mut page = "# Codes\n\nEvery error of a file, a plugin, a record or a store has a code. A code never changes its meaning. \
                    `sluicebox explain-error CODE` prints the same in a terminal.\n"
        .to_owned();
    let mut shown = 0;
    for (letter, title, about) in GROUPS {
        let of_group: Vec<&Value> =
            codes.iter().filter(|code| text(code, "code").is_ok_and(|name| name.starts_with(letter))).collect();
        let of_files = letter == 'C';
        let columns = if of_files {
            "| code | meaning |\n|---|---|"
        } else {
            "| code | meaning | then | do |\n|---|---|---|---|"
        };
        write!(page, "\n## {title}\n\n{about}\n\n{columns}\n")?;
        for code in &of_group {
            let (name, meaning, remedy) = (text(code, "code")?, text(code, "meaning")?, text(code, "remedy")?);
            let class = text(code, "class")?;
            let follows = FOLLOWS.iter().find(|(of, _)| *of == class);
            let (_, follows) = follows.with_context(|| format!("`{name}` has the unknown class `{class}`"))?;
            write!(page, "| <a id=\"{name}\"></a>{name} | {} |", cell(meaning))?;
            // All codes of a file have the same consequence and the same remedy: the group says them once.
            let rest = if of_files { String::new() } else { format!(" {follows} | {} |", cell(remedy)) };
            writeln!(page, "{rest}")?;
        }
        shown += of_group.len();
    }
    if shown != codes.len() {
        bail!("{} codes have a letter that the page has no group for", codes.len() - shown);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_code_has_a_line_in_its_group() {
        let code = json!({ "code": "P010", "class": "load", "meaning": "a | b", "remedy": "build it" });
        let text = page(&json!({ "codes": [code] })).unwrap();
        let line = text.lines().find(|line| line.contains("P010")).unwrap();
        assert!(line.contains("a \\| b") && line.ends_with("| build it |"), "{line}");
    }

    #[test]
    fn a_letter_without_a_group_fails() {
        let code = json!({ "code": "X001", "class": "load", "meaning": "a", "remedy": "b" });
        assert!(page(&json!({ "codes": [code] })).is_err());
    }
}
