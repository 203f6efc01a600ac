//! One pipeline of a process that serves: composed, served, and watched.
//!
//! Does not restart the pipeline when it ends: `supervise` does.

use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Service;
use engine::drivers::serving::Serving;
use engine::progress::Progress;
use futures::FutureExt as _;
use futures::future::FusedFuture as _;
use seams::spans;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::supervise::Health;
use crate::compose::{Shared, compose_with};
use crate::context::Context;
use crate::guard::Guard;
use crate::pipelines::{self, InvalidPipelines, PipelineArgs, PipelineFile};
use crate::swap::Watch;

/// How long the watchers of a pipeline may take to stop when it has ended.
const TO_LEAVE: Duration = Duration::from_secs(2);

/// One pipeline of a process that serves.
pub(super) struct One {
    pub(super) args: PipelineArgs,
    pub(super) file: PipelineFile,
    pub(super) shared: Arc<Shared>,
    pub(super) context: Context,
    /// The counters continue after a restart.
    pub(super) progress: Arc<Progress>,
    /// The service of the first start.
    pub(super) composed: Option<anyhow::Result<Service>>,
}

impl One {
    /// Composes and serves the pipeline. An error says why it ended before `stop`.
    pub(super) async fn once(
        &mut self,
        number: usize,
        health: &Health,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let span = spans::pipeline(&self.file.plan.name);
        let service = match self.composed.take() {
            Some(composed) => composed?,
            None => tokio::select! {
                composed = Box::pin(self.compose()).instrument(span.clone()) => composed?,
                () = stop.cancelled() => return Ok(()),
            },
        };
        self.progress = Arc::clone(&service.progress);
        let (file, shared, context) = (&self.file, &*self.shared, &self.context);
        let serving = Serving::new(service);
        health.serves(number, &serving);
        let done = CancellationToken::new();
        let watched = async {
            if file.plan.swap.watch {
                let watch = Watch::new(&self.args, file, Arc::clone(&serving), shared, context);
                watch.run(&done).instrument(span.clone()).await;
            }
        };
        let guarded = async {
            let guard = Guard::new(&self.args, file, Arc::clone(&serving), shared, context);
            guard.run(&done).instrument(span.clone()).await;
        };
        let served = async {
            let ended = serving.serve(&shared.roles, stop).await;
            done.cancel();
            ended
        };
        // A trial under way at the stop is dropped: the next start repeats it.
        let mut beside = std::pin::pin!(futures::future::join(watched, guarded).fuse());
        let mut served = std::pin::pin!(served);
        let ended = loop {
            tokio::select! {
                ended = &mut served => break ended,
                _ = &mut beside, if !beside.is_terminated() => {}
            }
        };
        if !beside.is_terminated() {
            let _ = tokio::time::timeout(TO_LEAVE, beside).await;
        }
        Ok(ended?)
    }

    /// Composes the service again, from the file as it is now.
    async fn compose(&mut self) -> anyhow::Result<Service> {
        let args = PipelineArgs { files: vec![self.file.path.clone()], ..self.args.clone() };
        let read = pipelines::read_in_time(&args).await.map_err(told_whole)?;
        if let Some(next) = read.into_iter().next() {
            self.file = PipelineFile { folder: self.file.folder.clone(), ..next };
        }
        let service = compose_with(&self.file, &self.shared, &self.context, &self.progress).await?;
        tracing::info!("the pipeline serves again");
        Ok(service)
    }
}

/// The error with every problem of a file in its text.
fn told_whole(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<InvalidPipelines>() {
        Ok(invalid) => anyhow::anyhow!("{}", invalid.render(false)),
        Err(error) => error,
    }
}
