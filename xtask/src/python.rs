//! Answers for the Python of tests and benchmarks: engines of other people's making that read tables, and an emulator of AWS.
//!
//! Does not run any script.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{self, step};

/// Tells the tests which Python has the readers of other people's making.
pub(crate) const NAME: &str = "SLUICEBOX_TEST_PYTHON";

/// A Python with the pinned readers in it, made once for each state of `tests/e2e/requirements.txt`.
pub(crate) fn with_readers() -> Result<PathBuf> {
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
