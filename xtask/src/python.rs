//! Answers for the Python of tests and benchmarks: other engines that read tables, and an emulator of AWS. And
//! for what is packed as a Python package: the program that builds the book.
//!
//! Does not run any script.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{self, step};

/// Tells the tests which Python has the other engines' readers.
pub(crate) const NAME: &str = "SLUICEBOX_TEST_PYTHON";
/// Tells the tests which Python has the tools that a platform team checks a deployment with.
pub(crate) const PLATFORM_NAME: &str = "SLUICEBOX_PLATFORM_PYTHON";

/// A Python with the pinned readers in it, made once for each state of `tests/e2e/requirements.txt`.
pub(crate) fn with_readers() -> Result<PathBuf> {
    with("tests/e2e/requirements.txt", "test-python")
}

/// A second Python, with AWS's command line and linters, from `tests/e2e/requirements-platform.txt`.
pub(crate) fn with_linters() -> Result<PathBuf> {
    with("tests/e2e/requirements-platform.txt", "platform-python")
}

/// The program that builds the book, from a Python of its own: a ready program of a few MB, where cargo would compile it for minutes.
pub(crate) fn with_mdbook() -> Result<PathBuf> {
    let python = with("docs/requirements.txt", "docs-python")?;
    Ok(python.with_file_name(format!("mdbook{}", std::env::consts::EXE_SUFFIX)))
}

/// A Python with what `listed` lists, in the folder `name` of what is built.
fn with(listed: &str, name: &str) -> Result<PathBuf> {
    let wanted = shell::workspace_root().join(listed);
    let wanted = fs::read_to_string(&wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
    let folder = shell::target_dir()?.join(name);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let installed = folder.join("installed-requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    step(format!("Python packages of {listed}"));
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
    .with_context(|| format!("cannot install what {listed} lists"))?;
    fs::write(&installed, &wanted)?;
    Ok(python)
}
