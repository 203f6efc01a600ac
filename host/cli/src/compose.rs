//! The composition root: a plan and its plugins become a service. With [`places`] the only code that names all adapters.
//!
//! Does not run the service.

mod look;
mod ours;
mod places;

use std::num::NonZeroUsize;
use std::sync::Arc;

use aws::NotifiedQueue;
use engine::drivers::heal::heal;
use engine::drivers::keeping::Keeping;
use engine::drivers::service::{Queues, Service};
use engine::progress::Progress;
use engine::roles::aggregate::{Aggregate, GoldTable, Tried};
use engine::roles::breaker::Breaker;
use engine::roles::clean::Clean;
use engine::roles::enrich::Enrich;
use engine::roles::gateway::Gateway;
use engine::roles::ingest::{Ingest, ReadBy};
use futures::future::try_join_all;
use lake::answers::Keeper;
use lake::generations::Generations;
use lake::gold::Gold;
use lake::silver::Silver;
use lake::{Lake, TableError};
use local::{HttpOptions, ReqwestHttp, SystemClock};
use pipeline::plan::{Limits, Location, Percent, Plan};
use pipeline::role::Role;
use proof::remake::Workshop;
use runtime::WasmPlugins;
use seams::clock::Clock;
use seams::http::Http;
use seams::plugin::Cleaner;
use seams::plugin::PluginStamp;
use seams::queue::Queue;
use seams::secrets::Secrets;
use tokio::sync::OnceCell;

pub(crate) use self::look::{Looked, look, unread};
pub(crate) use self::ours::in_use;
pub(crate) use self::places::{
    Remote, lake, look_at_lake, queue_file, queue_path, remove_unfinished, scrub_queue, source,
};
use self::places::{SecretPlaces, look_at_queues, queues};
use crate::context::Context;
use crate::load::{Loaded, Loading, known, load};
use crate::pipelines::PipelineFile;
use crate::plugins::component;
use crate::redact::{Redactor, RegisteringSecrets, register_place};

/// What all pipelines of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Runs guests.
    pub(crate) plugins: WasmPlugins,
    pub(crate) clock: Arc<dyn Clock>,
    http: Arc<dyn Http>,
    /// What is not on this machine.
    pub(crate) remote: Remote,
    /// Whether S3 itself tells a stage of what the one before has made.
    pub(crate) notified: bool,
    /// Whether Lambda hands this process its messages: a queue is opened when it is told something, which may be never.
    pub(crate) handed: bool,
    /// Knows every secret of this process, so that no answer holds one.
    redactor: Redactor,
    /// The roles of this process. Tables of others are opened when they are first looked at, which may be never.
    pub(crate) roles: Vec<Role>,
    /// Says to other processes that this one works on pipelines.
    uses: ours::Uses,
}

impl Shared {
    /// The adapters of this process.
    pub(crate) fn new(files: &[PipelineFile], context: &Context) -> anyhow::Result<Self> {
        files.iter().for_each(|file| register_place(&context.redactor, &file.plan.source.location));
        Ok(Shared {
            redactor: context.redactor.clone(),
            plugins: component::runtime(context)?,
            clock: Arc::new(SystemClock),
            http: Arc::new(ReqwestHttp::new(HttpOptions::default())),
            remote: Remote::default(),
            notified: false,
            handed: false,
            roles: Role::ALL.to_vec(),
            uses: ours::Uses::default(),
        })
    }

    /// The way in which a stage is told of what the one before has made.
    fn told(&self, queue: &Arc<dyn Queue>) -> Arc<dyn Queue> {
        if self.notified { Arc::new(NotifiedQueue::new(Arc::clone(queue))) } else { Arc::clone(queue) }
    }

    /// Whether this process may write to every layer of the plan's lake: a function, or a process with some of the roles in AWS, may not.
    pub(crate) fn writes_all(&self, plan: &Plan) -> bool {
        let places = &plan.lake;
        let afar = [&places.bronze, &places.silver, &places.gold].iter().any(|one| matches!(one, Location::Remote(_)));
        !self.handed && (!afar || Role::ALL.iter().all(|role| self.serves(*role)))
    }

    /// Whether this process has the role.
    pub(crate) fn serves(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

/// The service of one pipeline. Makes the lake's folders and tables if they are not there.
pub(crate) async fn compose(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<Service> {
    compose_with(file, shared, context, &Arc::default()).await
}

/// As [`compose`], counting on where another service of the pipeline has stopped.
pub(crate) async fn compose_with(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
    progress: &Arc<Progress>,
) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Fitting, progress).await
}

/// As [`compose`], with Silver emptied first, so that it can have other columns and buckets.
pub(crate) async fn compose_anew(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Emptied, &Arc::default()).await
}

