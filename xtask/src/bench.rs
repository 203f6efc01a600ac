//! Answers for the verb `bench`: every benchmark of the workspace, one after the other.
//!
//! Does not judge the figures.

use anyhow::Result;

use crate::shell::{self, cargo, step};
use crate::{plugins, python};

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds: seconds instead of minutes, and less steady figures
    #[arg(long)]
    quick: bool,
    /// Also ten million rows: minutes, and gigabytes of memory and disk
    #[arg(long, conflicts_with = "quick")]
    large: bool,
}

/// Benchmarks live with the crate that owns what is measured: the sandbox's cost in the runtime, the queue's in the local adapters, and there
/// too the lake's, which needs a real directory.
pub(crate) fn run(options: &Options) -> Result<()> {
    plugins::build().map(drop)?;
    let quick: &[&str] = if options.quick { &["--", "--quick"] } else { &[] };
    for (bench, features) in [("boundary", ""), ("overhead", "unguarded"), ("neighbours", "")] {
        let arguments = ["bench", "--package", "runtime", "--bench", bench, "--features", features];
        shell::run(cargo().args(arguments).args(quick))?;
    }
    shell::run(cargo().args(["bench", "--package", "local", "--bench", "queue"]))?;
    let size: &[&str] = match (options.quick, options.large) {
        (true, _) => &["--", "--quick"],
        (false, true) => &["--", "--large"],
        (false, false) => &[],
    };
    let mut lake = cargo();
    lake.args(["bench", "--package", "local", "--bench", "lake"]).args(size);
    shell::run(lake.env(python::NAME, python::with_readers()?))
}

/// Shows that the benchmarks run, with what the tests have built. The plugins must be built.
pub(crate) fn short_form() -> Result<()> {
    step("the benchmarks' short form (a debug build: its figures say nothing)");
    let benches = ["--bench", "boundary", "--bench", "neighbours", "--bench", "lake"];
    let arguments = [&["bench", "--workspace", "--profile", "dev"][..], &benches, &["--", "--quick"]].concat();
    shell::run(cargo().args(arguments).env(python::NAME, python::with_readers()?))
}
