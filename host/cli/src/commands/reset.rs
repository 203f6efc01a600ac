//! `sluicebox reset`: a pipeline starts again from nothing, or takes back the records of one tick.
//!
//! Says what it will delete, asks, and deletes only what Sluicebox has written. Does not touch sources, plugins or `pipeline.toml`.

use records::keys::Tick;
use serde_json::json;

use super::replay::parse_tick;
use crate::compose::{Shared, in_use};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::pipelines::{self, PipelineArgs};

mod aside;
mod consent;
mod owner;
mod tick;
mod whole;

use consent::Consent;

/// Empty a pipeline's lake and queue, or take back one tick with --run
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Empties the lake and the queue of a pipeline, so that the next run starts from nothing. It says what it deletes, asks, and needs --yes where \
nobody can be asked. Only what Sluicebox has written is deleted: other files stay and are named, and no link is followed. Sources, plugins, \
`pipeline.toml` and secrets are not touched.

With --run it takes back what one tick has brought, such as one that a wrong clock or a slip of the hand has set in the future: its \
objects of Bronze, its refusals, its rows. Versions of records that stood before stand again, and Gold follows.

Stop the hosts that serve the pipeline first: one on this machine is noticed and refused, others are not.")]
pub(crate) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,

    /// Only what this tick has brought: an instant as in 2026-01-31T03:00:00Z, or a folder's 20260131T030000Z
    #[arg(long, value_name = "TICK", value_parser = parse_tick, conflicts_with_all = ["set_aside", "cache"])]
    run: Option<Tick>,

    /// Only messages of a lake that was here before, which are kept in the queue's file and not worked on
    #[arg(long, conflicts_with = "cache")]
    set_aside: bool,

    /// Also the compiled plugins of this user, whatever project they are of: the next run compiles them again
    #[arg(long)]
    cache: bool,

    #[command(flatten)]
    consent: Consent,
}

/// Resets.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut code = ExitCode::Success;
    let mut done = Vec::new();
    for file in &files {
        let _alone = in_use(file)?;
        let (one, ended) = match args.run {
            Some(tick) => tick::take_back(&args.consent, tick, file, &shared, context).await?,
            None if args.set_aside => (aside::delete(&args.consent, file, &shared, context).await?, ExitCode::Success),
            None => (whole::delete(&args.consent, args.cache, file, &shared, context).await?, ExitCode::Success),
        };
        if ended != ExitCode::Success {
            code = ended;
        }
        done.push(one);
    }
    context.output.report(&json!({ "pipelines": done }), |_| String::new())?;
    Ok(code)
}
