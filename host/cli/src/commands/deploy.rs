//! `sluicebox deploy`: what an account needs to run a pipeline, made from its file, a file for each verb.
//!
//! Does not hold the work of any verb, and changes nothing in an account.

mod bundle;
mod program;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::ExitCode;

/// Make what runs a pipeline in AWS: the bundle of its functions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Bundle(bundle::Args),
}

/// Does what the verb says.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Bundle(args) => bundle::execute(args, context).await,
    }
}
