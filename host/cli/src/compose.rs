//! The composition root: a plan and its plugins become a service on this machine's adapters. The only file that names them all.
//!
//! Does not run the service.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use engine::drivers::consumer::StageQueue;
use engine::drivers::keeping::Keeping;
use engine::drivers::service::{Queues, Service};
use engine::lake::Lake;
use engine::lake::bronze::PluginStamp;
use engine::lake::generations::Generations;
use engine::lake::gold::Gold;
use engine::lake::silver::Silver;
use engine::pipeline::plan::{Limits, Location, Percent, Plan, QueueSettings};
use engine::progress::Progress;
use engine::remake::Workshop;
use engine::roles::aggregate::{Aggregate, GoldTable, Tried};
use engine::roles::breaker::Breaker;
use engine::roles::clean::Clean;
use engine::roles::enrich::Enrich;
use engine::roles::gateway::Gateway;
use engine::roles::ingest::{Ingest, SourcePlace};
use engine::seams::clock::Clock;
use engine::seams::http::Http;
use engine::seams::plugin::Cleaner;
use engine::seams::secrets::Secrets;
use engine::seams::store::{self, Store};
use local::{DirStore, HttpOptions, LocalSecrets, QueueOptions, ReqwestHttp, SqliteQueues, SystemClock};
use runtime::WasmPlugins;
use tokio::sync::OnceCell;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::load::{Loaded, Loading, load};
use crate::pipelines::PipelineFile;
use crate::plugins::component;
use crate::redact::RegisteringSecrets;

/// What all pipelines of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Runs guests.
    pub(crate) plugins: WasmPlugins,
    pub(crate) clock: Arc<dyn Clock>,
    http: Arc<dyn Http>,
}

impl Shared {
    /// The adapters of this process; compiled plugins are kept beside the first pipeline's file.
    pub(crate) fn new(files: &[PipelineFile], context: &Context) -> anyhow::Result<Self> {
        let http = ReqwestHttp::new(&HttpOptions::default()).context("cannot set up HTTP")?;
        Ok(Shared {
            plugins: component::runtime(context, files.first().map(|file| file.folder.as_path()))?,
            clock: Arc::new(SystemClock),
            http: Arc::new(http),
        })
    }

    /// The time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

/// The service of one pipeline. Makes the lake's folders and tables if they are not there.
pub(crate) async fn compose(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Fitting).await
}

/// As [`compose`], with Silver emptied first, so that it can have other columns and buckets.
pub(crate) async fn compose_anew(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Emptied).await
}

/// As [`compose`], for commands that only look: tables stay as they are, whatever the plugins of the file want.
pub(crate) async fn compose_to_look(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Viewed).await
}

/// In what state Silver is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silvers {
    /// With the clean plugin's columns, new ones added.
    Fitting,
    /// As it is.
    Viewed,
    /// Without a row.
    Emptied,
}

