//! `sluicebox lambda`: one role of a pipeline as a function of AWS Lambda. This is what Lambda starts as `bootstrap`.
//!
//! Does not set up functions, and does not handle an event: `function` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws::lambda::RuntimeApi;
use engine::drivers::serving::Serving;
use function::Function;
use metrics::Begun;
use place::Place;
use seams::spans;
use tracing::Instrument as _;

use crate::commands::run::Role;
use crate::compose::{Shared, compose};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::swap::Watch;
use crate::{env_vars, pipelines};

mod function;
mod metrics;
mod place;

/// The longest that sending spans may delay the next invocation.
const TO_SEND: Duration = Duration::from_secs(1);

/// Serve one role as a function of AWS Lambda
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Serves one role of a pipeline as a function of AWS Lambda. A program that Lambda starts, or that is called `bootstrap`, does so \
without being told; environment variables say the rest.

ingest takes the events of a schedule (`{\"time\": \"2026-01-31T03:00:00Z\"}`), enrich, clean and aggregate batches of SQS, with \
`ReportBatchItemFailures`. Plugins and an `s3://` pipeline file are looked at before a batch, at most every few seconds.")]
pub(crate) struct Args {
    /// Which role the function has
    #[arg(long, value_enum, env = env_vars::ROLE)]
    role: Role,

    /// Pipeline file: a path in the bundle, or `s3://BUCKET/KEY` [default: pipeline.toml in the bundle]
    #[arg(long, value_name = "PIPELINE.toml", env = env_vars::PIPELINE)]
    pipeline: Option<String>,

    /// Lay the `[target.NAME]` section over the file
    #[arg(long, value_name = "NAME", env = env_vars::TARGET)]
    target: Option<String>,

    /// Replace one value, as in `--set source.top_n=500`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", env = env_vars::SET, value_delimiter = '\n')]
    set: Vec<String>,

    /// S3 tells the clean and aggregate queues of new objects: what it tells is not sent to them a second time
    #[arg(long, env = env_vars::NOTIFICATIONS)]
    notifications: bool,
}

/// Whether Lambda has started this program, or an emulator of Lambda.
pub(crate) fn is_here() -> bool {
    let mut words = std::env::args_os();
    let called = words.next().is_some_and(|name| std::path::Path::new(&name).file_name() == Some("bootstrap".as_ref()));
    words.next().is_none() && (called || std::env::var_os(env_vars::RUNTIME_API).is_some())
}

/// Serves the function until its environment ends.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let Some(address) = std::env::var_os(env_vars::RUNTIME_API) else {
        let hint = "Lambda sets it; to run a role elsewhere: `sluicebox run --role ROLE`";
        let text = format!("`{}` is not set: this is no function of Lambda", env_vars::RUNTIME_API);
        return Err(Failure::new(ExitCode::Usage, text).hint(hint).into());
    };
    let api = RuntimeApi::at(&address.to_string_lossy()).context("cannot set up HTTP")?;
    let ended = serve(&api, &args, context).await;
    if let Err(Ended::BeforeTheFirst(error)) = &ended
        && let Err(untold) = api.fail_init("Sluicebox.Init", &context.redactor.redact(&format!("{error:#}"))).await
    {
        tracing::warn!(error = %untold, "could not say that the function cannot start");
    }
    match ended {
        Ok(never) => match never {},
        Err(Ended::BeforeTheFirst(error) | Ended::Later(error)) => Err(error),
    }
}

/// Why a function ends.
enum Ended {
    /// It could not start.
    BeforeTheFirst(anyhow::Error),
    /// It can no longer ask for work.
    Later(anyhow::Error),
}

async fn serve(api: &RuntimeApi, args: &Args, context: &Context) -> Result<std::convert::Infallible, Ended> {
    let prepared = async {
        let place = Place::find(args.pipeline.as_deref(), context)?;
        let context = place.context(context);
        let read = place.read(args.target.clone(), args.set.clone()).await?;
        let mut shared = Shared::new(std::slice::from_ref(&read), &context)?;
        (shared.remote, shared.notified, shared.handed) = (place.remote.clone(), args.notifications, true);
        shared.roles = vec![args.role.of_engine()];
        anyhow::Ok((place, context, read, shared))
    };
    let (place, context, file, shared) = prepared.await.map_err(Ended::BeforeTheFirst)?;
    let named = spans::pipeline(&file.plan.name);
    let service = compose(&file, &shared, &context).instrument(named.clone()).await.map_err(Ended::BeforeTheFirst)?;
    let role: pipeline::role::Role = args.role.of_engine();
    let serving = Serving::new(service);
    let watched =
        pipelines::PipelineArgs { files: vec![file.path.clone()], target: args.target.clone(), set: args.set.clone() };
    let watch = Watch::new(&watched, &file, Arc::clone(&serving), &shared, &context);
    let watch = file.plan.swap.watch.then_some(watch);
    let pipeline = file.plan.name.as_str();
    let mut function = Function::new(role, serving, &file.plan, &place, watch).await;
    tracing::info!(pipeline, role = role.name(), "ready");
    let mut cold = true;
    loop {
        let invocation = api.next().await.map_err(|error| Ended::Later(error.into()))?;
        // Less the time to ask for the next invocation.
        let until = Instant::now() + invocation.left.saturating_sub(TO_SEND / 10);
        let span = tracing::error_span!("invocation", request = invocation.id);
        let begun = Begun::now(function.progress(), std::mem::take(&mut cold));
        let answer = function.invoke(&invocation).instrument(span.clone()).await;
        // Before the answer: after it the process is frozen.
        let metrics = begun.metrics((pipeline, role.name()), &invocation.id, function.progress());
        if let Err(error) = context.output.print(&format!("{metrics}\n")) {
            tracing::warn!(request = invocation.id, %error, "the metrics of the invocation are lost");
        }
        tell(api, &invocation.id, answer, &context).instrument(span).await;
        context.traces.flush(until.saturating_duration_since(Instant::now()).min(TO_SEND)).await;
    }
}

/// Tells Lambda how an invocation went.
async fn tell(api: &RuntimeApi, id: &str, answer: anyhow::Result<Vec<u8>>, context: &Context) {
    let told = match answer {
        Ok(answer) => api.respond(id, answer).await,
        Err(error) => {
            let text = context.redactor.redact(&format!("{error:#}")).into_owned();
            tracing::error!(error = text, "the invocation failed");
            api.fail(id, "Sluicebox.Failed", &text).await
        }
    };
    if let Err(error) = told {
        tracing::error!(%error, "could not say how the invocation went");
    }
}
