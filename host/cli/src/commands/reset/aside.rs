//! Messages of an earlier lake.
//!
//! Does not touch a lake.

use serde_json::json;

use super::consent::Consent;
use super::owner::owner;
use crate::compose::{Shared, lake, queue_file};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{counted, size};
use crate::pipelines::PipelineFile;

/// Deletes the messages.
pub(super) async fn delete(
    consent: &Consent,
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<serde_json::Value> {
    let name = &file.plan.name;
    if let Some(url) = &file.plan.queue.url {
        let message = format!("the queue of `{name}` is at {url}, where no messages are set aside");
        return Err(Failure::new(ExitCode::Usage, message).hint("leave out --set-aside").into());
    }
    let lake = lake(file, &shared.remote).await?;
    let id = owner(&lake).await?.map(|owner| owner.id).unwrap_or_default();
    let queue = queue_file(&file.plan, &file.folder, shared).await?;
    let (messages, bytes) = queue.kept(&id, false).await?;
    let count = usize::try_from(messages).unwrap_or(usize::MAX);
    let document = json!({ "pipeline": name, "dry_run": consent.dry_run, "set_aside": messages });
    let what = format!(
        "reset of `{name}` deletes {} of a lake that was here before, {}",
        counted(count, "message", "messages"),
        size(bytes)
    );
    if count == 0 {
        context.output.notice(&format!("`{name}`: no message is set aside, nothing to delete"))?;
    } else if consent.given(&what, context)? {
        queue.discard(&id, false).await?;
        context.output.notice("done")?;
    }
    Ok(document)
}