/// As [`compose`], for commands that do not let the plugins of the file work: tables stay as they are, whatever those want.
pub(crate) async fn compose_to_look(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Viewed, &Arc::default()).await
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
    progress: &Arc<Progress>,
) -> anyhow::Result<Service> {
    let plan = &file.plan;
    let lake = lake(file, &shared.remote).await?;
    let gateway = gateway(file, shared, context, progress);
    let else_last = silver == Silvers::Viewed;
    let writes = !else_last && shared.writes_all(plan);
    if writes {
        ours::heed_conditions(file, &lake, shared).await?;
    }
    let identity = match writes {
        true => Some(ours::claim(file, &lake, shared, context).await?),
        false => ours::look(file, &lake, shared).await,
    };
    let soon = if else_last { &[][..] } else { &shared.roles };
    let loading = Loading { lake: Some(&lake), else_last, roles: soon, ..Loading::by_files(file, shared) };
    let prepared = async {
        // A function is started for work that is there already.
        if shared.handed && shared.serves(Role::Enrich) {
            gateway.prepare().await;
        }
    };
    let owned = async {
        if writes || else_last {
            return Ok(());
        }
        ours::heed_conditions(file, &lake, shared).await?;
        ours::examine(file, &lake, shared).await
    };
    // Side by side, here and below: what lies in AWS is opened by calls, and a function is paid and waited for while it opens it.
    let (loaded, queues, (), owned) =
        tokio::join!(load(loading), queues(plan, &file.folder, shared, identity.as_deref()), prepared, owned);
    owned?;
    let (loaded, queues) = (loaded?, queues?);
    loaded.aside.tell();
    if !else_last {
        loaded.aside.keep_signatures(&lake, &shared.roles).await;
        if !shared.handed {
            known::note(file).await;
        }
    }
    let (silver, tables) =
        tokio::join!(open_silver(silver, &loaded, &lake, shared), gold_tables(plan, &loaded, &lake, shared));
    let tables = (silver?, tables?);
    let service = assembled((file, shared), loaded, tables, (lake, queues), gateway, Arc::clone(progress));
    if writes && shared.serves(Role::Clean) {
        heal(&service).await?;
    }
    Ok(service)
}

/// What makes the calls of the enrich plugin.
fn gateway(file: &PipelineFile, shared: &Shared, context: &Context, progress: &Arc<Progress>) -> Arc<Gateway> {
    let plan = &file.plan;
    Arc::new(Gateway::redacting(
        &plan.endpoints,
        &plan.secrets,
        secrets(file, shared, context),
        (Arc::clone(&shared.http), shared.redactor.clone()),
        Arc::clone(&shared.clock),
        Arc::clone(progress),
    ))
}

/// A service of its parts.
fn assembled(
    (file, shared): (&PipelineFile, &Shared),
    loaded: Loaded,
    tables: (Silver, Vec<GoldTable>),
    (lake, queues): (Lake, Queues),
    gateway: Arc<Gateway>,
    progress: Arc<Progress>,
) -> Service {
    let plan = &file.plan;
    let reader = loaded.reader();
    let enrich_breaker = enrich_breaker(plan, &loaded, &lake, shared);
    let roles = roles(plan, loaded, tables, &lake, &queues, shared, &progress);
    Service {
        pipeline: plan.name.clone(),
        schedule: plan.schedule.clone(),
        enrich_workers: plan.enrich.as_ref().map_or(1, |stage| stage.concurrency.get()),
        max_receives: plan.queue.max_receives.get(),
        ingest: Arc::new(Ingest {
            pipeline: plan.name.clone(),
            source: plan.source.clone(),
            place: source(file, shared),
            reads: ReadBy::new(reader),
            lake: lake.clone(),
            queue: Arc::clone(&queues.enrich.live),
            clock: Arc::clone(&shared.clock),
            progress: Arc::clone(&progress),
        }),
        enrich: Arc::new(Enrich {
            pipeline: plan.name.clone(),
            answers: Keeper::of(&lake, Arc::clone(&shared.clock)),
            lake,
            plugin: roles.enrich,
            config: roles.enrich_config,
            generation: OnceCell::new(),
            breaker: enrich_breaker.calling(Arc::clone(&gateway)),
            gateway,
            queue: shared.told(&queues.clean.live),
            concurrency: plan.enrich.as_ref().map_or(NonZeroUsize::MIN, |stage| stage.concurrency),
            progress: Arc::clone(&progress),
        }),
        clean: Arc::new(roles.clean),
        aggregate: Arc::new(roles.aggregate),
        queues,
        keeping: Arc::new(Keeping::new(plan.lake.retention)),
        clock: Arc::clone(&shared.clock),
        progress,
    }
}

