//! A service for looking only: everything readable is shown, even if other parts are broken. Nothing is made or changed.
//!
//! Does not report unreadable parts itself: each layer and queue says so when it is read.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use engine::drivers::service::{Queues, Service};
use engine::progress::Progress;
use engine::roles::aggregate::{GoldTable, Tried};
use lake::generations::Generations;
use lake::gold::Gold;
use lake::silver::Silver;
use lake::{Lake, TableError};
use local::ClosedQueue;
use seams::queue::StageQueue;
use tokio::sync::OnceCell;

use super::assembly::{assembled, gateway};
use super::ours;
use super::places::{look_at_lake, look_at_queues};
use super::shared::Shared;
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::{Failure, in_a_line};
use crate::load::{Ignored, Loaded, Loading, load_to_look};
use crate::output::Tone;
use crate::pipelines::PipelineFile;

/// A service for looking only.
pub(crate) struct Looked {
    pub(crate) service: Service,
    /// The stages whose plugin cannot be loaded, and why: a substitute is in its place.
    pub(crate) absent: Vec<(String, String)>,
    /// Decisions of the lake that are not followed.
    pub(crate) ignored: Vec<Ignored>,
}

impl Looked {
    /// The service, after a notice on stderr of the plugins that differ from those in the file.
    pub(crate) fn told(self, context: &Context) -> anyhow::Result<Service> {
        for ignored in &self.ignored {
            let note = Tone::Bad.paint(context.output.stderr_color(), "warning:");
            context.output.notice(&format!("{note} {}\n  hint: {}", ignored.text(), ignored.hint))?;
        }
        for (stage, why) in &self.absent {
            let note = Tone::Notable.paint(context.output.stderr_color(), "note:");
            context.output.notice(&format!("{note} the plugin of `{stage}` cannot be loaded: {why}"))?;
        }
        Ok(self.service)
    }
}

/// The service of a pipeline for looking only. Nothing outside the pipeline's file makes it fail.
pub(crate) async fn look(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<Looked> {
    let lake = look_at_lake(file, &shared.remote).await;
    let identity = ours::look(file, &lake, shared).await;
    let loading = Loading { lake: Some(&lake), ..Loading::by_files(file, shared) };
    let queues = look_at_queues(file, shared, identity.as_deref());
    let ((loaded, absent), queues) = tokio::join!(load_to_look(loading), queues);
    let ignored = loaded.aside.ignored.clone();
    let queues = queues.unwrap_or_else(|error| closed(&in_a_line(&error)));
    let silver = silver(&loaded, &lake, shared).await;
    let tables: Result<Vec<GoldTable>, TableError> = file
        .plan
        .aggregates
        .iter()
        .zip(&loaded.aggregates)
        .map(|(one, (plugin, config))| {
            let schema = plugin.descriptor().output_schema();
            let open = |schema: &SchemaRef| {
                Gold::unopened(Arc::clone(&lake.gold), Arc::clone(&shared.clock), &one.name, schema)
            };
            Ok(GoldTable {
                name: one.name.clone(),
                plugin: Arc::clone(plugin),
                config: config.clone(),
                gold: open(&schema).or_else(|_| open(&Arc::new(Schema::empty())))?,
                generations: Generations::of_aggregate(&lake, &one.name),
                generation: OnceCell::new(),
                tried: Tried::default(),
            })
        })
        .collect();
    let progress = Arc::new(Progress::default());
    let gateway = gateway(file, shared, context, &progress);
    let (silver, tables) = (silver?, tables?);
    let service = assembled((file, shared), loaded, (silver, tables), (lake, queues), gateway, progress);
    Ok(Looked { service, absent, ignored })
}

/// Adds to an error that it concerns something a command wanted to read.
pub(crate) fn unread(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error: anyhow::Error = error.into();
    // An error with its own exit code stays as it is.
    if error.chain().any(|cause| cause.is::<Failure>()) {
        return error;
    }
    let text = in_a_line(&error);
    Failure::new(ExitCode::Unavailable, format!("cannot read the lake: {}", text.trim_start_matches("store failed: ")))
        .into()
}

/// The present table; if it cannot be read, a table that reports the error when it is used.
async fn silver(loaded: &Loaded, lake: &Lake, shared: &Shared) -> Result<Silver, TableError> {
    let schema = loaded.clean.0.descriptor().output_schema();
    let (store, clock) = (&lake.silver, &shared.clock);
    match Silver::view(Arc::clone(store), Arc::clone(clock), Arc::clone(&schema), lake.buckets).await {
        Ok(silver) => Ok(silver),
        Err(_) => {
            let open =
                |schema: &SchemaRef| Silver::unopened(Arc::clone(store), Arc::clone(clock), schema, lake.buckets);
            open(&schema).or_else(|_| open(&Arc::new(Schema::empty())))
        }
    }
}

/// Queues that cannot be opened; each call says why.
fn closed(why: &str) -> Queues {
    let stage = || StageQueue { live: Arc::new(ClosedQueue::because(why)), dead: Arc::new(ClosedQueue::because(why)) };
    Queues { enrich: stage(), clean: stage(), aggregate: stage() }
}
