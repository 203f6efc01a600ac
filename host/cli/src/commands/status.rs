//! `sluicebox status`: where each pipeline stands.
//!
//! Does not change what is in the lake, and does not need the pipeline to run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::lake::delta::LastCommit;
use engine::lake::swaps::Happened;
use engine::status::{Status, Watermark, status};
use serde_json::json;

use crate::commands::plugin::history::told;
use crate::compose::{Shared, compose_to_look};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs};

/// Show queue depth, counts per layer, plugin digests, the last tick and the quarantine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Shows the state of the pipelines.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut statuses = Vec::new();
    for file in &files {
        let service = compose_to_look(file, &shared, context).await?;
        statuses.push(status(&service).await?);
    }
    let document = json!({ "pipelines": statuses });
    context
        .output
        .report(&document, |_| statuses.iter().map(|status| text(status, context)).collect::<Vec<_>>().join("\n"))?;
    Ok(ExitCode::Success)
}

fn text(status: &Status, context: &Context) -> String {
    let tick = |tick: Option<String>| tick.unwrap_or_else(|| "none".to_owned());
    let last = tick(status.last_tick.map(|tick| tick.to_string()));
    let next = tick(status.next_tick.map(|tick| tick.to_string()));
    let mut text = format!("`{}`  last tick {last}, next {next}\n\n", status.pipeline);
    text.push_str(&format!("{}\n\n", queues(status, context)));
    text.push_str(&format!("{}\n\n", layers(status, context)));
    text.push_str(&plugins(status, context));
    for (stage, suspension) in &status.suspended {
        let what = format!(
            "\n\nstage `{stage}` is suspended since {}: `{}` {} failed on {} of {} records, allowed are {}",
            suspension.at.format("%Y-%m-%dT%H:%M:%SZ"),
            suspension.plugin.name,
            suspension.plugin.version,
            suspension.failed,
            suspension.records,
            suspension.suspend_above
        );
        text.push_str(&context.output.tone(Tone::Bad, &what));
        for sample in &suspension.samples {
            text.push_str(&format!("\n  {}: {} ({})", sample.code, sample.reason, sample.input));
        }
    }
    for (stage, event) in &status.swaps {
        let tone = match event.happened {
            Happened::Refused { .. } | Happened::RolledBack(_) => Tone::Bad,
            Happened::Compared { .. } => Tone::Notable,
            Happened::Promoted { .. } | Happened::Released => continue,
        };
        let what = format!("\n\nstage `{stage}`, {}: {}", ago(status.at, event.at), told(event));
        text.push_str(&context.output.tone(tone, &what));
    }
    text.push('\n');
    text
}

fn queues(status: &Status, context: &Context) -> String {
    let mut table = context.output.table(&["queue", "ready", "delayed", "in flight", "dead", "oldest"]);
    for (stage, queue) in &status.queues {
        let counts = [queue.ready, queue.delayed, queue.in_flight, queue.dead].map(|count| count.to_string());
        let oldest = queue.oldest.map_or("-".to_owned(), |oldest| ago(status.at, oldest));
        table.add_row(std::iter::once((*stage).to_owned()).chain(counts).chain([oldest]));
    }
    table.trim_fmt()
}

fn layers(status: &Status, context: &Context) -> String {
    let (bronze, silver) = (&status.bronze, &status.silver);
    let mut table = context.output.table(&["layer", "rows", "complete up to", "behind", "last commit", ""]);
    let objects = format!("{} objects of {} messages in {} ticks", bronze.objects, bronze.messages, bronze.ticks);
    let [up_to, behind] = far(&bronze.watermark);
    table.add_row(vec!["bronze".to_owned(), bronze.records.to_string(), up_to, behind, "-".to_owned(), objects]);
    let seen = format!(
        "of {} record versions {} stand, {} superseded, {} skipped, {} quarantined; {} objects not seen yet",
        silver.seen, silver.standing, silver.superseded, silver.skipped, silver.quarantined, silver.unseen_objects
    );
    let [up_to, behind] = far(&silver.watermark);
    let commit = commit(status.at, silver.last_commit.as_ref());
    table.add_row(vec!["silver".to_owned(), silver.rows.to_string(), up_to, behind, commit, seen]);
    for (name, gold) in &status.gold {
        let from =
            gold.silver_version.map_or("not made yet".to_owned(), |version| format!("from silver version {version}"));
        let [up_to, behind] = far(&gold.watermark);
        let commit = self::commit(status.at, Some(&gold.last_commit));
        table.add_row(vec![format!("gold {name}"), gold.rows.to_string(), up_to, behind, commit, from]);
    }
    for (stage, count) in &status.quarantine {
        let cell = context.output.tone(Tone::Notable, "quarantine");
        let none = String::new;
        table.add_row(vec![cell, count.to_string(), none(), none(), none(), format!("refused at {stage}")]);
    }
    table.trim_fmt()
}

/// The tick up to which a layer is complete, and what it is behind.
fn far(watermark: &Watermark) -> [String; 2] {
    let up_to = watermark.up_to.map_or("-".to_owned(), |tick| tick.to_string());
    let records = counted(watermark.behind(), "record", "records");
    let behind = match u64::try_from(watermark.behind_seconds) {
        Ok(seconds @ 1..) => format!("{records}, {}", humantime::format_duration(Duration::from_secs(seconds))),
        _ => records,
    };
    [up_to, behind]
}

fn commit(now: DateTime<Utc>, commit: Option<&LastCommit>) -> String {
    let Some(commit) = commit else { return "-".to_owned() };
    let at = commit.at.map(|at| format!(", {}", ago(now, at)));
    format!("version {}{}", commit.version, at.unwrap_or_default())
}

fn ago(now: DateTime<Utc>, then: DateTime<Utc>) -> String {
    let seconds = u64::try_from((now - then).num_seconds()).unwrap_or_default();
    format!("{} ago", humantime::format_duration(Duration::from_secs(seconds)))
}

fn plugins(status: &Status, context: &Context) -> String {
    let mut table = context.output.table(&["stage", "plugin", "version", "digest"]);
    for (stage, plugin) in &status.plugins {
        table.add_row(vec![stage, &plugin.name, &plugin.version, &plugin.digest]);
    }
    table.trim_fmt()
}
