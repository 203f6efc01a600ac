//! `sluicebox replay`: makes records again from Bronze, through the queue.
//!
//! Does not choose records and does not make anything: the engine does.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use engine::drivers::service::{Left, Service};
use engine::progress::{Progress, Steps};
use engine::replay::{self, Planned, Selection, Which};
use records::keys::{Key, Tick};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::commands::run::signals;
use crate::compose::{Shared, compose, compose_to_look, compose_to_rebuild};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs};
use crate::watch::watch;

mod undone;

/// How often the bar looks at the queues.
const REDRAW: Duration = Duration::from_millis(200);

/// Make records again from Bronze: what another plugin or configuration made, or what is chosen
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Makes records again from Bronze and kept answers, with the plugins that pipeline.toml names now. No service is asked unless \
--fetch allows it. What comes out equal ends there: neither Silver nor Gold is written for it.

The work goes through the queue, so any host that serves the pipeline takes its share; this one works along until all is done, \
unless --detach leaves it to the others. Stopping it loses nothing. Without a choice all records are made again.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    #[command(flatten)]
    pub(crate) choice: Choice,

    #[command(flatten)]
    pub(crate) how: How,
}

/// Which records.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Choice {
    /// Only what another plugin or configuration has made
    #[arg(long, conflicts_with = "quarantined")]
    pub(crate) stale: bool,

    /// Everything, into a Silver table that is emptied first: after a change of columns that is more than new ones that may be null, or
    /// of the number of buckets. Gold stays as it is until all is there
    #[arg(long, conflicts_with_all = ["stale", "quarantined", "keys", "run", "dry_run", "detach"])]
    pub(crate) rebuild: bool,

    /// Only what is in quarantine
    #[arg(long)]
    pub(crate) quarantined: bool,

    /// Only this record; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,

    /// Only records of this tick: an instant as in 2026-01-31T03:00:00Z, or a folder's 20260131T030000Z
    #[arg(long, value_name = "TICK", value_parser = parse_tick)]
    pub(crate) run: Option<Tick>,
}

/// How it is done.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct How {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Ask services for answers that are not kept
    #[arg(long)]
    pub(crate) fetch: bool,

    /// Only queue the work, for the hosts or functions that serve the pipeline
    #[arg(long, conflicts_with_all = ["dry_run", "patience"])]
    pub(crate) detach: bool,

    /// How long to wait for a blocked service or a suspended stage before giving up; nothing is lost by that
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "60s")]
    pub(crate) patience: Duration,
}

/// The result of one pipeline's replay.
#[derive(Debug, Serialize)]
struct Replayed {
    pipeline: String,
    dry_run: bool,
    /// Whether the work was left to the hosts that serve the pipeline.
    detached: bool,
    /// Record versions that were chosen.
    records: usize,
    planned: Planned,
    /// Records that went through the clean stage in this process.
    cleaned: u64,
    /// Rows written to Silver or taken out of it.
    rows_changed: u64,
    /// Gold tables whose content changed.
    gold_changed: u64,
    /// Outgoing requests.
    requests: u64,
    #[serde(flatten)]
    left: Left,
}

pub(crate) fn parse_tick(text: &str) -> Result<Tick, String> {
    let instant = || DateTime::parse_from_rfc3339(text).map(|instant| Tick::at(instant.with_timezone(&Utc)));
    Tick::parse(text)
        .map_or_else(|| instant().map_err(|error| format!("{error}; expected a tick such as `20260131T030000Z`")), Ok)
}

/// Replays.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let which = match (args.choice.stale, args.choice.quarantined) {
        (true, _) => Which::Stale,
        (_, true) => Which::Quarantined(None),
        _ => Which::All,
    };
    let selection = Selection {
        which,
        keys: args.choice.keys.iter().map(|key| Key::from_text(key)).collect(),
        run: args.choice.run,
        fetch: args.how.fetch,
    };
    replay(&args.pipeline, &selection, &args.how, args.choice.rebuild, context).await
}

/// Replays the refusals with these ids, or all.
pub(crate) async fn quarantined(
    pipeline: &PipelineArgs,
    ids: Option<BTreeSet<String>>,
    how: &How,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let selection = Selection { which: Which::Quarantined(ids), fetch: how.fetch, ..Selection::default() };
    replay(pipeline, &selection, how, false, context).await
}

async fn replay(
    pipeline: &PipelineArgs,
    selection: &Selection,
    how: &How,
    rebuild: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(pipeline)?;
    pipelines::warn(&files, context)?;
    let shared = Shared::new(&files, context)?;
    let stop = signals::stop_on_signal(context);
    let mut all = Vec::new();
    for file in &files {
        let service = match (rebuild, how.dry_run) {
            (true, _) => compose_to_rebuild(file, &shared, context).await?,
            (false, true) => compose_to_look(file, &shared, context).await?,
            (false, false) => compose(file, &shared, context).await?,
        };
        let one = one(&service, selection, how, &stop, context);
        all.push(one.await.with_context(|| format!("pipeline `{}`", file.plan.name))?);
    }
    let document = serde_json::json!({ "pipelines": all });
    context.output.report(&document, |_| all.iter().map(|one| text(one, context)).collect::<Vec<_>>().join("\n"))?;
    let done = all.iter().all(|one| one.left.is_nothing() && undone::is_all_done(&one.planned, selection));
    Ok(match (done, stop.is_cancelled()) {
        (true, _) => ExitCode::Success,
        (false, true) => ExitCode::Interrupted,
        (false, false) => ExitCode::Wrong,
    })
}

