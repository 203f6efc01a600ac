//! `sluicebox run`: serves one or several pipelines, for ever or for one tick.
//!
//! Does not know how a role works: the engine does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bars::Bars;
use chrono::{DateTime, Utc};
use engine::drivers::service::Service;
use monitor::Monitored;
use one::One;
use pipeline::plan::AtMost;
use records::keys;
use seams::spans;
use serde_json::json;
use summary::Summary;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::commands::status::in_the_future;
use crate::compose::{Shared, compose};
use crate::context::Context;
use crate::env_vars;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::load::passes;
use crate::output::Tone;
use crate::pipelines::{self, PipelineArgs, PipelineFile};

mod bars;
mod files;
mod monitor;
mod one;
mod refused;
mod remarks;
pub(crate) mod signals;
mod summary;
mod supervise;

/// Run pipelines: serve their schedules, or one tick with --once
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Runs pipelines: all roles in one process.

Without --once it serves each schedule until SIGINT or SIGTERM, then finishes what is under way. With --once it fires one \
tick, drains the queue, and exits with 0 only if every record is terminal: in Silver, in quarantine, skipped or superseded, and \
no more of them are in quarantine than `at_most` under `[quarantine]` allows.

A service that is down pauses the run: nothing is quarantined for it, it is asked rarely, and the next run goes on.

Of several pipelines in one process each is on its own: one that cannot begin, or ends, is told in the log and at /readyz, and begun again \
after a rest of 1 s, doubled up to 60 s. If none can begin, the process exits.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    /// Fire one tick, drain, and exit
    #[arg(long)]
    pub(crate) once: bool,

    /// The tick to fire: an instant as in 2026-01-31T03:00:00Z, or `now` [default: the schedule's latest]
    #[arg(long, value_name = "INSTANT", value_parser = parse_tick, requires = "once")]
    pub(crate) tick: Option<Tick>,

    /// Let --tick name an instant that is still to come: what the schedule brings until then counts as older
    #[arg(long, requires = "tick")]
    pub(crate) allow_future: bool,

    /// How long --once waits for a blocked service (a quota, a missing secret) before it gives up; nothing is lost by that
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "60s", requires = "once")]
    pub(crate) patience: Duration,

    /// How many records of the tick, or which share of them, may be in quarantine before --once fails, as in 100 or 5%
    /// [default: `at_most` under `[quarantine]`, else 20%]
    #[arg(long, value_name = "N|P%", requires = "once")]
    pub(crate) max_quarantined: Option<AtMost>,

    /// Answer /livez, /readyz and /metrics (OpenMetrics) at this address, as in 0.0.0.0:9464
    #[arg(long, value_name = "ADDRESS", env = env_vars::LISTEN, conflicts_with = "once")]
    pub(crate) listen: Option<SocketAddr>,

    /// Run only this role; may be repeated
    #[arg(long = "role", value_name = "ROLE", value_enum, conflicts_with = "once")]
    pub(crate) roles: Vec<Role>,
}

/// Which tick to fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// The instant at which the command runs.
    Now,
    /// This instant.
    At(DateTime<Utc>),
}

/// A role of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Source to queue
    Ingest,
    /// Queue to Bronze
    Enrich,
    /// Bronze to Silver
    Clean,
    /// Silver to Gold
    Aggregate,
}

impl Role {
    pub(crate) fn of_engine(self) -> pipeline::role::Role {
        match self {
            Role::Ingest => pipeline::role::Role::Ingest,
            Role::Enrich => pipeline::role::Role::Enrich,
            Role::Clean => pipeline::role::Role::Clean,
            Role::Aggregate => pipeline::role::Role::Aggregate,
        }
    }
}

fn parse_tick(text: &str) -> Result<Tick, String> {
    if text == "now" {
        return Ok(Tick::Now);
    }
    let instant = DateTime::parse_from_rfc3339(text);
    instant
        .map(|instant| Tick::At(instant.to_utc()))
        .map_err(|error| format!("{error}; expected `now` or an RFC 3339 instant as in `2026-01-31T03:00:00Z`"))
}

/// Runs the pipelines.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    pipelines::warn(&files, context)?;
    files::keep_some(context)?;
    pipelines::refuse_shared(&files)?;
    let mut shared = Shared::new(&files, context)?;
    if !args.roles.is_empty() {
        shared.roles = args.roles.iter().map(|role| role.of_engine()).collect();
    }
    let stop = signals::stop_on_signal(context);
    let monitored = Monitored::until(&stop);
    if let Some(address) = args.listen {
        monitored.answer_at(address).await?;
    }
    if args.once {
        // Before anything is created.
        refuse_future(&args, shared.clock().now())?;
    }
    monitored.health.expect(files.iter().map(|file| file.plan.name.as_str()));
    let mut composed = Vec::new();
    for file in &files {
        let service = tokio::select! {
            service = compose(file, &shared, context).instrument(spans::pipeline(&file.plan.name)) => service,
            // As if the process had died: the next start continues the work.
            () = stop.cancelled() => return Ok(ExitCode::Interrupted),
        };
        let service = service.with_context(|| format!("pipeline `{}`", file.plan.name));
        composed.push(if args.once { Ok(service?) } else { service });
    }
    if args.once {
        let services: Vec<_> = files.iter().zip(composed.into_iter().flatten()).collect();
        warn_of_future(&services, context).await?;
        return once(&args, &services, &shared, &stop, context).await;
    }
    serve(&args, begin(files, composed)?, shared, (&stop, &monitored), context).await
}

/// A pipeline at its start: its service, or why it has none yet.
type Begun = (PipelineFile, anyhow::Result<Service>);

