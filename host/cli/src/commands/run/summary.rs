//! The result of a tick: where its records are, and what the lake holds now.
//!
//! Does not count by itself: it shows the engine's status.

use engine::drivers::service::{Ended, Left, Service};
use engine::progress::Progress;
use engine::stale::{Stale, stale};
use pipeline::plan::AtMost;
use proof::status::{Status, status};
use serde::Serialize;

use super::refused::Refusals;
use super::remarks::Asked;
use crate::context::Context;
use crate::output::{Tone, counted};
use crate::pipelines::PipelineFile;

/// The end of one pipeline's run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The pipeline.
    pub(crate) pipeline: String,
    #[serde(flatten)]
    ended: Ended,
    /// The records of this tick in quarantine.
    quarantine: Refusals,
    /// Outgoing requests of this run.
    requests: u64,
    /// The content of the lake, all ticks together.
    #[serde(serialize_with = "whole")]
    lake: Status,
    /// Where Gold is.
    gold_at: String,
    /// The rows that today's plugins might make differently.
    stale: Stale,
    #[serde(skip)]
    asked: Asked,
}

impl Summary {
    /// Reads the summary after a run.
    pub(crate) async fn of(
        file: &PipelineFile,
        service: &Service,
        ended: Ended,
        at_most: AtMost,
    ) -> anyhow::Result<Self> {
        let quarantine = Refusals::of(service, ended.fired.tick, ended.fired.records, at_most).await?;
        Ok(Summary {
            quarantine,
            pipeline: file.plan.name.clone(),
            ended,
            requests: Progress::get(&service.progress.requests),
            lake: status(service).await?,
            gold_at: file.plan.lake.gold.to_string(),
            stale: stale(service).await?,
            asked: Asked::of(file),
        })
    }
}

impl Summary {
    /// Whether more of the tick is in quarantine than allowed.
    pub(crate) fn refused_too_much(&self) -> bool {
        self.quarantine.exceeded()
    }
}

fn whole<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    status.document().serialize(serializer)
}

/// Summaries for people.
pub(crate) fn text(summaries: &[Summary], context: &Context) -> String {
    summaries.iter().map(|summary| one(summary, context)).collect::<Vec<_>>().join("\n")
}

fn one(summary: &Summary, context: &Context) -> String {
    let (fired, lake) = (&summary.ended.fired, &summary.lake);
    let mut text = format!(
        "`{}` tick {}: {} in {}, {}\n",
        summary.pipeline,
        fired.tick,
        summary.asked.taken(fired),
        counted(fired.messages, "message", "messages"),
        counted(usize::try_from(summary.requests).unwrap_or(usize::MAX), "request", "requests"),
    );
    for (tone, remark) in summary.asked.remarks(fired, &summary.stale) {
        text.push_str(&format!("{}\n", context.output.tone(tone, &remark)));
    }
    let mut table = context.output.table(&["layer", "holds", ""]);
    let silver = &lake.silver;
    let (there, taken) = (lake.bronze.watermark.done, lake.bronze.records);
    let bronze = format!(
        "{} of {}",
        counted(lake.bronze.objects, "object", "objects"),
        counted(lake.bronze.messages, "message", "messages")
    );
    let bronze = if there < taken { format!("of {taken} taken; {bronze}") } else { bronze };
    table.add_row(vec!["bronze".to_owned(), counted(there, "record", "records"), bronze]);
    let rest = format!("version {}; {} skipped, {} quarantined", silver.version, silver.skipped, silver.quarantined);
    table.add_row(vec![
        "silver".to_owned(),
        counted(usize::try_from(silver.rows).unwrap_or(usize::MAX), "row", "rows"),
        rest,
    ]);
    for (name, gold) in &lake.gold {
        let place = format!("{}/{name}.csv", summary.gold_at.trim_end_matches('/'));
        table.add_row(vec![format!("gold {name}"), counted(gold.rows, "row", "rows"), place]);
    }
    text.push_str(&table.trim_fmt());
    for (stage, count) in &lake.quarantine {
        let refused = format!("\n{} refused at {stage}", counted(*count, "record", "records"));
        text.push_str(&context.output.tone(Tone::Notable, &refused));
    }
    if !lake.quarantine.is_empty() {
        text.push_str("\n  hint: `sluicebox quarantine ls` says why");
    }
    text.push_str(&summary.quarantine.text(context));
    let left = &summary.ended.left;
    if !left.missing.is_nothing() || left.queued > 0 {
        text.push_str(&unfinished(left, context));
    }
    for reason in left.suspended.values().chain(left.tables_behind.values()) {
        let (what, hint) = reason.split_once('\n').unwrap_or((reason, ""));
        text.push_str(&format!("\n{}\n  {hint}", context.output.tone(Tone::Bad, what)));
    }
    text
}

fn unfinished(left: &Left, context: &Context) -> String {
    let missing = &left.missing;
    let suspended = || if left.suspended.is_empty() { "it was stopped" } else { "a stage is suspended" };
    let why = left.waiting_for.as_deref().unwrap_or_else(suspended);
    let text = format!(
        "\nnot done: {} in {} without a Bronze object, {} not cleaned, {} behind Silver, {} still queued, because {why}",
        counted(missing.records, "record", "records"),
        counted(missing.messages, "message", "messages"),
        counted(missing.objects, "object", "objects"),
        counted(missing.tables, "table", "tables"),
        counted(usize::try_from(left.queued).unwrap_or(usize::MAX), "message", "messages"),
    );
    let text = context.output.tone(Tone::Bad, &text);
    if left.suspended.is_empty() && !left.outages.is_empty() {
        format!(
            "{text}\n  hint: nothing is lost, and nothing was refused for it; when the service answers again, run the same command again: it goes on where this one stopped"
        )
    } else if left.suspended.is_empty() {
        format!("{text}\n  hint: nothing is lost; run the same command again to go on")
    } else {
        text
    }
}
