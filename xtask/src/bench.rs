//! Answers for the verb `bench`: every benchmark of the workspace, one after the other.
//!
//! Does not judge the figures.

use anyhow::Result;

use crate::plugins;
use crate::shell::{self, cargo, step};

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds: seconds instead of minutes, and less steady figures
    #[arg(long)]
    quick: bool,
}

/// Benchmarks live with the crate that owns what is measured: the sandbox's cost in the runtime, the queue's in the local adapters.
pub(crate) fn run(options: &Options) -> Result<()> {
    plugins::build().map(drop)?;
    let quick: &[&str] = if options.quick { &["--", "--quick"] } else { &[] };
    shell::run(cargo().args(["bench", "--package", "runtime", "--bench", "boundary"]).args(quick))?;
    shell::run(cargo().args(["bench", "--package", "local", "--bench", "queue"]))
}

/// Shows that the benchmark runs, with what the tests have built. The plugins must be built.
pub(crate) fn short_form() -> Result<()> {
    step("the benchmark's short form (a debug build: its figures say nothing)");
    let arguments = ["bench", "--workspace", "--profile", "dev", "--bench", "boundary", "--", "--quick"];
    shell::run(cargo().args(arguments))
}