async fn one(
    service: &Service,
    selection: &Selection,
    how: &How,
    stop: &CancellationToken,
    context: &Context,
) -> anyhow::Result<Replayed> {
    let steps = Steps::default();
    let planned = watch(&steps, context, replay::plan(service, selection, &steps)).await?;
    undone::refuse_unknown(service, selection, &planned).await?;
    let mut left = Left::default();
    if !how.dry_run {
        let messages = replay::queue(service, &planned).await?;
        if how.detach {
            // Other processes do the work, so the outcome is not known here.
            return Ok(replayed(service, how, planned, left));
        }
        let work = service.work_off(how.patience, stop);
        left = with_bar(service, messages, context, work).await?;
        if replay::finish(service, selection, &left).await? {
            left = service.work_off(how.patience, stop).await?;
        }
    }
    Ok(replayed(service, how, planned, left))
}

fn replayed(service: &Service, how: &How, planned: Planned, left: Left) -> Replayed {
    let progress = &service.progress;
    Replayed {
        pipeline: service.pipeline.clone(),
        dry_run: how.dry_run,
        detached: how.detach,
        records: planned.records(),
        planned,
        cleaned: Progress::get(&progress.cleaned),
        rows_changed: Progress::get(&progress.rows_written),
        gold_changed: Progress::get(&progress.published),
        requests: Progress::get(&progress.requests),
        left,
    }
}

/// Runs the work, with a bar over the messages that are left: other workers take theirs from the same queues.
async fn with_bar<T>(service: &Service, messages: usize, context: &Context, work: impl Future<Output = T>) -> T {
    let bar = context.output.countdown(messages as u64, format!("{} replay", service.pipeline));
    let mut work = std::pin::pin!(work);
    loop {
        let mut left = 0;
        for (_, queue) in service.queues.all() {
            left += queue.live.depth().await.map_or(0, |depth| depth.total());
        }
        bar.set_position((messages as u64).saturating_sub(left));
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            () = tokio::time::sleep(REDRAW) => {}
        }
    }
}

fn text(one: &Replayed, context: &Context) -> String {
    let planned = &one.planned;
    let lines = |all: &std::collections::BTreeMap<String, Vec<usize>>| all.values().map(Vec::len).sum::<usize>();
    let (enrich, clean) = (lines(&planned.enrich), lines(&planned.clean));
    let mut parts = Vec::new();
    for (count, what) in [
        (enrich, "to enrich again"),
        (clean, "to clean again"),
        (planned.ingest.len(), "to read again"),
        (planned.messages.len(), "to receive again"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let records = counted(one.records, "record", "records");
    let mut text = format!("`{}` {records}{parts}\n", one.pipeline);
    if planned.underway > 0 {
        let left = counted(planned.underway, "record is", "records are");
        text.push_str(&format!("{left} under way for the first time and left to that\n"));
    }
    text.push_str(&undone::text(planned, context));
    if one.dry_run {
        text.push_str("nothing was done: leave out --dry-run to do it\n");
        return text;
    }
    if one.detached {
        text.push_str("queued: the hosts that serve the pipeline do it, `sluicebox status` shows how far they are\n");
        return text;
    }
    text.push_str(&format!(
        "{} of silver and {} of gold changed, {}\n",
        counted(usize::try_from(one.rows_changed).unwrap_or(usize::MAX), "row", "rows"),
        counted(usize::try_from(one.gold_changed).unwrap_or(usize::MAX), "table", "tables"),
        counted(usize::try_from(one.requests).unwrap_or(usize::MAX), "request", "requests"),
    ));
    for reason in one.left.suspended.values().chain(one.left.tables_behind.values()) {
        text.push_str(&format!("{}\n", context.output.tone(Tone::Bad, reason)));
    }
    if !one.left.missing.is_nothing() || one.left.queued > 0 {
        let stopped = if one.left.suspended.is_empty() { "it was stopped" } else { "a stage is suspended" };
        let why = one.left.waiting_for.as_deref().unwrap_or(stopped);
        let queued = counted(usize::try_from(one.left.queued).unwrap_or(usize::MAX), "message", "messages");
        let what = format!("not done: {}, {queued} still queued, because {why}", one.left.missing);
        text.push_str(&context.output.tone(Tone::Bad, &what));
        text.push_str("\n  hint: nothing is lost; run the same command again to go on\n");
    }
    text
}
