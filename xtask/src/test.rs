//! Answers for the verb `test`: everything that has to hold before a change lands, in the order in which it fails fastest.
//!
//! Does not know any single test. The test runner's own count comes last, so that it stays on the screen.

use anyhow::Result;

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{bench, docs, plugins, python, tidy, wasm_target};

/// Format, house rules, the book, lints, doc tests, tests.
pub(crate) fn run() -> Result<()> {
    step("format");
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    step("house rules");
    tidy::run()?;
    step("everything that tests need");
    wasm_target::ensure()?;
    shell::run(shell::cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    let programs = Programs::locate()?;
    plugins::build_with(&programs)?;
    docs::check(&programs)?;
    let (python, platform) = (python::with_readers()?, python::with_linters()?);
    step("lints");
    // With what only benchmarks ask for.
    let all = ["--workspace", "--all-targets", "--features", "runtime/unguarded"];
    shell::run(shell::cargo().arg("clippy").args(all).args(["--quiet", "--", "-D", "warnings"]))?;
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
    shell::run(tests.env(python::NAME, python).env(python::PLATFORM_NAME, platform))
}
