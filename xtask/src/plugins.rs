//! Answers for the verb `plugins`: every plugin of this workspace as a component beside its source.
//!
//! Does not componentise by itself: that is `sluicebox plugin build`, the same that a plugin author uses.

use std::process::Command;

use anyhow::Result;

use crate::programs::Programs;
use crate::{shell, wasm_target};

/// Makes sure of the target, builds the host, then all plugins with it.
pub(crate) fn build() -> Result<Programs> {
    wasm_target::ensure()?;
    let programs = Programs::build()?;
    build_with(&programs)?;
    Ok(programs)
}

/// All plugins with a host that is there already.
pub(crate) fn build_with(programs: &Programs) -> Result<()> {
    shell::step("building the plugins");
    shell::run(
        Command::new(&programs.sluicebox).current_dir(shell::workspace_root()).args(["plugin", "build", "--all"]),
    )
}
