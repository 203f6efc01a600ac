//! `sluicebox status`: the state of each pipeline.
//!
//! Does not change the lake, and does not need a running pipeline.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::delta::LastCommit;
use lake::swaps::Happened;
use proof::status::{Status, Watermark, status};
use records::keys::Tick;
use seams::foreign::{inert, inert_lines};
use serde_json::json;

use crate::commands::plugin::history::told;
use crate::compose::{Shared, look};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::plain;
use crate::output::{Tone, counted, short_digest};
use crate::pipelines::{self, PipelineArgs};
use crate::serves::Serves;

/// Show queue depth, counts per layer, plugin digests, the last tick and the quarantine
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Shows queue depth, counts per layer, plugin digests, the last tick and the quarantine. It only looks: the source need not be there, and nothing \
is made, changed or locked.

What cannot be read is marked, with the reason, and the rest is shown. Exits with 0 if all could be read, else with 3.")]
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
        let looked = look(file, &shared, context).await?;
        let mut status = status(&looked.service).await?;
        let serves = Serves::all(&looked).await;
        for (stage, serves) in &serves {
            match &serves.version {
                Some(version) => drop(status.plugins.insert(stage.clone(), version.plugin.clone())),
                None => drop(status.plugins.remove(stage)),
            }
        }
        for ignored in &looked.ignored {
            let word = Tone::Bad.paint(context.output.stderr_color(), "warning:");
            context.output.notice(&format!("{word} {}\n  hint: {}", ignored.text(), ignored.hint))?;
        }
        for (stage, why) in looked.absent {
            status.unreadable.insert(format!("plugin {stage}"), why);
        }
        statuses.push((status, serves));
    }
    let documents: Vec<_> = statuses.iter().map(|(status, _)| status.document()).collect();
    context.output.report(&json!({ "pipelines": documents }), |_| {
        statuses.iter().map(|(status, serves)| text(status, serves, context)).collect::<Vec<_>>().join("\n")
    })?;
    let whole = statuses.iter().all(|(status, _)| status.unreadable.is_empty());
    Ok(if whole { ExitCode::Success } else { ExitCode::Unavailable })
}

fn text(status: &Status, serves: &BTreeMap<String, Serves>, context: &Context) -> String {
    let tick = |tick: Option<String>| tick.unwrap_or_else(|| "none".to_owned());
    let last = tick(status.last_tick.map(|tick| tick.to_string()));
    let next = tick(status.next_tick.map(|tick| tick.to_string()));
    let mut text = format!("`{}`  last tick {last}, next {next}\n\n", status.pipeline);
    for tick in &status.future_ticks {
        text.push_str(&format!("{}\n\n", context.output.tone(Tone::Bad, &in_the_future(*tick))));
    }
    text.push_str(&format!("{}\n\n", queues(status, context)));
    text.push_str(&format!("{}\n\n", layers(status, context)));
    text.push_str(&plugins(status, serves, context));
    for (part, why) in &status.unreadable {
        let what = format!("\n\n{} cannot be read: {}", named(part), plain(why).replace('\n', "\n  "));
        text.push_str(&context.output.tone(Tone::Bad, &what));
    }
    for (stage, suspension) in &status.suspended {
        let since = suspension.at.format("%Y-%m-%dT%H:%M:%SZ");
        let plugin = format!("`{}` {}", suspension.plugin.name, suspension.plugin.version);
        let what = match suspension.records {
            0 => match &suspension.behind {
                Some(behind) => format!("{plugin} failed, its table is behind since silver version {}", behind.since),
                None => format!("{plugin} failed"),
            },
            records => format!(
                "{plugin} failed on {} of {records} records, allowed are {}",
                suspension.failed, suspension.suspend_above
            ),
        };
        let what = format!("\n\nstage `{stage}` is suspended since {since}: {what}");
        text.push_str(&context.output.tone(Tone::Bad, &what));
        for sample in &suspension.samples {
            let reason = [sample.code.as_str(), &sample.reason].into_iter().filter(|part| !part.is_empty());
            text.push_str(&format!("\n  {} ({})", reason.collect::<Vec<_>>().join(": "), sample.input));
        }
        text.push_str(&format!(
            "\n  hint: mended, it goes on by itself; `sluicebox resume {stage}` has it tried again as it is"
        ));
    }
    for wait in &status.waiting {
        let instant = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ");
        let what = format!(
            "\n\nstage `{}` waits since {} until {}: {}",
            wait.stage,
            instant(wait.since),
            instant(wait.until),
            wait.reason.replace('\n', "\n  ")
        );
        text.push_str(&context.output.tone(Tone::Notable, &what));
        text.push_str(&format!("\n  hint: `sluicebox resume {}` has it tried again at once", wait.stage));
    }
    for (stage, event) in &status.swaps {
        let tone = match event.happened {
            Happened::Refused { .. } | Happened::RolledBack(_) => Tone::Bad,
            Happened::Compared { .. } => Tone::Notable,
            Happened::Promoted { .. } | Happened::Released => continue,
        };
        let what = format!("\n\nstage `{stage}`, {}: {}", ago(status.at, event.at), told(event));
        text.push_str(&context.output.tone(tone, &inert_lines(&what)));
    }
    text.push('\n');
    text
}

