//! From the places that a plan names to the adapters that reach them: folders, buckets, queues, secrets.
//!
//! Does not load anything of AWS before a place is there.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use aws::{Cloud, ManagerSecrets, NewsQueue, S3Store};
use engine::drivers::consumer::StageQueue;
use engine::drivers::service::Queues;
use engine::lake::Lake;
use engine::pipeline::plan::{Location, Plan, QueueSettings};
use engine::roles::ingest::SourcePlace;
use engine::seams::clock::Clock;
use engine::seams::queue::Queue;
use engine::seams::secrets::{SecretError, SecretRef, SecretString, Secrets};
use engine::seams::store::{self, Store};
use local::{DirStore, LocalSecrets, QueueOptions, SqliteQueues};
use tokio::sync::OnceCell;
use url::Url;

use super::Shared;
use crate::exit::ExitCode;
use crate::failure::{Failure, hint_of};
use crate::pipelines::PipelineFile;

/// AWS, found out about when it is first wanted. Clones share what was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remote(Arc<OnceCell<Cloud>>);

impl Remote {
    pub(crate) async fn cloud(&self) -> Result<&Cloud, Failure> {
        self.0.get_or_try_init(Cloud::load).await.map_err(|error| {
            let hint = error.hint();
            Failure::new(ExitCode::Unavailable, "cannot reach AWS").hint(hint).caused_by(error)
        })
    }
}

impl Remote {
    /// The bucket that an object of S3 is in, and where in it.
    pub(crate) async fn object(&self, url: &Url) -> anyhow::Result<(Store, store::Path)> {
        let mut bucket = url.clone();
        bucket.set_path("");
        let store = S3Store::open(self.cloud().await?, &bucket)?;
        Ok((store, store::Path::from_url_path(url.path())?))
    }
}

/// The lake of one pipeline. Makes its folders if they are not there.
pub(crate) async fn lake(file: &PipelineFile, remote: &Remote) -> anyhow::Result<Lake> {
    let places = &file.plan.lake;
    Ok(Lake {
        bronze: layer(&places.bronze, file, remote).await?,
        silver: layer(&places.silver, file, remote).await?,
        gold: layer(&places.gold, file, remote).await?,
        buckets: places.buckets,
    })
}

async fn layer(location: &Location, file: &PipelineFile, remote: &Remote) -> anyhow::Result<Store> {
    match location {
        Location::Local(path) => {
            let path = file.folder.join(path);
            DirStore::open(&path).with_context(|| format!("cannot open the layer at `{}`", path.display()))
        }
        Location::Remote(url) if url.scheme() == "s3" => {
            let cloud = remote.cloud().await.with_context(|| format!("cannot open the layer at `{location}`"))?;
            S3Store::open(cloud, url).with_context(|| format!("cannot open the layer at `{location}`"))
        }
        Location::Remote(url) => Err(elsewhere(url.as_str())),
    }
}

fn elsewhere(url: &str) -> anyhow::Error {
    Failure::new(ExitCode::Unavailable, format!("`{url}` cannot be reached: this build has no adapter for it"))
        .hint("name a folder or file of this machine, or `s3://BUCKET/KEY`")
        .into()
}

/// Where the records of a pipeline come from.
pub(crate) async fn source(file: &PipelineFile, shared: &Shared) -> anyhow::Result<SourcePlace> {
    match &file.plan.source.location {
        Location::Local(path) => {
            let path = file.folder.join(path);
            let missing = || format!("cannot read the source `{}`", path.display());
            // A source may well be a link to where the data is; what counts is the file that it leads to.
            let real = path.canonicalize().with_context(missing)?;
            let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else { anyhow::bail!(missing()) };
            let store = DirStore::open(folder).with_context(missing)?;
            Ok(SourcePlace::Object(store, store::Path::parse(name.to_string_lossy()).with_context(missing)?))
        }
        Location::Remote(url) if url.scheme() == "s3" => {
            let found = shared.remote.object(url).await;
            let (store, object) =
                found.with_context(|| format!("cannot read the source `{}`", file.plan.source.location))?;
            Ok(SourcePlace::Object(store, object))
        }
        Location::Remote(url) if matches!(url.scheme(), "http" | "https") => {
            Ok(SourcePlace::Web(Arc::clone(&shared.http), url.clone()))
        }
        Location::Remote(url) => Err(elsewhere(url.as_str())),
    }
}

/// The queues between a pipeline's roles.
pub(super) async fn queues(plan: &Plan, folder: &Path, shared: &Shared) -> anyhow::Result<Queues> {
    if let Some(url) = &plan.queue.url {
        return remote_queues(url, plan, shared).await;
    }
    let file = queue_file(plan, folder, shared).await?;
    let stage = |name| embedded(&file, name, &plan.queue);
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

/// A stage's queue that takes S3's news of the layer before it, if that is in S3.
fn heard_by(stage: StageQueue, layer: &Location, news: fn(Arc<dyn Queue>, &Url) -> NewsQueue) -> StageQueue {
    match layer {
        Location::Local(_) => stage,
        Location::Remote(url) => {
            StageQueue { live: Arc::new(news(stage.live, url)), dead: Arc::new(news(stage.dead, url)) }
        }
    }
}

/// Writes the embedded queue's file anew, so that nothing is left in it of messages that are gone.
pub(crate) async fn scrub_queue(file: &PipelineFile, shared: &Shared) -> anyhow::Result<()> {
    if file.plan.queue.url.is_none() {
        queue_file(&file.plan, &file.folder, shared).await?.scrub().await?;
    }
    Ok(())
}

/// One file a pipeline.
async fn queue_file(plan: &Plan, folder: &Path, shared: &Shared) -> anyhow::Result<SqliteQueues> {
    let path = folder.join(".sluicebox").join(&plan.name).join("queue.sqlite");
    SqliteQueues::open(&path, Arc::clone(&shared.clock))
        .await
        .with_context(|| format!("cannot open `{}`", path.display()))
}

fn embedded(file: &SqliteQueues, name: &str, settings: &QueueSettings) -> StageQueue {
    let dead = format!("{name}-dead");
    let options = QueueOptions {
        visibility: settings.visibility_timeout,
        max_receives: settings.max_receives,
        dead_letters: Some(dead.clone()),
        ..QueueOptions::default()
    };
    let dead_options = QueueOptions { dead_letters: None, ..options.clone() };
    StageQueue { live: Arc::new(file.queue(name, options)), dead: Arc::new(file.queue(&dead, dead_options)) }
}

/// Secrets of this machine and of AWS, each asked for at its place.
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
