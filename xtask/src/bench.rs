//! Answers for the verb `bench`: every benchmark of the workspace, one after the other.
//!
//! Does not judge the figures.

use anyhow::Result;

use crate::{plugins, shell};

/// Benchmarks live with the crate that owns what is measured; so far that is the runtime.
pub(crate) fn run() -> Result<()> {
    plugins::build().map(drop)?;
    shell::run(shell::cargo().args(["bench", "--package", "runtime"]))
}
