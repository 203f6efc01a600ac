//! `sluicebox doctor`: whether a pipeline has all that it needs where it is: source, secrets, and in AWS its queues and buckets, with what
//! to do about each thing that is missing.
//!
//! Does not mend anything. Of AWS `aws::doctor` does the looking.

use aws::deploy::{Deployment, Mode};
use aws::doctor::{Check, Finding, examine};
use engine::pipeline::plan::{Location, Plan};
use serde_json::json;

use super::deploy::ModeName;
use crate::compose::{Shared, secrets, source};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::hint_of;
use crate::load::{Loading, load};
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs, PipelineFile};

/// See whether a pipeline has all that it needs where it is, and what to do about what is missing
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Looks whether a pipeline has all that it needs where it is: plugins that load, its source, its secrets, and of a pipeline in AWS the clock, queues, \
dead letters, buckets, notifications, and leave to use them. Nothing is changed: what is only allowed or refused is asked with calls that do nothing.

Look as the role that the pipeline runs as to see what that may do. Exits with 1 if something is not as it has to be.")]
pub(crate) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,

    /// What the roles run as in AWS
    #[arg(long, value_enum, default_value_t = ModeName::Lambda)]
    mode: ModeName,
}

/// Looks.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    pipelines::warn(&files, context)?;
    let shared = Shared::new(&files, context)?;
    let mut examined = Vec::new();
    for file in &files {
        let mut checks = here(file, &shared, context).await;
        if is_in_aws(&file.plan) {
            checks.extend(in_aws(file, &shared, args.mode.mode()).await?);
        }
        examined.push((file, checks));
    }
    let told: Vec<_> =
        examined.iter().map(|(file, checks)| json!({ "name": file.plan.name, "checks": checks })).collect();
    context.output.report(&json!({ "pipelines": told }), |_| {
        examined.iter().map(|(file, checks)| text(file, checks, context)).collect::<Vec<_>>().join("\n")
    })?;
    let is_well = examined.iter().all(|(_, checks)| checks.iter().all(|check| check.finding.is_none()));
    Ok(if is_well { ExitCode::Success } else { ExitCode::Wrong })
}

/// What can be looked at wherever the pipeline is.
async fn here(file: &PipelineFile, shared: &Shared, context: &Context) -> Vec<Check> {
    let loaded = load(Loading::by_files(file, shared))
        .await
        .map(drop)
        .map_err(|error| finding(&error, "correct it until `sluicebox check` is content"));
    let mut checks = vec![Check::new("plugins", "load, and fit each other", loaded)];
    let found = async { anyhow::Ok(source(file, shared).await?.read().await.map(drop)?) };
    let found = found.await.map_err(|error| finding(&error, "correct `source.uri`, or put the source there"));
    checks.push(Check::new("source", "can be read", found));
    let places = secrets(file, shared, context);
    for (name, reference) in &file.plan.secrets {
        let got = places.get(reference).await.map(drop).map_err(|error| {
            let fix = "put it there, or let whoever runs the pipeline read it";
            finding(&error.into(), fix)
        });
        checks.push(Check::new(format!("secret {name}"), "can be read", got));
    }
    checks
}

/// What an error says, and its own hint if it has one.
fn finding(error: &anyhow::Error, fix: &str) -> Finding {
    let text = format!("{error:#}");
    let (text, hint) = text.split_once("\nhint: ").map_or((text.as_str(), None), |(text, hint)| (text, Some(hint)));
    let fix = hint
        .map(str::to_owned)
        .or_else(|| hint_of(error).map(|hint| hint.to_string()))
        .unwrap_or_else(|| fix.to_owned());
    Finding::new(text, fix)
}

fn is_in_aws(plan: &Plan) -> bool {
    let layers = [&plan.lake.bronze, &plan.lake.silver, &plan.lake.gold];
    plan.queue.url.is_some() || layers.into_iter().any(|layer| matches!(layer, Location::Remote(_)))
}

async fn in_aws(file: &PipelineFile, shared: &Shared, mode: Mode) -> anyhow::Result<Vec<Check>> {
    let deployment = match Deployment::of(&file.plan, mode) {
        Ok(deployment) => deployment,
        Err(objections) => {
            let told = objections.into_iter().map(|objection| {
                let fix = objection.hint.unwrap_or_else(|| "see `sluicebox deploy cloudformation`".to_owned());
                Check::new(objection.about, "is in AWS", Err(Finding::new(objection.message, fix)))
            });
            return Ok(told.collect());
        }
    };
    let cloud = shared.remote.cloud().await?;
    Ok(examine(cloud, &deployment, mode, || shared.clock().now().timestamp()).await)
}

fn text(file: &PipelineFile, checks: &[Check], context: &Context) -> String {
    let output = &context.output;
    let mut text = format!("`{}`\n", file.plan.name);
    for check in checks {
        let word = match &check.finding {
            None => output.tone(Tone::Good, "ok"),
            Some(_) => output.tone(Tone::Bad, "no"),
        };
        text.push_str(&format!("  {word}  {} {}\n", check.about, check.promise));
        if let Some(Finding { found, fix }) = &check.finding {
            text.push_str(&format!("      found: {}\n      fix: {fix}\n", found.replace('\n', "\n      ")));
        }
    }
    let wrong = checks.iter().filter(|check| check.finding.is_some()).count();
    let verdict = match wrong {
        0 => output.tone(Tone::Good, "all is as it has to be"),
        count => output.tone(Tone::Bad, &format!("{} not as they have to be", counted(count, "thing", "things"))),
    };
    text.push_str(&format!("{verdict}\n"));
    text
}
