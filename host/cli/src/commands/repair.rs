//! `sluicebox repair`: moves unreadable lines of Bronze into quarantine, so that all other commands work again.
//!
//! Does not repair anything else: `verify` says what is wrong with a readable lake.

use engine::progress::Steps;
use proof::repair::{Repaired, Unreadable, repair};
use serde_json::json;

use crate::compose::{Shared, compose_to_look};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs};
use crate::watch::watch;

/// The characters of an unreadable line that are shown to people.
const SHOWN: usize = 120;

/// Find lines of Bronze that cannot be read, and with --yes move them into quarantine
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Reads every object of Bronze and lists the lines that cannot be read. Such a line blocks `status`, `verify`, `replay` and the next \
run, whatever put it there: an earlier version of the host, another program, a damaged disk.

With --yes each of them is moved into quarantine with its text, and a line that says so keeps its place. Its record comes from the \
line itself or from what its tick took from the source. Lines that can be read are not touched. `sluicebox run --once` then goes on.

Exits with 0 if all can be read or was repaired, else with 1.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    /// Repair, and do not only list
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Lists the lines, and repairs if asked to.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut all = Vec::new();
    for file in &files {
        let service = compose_to_look(file, &shared, context).await?;
        let steps = Steps::default();
        let found = watch(&steps, context, repair(&service, args.yes, &steps)).await?;
        all.push((file.plan.name.clone(), found));
    }
    let documents: Vec<_> =
        all.iter().map(|(name, found)| json!({ "pipeline": name, "repaired": args.yes, "found": found })).collect();
    context.output.report(&json!({ "pipelines": documents }), |_| {
        all.iter().map(|(name, found)| text(name, found, args.yes, context)).collect::<Vec<_>>().join("\n")
    })?;
    let well = all.iter().all(|(_, found)| found.is_nothing() || (args.yes && found.other.is_empty()));
    Ok(if well { ExitCode::Success } else { ExitCode::Wrong })
}

fn text(name: &str, found: &Repaired, mended: bool, context: &Context) -> String {
    let objects = counted(found.objects, "object", "objects");
    if found.is_nothing() {
        return format!("`{name}`  {objects} of bronze, all can be read\n");
    }
    let mut text = format!("`{name}`  {objects} of bronze\n");
    for line in &found.unreadable {
        text.push_str(&described(line));
    }
    for (path, reason) in &found.other {
        text.push_str(&format!("\n{path}\n  {reason}\n"));
    }
    let lines = counted(found.unreadable.len(), "line", "lines");
    let (tone, verdict) = if mended {
        let next = "`sluicebox run --once` goes on, `sluicebox quarantine ls` lists them";
        (Tone::Good, format!("{lines} moved into quarantine\n  hint: {next}"))
    } else {
        (Tone::Bad, format!("{lines} cannot be read\n  hint: `sluicebox repair --yes` moves them into quarantine"))
    };
    text.push_str(&format!("\n{}\n", context.output.tone(tone, &verdict)));
    if !found.other.is_empty() {
        let other = counted(found.other.len(), "other object", "other objects");
        let verdict = format!("{other} cannot be read and cannot be repaired: bring it back from a copy of the lake");
        text.push_str(&format!("{}\n", context.output.tone(Tone::Bad, &verdict)));
    }
    text
}

fn described(line: &Unreadable) -> String {
    let key = line.key.as_ref().map_or_else(|| "of an unknown record".to_owned(), |key| format!("of record `{key}`"));
    let start: String = line.text.chars().take(SHOWN).collect();
    let more = if line.text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("\n{}:{}  {key}\n  {}\n  {}{more}\n", line.object, line.line, line.reason, start.escape_debug())
}