/// Which pipelines start. One that cannot start does not keep its neighbours waiting: it is started again and again. If none can start, the
/// process ends, since the user is there to read why; unless only a store does not answer.
fn begin(files: Vec<PipelineFile>, composed: Vec<anyhow::Result<Service>>) -> anyhow::Result<Vec<Begun>> {
    let some_serve = composed.iter().any(Result::is_ok);
    let waits = |error: &anyhow::Error| passes(error) && !error.chain().any(|cause| cause.is::<Failure>());
    let mut begun = Vec::new();
    for (file, service) in files.into_iter().zip(composed) {
        match service {
            Err(error) if !some_serve && !waits(&error) => return Err(error),
            service => begun.push((file, service)),
        }
    }
    Ok(begun)
}

async fn serve(
    args: &Args,
    begun: Vec<Begun>,
    shared: Shared,
    (stop, monitored): (&CancellationToken, &Monitored),
    context: &Context,
) -> anyhow::Result<ExitCode> {
    for (file, service) in &begun {
        let Ok(service) = service else { continue };
        warn_of_future(&[(file, service)], context).await?;
        let next = service.schedule.as_ref().and_then(|schedule| schedule.next_after(service.clock.now()));
        let when = next.map_or("no schedule: nothing will tick".to_owned(), |next| format!("next tick {next}"));
        context.output.notice(&format!("serving `{}`: {when}; stop with Ctrl-C", file.plan.name))?;
        if shared.serves(pipeline::role::Role::Ingest)
            && let Err(failure) = service.ingest.place.is_there().await
        {
            let note = Tone::Notable.paint(context.output.stderr_color(), "note:");
            let late = "it may come late: a tick is tried again until the source can be read";
            context.output.notice(&format!("{note} {failure}\n  {late}"))?;
        }
    }
    let shared = Arc::new(shared);
    let mut all = Vec::new();
    for (number, (file, service)) in begun.into_iter().enumerate() {
        let (args, context, shared) = (args.pipeline.clone(), context.clone(), Arc::clone(&shared));
        let (stop, health) = (stop.clone(), monitored.health.clone());
        // A pipeline that fails must not delay its neighbours: each has a thread, and is restarted by itself.
        all.push(supervise::on_own_thread(move || async move {
            let name = file.plan.name.clone();
            let mut one = One { args, file, shared, context, progress: Arc::default(), composed: Some(service) };
            let once = async || one.once(number, &health, &stop).await;
            supervise::keep((number, &name), &health, &stop, once).await;
        })?);
    }
    futures::future::join_all(all).await;
    Ok(ExitCode::Interrupted)
}

async fn once(
    args: &Args,
    services: &[(&PipelineFile, Service)],
    shared: &Shared,
    stop: &CancellationToken,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let now = shared.clock().now();
    let runs = services.iter().map(|(file, service)| async move {
        let tick = tick(args, service, now);
        let bars = Bars::show(service, tick, &file.plan.name, context);
        let ended = service.once(tick, args.patience, stop).await;
        bars.finish();
        ended.with_context(|| format!("pipeline `{}`", file.plan.name))
    });
    let mut summaries = Vec::new();
    let mut code = ExitCode::Success;
    for ((file, service), ended) in services.iter().zip(futures::future::join_all(runs).await) {
        let ended = ended?;
        if !ended.left.is_nothing() {
            code = if stop.is_cancelled() { ExitCode::Interrupted } else { ExitCode::Wrong };
        }
        let at_most = args.max_quarantined.unwrap_or(file.plan.quarantine.at_most);
        let summary = Summary::of(file, service, ended, at_most).await?;
        if summary.refused_too_much() && code == ExitCode::Success {
            code = ExitCode::Wrong;
        }
        summaries.push(summary);
    }
    context.output.report(&json!({ "pipelines": summaries }), |_| summary::text(&summaries, context))?;
    Ok(code)
}

/// Refuses a tick of the future: every tick before it would count as older.
fn refuse_future(args: &Args, now: DateTime<Utc>) -> Result<(), Failure> {
    match args.tick {
        Some(Tick::At(instant)) if instant > now && !args.allow_future => {
            let message = format!(
                "tick {} is in the future: this machine's clock says {}",
                instant.format("%Y-%m-%dT%H:%M:%SZ"),
                now.format("%Y-%m-%dT%H:%M:%SZ")
            );
            Err(Failure::new(ExitCode::Usage, message).hint(
                "what comes until then would count as older: use `--tick now`, or add `--allow-future` if that is what you want",
            ))
        }
        _ => Ok(()),
    }
}

/// Says which ticks in the lakes are in the future.
async fn warn_of_future<S: std::borrow::Borrow<Service>>(
    services: &[(&PipelineFile, S)],
    context: &Context,
) -> anyhow::Result<()> {
    for (file, service) in services {
        let service: &Service = service.borrow();
        for tick in service.future_ticks().await.unwrap_or_default() {
            context.output.notice(&format!("warning: `{}`: {}", file.plan.name, in_the_future(tick)))?;
        }
    }
    Ok(())
}

/// The tick that was asked for, or the schedule's latest, or now.
fn tick(args: &Args, service: &Service, now: DateTime<Utc>) -> keys::Tick {
    keys::Tick::at(match args.tick {
        Some(Tick::Now) => now,
        Some(Tick::At(instant)) => instant,
        None => service.schedule.as_ref().and_then(|schedule| schedule.latest_at_or_before(now)).unwrap_or(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_now_or_an_instant_in_any_offset() {
        assert_eq!(parse_tick("now"), Ok(Tick::Now));
        assert_eq!(parse_tick("2026-01-31T04:00:00+01:00"), parse_tick("2026-01-31T03:00:00Z"));
        assert!(parse_tick("tomorrow").is_err_and(|error| error.contains("RFC 3339")));
    }
}
