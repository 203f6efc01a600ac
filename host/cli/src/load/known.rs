//! The configurations that a pipeline's file has had on this machine. If a stage is pinned or signed, a decision of the lake may bring back
//! only one of these: the lake could hold any.
//!
//! Does not keep the configurations themselves, only their digests. The file is beside the queue, in the project's folder: a process that can
//! write there could write the pipeline's file as well. A function has no such place, and knows only what its file says now.

use std::collections::BTreeSet;
use std::path::Path;

use local::outside;
use pipeline::plan::Plan;
use seams::plugin::Digest;

use crate::pipelines::{PipelineFile, configurations_path};
use crate::project::write_whole;

/// The newest digests that are kept: so small a file is read in no time.
const MOST_KEPT: usize = 1_000;

fn digest(stage: &str, config: &str) -> String {
    Digest::of(format!("{stage}\n{config}").as_bytes()).to_string()
}

/// Whether the file has had that configuration of a stage.
pub(super) async fn has_had(folder: &Path, plan: &Plan, stage: &str, config: &str) -> bool {
    let digest = digest(stage, config);
    lines(&configurations_path(plan, folder)).await.contains(&digest)
}

async fn lines(path: &Path) -> Vec<String> {
    let read = outside::read_soon(path, outside::MOST_TEXT).await;
    let text = read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Remembers the present configurations, if any stage is pinned or signed.
pub(crate) async fn note(file: &PipelineFile) {
    let plan = &file.plan;
    if plan.trusted_keys.is_empty() && plan.stages().all(|(_, stage)| stage.sha256.is_none()) {
        return;
    }
    let path = configurations_path(plan, &file.folder);
    let mut kept = lines(&path).await;
    let before: BTreeSet<String> = kept.iter().cloned().collect();
    let now = plan.stages().map(|(name, stage)| digest(&name, &stage.config));
    let fresh: Vec<String> = now.filter(|digest| !before.contains(digest)).collect();
    if fresh.is_empty() {
        return;
    }
    kept.extend(fresh);
    let skipped = kept.len().saturating_sub(MOST_KEPT);
    let text: String = kept.iter().skip(skipped).map(|digest| format!("{digest}\n")).collect();
    let written = tokio::task::spawn_blocking(move || write_whole(&path, text.as_bytes())).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("cannot remember the configuration: a rollback to it would not be followed");
    }
}
