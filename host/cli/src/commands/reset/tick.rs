//! The records of one tick.
//!
//! Does not know how to take them back: `proof::reset` does.

use std::time::Duration;

use engine::drivers::service::Left;
use lake::{Lake, bronze};
use proof::reset::{self, Brought};
use records::keys::Tick;
use serde_json::json;

use super::consent::Consent;
use crate::commands::run::signals;
use crate::compose::{Shared, compose};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Tone, counted};
use crate::pipelines::PipelineFile;

/// How long the remaining work may be blocked.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the records back, and works off what follows.
pub(super) async fn take_back(
    consent: &Consent,
    tick: Tick,
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<(serde_json::Value, ExitCode)> {
    let service = compose(file, shared, context).await?;
    let Some(brought) = reset::brought(&service, tick).await? else {
        return Err(no_such_tick(&service.enrich.lake, tick).await?.into());
    };
    let document = |left: &Left| json!({ "pipeline": file.plan.name, "tick": tick, "dry_run": consent.dry_run, "brought": brought, "left": left });
    if !consent.given(&told(&file.plan.name, tick, &brought), context)? {
        return Ok((document(&Left::default()), ExitCode::Success));
    }
    reset::take_back(&service, tick).await?;
    let stop = signals::stop_on_signal(context);
    let left = service.work_off(PATIENCE, &stop).await?;
    if left.is_nothing() {
        context
            .output
            .notice(&format!("done: nothing of tick {tick} is left, and silver and gold are made from the rest"))?;
        return Ok((document(&left), ExitCode::Success));
    }
    let what = format!("tick {tick} was taken back, but not all other work is done: {}", left.missing);
    context
        .output
        .notice(&format!("{}\n  hint: `sluicebox run --once` goes on", context.output.tone(Tone::Bad, &what)))?;
    Ok((document(&left), ExitCode::Wrong))
}

fn told(name: &str, tick: Tick, brought: &Brought) -> String {
    format!(
        "reset of `{name}` takes back tick {tick}\n  bronze  {} with {}\n  silver  {} that come from it; an older version of each stands again, if there is one\n  quarantine  {}",
        counted(brought.objects, "object", "objects"),
        counted(brought.records, "record", "records"),
        counted(brought.standing, "record", "records"),
        counted(brought.refusals, "refusal", "refusals"),
    )
}

async fn no_such_tick(lake: &Lake, tick: Tick) -> anyhow::Result<Failure> {
    let ticks = bronze::ticks(lake).await?;
    let last: Vec<String> = ticks.iter().rev().take(5).map(|tick| format!("`{tick}`")).collect();
    let hint = if last.is_empty() {
        "it holds none: `sluicebox run --once` fires the first".to_owned()
    } else {
        format!("the latest are {}", last.join(", "))
    };
    Ok(Failure::new(ExitCode::Wrong, format!("the lake holds nothing of tick {tick}")).hint(hint))
}
