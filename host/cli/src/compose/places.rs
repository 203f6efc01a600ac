//! From the places in a plan to the adapters that reach them: folders, buckets, queues, secrets.
//!
//! Does not load anything of AWS for a pipeline without a place there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use aws::{ManagerSecrets, NewsQueue, S3Store};
use engine::drivers::service::Queues;
use engine::redaction::RedactingHttp;
use engine::roles::ingest::{FindSource, MOST_SOURCE, SourcePlace};
use lake::Lake;
use lake::failure::Failure as EngineFailure;
use local::{ClosedStore, DirStore, LocalSecrets, QueueOptions, QueueView, SqliteQueues, ViewStore, outside};
use pipeline::plan::{Location, Plan, QueueSettings};
use pipeline::urls::shown_url;
use seams::clock::Clock;
use seams::queue::{Queue, StageQueue};
use seams::secrets::{SecretError, SecretRef, SecretString, Secrets};
use seams::store::{self, Store};
use tokio::sync::OnceCell;
use url::Url;

use super::remote::Remote;
use super::shared::Shared;
use crate::exit::ExitCode;
use crate::failure::{Failure, hint_of, in_a_line};
use crate::pipelines::{PipelineFile, queue_path};

/// The lake of one pipeline. Makes its folders if they do not exist.
pub(crate) async fn lake(file: &PipelineFile, remote: &Remote) -> anyhow::Result<Lake> {
    let places = &file.plan.lake;
    // Silver and Gold can be made again while Bronze exists.
    let bronze = match &places.bronze {
        Location::Local(path) => Some(file.folder.join(path)),
        Location::Remote(_) => None,
    };
    Ok(Lake {
        bronze: layer(&places.bronze, file, remote, None).await?,
        silver: layer(&places.silver, file, remote, bronze.as_deref()).await?,
        gold: layer(&places.gold, file, remote, bronze.as_deref()).await?,
        buckets: places.buckets,
    })
}

async fn layer(
    location: &Location,
    file: &PipelineFile,
    remote: &Remote,
    made_from: Option<&Path>,
) -> anyhow::Result<Store> {
    match location {
        Location::Local(path) => {
            let path = file.folder.join(path);
            let opened = match made_from {
                Some(other) => DirStore::open_beside(&path, other),
                None => DirStore::open(&path),
            };
            let cannot = format!("cannot open the layer at `{}`", path.display());
            let hint = "name another folder under `[lake]`, or let who runs this write there";
            opened.map_err(|error| Failure::new(ExitCode::Wrong, cannot).caused_by(error).hint(hint).into())
        }
        Location::Remote(url) if url.scheme() == "s3" => {
            let cloud = remote.cloud().await.with_context(|| format!("cannot open the layer at `{location}`"))?;
            S3Store::open(cloud, url).with_context(|| format!("cannot open the layer at `{location}`"))
        }
        Location::Remote(url) => Err(elsewhere(&shown_url(url))),
    }
}

fn elsewhere(url: &str) -> anyhow::Error {
    Failure::new(ExitCode::Unavailable, format!("`{url}` cannot be reached: this build has no adapter for it"))
        .hint("name a folder or file of this machine, or `s3://BUCKET/KEY`")
        .into()
}

/// The lake of one pipeline for looking only: nothing in it is made or changed. A layer that cannot be opened says why when it is read.
pub(crate) async fn look_at_lake(file: &PipelineFile, remote: &Remote) -> Lake {
    let places = &file.plan.lake;
    let closed = |error: anyhow::Error| {
        let hint = hint_of(&error).map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        ClosedStore::because(format!("{}{hint}", in_a_line(&error)))
    };
    Lake {
        bronze: look_at_layer(&places.bronze, file, remote).await.unwrap_or_else(closed),
        silver: look_at_layer(&places.silver, file, remote).await.unwrap_or_else(closed),
        gold: look_at_layer(&places.gold, file, remote).await.unwrap_or_else(closed),
        buckets: places.buckets,
    }
}

async fn look_at_layer(location: &Location, file: &PipelineFile, remote: &Remote) -> anyhow::Result<Store> {
    match location {
        Location::Local(path) => {
            let path = file.folder.join(path);
            DirStore::view(&path).with_context(|| format!("cannot open the layer at `{}`", path.display()))
        }
        Location::Remote(_) => layer(location, file, remote, None).await.map(ViewStore::over),
    }
}

/// The source of a pipeline. It is opened at each read, since it may be created later.
pub(crate) fn source(file: &PipelineFile, shared: &Shared) -> SourcePlace {
    match &file.plan.source.location {
        Location::Remote(url) if matches!(url.scheme(), "http" | "https") => {
            let http = RedactingHttp::new(Arc::clone(&shared.http), shared.redactor.clone());
            SourcePlace::Web(Arc::new(http), url.clone())
        }
        location => {
            let (location, folder) = (location.clone(), file.folder.clone());
            SourcePlace::Late(Arc::new(LateSource { location, folder, remote: shared.remote.clone() }))
        }
    }
}

