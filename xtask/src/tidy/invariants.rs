//! Answers for the last column of the table of invariants in `ARCHITECTURE.md`: the files and the tests that it names are there.
//!
//! A path may leave out its beginning, and `src` and `tests` with it: `lake/keys.rs` is `host/lake/src/keys.rs`. Behind a path and a colon, and in
//! the pieces of code after that, stand names of tests in that file; `…` stands for any text. Does not know what a test proves.

use super::finding::Finding;
use super::tree::Source;

/// Where the table is.
const TABLE: &str = "ARCHITECTURE.md";

/// Findings over the whole tree.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in sources.iter().filter(|source| source.path == TABLE) {
        for (index, line) in table.text.lines().enumerate() {
            for wrong in holders(line).into_iter().flat_map(|cell| of_cell(sources, cell)) {
                findings.push(Finding::at(TABLE, index + 1, "names what is not there", wrong));
            }
        }
    }
    findings
}

/// The last cell of a row that begins with the number of an invariant.
fn holders(line: &str) -> Option<&str> {
    let row = line.strip_prefix("| ")?;
    let (number, rest) = row.split_once(" | ")?;
    let digits = number.strip_prefix(|letter: char| letter.is_ascii_uppercase())?;
    let numbered = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    numbered.then(|| rest.rsplit_once(" | ").map(|(_, cell)| cell.trim_end_matches(" |")))?
}

fn of_cell(sources: &[Source], cell: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut here: Vec<&Source> = Vec::new();
    for code in cell.split('`').skip(1).step_by(2) {
        let (path, test) = match code.split_once(": ") {
            Some((path, test)) => (Some(path), Some(test)),
            None if is_test(code) => (None, Some(code)),
            None if code.contains('/') || code.ends_with(".rs") => (Some(code), None),
            // A command.
            None => continue,
        };
        if let Some(path) = path {
            here = sources.iter().filter(|source| leads_to(path, &source.path)).collect();
            if here.is_empty() {
                wrong.push(format!("`{path}`: no file has a path that ends so"));
                continue;
            }
        }
        if let Some(test) = test.filter(|test| !here.iter().any(|source| has_test(&source.text, test))) {
            let files: Vec<&str> = here.iter().map(|source| source.path.as_str()).collect();
            wrong.push(format!("`{test}`: no test of {} is called so", files.join(" or ")));
        }
    }
    wrong
}

/// A name alone, or a part of one.
fn is_test(code: &str) -> bool {
    let name = code.trim_matches('…');
    let plain = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    plain && (name.len() < code.len() || name.contains('_'))
}

/// Whether `path` is the end of a file's path or of its folder's, with or without `src` and `tests`.
fn leads_to(path: &str, file: &str) -> bool {
    let short = file.replace("/src/", "/").replace("/tests/", "/");
    let ends = |file: &str| {
        let file = format!("/{file}");
        file.ends_with(&format!("/{path}")) || !path.ends_with(".rs") && file.contains(&format!("/{path}/"))
    };
    ends(file) || ends(&short)
}

/// Whether a function of such a name is in the text.
fn has_test(text: &str, pattern: &str) -> bool {
    text.match_indices("fn ").any(|(at, _)| {
        let rest = text.get(at + 3..).unwrap_or_default();
        fits(rest.split('(').next().unwrap_or_default(), pattern)
    })
}

fn fits(name: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('…'), pattern.strip_suffix('…')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('…')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    fn wrong(cell: &str) -> Vec<String> {
        let sources = [
            source("host/lake/src/keys.rs", "fn a_whole_number_is_one_key() {}"),
            source("tests/e2e/cases.rs", "async fn f14_is_found() {}\nfn another() {}"),
            source("host/lake/tests/lake_tables/main.rs", ""),
            source(TABLE, &format!("| R1 | an invariant | {cell} |\n| not | a row | `of/it.rs` |\n")),
        ];
        check(&sources).into_iter().map(|it| format!("{} {}", it.place, it.hint)).collect()
    }

    #[test]
    fn what_is_there_is_no_finding() {
        for cell in [
            "`lake/keys.rs`, `e2e/cases.rs: f14…`, `another`, `…other`, `…not…`",
            "`lake/tests/lake_tables`; `cargo xtask tidy` (`keys.rs`)",
            "`keys.rs: a_whole_number_is_one_key`",
            "workspace lints, `-D warnings` in `cargo xtask test`, (P141)",
        ] {
            assert_eq!(wrong(cell), [""; 0], "{cell}");
        }
    }

    #[test]
    fn files_and_tests_that_are_not_there() {
        assert_eq!(wrong("`lake/key.rs: x`"), ["ARCHITECTURE.md:1 `lake/key.rs`: no file has a path that ends so"]);
        assert_eq!(
            wrong("`e2e/cases.rs: f1`, `f15…`"),
            ["f1", "f15…"].map(|it| format!("ARCHITECTURE.md:1 `{it}`: no test of tests/e2e/cases.rs is called so"))
        );
        assert_eq!(wrong("`ses.rs`").len(), 1);
    }
}
