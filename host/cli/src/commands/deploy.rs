//! `sluicebox deploy`: what a pipeline is in AWS, from its file alone. A file for each verb.
//!
//! Does not change anything in AWS: its own tools do, with the files that are made here.

mod built;
mod bundle;
mod cloudformation;
mod columns;
mod iam;
mod made;
mod program;
mod quicksight;
mod which;

use clap::Subcommand;

pub(crate) use self::built::Built;
use crate::context::Context;
use crate::exit::ExitCode;

/// Make what a pipeline is in AWS: bundle, template, policies, manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Bundle(bundle::Args),
    Cloudformation(cloudformation::Args),
    Iam(iam::Args),
    Quicksight(quicksight::Args),
}

/// Does what the verb says.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Bundle(args) => bundle::execute(args, context).await,
        Verb::Cloudformation(args) => cloudformation::execute(args, context).await,
        Verb::Iam(args) => iam::execute(&args, context),
        Verb::Quicksight(args) => quicksight::execute(&args, context),
    }
}
