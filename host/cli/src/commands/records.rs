//! `sluicebox records`: every version of every record, and where it is.
//!
//! Does not show documents or rows: `explain` does, for one record.

use engine::census::{self, RecordVersion, census};
use engine::progress::Steps;
use lake::kept_out::KeptOut;
use records::keys::Tick;
use seams::foreign::inert;
use serde_json::json;

use crate::commands::explain::reason;
use crate::commands::replay::parse_tick;
use crate::compose::{Shared, look, unread};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::counted;
use crate::pipelines::{self, PipelineArgs};
use crate::watch::watch;

/// List every version of every record and where it is: Silver, skipped, quarantined, superseded or under way
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Lists every version of every record that reached Bronze and the one place where it is, counted from Bronze itself: its row \
stands in Silver, it was rightly skipped, it is in quarantine, another version stands in its place, or it is under way. \
Ids, keys and places are those that `explain`, `quarantine` and `replay` take.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    /// Only versions in this state
    #[arg(long, value_name = "STATE", value_enum)]
    pub(crate) state: Option<State>,

    /// Only versions of this tick: an instant as in 2026-01-31T03:00:00Z, or a folder's 20260131T030000Z
    #[arg(long, value_name = "TICK", value_parser = parse_tick)]
    pub(crate) run: Option<Tick>,

    /// Show at most so many; all are counted, and --json lists all
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: usize,
}

/// Where a record version may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum State {
    /// Its row stands
    Silver,
    /// It rightly makes no row
    Skipped,
    /// It was refused
    Quarantined,
    /// Another version stands in its place
    Superseded,
    /// It is not cleaned yet
    Underway,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Silver => "silver",
            State::Skipped => "skipped",
            State::Quarantined => "quarantined",
            State::Superseded => "superseded",
            State::Underway => "underway",
        }
    }
}

/// Lists the records.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut all = Vec::new();
    for file in &files {
        let service = look(file, &shared, context).await?.told(context)?;
        let steps = Steps::default();
        let lake = &service.enrich.lake;
        let mut found = watch(&steps, context, census(lake, &service.clean.silver, &steps)).await.map_err(unread)?;
        found.retain(|version| {
            args.state.is_none_or(|state| state.name() == version.fate.name())
                && args.run.is_none_or(|run| run == version.seq)
        });
        let kept_out = KeptOut::read(lake).await?.len();
        all.push((file.plan.name.clone(), found, kept_out));
    }
    let documents: Vec<_> = all
        .iter()
        .map(|(name, found, kept_out)| {
            let counts = census::count(found.iter().map(|version| &version.fate));
            json!({ "pipeline": name, "states": counts, "kept_out": kept_out, "records": found })
        })
        .collect();
    context.output.report(&json!({ "pipelines": documents }), |_| {
        let one = |(name, found, kept_out): &(String, Vec<RecordVersion>, usize)| {
            format!("{}{}", text(name, found, args.limit, context), stay_forgotten(*kept_out))
        };
        all.iter().map(one).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::Success)
}

/// How many keys stay forgotten: no tick brings them again.
fn stay_forgotten(keys: usize) -> String {
    if keys == 0 {
        return String::new();
    }
    format!("{} forgotten: `sluicebox forget --list`\n", counted(keys, "key stays", "keys stay"))
}

fn text(name: &str, found: &[RecordVersion], limit: usize, context: &Context) -> String {
    let mut table = context.output.table(&["tick", "key", "state", "bronze", ""]);
    for version in found.iter().take(limit) {
        table.add_row(vec![
            version.seq.to_string(),
            inert(version.key.as_str()).into_owned(),
            version.fate.name().to_owned(),
            version.source.clone(),
            inert(&reason(&version.fate)).into_owned(),
        ]);
    }
    let counts = census::count(found.iter().map(|version| &version.fate));
    let counts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let more = found.len().saturating_sub(limit);
    let more = if more > 0 { format!("\n{more} more are not shown: --limit shows them") } else { String::new() };
    let total = counted(found.len(), "record version", "record versions");
    format!("`{name}`\n\n{}\n\n{total}{counts}{more}\n", table.trim_fmt())
}
