//! The guard of a pipeline that is served: it notices changes that another process makes to the lake, and composes the service again if needed.
//!
//! Does not watch what is published: `swap` does. Does not retry work: the engine's consumers do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::drivers::heal::heal;
use engine::drivers::service::Service;
use engine::drivers::serving::Serving;
use engine::drivers::sweep::sweep;
use lake::identity::{self, Identity};
use pipeline::plan::Location;
use pipeline::role::Role;
use tokio_util::sync::CancellationToken;

use crate::compose::{Shared, compose_with};
use crate::context::Context;
use crate::pipelines::{self, PipelineArgs, PipelineFile, queue_path};

/// How often it looks, at folders and at buckets. In a bucket each look is a request.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const LOOK_AFAR_EVERY: Duration = Duration::from_secs(30);

/// Guards one pipeline.
pub(crate) struct Guard<'a> {
    args: PipelineArgs,
    file: PipelineFile,
    serving: Arc<Serving>,
    shared: &'a Shared,
    context: &'a Context,
    /// The lake that is served.
    lake: Option<Identity>,
    /// The embedded queue's file.
    queue: Option<Inode>,
    /// The error of the last look.
    trouble: Option<String>,
}

impl<'a> Guard<'a> {
    /// Guards the pipeline of `file`, which `serving` serves.
    pub(crate) fn new(
        args: &PipelineArgs,
        file: &PipelineFile,
        serving: Arc<Serving>,
        shared: &'a Shared,
        context: &'a Context,
    ) -> Self {
        let args = PipelineArgs { files: vec![file.path.clone()], ..args.clone() };
        let queue = inode(queue_path(&file.plan, &file.folder));
        Guard { args, file: file.clone(), serving, shared, context, lake: None, queue, trouble: None }
    }

    /// Guards until `stop`.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        if !self.shared.writes_all(&self.file.plan) {
            // This process may not even read what the guard looks at: a process that may write every layer guards the lake.
            return;
        }
        let afar = matches!(self.file.plan.lake.bronze, Location::Remote(_));
        let every = if afar { LOOK_AFAR_EVERY } else { LOOK_EVERY };
        while !stop.is_cancelled() {
            match self.look().await {
                Ok(()) => {
                    if self.trouble.take().is_some() {
                        tracing::info!("the lake can be read again");
                    }
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    if self.trouble.as_ref() != Some(&text) {
                        tracing::error!(
                            error = text,
                            "the lake is not as it has to be, it is looked at again and again"
                        );
                        self.trouble = Some(text);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let service = self.serving.current();
        let found = identity::read(&service.enrich.lake).await?;
        match (&self.lake, found) {
            (None, Some(found)) => self.lake = Some(found),
            (Some(served), Some(found)) if found.id == served.id => {}
            (_, found) => return self.begin_again(found).await,
        }
        if self.shared.serves(Role::Clean) {
            // The sweep repairs what `heal` finds missing, and no record has to wait ten minutes for it.
            if heal(&service).await? {
                sweep(&service, true).await?;
            }
        }
        self.look_at_queue(&service).await
    }

    /// Another lake is in the place, or its identity is gone: composes the service again.
    async fn begin_again(&mut self, found: Option<Identity>) -> anyhow::Result<()> {
        let files = pipelines::read_in_time(&self.args).await?;
        let next = files.into_iter().next().unwrap_or_else(|| self.file.clone());
        let next = PipelineFile { folder: self.file.folder.clone(), ..next };
        let before = self.serving.current();
        let service = compose_with(&next, self.shared, self.context, &before.progress).await?;
        self.lake = identity::read(&service.enrich.lake).await?;
        self.serving.replace(service);
        let there = found.map_or("nothing", |_| "another lake");
        tracing::warn!(there, "the lake was replaced, the one that is there now is served");
        Ok(())
    }

    /// A deleted queue file took its messages with it: the lake knows which.
    async fn look_at_queue(&mut self, service: &Service) -> anyhow::Result<()> {
        let now = inode(queue_path(&self.file.plan, &self.file.folder));
        if now.is_some() && now != self.queue {
            self.queue = now;
            sweep(service, true).await?;
        }
        Ok(())
    }
}

/// Tells a file from another file at the same path.
type Inode = (u64, u64);

#[cfg(unix)]
fn inode(path: PathBuf) -> Option<Inode> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn inode(path: PathBuf) -> Option<Inode> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}
