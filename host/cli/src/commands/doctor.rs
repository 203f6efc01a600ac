//! `sluicebox doctor`: whether a pipeline has all that it needs where it is: source, secrets, and in AWS its queues and buckets, with what
//! to do about each thing that is missing.
//!
//! Does not repair anything. For AWS `aws::doctor` does the looking.

use aws::doctor::{self, Check, Finding};
use deploy::{Deployment, Layout};
use lake::bronze;
use records::keys::Tick;
use serde_json::json;

use super::deploy::Built;
use crate::compose::{Shared, look_at_lake};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::in_aws::is_in_aws;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs, PipelineFile};
use crate::preflight::{Reach, Wrong, examine};

/// See whether a pipeline has all that it needs where it is, and what to do about what is missing
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Looks whether a pipeline has all that it needs where it is: plugins that load, its source, its secrets, and of a pipeline in AWS the clock, queues, \
dead letters, buckets, notifications, and leave to use them. Nothing is changed: what is only allowed or refused is asked with calls that do nothing.

Look as the role that the pipeline runs as to see what that may do. Exits with 1 if something is not as it has to be.")]
pub(crate) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,

    #[command(flatten)]
    built: Built,
}

/// Checks the pipelines.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    pipelines::warn(&files, context)?;
    pipelines::refuse_shared(&files)?;
    let shared = Shared::new(&files, context)?;
    let mut examined = Vec::new();
    for file in &files {
        let mut checks = here(file, &shared, context).await;
        if is_in_aws(&file.plan) {
            checks.extend(in_aws(file, &shared, args.built.layout()).await?);
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

/// The checks that are possible wherever the pipeline is: all that `check` does, and those that need a call.
async fn here(file: &PipelineFile, shared: &Shared, context: &Context) -> Vec<Check> {
    let examined = examine(file, shared, context, Reach::Anywhere).await;
    let checks = examined.looked.into_iter().map(|looked| {
        // A run would wait for a secret; a column that may be missing is only a note.
        let (mut wrong, notes) = (looked.wrong, looked.notes);
        let mut about = looked.about;
        if about.starts_with("secret ") {
            wrong.extend(notes);
        } else if let Some(note) = notes.first() {
            about = format!("{about} ({})", note.message.replace('\n', " "));
        }
        let found = wrong.iter().map(|one| told(one, &about)).collect::<Vec<_>>().join("\n");
        let fix: Vec<String> = wrong.into_iter().filter_map(|one| one.hint).collect();
        let fix =
            if fix.is_empty() { "correct it until `sluicebox check` is content".to_owned() } else { fix.join("\n") };
        let finding = if found.is_empty() { Ok(()) } else { Err(Finding::new(found, fix)) };
        Check::new(about, looked.promise, finding)
    });
    let mut checks: Vec<Check> = checks.collect();
    checks.push(Check::new("ticks", "none is in the future", ticks(file, shared).await));
    checks
}

/// What is wrong, with its place if the check does not name it.
fn told(wrong: &Wrong, about: &str) -> String {
    let code = wrong.code.map(|code| format!("[{code}] ")).unwrap_or_default();
    let place = if wrong.place == about { String::new() } else { format!("{}: ", wrong.place) };
    format!("{code}{place}{}", wrong.message)
}

/// Whether the lake holds a tick of the future. Another check reports a lake that cannot be read.
async fn ticks(file: &PipelineFile, shared: &Shared) -> Result<(), Finding> {
    let lake = look_at_lake(file, &shared.remote).await;
    let now = Tick::at(shared.clock().now());
    let ticks = bronze::ticks(&lake).await.unwrap_or_default();
    match ticks.into_iter().find(|tick| *tick > now) {
        None => Ok(()),
        Some(tick) => {
            let found =
                format!("tick {tick} is in the lake and still to come: until then, what others bring counts as older");
            Err(Finding::new(
                found,
                format!("take it back with `sluicebox reset --run {tick}`, and set the clock right"),
            ))
        }
    }
}

/// Places outside AWS are reported, and all else is checked.
async fn in_aws(file: &PipelineFile, shared: &Shared, layout: Layout) -> anyhow::Result<Vec<Check>> {
    let (deployment, objections) = Deployment::look(&file.plan, layout);
    let told = objections.into_iter().map(|objection| {
        let fix = objection.hint.unwrap_or_else(|| "see `sluicebox deploy cloudformation`".to_owned());
        Check::new(objection.about, "can be deployed", Err(Finding::new(objection.message, fix)))
    });
    let mut checks: Vec<Check> = told.collect();
    if let Some(deployment) = deployment {
        let cloud = shared.remote.cloud().await?;
        checks.extend(doctor::examine(cloud, &deployment, layout.mode, || shared.clock().now().timestamp()).await);
    }
    Ok(checks)
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
            text.push_str(&format!(
                "      found: {}\n      fix: {}\n",
                found.replace('\n', "\n      "),
                fix.replace('\n', "\n      ")
            ));
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
