//! `sluicebox plugin history` and `rollback`: which plugins have served a stage, what became of those that were published, and the way
//! back to an earlier one.
//!
//! Does not switch anything itself: it notes a decision in the lake, and every host that serves the pipeline follows it.

use chrono::{DateTime, Utc};
use engine::lake::generations::{Generation, Generations};
use engine::lake::swaps::{self, Event, Happened, Held, Initiator, Version};
use engine::lake::{Lake, components};
use engine::seams::clock::Clock as _;
use local::SystemClock;
use serde::Serialize;
use serde_json::json;

use crate::compose::{Remote, lake};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::load::found_for;
use crate::output::Tone;
use crate::pipelines::{self, PipelineArgs, PipelineFile, PipelineOption};

/// Show which plugins have served each stage, and what became of those that were published
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// Let an earlier plugin serve a stage again
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Lets an earlier plugin serve a stage again: the one before the one that serves, or the one that --to names. Hosts that serve the \
pipeline follow within seconds, between two batches.

It holds for as long as `pipeline.toml` names the plugin and configuration that were taken back: what is published next serves as \
ever. What the plugin has made meanwhile stays as it is: `sluicebox replay --stale` makes it again.")]
pub(crate) struct RollbackArgs {
    /// The stage: `enrich`, `clean`, or the name of an aggregate
    stage: String,
    /// The generation that shall serve, as `plugin history` lists it [default: the one before]
    #[arg(long, value_name = "GENERATION", conflicts_with = "undo")]
    to: Option<u32>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "taken back by hand")]
    reason: String,
    /// Let the plugin that pipeline.toml names serve again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    pipeline: PipelineOption,
}

/// A stage's history.
#[derive(Debug, Serialize)]
struct StageHistory {
    pipeline: String,
    stage: String,
    /// The digest that serves now; none if the file cannot be read.
    serves: Option<String>,
    generations: Vec<Dated>,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Dated {
    since: Option<DateTime<Utc>>,
    #[serde(flatten)]
    generation: Generation,
}

/// Shows the histories of all stages.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let (mut stages, remote) = (Vec::new(), Remote::default());
    for file in pipelines::read(&args.pipeline)? {
        let lake = lake(&file, &remote).await?;
        for (stage, _) in file.plan.stages() {
            stages.push(history(&file, &lake, stage, &remote).await?);
        }
    }
    context.output.report(&json!({ "stages": stages }), |_| {
        stages.iter().map(|stage| text(stage, context)).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(ExitCode::Success)
}

/// Takes a plugin back, or lets it serve again.
pub(crate) async fn rollback(args: RollbackArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let Some(file) = pipelines::read(&args.pipeline.args())?.pop() else { return Ok(ExitCode::Usage) };
    let remote = Remote::default();
    let lake = lake(&file, &remote).await?;
    let stage = stage_of(&file, &args.stage)?;
    let at = SystemClock.now();
    if args.undo {
        let published = found_for(&file, &stage, None, &remote).await?.version();
        let decisions = swaps::decisions(&lake, &stage).await?;
        if swaps::held(&decisions, &published.plugin.digest, &published.config).is_none() {
            return Err(Failure::new(ExitCode::Usage, format!("the plugin of `{stage}` was not taken back")).into());
        }
        swaps::tell(&lake, &stage, &published, Happened::Released, at).await?;
        context.output.notice(&format!("`{}` may serve `{stage}` again", published.plugin.digest))?;
        return Ok(ExitCode::Success);
    }
    let serves = found_for(&file, &stage, Some(&lake), &remote).await?.version();
    let generations = Generations::of(&lake, &stage).all().await?;
    let back = earlier(&generations, &serves, args.to, &stage)?;
    if components::get(&lake, &back.plugin.digest).await?.is_none() {
        anyhow::bail!("the component {} is not in the lake any more", back.plugin.digest);
    }
    let version = Version { plugin: back.plugin.clone(), config: back.config.clone() };
    let held = Held { version, reason: args.reason, by: Initiator::Person };
    let known = generations.iter().rev().find(|one| one.plugin.digest == serves.plugin.digest);
    let taken = Version { plugin: known.map_or(serves.plugin, |one| one.plugin.clone()), config: serves.config };
    swaps::tell(&lake, &stage, &taken, Happened::RolledBack(held), at).await?;
    let done = json!({ "stage": stage, "taken_back": taken.plugin, "serves": back.plugin, "generation": back.number });
    context.output.report(&done, |_| {
        format!(
            "`{stage}` is served by {} {} (generation {}) in place of {} {}\n  hint: `sluicebox replay --stale` makes again what the other has made",
            back.plugin.name, back.plugin.version, back.number, taken.plugin.name, taken.plugin.version
        )
    })?;
    Ok(ExitCode::Success)
}

/// The generation to go back to.
fn earlier<'a>(
    generations: &'a [Generation],
    serves: &Version,
    to: Option<u32>,
    stage: &str,
) -> Result<&'a Generation, Failure> {
    let differs = |one: &&Generation| one.plugin.digest != serves.plugin.digest || one.config != serves.config;
    let hint = "`sluicebox plugin history` lists what has served";
    match to {
        None => generations.iter().rev().find(differs).ok_or_else(|| {
            Failure::new(ExitCode::Usage, format!("no other plugin has served `{stage}` before")).hint(hint)
        }),
        Some(number) => match generations.iter().find(|one| one.number == number) {
            Some(one) if differs(&one) => Ok(one),
            Some(_) => Err(Failure::new(ExitCode::Usage, format!("generation {number} of `{stage}` serves already"))),
            None => Err(Failure::new(ExitCode::Usage, format!("`{stage}` has no generation {number}")).hint(hint)),
        },
    }
}