/// A source that is opened at each read.
#[derive(Debug)]
struct LateSource {
    location: Location,
    folder: PathBuf,
    remote: Remote,
}

#[async_trait]
impl FindSource for LateSource {
    async fn find(&self) -> Result<(Store, store::Path), EngineFailure> {
        self.place().await.map_err(|error| {
            let hint = hint_of(&error).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            EngineFailure::Transient(format!("{}{hint}", in_a_line(&error)))
        })
    }
}

impl LateSource {
    async fn place(&self) -> anyhow::Result<(Store, store::Path)> {
        match &self.location {
            Location::Local(path) => {
                let path = self.folder.join(path);
                let shown = path.display().to_string();
                // Off the reactor, and with a time-out: it may be on a file system that does not answer.
                let found = outside::in_time(outside::QUIET, move || find_here(&path)).await;
                found.map_err(|error| {
                    let hint = error.hint().unwrap_or("try again");
                    Failure::new(ExitCode::Unavailable, cannot_read_source(&shown)).hint(hint).caused_by(error)
                })?
            }
            Location::Remote(url) if url.scheme() == "s3" => {
                let found = self.remote.object(url).await;
                found.with_context(|| format!("cannot read the source `{}`", self.location))
            }
            Location::Remote(url) => Err(elsewhere(&shown_url(url))),
        }
    }
}

fn cannot_read_source(path: &str) -> String {
    format!("cannot read the source `{path}`")
}

/// The store and object of a source on this machine. It opens only files and folders, and none that is too large.
fn find_here(path: &Path) -> anyhow::Result<(Store, store::Path)> {
    let missing = || cannot_read_source(&path.display().to_string());
    let unavailable = |hint: &str| Failure::new(ExitCode::Unavailable, missing()).hint(hint);
    // A source may be a link to where the data is; the checks apply to the target.
    let real = path
        .canonicalize()
        .map_err(|error| unavailable("put the file there, or correct `uri` under `[source]`").caused_by(error))?;
    if !real.is_dir() {
        outside::examine(&real, MOST_SOURCE).map_err(|error| {
            let hint = error.hint().unwrap_or("let who runs this read it");
            unavailable(hint).caused_by(error)
        })?;
    }
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else { anyhow::bail!(missing()) };
    // Read only: the folder belongs to the user, and nothing in it is ours to tidy up.
    let store = DirStore::view(folder).with_context(missing)?;
    Ok((store, store::Path::parse(name.to_string_lossy()).with_context(missing)?))
}

/// The queues between a pipeline's roles, for messages of the lake with that identity.
pub(super) async fn queues(plan: &Plan, folder: &Path, shared: &Shared, lake: Option<&str>) -> anyhow::Result<Queues> {
    if let Some(url) = &plan.queue.url {
        return remote_queues(url, plan, shared).await;
    }
    let file = queue_file(plan, folder, shared).await?;
    let stage = |name| embedded(&file, name, &plan.queue, lake);
    Ok(Queues { enrich: stage("enrich"), clean: stage("clean"), aggregate: stage("aggregate") })
}

async fn remote_queues(url: &Url, plan: &Plan, shared: &Shared) -> anyhow::Result<Queues> {
    let cloud = shared.remote.cloud().await.with_context(|| format!("cannot open the queues of `{url}`"))?;
    if shared.handed {
        let stage = |name| aws::unopened_stage(cloud, url, name, plan.queue.max_receives, &shared.clock);
        return Ok(Queues { enrich: stage("enrich"), clean: stage("clean"), aggregate: stage("aggregate") });
    }
    let stage = async |name| {
        let opened = aws::open_stage(cloud, url, name, plan.queue.max_receives, &shared.clock).await;
        opened.with_context(|| format!("cannot open the queues of the stage `{name}`"))
    };
    let (enrich, clean, aggregate) = tokio::try_join!(stage("enrich"), stage("clean"), stage("aggregate"))?;
    let clean = heard_by(clean, &plan.lake.bronze, NewsQueue::of_clean);
    let aggregate = heard_by(aggregate, &plan.lake.silver, NewsQueue::of_aggregate);
    Ok(Queues { enrich, clean, aggregate })
}

/// A stage's queue that accepts S3's notifications of the layer before it, if that layer is in S3.
fn heard_by(stage: StageQueue, layer: &Location, news: fn(Arc<dyn Queue>, &Url) -> NewsQueue) -> StageQueue {
    match layer {
        Location::Local(_) => stage,
        Location::Remote(url) => {
            StageQueue { live: Arc::new(news(stage.live, url)), dead: Arc::new(news(stage.dead, url)) }
        }
    }
}

