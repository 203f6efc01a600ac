//! Answers for the verb `test`: everything that has to hold before a change lands, in the order in which it fails fastest.
//!
//! Does not know any single test. The test runner's own count comes last, so that it is what one sees.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{bench, plugins, tidy, wasm_target};

/// Tells the tests which Python has the readers of other people's making.
pub(crate) const PYTHON: &str = "SLUICEBOX_TEST_PYTHON";

/// Format, house rules, lints, doc tests, tests.
pub(crate) fn run() -> Result<()> {
    step("format");
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    step("house rules");
    tidy::run()?;
    step("everything that tests need");
    wasm_target::ensure()?;
    shell::run(shell::cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    plugins::build_with(&Programs::locate()?)?;
    let python = python()?;
    step("lints");
    shell::run(shell::cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    step("doc tests");
    shell::run(shell::cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    bench::short_form()?;
    step("tests");
    let mut tests = shell::cargo();
    if shell::exists("cargo-nextest") {
        tests.args(["nextest", "run", "--workspace"]);
    } else {
        step(
            "cargo-nextest is not installed (`cargo install --locked cargo-nextest`): using cargo test, which is slower",
        );
        tests.args(["test", "--workspace", "--lib", "--bins", "--tests"]);
    }
    shell::run(tests.env(PYTHON, python))
}

/// A Python with the pinned readers in it, made once for each state of `tests/e2e/requirements.txt`.
pub(crate) fn python() -> Result<PathBuf> {
    let wanted = shell::workspace_root().join("tests/e2e/requirements.txt");
    let wanted = fs::read_to_string(&wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
    let folder = shell::target_dir()?.join("test-python");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let installed = folder.join("installed-requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    step("Python readers for the tests");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("cannot make a Python environment for the tests\n  hint: on Debian, `apt-get install python3-venv`")?;
    let list = folder.join("requirements.txt");
    fs::write(&list, &wanted)?;
    shell::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&list),
    )
    .context("cannot install what tests/e2e/requirements.txt lists")?;
    fs::write(&installed, &wanted)?;
    Ok(python)
}
