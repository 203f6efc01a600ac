//! `sluicebox plugin`: the plugin author's desk, a file for each verb.
//!
//! Does not hold the work of any verb.

pub(crate) mod build;
pub(crate) mod inspect;
pub(crate) mod new;
pub(crate) mod test;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::ExitCode;

/// Make, build, inspect and test plugins
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    New(new::Args),
    Build(build::Args),
    Inspect(inspect::Args),
    Test(test::Args),
}

/// Does what the verb says.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::New(args) => new::execute(args, context).await,
        Verb::Build(args) => build::execute(args, context).await,
        Verb::Inspect(args) => inspect::execute(args, context).await,
        Verb::Test(args) => test::execute(args, context).await,
    }
}
