//! `sluicebox resume`: a suspended stage continues unchanged.
//!
//! Does not work off what waits: a host that serves the pipeline does, or the next run.

use std::collections::BTreeSet;

use engine::roles::breaker::{self, Suspension};
use lake::Lake;
use lake::waiting::{self, Waiting};
use local::SystemClock;
use pipeline::problem::did_you_mean;
use seams::clock::Clock as _;
use serde_json::json;

use crate::compose::{Remote, lake};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::Tone;
use crate::pipelines::{self, PipelineFile, PipelineOption};

/// Lift the suspension of a stage, or end its wait, so that its work is tried again as it is
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Lifts the suspension of a stage, so that its plugin is tried again as it is. A host that serves the pipeline notices within \
seconds; without one, `sluicebox run --once` works off what waits.

A stage is suspended when its plugin fails on too many records, or when an aggregate fails. A new plugin, a new configuration, \
another endpoint or another secret lifts a suspension by itself: this command is for what the host cannot see.

A stage that waits for a service, a quota or a secret (`sluicebox status` shows it) is tried again at once as well.")]
pub(crate) struct Args {
    /// The stage: `enrich`, `clean`, or `aggregate NAME`
    #[arg(value_name = "STAGE", num_args = 1..=2, required_unless_present = "all", conflicts_with = "all")]
    stage: Vec<String>,

    /// Every stage that is suspended
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    pipeline: PipelineOption,
}

/// Lifts the suspensions that were asked for.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let asked = args.stage.join(" ");
    let (mut lifted, mut ended) = (Vec::new(), Vec::new());
    for file in pipelines::read(&args.pipeline.args())? {
        if !args.all {
            known(&file, &asked)?;
        }
        let lake = lake(&file, &Remote::default()).await?;
        let kept = breaker::suspensions(&lake).await?;
        let waits = waiting::all(&lake, SystemClock.now()).await?;
        let stages = kept.into_iter().map(|one| one.stage).chain(waits.iter().map(|wait| wait.stage.clone()));
        let stages: BTreeSet<String> = stages.collect();
        // All tables share one wait, but each table is suspended by itself.
        let is_asked = |stage: &str| stage == asked || (stage == "aggregate" && asked.starts_with("aggregate "));
        let chosen: Vec<&String> = stages.iter().filter(|stage| args.all || is_asked(stage)).collect();
        if chosen.is_empty() {
            return Err(nothing(&asked, &stages).into());
        }
        lifted.extend(lift(&lake, &chosen).await?);
        for stage in chosen.iter().filter(|stage| waits.iter().any(|wait| wait.stage == ***stage)) {
            ended.extend(waiting::end(&lake, stage).await?);
        }
    }
    let document = json!({ "lifted": lifted, "ended_waits": ended });
    context.output.report(&document, |_| text(&lifted, &ended, context))?;
    Ok(ExitCode::Success)
}

async fn lift(lake: &Lake, stages: &[&String]) -> anyhow::Result<Vec<Suspension>> {
    let mut lifted = Vec::new();
    for stage in stages {
        lifted.extend(breaker::lift(lake, stage).await?);
    }
    Ok(lifted)
}

/// Refuses a stage that the pipeline does not have.
fn known(file: &PipelineFile, asked: &str) -> Result<(), Failure> {
    let stages: Vec<String> = file.plan.stages().map(|(stage, _)| stage).collect();
    let has_tables = stages.iter().any(|stage| stage.starts_with("aggregate "));
    if stages.iter().any(|stage| stage == asked) || (asked == "aggregate" && has_tables) {
        return Ok(());
    }
    let all = stages.iter().map(|stage| format!("`{stage}`")).collect::<Vec<_>>().join(", ");
    let hint = did_you_mean(asked, stages.iter().map(String::as_str)).unwrap_or(format!("its stages are {all}"));
    let message = format!("pipeline `{}` has no stage `{asked}` with a plugin", file.plan.name);
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

fn nothing(asked: &str, suspended: &BTreeSet<String>) -> Failure {
    let message =
        if asked.is_empty() { "no stage is suspended".to_owned() } else { format!("stage `{asked}` is not suspended") };
    let others: Vec<String> = suspended.iter().map(|stage| format!("`sluicebox resume {stage}`")).collect();
    let hint = match others.as_slice() {
        [] => "no stage is suspended; `sluicebox status` shows where the pipeline stands".to_owned(),
        others => format!("what is suspended goes on with {}", others.join(" or ")),
    };
    Failure::new(ExitCode::Wrong, message).hint(hint)
}

fn text(lifted: &[Suspension], ended: &[Waiting], context: &Context) -> String {
    let mut text = String::new();
    for wait in ended {
        let good = context.output.tone(Tone::Good, "ended");
        text.push_str(&format!("{good}: stage `{}` waited: {}\n", wait.stage, wait.reason));
    }
    let mut said = BTreeSet::new();
    for one in lifted.iter().rev().filter(|one| said.insert(one.stage.as_str())) {
        let good = context.output.tone(Tone::Good, "lifted");
        let since = one.at.format("%Y-%m-%dT%H:%M:%SZ");
        let sample = one.samples.first().map(|sample| format!(", for instance: {}", sample.reason)).unwrap_or_default();
        text.push_str(&format!("{good}: stage `{}` was suspended since {since}{sample}\n", one.stage));
    }
    text.push_str(
        "  hint: a host that serves the pipeline goes on within seconds; without one, `sluicebox run --once` does\n",
    );
    text
}
