//! Whether a lake and a queue belong to this pipeline: checked before anything is written.
//!
//! Does not delete anything: `sluicebox reset` does.

use futures::future::join_all;
use lake::Lake;
use lake::conditions::{self, Unfit};
use lake::identity::{self, Claimed, NotOurs};
use pipeline::plan::Location;
use pipeline::role::Role;

use super::places::queue_file;
use super::shared::Shared;
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::counted;
use crate::pipelines::PipelineFile;

/// The identity of a lake that is only read.
pub(super) async fn look(file: &PipelineFile, lake: &Lake, shared: &Shared) -> Option<String> {
    if shared.handed || file.plan.queue.url.is_some() {
        return None;
    }
    identity::read(lake).await.ok().flatten().map(|identity| identity.id)
}

/// Makes sure that the lake belongs to the pipeline, sets messages of another lake aside, and says so.
pub(super) async fn claim(
    file: &PipelineFile,
    lake: &Lake,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<String> {
    shared.uses.note(file);
    let Claimed { identity, fresh } =
        identity::claim(lake, &file.plan.name, shared.clock().now()).await.map_err(refused)?;
    if file.plan.queue.url.is_some() {
        return Ok(identity.id);
    }
    let queue = queue_file(&file.plan, &file.folder, shared).await?;
    if !fresh {
        queue.adopt(&identity.id).await?;
    }
    let (messages, _) = queue.kept(&identity.id, false).await?;
    if messages > 0 {
        let messages = counted(usize::try_from(messages).unwrap_or(usize::MAX), "message", "messages");
        context.output.notice(&format!(
            "notice: the queue of `{}` holds {messages} of a lake that was here before; nothing is done with them until that lake is back\n  hint: `sluicebox reset --set-aside` deletes them",
            file.plan.name
        ))?;
    }
    Ok(identity.id)
}

/// For a process that may not write to every layer, such as a function: makes sure that the lake belongs to no other pipeline. If a policy of
/// an earlier version forbids even that, it says nothing.
pub(super) async fn examine(file: &PipelineFile, lake: &Lake, shared: &Shared) -> anyhow::Result<()> {
    let name = &file.plan.name;
    let looked = match shared.serves(Role::Ingest) {
        true => identity::claim_bronze(lake, name, shared.clock().now()).await,
        false => identity::look(lake, name).await,
    };
    match looked {
        Err(NotOurs::Lake(error)) => {
            tracing::debug!(%error, "cannot tell whose the lake is");
            Ok(())
        }
        looked => looked.map_err(refused),
    }
}

/// Makes sure that the stores of the layers that this process writes can hold a lake. Runs before any other write there.
pub(super) async fn heed_conditions(file: &PipelineFile, lake: &Lake, shared: &Shared) -> anyhow::Result<()> {
    let places = &file.plan.lake;
    let layers = [
        ("bronze", &places.bronze, &lake.bronze, &[Role::Ingest, Role::Enrich][..]),
        ("silver", &places.silver, &lake.silver, &[Role::Clean]),
        ("gold", &places.gold, &lake.gold, &[Role::Aggregate]),
    ];
    let writes = |by: &[Role]| shared.writes_all(&file.plan) || by.iter().any(|role| shared.serves(*role));
    let afar = layers.into_iter().filter(|(_, location, _, by)| matches!(location, Location::Remote(_)) && writes(by));
    let asked = afar.map(async |(layer, location, store, _)| {
        let place = format!("{location} of {}", shared.remote.cloud().await?.s3_address());
        match conditions::require(store, layer, &place, shared.clock().now()).await {
            Err(Unfit::Lake(error)) => Err(anyhow::Error::from(error)),
            Err(unfit @ Unfit::Ignores { .. }) => Err(told(&unfit.to_string())),
            Ok(()) => Ok(()),
        }
    });
    // All of them run to their end: each removes what it wrote for the test.
    join_all(asked).await.into_iter().collect()
}

fn refused(error: NotOurs) -> anyhow::Error {
    match error {
        NotOurs::Lake(error) => error.into(),
        other => told(&other.to_string()),
    }
}

/// A refusal, with the last part of its text as the hint.
fn told(text: &str) -> anyhow::Error {
    let (message, hint) = text.split_once("\nhint: ").unwrap_or((text, ""));
    Failure::new(ExitCode::Wrong, message).hint(hint).into()
}
