//! `sluicebox plugin`: the plugin author's tools, a file for each verb.
//!
//! Does not hold the work of any verb.

pub(crate) mod build;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod new;
pub(crate) mod sign;
pub(crate) mod test;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::ExitCode;

/// Make, build, inspect, test and sign plugins, and see which have served
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
    History(history::Args),
    Rollback(history::RollbackArgs),
    Keygen(sign::KeygenArgs),
    Sign(sign::SignArgs),
    Verify(sign::VerifyArgs),
}

/// Does what the verb says.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::New(args) => new::execute(args, context).await,
        Verb::Build(args) => build::execute(args, context).await,
        Verb::Inspect(args) => inspect::execute(args, context).await,
        Verb::Test(args) => test::execute(args, context).await,
        Verb::History(args) => history::execute(args, context).await,
        Verb::Rollback(args) => history::rollback(args, context).await,
        Verb::Keygen(args) => sign::keygen(&args, context),
        Verb::Sign(args) => sign::sign(&args, context),
        Verb::Verify(args) => sign::verify(&args, context),
    }
}