async fn history(file: &PipelineFile, lake: &Lake, stage: String, remote: &Remote) -> anyhow::Result<StageHistory> {
    let history = Generations::of(lake, &stage);
    let mut dated = Vec::new();
    for generation in history.all().await? {
        let since = history.since(generation.number).await?;
        dated.push(Dated { since, generation });
    }
    let serves = found_for(file, &stage, Some(lake), remote).await.ok().map(|found| found.version().plugin.digest);
    let events = swaps::events(lake, &stage).await?;
    Ok(StageHistory { pipeline: file.plan.name.clone(), stage, serves, generations: dated, events })
}

fn stage_of(file: &PipelineFile, name: &str) -> Result<String, Failure> {
    let names: Vec<String> = file.plan.stages().map(|(name, _)| name).collect();
    let found = names.iter().find(|stage| *stage == name || stage.strip_prefix("aggregate ") == Some(name));
    found.cloned().ok_or_else(|| {
        let message = format!("pipeline `{}` has no stage `{name}` with a plugin", file.plan.name);
        Failure::new(ExitCode::Usage, message).hint(format!("its stages are {}", names.join(", ")))
    })
}

fn text(stage: &StageHistory, context: &Context) -> String {
    let mut text = format!("`{}`  stage {}\n\n", stage.pipeline, stage.stage);
    if stage.generations.is_empty() {
        text.push_str("no plugin has made anything yet");
    } else {
        let mut table = context.output.table(&["generation", "since", "plugin", "version", "digest", ""]);
        for Dated { since, generation } in &stage.generations {
            let since = since.map_or("-".to_owned(), instant);
            let last = stage.generations.last().is_some_and(|last| last.generation.number == generation.number);
            let serves = stage.serves.as_deref() == Some(&generation.plugin.digest) && last;
            let plugin = &generation.plugin;
            let mark = if serves { context.output.tone(Tone::Good, "serves") } else { String::new() };
            let number = generation.number.to_string();
            table.add_row(vec![&number, &since, &plugin.name, &plugin.version, &plugin.digest, &mark]);
        }
        text.push_str(&table.trim_fmt());
    }
    for event in &stage.events {
        text.push_str(&format!("\n  {}  {}", instant(event.at), told(event)));
    }
    text
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An event in a line.
pub(crate) fn told(event: &Event) -> String {
    let digest: String = event.version.plugin.digest.chars().take("sha256:".len() + 12).collect();
    let plugin = match event.version.plugin.name.as_str() {
        "?" => digest,
        name => format!("{name} {} {digest}", event.version.plugin.version),
    };
    match &event.happened {
        Happened::Refused { code, reason } => {
            let code = code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
            format!("{plugin} was not let in{code}: {reason}")
        }
        Happened::Compared { how } => format!("{plugin} is compared {how}"),
        Happened::Promoted { summary } if summary.is_empty() => format!("{plugin} took over"),
        Happened::Promoted { summary } => format!("{plugin} took over: {summary}"),
        Happened::RolledBack(held) => {
            let by = match held.by {
                Initiator::Host => "by itself",
                Initiator::Person => "by hand",
            };
            let to = &held.version.plugin;
            format!("{plugin} was taken back {by}, {} {} serves: {}", to.name, to.version, held.reason)
        }
        Happened::Released => format!("{plugin} may serve again"),
    }
}
