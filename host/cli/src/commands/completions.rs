//! `sluicebox completions`: a script with which a shell completes the command line.
//!
//! Does not install it.

use crate::context::Context;
use crate::exit::ExitCode;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script of the whole command line. `--json` does not change it: a shell reads it.
pub(crate) async fn execute(args: Args, mut command: clap::Command, context: &Context) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sluicebox", &mut script);
    context.output.print(&String::from_utf8(script)?)?;
    Ok(ExitCode::Success)
}
