//! Answers for the verb `cases`: every input of `tests/cases`, what a user expects of it, and what happened.
//!
//! Does not know any case: `tests/e2e/cases.rs` runs what each folder says.

use std::fs;

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets};

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{plugins, python, wasm_target};

/// Which are run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only folders whose name contains this
    only: Option<String>,
}

/// Where the test writes its lines of the table.
const LINES: &str = "SLUICEBOX_CASES";

/// Builds, runs, shows.
pub(crate) fn run(options: &Options) -> Result<()> {
    wasm_target::ensure()?;
    step("building the tests");
    let selection = ["nextest", "run", "--package", "cli", "--test", "cases"];
    // The build of the test includes the program that it starts.
    shell::run(shell::cargo().args(selection).arg("--no-run"))?;
    plugins::build_with(&Programs::locate()?)?;
    let python = python::with_readers()?;
    step("running every input");
    let lines = shell::target_dir()?.join("cases.txt");
    if lines.exists() {
        fs::remove_file(&lines)?;
    }
    let mut suite = shell::cargo();
    suite.args(selection).env(LINES, &lines).env(python::NAME, python);
    if let Some(only) = &options.only {
        suite.env("SLUICEBOX_CASES_ONLY", only);
    }
    let outcome = shell::run(&mut suite);
    let told = fs::read_to_string(&lines).context("the test has told nothing")?;
    println!("{}\n{}", table(&told), summary(&told));
    outcome
}

fn table(told: &str) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["case", "input", "expected", "", "result"]);
    let mut before = "";
    for line in told.lines() {
        let mut row: Vec<&str> = line.split('\t').collect();
        let case = row.first().copied().unwrap_or_default();
        if case == before
            && let Some(first) = row.first_mut()
        {
            *first = "";
        }
        before = case;
        table.add_row(row);
    }
    table.to_string()
}

fn summary(told: &str) -> String {
    let all = told.lines().count();
    let differ = told.lines().filter(|line| line.split('\t').nth(3) != Some("ok")).count();
    format!("{all} inputs, {} as expected, {differ} not", all - differ)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "a\tone.csv\ttwo rows\tok\texit 0\na\ttwo.csv\tone row\tDIFFERS\texit 1\n";

    #[test]
    fn what_differs_is_counted() {
        assert_eq!(summary(TOLD), "2 inputs, 1 as expected, 1 not");
    }

    #[test]
    fn a_case_is_named_once() {
        let table = table(TOLD);
        assert_eq!(table.lines().filter(|line| line.trim_start().starts_with("a ")).count(), 1, "{table}");
    }
}