/// Rewrites the embedded queue's file, so that it holds no bytes of deleted messages.
pub(crate) async fn scrub_queue(file: &PipelineFile, shared: &Shared) -> anyhow::Result<()> {
    if file.plan.queue.url.is_none() {
        queue_file(&file.plan, &file.folder, shared).await?.scrub().await?;
    }
    Ok(())
}

/// Removes half-written files that killed writers left in the folders of a lake. Returns how many there were. S3 has only unfinished
/// uploads, which the bucket's lifecycle ends.
pub(crate) async fn remove_unfinished(file: &PipelineFile) -> anyhow::Result<usize> {
    let places = &file.plan.lake;
    let mut removed = 0;
    for location in [&places.bronze, &places.silver, &places.gold] {
        if let Location::Local(path) = location {
            let path = file.folder.join(path);
            let work = tokio::task::spawn_blocking(move || DirStore::remove_unfinished(&path));
            removed += work.await??;
        }
    }
    Ok(removed)
}

/// The queues of a pipeline for looking only.
pub(super) async fn look_at_queues(file: &PipelineFile, shared: &Shared, lake: Option<&str>) -> anyhow::Result<Queues> {
    let plan = &file.plan;
    if let Some(url) = &plan.queue.url {
        return remote_queues(url, plan, shared).await;
    }
    let path = queue_path(plan, &file.folder);
    let queue = |stage: &str| -> Arc<dyn Queue> {
        let name = lake.map_or_else(|| stage.to_owned(), |lake| SqliteQueues::name_of(stage, lake));
        Arc::new(QueueView::of(&path, &name, Arc::clone(&shared.clock)))
    };
    let stage = |name: &str| StageQueue { live: queue(name), dead: queue(&format!("{name}-dead")) };
    Ok(Queues { enrich: stage("enrich"), clean: stage("clean"), aggregate: stage("aggregate") })
}

pub(crate) async fn queue_file(plan: &Plan, folder: &Path, shared: &Shared) -> anyhow::Result<SqliteQueues> {
    let path = queue_path(plan, folder);
    SqliteQueues::open(&path, Arc::clone(&shared.clock))
        .await
        .with_context(|| format!("cannot open `{}`", path.display()))
}

fn embedded(file: &SqliteQueues, name: &str, settings: &QueueSettings, lake: Option<&str>) -> StageQueue {
    // A lake without an identity is of an earlier version, and so are the queues' names.
    let named = |stage: &str| lake.map_or_else(|| stage.to_owned(), |lake| SqliteQueues::name_of(stage, lake));
    let (name, dead) = (named(name), named(&format!("{name}-dead")));
    let options = QueueOptions {
        visibility: settings.visibility_timeout,
        max_receives: settings.max_receives,
        dead_letters: Some(dead.clone()),
        ..QueueOptions::default()
    };
    let dead_options = QueueOptions { dead_letters: None, ..options.clone() };
    StageQueue { live: Arc::new(file.queue(&name, options)), dead: Arc::new(file.queue(&dead, dead_options)) }
}

/// Secrets of this machine and of AWS, each read from its place.
#[derive(Debug)]
pub(super) struct SecretPlaces {
    local: LocalSecrets,
    remote: Remote,
    clock: Arc<dyn Clock>,
    manager: OnceCell<ManagerSecrets>,
}

impl SecretPlaces {
    /// The secrets that a pipeline file can name.
    pub(super) fn new(file: &PipelineFile, shared: &Shared) -> Self {
        SecretPlaces {
            local: LocalSecrets::new(&file.folder),
            remote: shared.remote.clone(),
            clock: Arc::clone(&shared.clock),
            manager: OnceCell::new(),
        }
    }

    async fn place(&self, reference: &SecretRef) -> Result<&dyn Secrets, SecretError> {
        if !matches!(reference, SecretRef::AwsSecretsManager { .. }) {
            return Ok(&self.local);
        }
        let open = async || {
            let cloud = self.remote.cloud().await.map_err(|failure| {
                let error = anyhow::Error::from(failure);
                let hint = hint_of(&error).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                SecretError::Unavailable(reference.clone(), format!("{error:#}{hint}"))
            })?;
            Ok(ManagerSecrets::new(cloud, Arc::clone(&self.clock)))
        };
        Ok(self.manager.get_or_try_init(open).await?)
    }
}

#[async_trait]
impl Secrets for SecretPlaces {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.place(reference).await?.get(reference).await
    }

    async fn refresh(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.place(reference).await?.refresh(reference).await
    }
}