/// A part of the status as people call it.
fn named(part: &str) -> String {
    match part.split_once(' ') {
        Some(("queue", stage)) => format!("the queue of `{stage}`"),
        Some(("plugin", stage)) => format!("the plugin of `{stage}`"),
        Some(("gold", table)) => format!("the gold table `{table}`"),
        _ if part == "suspended" => "whether a stage is suspended".to_owned(),
        _ if part == "waiting" => "what stages wait for".to_owned(),
        _ if part == "swaps" => "what became of published plugins".to_owned(),
        _ => part.to_owned(),
    }
}

/// Shown in place of a number that could not be read.
const UNKNOWN: &str = "?";

/// What a tick of the future means, and what helps.
pub(crate) fn in_the_future(tick: Tick) -> String {
    format!(
        "tick {tick} is in the lake and still to come: until then, what other ticks bring of its records counts as older\n  hint: `sluicebox reset --run {tick}` takes back what it brought"
    )
}

fn queues(status: &Status, context: &Context) -> String {
    let mut table = context.output.table(&["queue", "ready", "delayed", "in flight", "dead", "oldest"]);
    for (stage, queue) in &status.queues {
        let counts = [queue.ready, queue.delayed, queue.in_flight, queue.dead].map(|count| count.to_string());
        let oldest = queue.oldest.map_or("-".to_owned(), |oldest| ago(status.at, oldest));
        table.add_row(std::iter::once((*stage).to_owned()).chain(counts).chain([oldest]));
    }
    for stage in status.unreadable.keys().filter_map(|part| part.strip_prefix("queue ")) {
        table.add_row(std::iter::once(stage).chain([UNKNOWN; 5]));
    }
    table.trim_fmt()
}

fn layers(status: &Status, context: &Context) -> String {
    let (bronze, silver) = (&status.bronze, &status.silver);
    let mut table = context.output.table(&["layer", "rows", "complete up to", "behind", "last commit", ""]);
    let objects = format!("{} objects of {} messages in {} ticks", bronze.objects, bronze.messages, bronze.ticks);
    let [up_to, behind] = far(&bronze.watermark);
    let unknown =
        |layer: &str| [layer, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, "cannot be read"].map(str::to_owned).to_vec();
    let row = vec!["bronze".to_owned(), bronze.watermark.done.to_string(), up_to, behind, "-".to_owned(), objects];
    table.add_row(if status.why_not("bronze").is_some() { unknown("bronze") } else { row });
    let seen = format!(
        "of {} record versions {} stand, {} superseded, {} skipped, {} quarantined; {} objects not seen yet",
        silver.seen, silver.standing, silver.superseded, silver.skipped, silver.quarantined, silver.unseen_objects
    );
    let [up_to, behind] = far(&silver.watermark);
    let commit = commit(status.at, silver.last_commit.as_ref());
    let row = vec!["silver".to_owned(), silver.rows.to_string(), up_to, behind, commit, seen];
    table.add_row(if status.why_not("silver").is_some() { unknown("silver") } else { row });
    for (name, gold) in &status.gold {
        let from = match (gold.silver_version, gold.behind_since) {
            (None, None) => "not made yet".to_owned(),
            (Some(version), _) if gold.other_silver => {
                format!("from version {version} of a silver that is gone: `sluicebox run` makes it again")
            }
            (Some(version), None) => format!("from silver version {version}"),
            (Some(version), Some(since)) => format!("from silver version {version}, behind since version {since}"),
            (None, Some(since)) => format!("not made yet, behind since silver version {since}"),
        };
        let [up_to, behind] = far(&gold.watermark);
        let commit = self::commit(status.at, Some(&gold.last_commit));
        table.add_row(vec![format!("gold {name}"), gold.rows.to_string(), up_to, behind, commit, from]);
    }
    for part in status.unreadable.keys().filter(|part| part.starts_with("gold ") || *part == "quarantine") {
        table.add_row(unknown(part));
    }
    for (stage, count) in &status.quarantine {
        let cell = context.output.tone(Tone::Notable, "quarantine");
        let none = String::new;
        table.add_row(vec![cell, count.to_string(), none(), none(), none(), format!("refused at {stage}")]);
    }
    table.trim_fmt()
}

/// The tick up to which a layer is complete, and what it still lacks.
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

fn plugins(status: &Status, serves: &BTreeMap<String, Serves>, context: &Context) -> String {
    let mut table = context.output.table(&["stage", "plugin", "version", "digest", ""]);
    for (stage, plugin) in &status.plugins {
        let note = serves.get(stage).map(Serves::note).unwrap_or_default();
        table.add_row(vec![
            stage,
            &*inert(&plugin.name),
            &*inert(&plugin.version),
            short_digest(&plugin.digest),
            &note,
        ]);
    }
    let absent = status.unreadable.keys().filter_map(|part| part.strip_prefix("plugin "));
    for stage in absent.filter(|stage| !status.plugins.contains_key(*stage)) {
        table.add_row(vec![stage, UNKNOWN, UNKNOWN, UNKNOWN, "cannot be loaded"]);
    }
    table.trim_fmt()
}
