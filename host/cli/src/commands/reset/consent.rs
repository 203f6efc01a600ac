//! Whether to delete: said on the command line, or asked of the user at the terminal.
//!
//! Does not delete anything.

use std::io::IsTerminal as _;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;

/// What was said of deleting.
#[derive(Debug, clap::Args)]
pub(super) struct Consent {
    /// Say what would be deleted, and delete nothing
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Consent {
    /// Asks whether to continue; `false` after a dry run.
    pub(super) fn given(&self, what: &str, context: &Context) -> anyhow::Result<bool> {
        context.output.notice(what)?;
        if self.dry_run {
            context.output.notice("nothing was deleted: leave out --dry-run to do it")?;
            return Ok(false);
        }
        if self.yes {
            return Ok(true);
        }
        let refused = || Failure::new(ExitCode::Usage, "nothing was deleted");
        if !std::io::stdin().is_terminal() {
            return Err(refused().hint("it cannot be undone: say `--yes` to delete without being asked").into());
        }
        context.output.notice("delete all of this? It cannot be undone [y/N]")?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(true);
        }
        Err(refused().hint("answer `y` to delete it").into())
    }
}
