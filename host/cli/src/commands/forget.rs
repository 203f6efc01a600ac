//! `sluicebox forget`: one record is erased from every layer.
//!
//! Does not touch the source.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use engine::forget::{Forgotten, forget};
use engine::lake::keys::Key;
use engine::progress::Steps;

use crate::compose::{Shared, compose_to_look};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs};
use crate::watch::watch;

/// Erase one record from Bronze, kept answers, quarantine, Silver, Gold and all old versions
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Erases one record from every layer: its lines of Bronze (an empty line keeps their place), the answers of services that only it was \
made from, refusals, its rows of Silver, what it added to Gold, and the old versions of all tables. It cannot be undone, and \
time travel to before it is gone for every record.

Nothing may be under way: stop the hosts that serve the pipeline, and let `sluicebox run --once` work off what is queued. The source is \
not touched: as long as it holds the record, the next tick brings it again.")]
pub(crate) struct Args {
    /// The record's key: the values of its key columns joined by `/`, as in 'The Fog/1980'
    pub(crate) key: String,

    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Erases the record.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let file = files.first().context("no pipeline file")?;
    if !args.yes && !confirmed(&args.key, context)? {
        return Err(Failure::new(ExitCode::Usage, "nothing was erased")
            .hint("it cannot be undone: say `--yes` to erase without being asked")
            .into());
    }
    let shared = Shared::new(&files, context)?;
    let service = compose_to_look(file, &shared, context).await?;
    let (key, steps) = (Key::from_text(&args.key), Steps::default());
    let done = watch(&steps, context, forget(&service, &key, &steps)).await?;
    // Messages are gone from the queue, but a file of the queue keeps what it held until it is written anew.
    crate::compose::scrub_queue(file, &shared).await?;
    context.output.report(&done, |done| text(done, context))?;
    Ok(ExitCode::Success)
}

fn confirmed(key: &str, context: &Context) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    context
        .output
        .notice(&format!("erase `{key}` from every layer and all old versions? It cannot be undone [y/N]"))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text(done: &Forgotten, context: &Context) -> String {
    if done.is_nothing() {
        return format!("the lake holds nothing of `{}`", done.key);
    }
    let mut table = context.output.table(&["erased", ""]);
    let count = |number: usize, one: &str, many: &str| counted(number, one, many);
    table.add_row(vec!["bronze".to_owned(), count(done.lines.len(), "line", "lines")]);
    table.add_row(vec![String::new(), count(done.snapshots, "record of a tick", "records of ticks")]);
    table.add_row(vec![String::new(), count(done.answers, "kept answer", "kept answers")]);
    table.add_row(vec![String::new(), count(done.refusals, "refusal", "refusals")]);
    table.add_row(vec!["silver".to_owned(), count(done.rows, "row", "rows")]);
    table.add_row(vec!["gold".to_owned(), count(done.tables, "table is another now", "tables are others now")]);
    table.add_row(vec!["old versions".to_owned(), count(done.old_files, "data file", "data files")]);
    table.add_row(vec![String::new(), count(done.old_log_entries, "log entry", "log entries")]);
    let mut text = format!("`{}`\n\n{}\n", done.key, table.trim_fmt());
    for (id, other) in &done.shared_answers {
        let kept = format!("answer {id} stays: `{other}` was made from it as well");
        text.push_str(&format!("{}\n", context.output.tone(Tone::Notable, &kept)));
    }
    text.push_str("\nthe source is not touched: as long as it holds the record, the next tick brings it again\n");
    text
}