async fn compose_on(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
    silver: Silvers,
) -> anyhow::Result<Service> {
    let plan = &file.plan;
    let lake = lake(file)?;
    let loaded = load(Loading {
        plan,
        folder: &file.folder,
        plugins: &shared.plugins,
        lake: Some(&lake),
        serves: None,
        else_last: silver == Silvers::Viewed,
    })
    .await?;
    let progress = Arc::new(Progress::default());
    let queues = queues(plan, &file.folder, shared).await?;
    let secrets: Arc<dyn Secrets> =
        Arc::new(RegisteringSecrets::new(LocalSecrets::new(&file.folder), context.redactor.clone()));
    let gateway = Arc::new(Gateway::new(
        &plan.endpoints,
        &plan.secrets,
        secrets,
        Arc::clone(&shared.http),
        Arc::clone(&shared.clock),
        Arc::clone(&progress),
    ));
    let enrich_breaker = enrich_breaker(plan, &loaded, &lake, shared);
    let schema = loaded.clean.0.descriptor().output_schema();
    let (store, clock) = (Arc::clone(&lake.silver), Arc::clone(&shared.clock));
    let silver = match silver {
        Silvers::Fitting => Silver::open(store, clock, schema, lake.buckets).await?,
        Silvers::Viewed => Silver::view(store, clock, schema, lake.buckets).await?,
        Silvers::Emptied => Silver::rebuild(store, clock, schema, lake.buckets).await?,
    };
    let roles = roles(plan, loaded, silver, &lake, &queues, shared, &progress).await?;
    Ok(Service {
        pipeline: plan.name.clone(),
        schedule: plan.schedule.clone(),
        enrich_workers: plan.enrich.as_ref().map_or(1, |stage| stage.concurrency.get()),
        max_receives: plan.queue.max_receives.get(),
        ingest: Arc::new(Ingest {
            pipeline: plan.name.clone(),
            source: plan.source.clone(),
            place: source(plan, file, shared)?,
            lake: lake.clone(),
            queue: Arc::clone(&queues.enrich.live),
            progress: Arc::clone(&progress),
        }),
        enrich: Arc::new(Enrich {
            pipeline: plan.name.clone(),
            lake,
            plugin: roles.enrich,
            config: roles.enrich_config,
            generation: OnceCell::new(),
            gateway,
            queue: Arc::clone(&queues.clean.live),
            concurrency: plan.enrich.as_ref().map_or(NonZeroUsize::MIN, |stage| stage.concurrency),
            breaker: enrich_breaker,
            progress: Arc::clone(&progress),
        }),
        clean: Arc::new(roles.clean),
        aggregate: Arc::new(roles.aggregate),
        queues,
        keeping: Arc::new(Keeping::new(plan.lake.retention)),
        clock: Arc::clone(&shared.clock),
        progress,
    })
}

/// The plugins that have made the lake of `file`, to make things of it again.
pub(crate) async fn workshop(file: &PipelineFile, service: &Service, shared: &Shared) -> anyhow::Result<Workshop> {
    // What a stage may use now says nothing of what another one could in its time: the widest of all it is.
    let limits = file.plan.stages().map(|(_, stage)| stage.limits).fold(Limits::default(), Limits::widest);
    Ok(Workshop::open(&service.enrich.lake, Arc::new(shared.plugins.clone()), limits).await?)
}

/// What the plugins become once the tables are open.
struct Roles {
    enrich: Option<Arc<dyn engine::seams::plugin::Enricher>>,
    enrich_config: String,
    clean: Clean,
    aggregate: Aggregate,
}

async fn roles(
    plan: &Plan,
    loaded: Loaded,
    silver: Silver,
    lake: &Lake,
    queues: &Queues,
    shared: &Shared,
    progress: &Arc<Progress>,
) -> anyhow::Result<Roles> {
    let mut tables = Vec::new();
    for (aggregate, (plugin, config)) in plan.aggregates.iter().zip(loaded.aggregates) {
        let schema = plugin.descriptor().output_schema();
        let gold = Gold::open(Arc::clone(&lake.gold), Arc::clone(&shared.clock), &aggregate.name, schema).await?;
        tables.push(GoldTable {
            name: aggregate.name.clone(),
            plugin,
            config,
            gold,
            generations: Generations::of_aggregate(lake, &aggregate.name),
            generation: OnceCell::new(),
            tried: Tried::default(),
        });
    }
    let folds = plan.aggregates.iter().map(|aggregate| aggregate.stage.concurrency).max().unwrap_or(NonZeroUsize::MIN);
    let (enrich, enrich_config) =
        loaded.enrich.map_or((None, "{}".to_owned()), |(plugin, config)| (Some(plugin), config));
    let (cleaner, config) = loaded.clean;
    Ok(Roles {
        enrich,
        enrich_config,
        clean: Clean {
            lake: lake.clone(),
            breaker: clean_breaker(plan, &*cleaner, &config, lake, shared),
            plugin: cleaner,
            config,
            generation: OnceCell::new(),
            silver: silver.clone(),
            queue: Arc::clone(&queues.aggregate.live),
            concurrency: plan.clean.concurrency,
            progress: Arc::clone(progress),
        },
        aggregate: Aggregate { lake: lake.clone(), silver, tables, concurrency: folds, progress: Arc::clone(progress) },
    })
}