/// The secrets that a pipeline file can name; whatever is read is registered, so that no log shows it.
pub(crate) fn secrets(file: &PipelineFile, shared: &Shared, context: &Context) -> Arc<dyn Secrets> {
    Arc::new(RegisteringSecrets::new(SecretPlaces::new(file, shared), context.redactor.clone()))
}

/// The plugins that have made the lake of `file`, to make things of it again.
pub(crate) async fn workshop(file: &PipelineFile, service: &Service, shared: &Shared) -> anyhow::Result<Workshop> {
    // What a stage may use now says nothing of what another one could in its time: the widest of all it is.
    let limits = file.plan.stages().map(|(_, stage)| stage.limits).fold(Limits::default(), Limits::widest);
    Ok(Workshop::open(&service.enrich.lake, Arc::new(shared.plugins.clone()), limits).await?)
}

async fn open_silver(how: Silvers, loaded: &Loaded, lake: &Lake, shared: &Shared) -> Result<Silver, TableError> {
    let schema = loaded.clean.0.descriptor().output_schema();
    let (store, clock) = (Arc::clone(&lake.silver), Arc::clone(&shared.clock));
    match how {
        Silvers::Fitting if shared.serves(Role::Clean) => Silver::open(store, clock, schema, lake.buckets).await,
        Silvers::Fitting => Silver::unopened(store, clock, &schema, lake.buckets),
        Silvers::Viewed => Silver::view(store, clock, schema, lake.buckets).await,
        Silvers::Emptied => Silver::rebuild(store, clock, schema, lake.buckets).await,
    }
}

async fn gold_tables(plan: &Plan, loaded: &Loaded, lake: &Lake, shared: &Shared) -> Result<Vec<GoldTable>, TableError> {
    let tables = plan.aggregates.iter().zip(&loaded.aggregates).map(async |(aggregate, (plugin, config))| {
        let schema = plugin.descriptor().output_schema();
        let (store, clock) = (Arc::clone(&lake.gold), Arc::clone(&shared.clock));
        let gold = if shared.serves(Role::Aggregate) {
            Gold::open(store, clock, &aggregate.name, schema).await?
        } else {
            Gold::unopened(store, clock, &aggregate.name, &schema)?
        };
        Ok(GoldTable {
            name: aggregate.name.clone(),
            plugin: Arc::clone(plugin),
            config: config.clone(),
            gold,
            generations: Generations::of_aggregate(lake, &aggregate.name),
            generation: OnceCell::new(),
            tried: Tried::default(),
        })
    });
    try_join_all(tables).await
}

/// What the plugins become once the tables are open.
struct Roles {
    enrich: Option<Arc<dyn seams::plugin::Enricher>>,
    enrich_config: String,
    clean: Clean,
    aggregate: Aggregate,
}

fn roles(
    plan: &Plan,
    loaded: Loaded,
    (silver, tables): (Silver, Vec<GoldTable>),
    lake: &Lake,
    queues: &Queues,
    shared: &Shared,
    progress: &Arc<Progress>,
) -> Roles {
    let folds = plan.aggregates.iter().map(|aggregate| aggregate.stage.concurrency).max().unwrap_or(NonZeroUsize::MIN);
    let (enrich, enrich_config) =
        loaded.enrich.map_or((None, "{}".to_owned()), |(plugin, config)| (Some(plugin), config));
    let (cleaner, config) = loaded.clean;
    Roles {
        enrich,
        enrich_config,
        clean: Clean {
            lake: lake.clone(),
            breaker: clean_breaker(plan, &*cleaner, &config, lake, shared),
            plugin: cleaner,
            config,
            generation: OnceCell::new(),
            silver: silver.clone(),
            queue: shared.told(&queues.aggregate.live),
            concurrency: plan.clean.concurrency,
            progress: Arc::clone(progress),
        },
        aggregate: Aggregate { lake: lake.clone(), silver, tables, concurrency: folds, progress: Arc::clone(progress) },
    }
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
