//! Answers for the verb `aws-test`: a release build in an emulator of AWS, whole: adapters, templates, functions, and the generated stack that goes
//! by itself from its schedule to Gold; then how fast a function starts and what memory it takes.
//!
//! Does not know any single test, and does not judge the figures.

use anyhow::Result;

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{plugins, python, wasm_target};

/// Everything but the build takes some five minutes on two cores.
pub(crate) fn run() -> Result<()> {
    wasm_target::ensure()?;
    step("building the tests");
    let selection = ["nextest", "run", "--workspace", "--release"];
    let names = ["emulator", "scripted", "aws", "container", "deploy", "idle", "lambda", "platform", "stack"];
    let tests: Vec<&str> = names.into_iter().flat_map(|name| ["--test", name]).collect();
    // The build of the tests includes the program that they start.
    shell::run(shell::cargo().args(selection).arg("--no-run").args(&tests))?;
    plugins::build_with(&Programs::locate_in("release")?)?;
    let (python, platform) = (python::with_readers()?, python::with_linters()?);
    step("trying everything in an emulator of AWS");
    let told = ["--success-output", "final", "--no-fail-fast"];
    shell::run(
        shell::cargo()
            .args(selection)
            .args(&tests)
            .args(told)
            .env(python::NAME, &python)
            .env(python::PLATFORM_NAME, platform),
    )?;
    step("cold start and memory");
    let bench = ["bench", "--workspace", "--profile", "release", "--bench", "cold_start"];
    shell::run(shell::cargo().args(bench).env(python::NAME, &python))
}