/// The breaker of the enrich stage; of one without a plugin it never opens.
pub(crate) fn enrich_breaker(plan: &Plan, loaded: &Loaded, lake: &Lake, shared: &Shared) -> Breaker {
    let (plugin, config) = loaded
        .enrich
        .as_ref()
        .map_or((None, "{}"), |(plugin, config)| (Some(PluginStamp::of(&**plugin)), config.as_str()));
    let suspend_above = plan.enrich.as_ref().and_then(|stage| stage.suspend_above).unwrap_or(Percent::WHOLE);
    Breaker::new("enrich", Arc::clone(&lake.bronze), (plugin, config), suspend_above, Arc::clone(&shared.clock))
}

/// The breaker of the clean stage.
pub(crate) fn clean_breaker(plan: &Plan, plugin: &dyn Cleaner, config: &str, lake: &Lake, shared: &Shared) -> Breaker {
    let plugin = Some(PluginStamp::of(plugin));
    let suspend_above = plan.clean.suspend_above.unwrap_or(Percent::WHOLE);
    Breaker::new("clean", Arc::clone(&lake.silver), (plugin, config), suspend_above, Arc::clone(&shared.clock))
}

/// The lake of one pipeline. Makes its folders if they are not there.
pub(crate) fn lake(file: &PipelineFile) -> anyhow::Result<Lake> {
    let places = &file.plan.lake;
    Ok(Lake {
        bronze: layer(&places.bronze, file)?,
        silver: layer(&places.silver, file)?,
        gold: layer(&places.gold, file)?,
        buckets: places.buckets,
    })
}

fn layer(location: &Location, file: &PipelineFile) -> anyhow::Result<Store> {
    match location {
        Location::Local(path) => {
            let path = file.folder.join(path);
            DirStore::open(&path).with_context(|| format!("cannot open the layer at `{}`", path.display()))
        }
        Location::Remote(url) => Err(elsewhere(url.as_str())),
    }
}

fn elsewhere(url: &str) -> anyhow::Error {
    Failure::new(ExitCode::Unavailable, format!("`{url}` is not on this machine, and this build has no adapter for it"))
        .hint("name a folder or file of this machine")
        .into()
}

fn source(plan: &Plan, file: &PipelineFile, shared: &Shared) -> anyhow::Result<SourcePlace> {
    match &plan.source.location {
        Location::Local(path) => {
            let path = file.folder.join(path);
            let missing = || format!("cannot read the source `{}`", path.display());
            // A source may well be a link to where the data is; what counts is the file that it leads to.
            let real = path.canonicalize().with_context(missing)?;
            let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else { anyhow::bail!(missing()) };
            let store = DirStore::open(folder).with_context(missing)?;
            Ok(SourcePlace::Object(store, store::Path::parse(name.to_string_lossy()).with_context(missing)?))
        }
        Location::Remote(url) if matches!(url.scheme(), "http" | "https") => {
            Ok(SourcePlace::Web(Arc::clone(&shared.http), url.clone()))
        }
        Location::Remote(url) => Err(elsewhere(url.as_str())),
    }
}

/// Writes the embedded queue's file anew, so that nothing is left in it of messages that are gone.
pub(crate) async fn scrub_queue(file: &PipelineFile, shared: &Shared) -> anyhow::Result<()> {
    if file.plan.queue.url.is_none() {
        queue_file(&file.plan, &file.folder, shared).await?.scrub().await?;
    }
    Ok(())
}

async fn queue_file(plan: &Plan, folder: &Path, shared: &Shared) -> anyhow::Result<SqliteQueues> {
    let path = folder.join(".sluicebox").join(&plan.name).join("queue.sqlite");
    SqliteQueues::open(&path, Arc::clone(&shared.clock))
        .await
        .with_context(|| format!("cannot open `{}`", path.display()))
}

/// The embedded queues, one file a pipeline.
async fn queues(plan: &Plan, folder: &Path, shared: &Shared) -> anyhow::Result<Queues> {
    if let Some(url) = &plan.queue.url {
        return Err(elsewhere(url.as_str()));
    }
    let file = queue_file(plan, folder, shared).await?;
    let stage = |name| stage_queue(&file, name, &plan.queue);
    Ok(Queues { enrich: stage("enrich"), clean: stage("clean"), aggregate: stage("aggregate") })
}

fn stage_queue(file: &SqliteQueues, name: &str, settings: &QueueSettings) -> StageQueue {
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
