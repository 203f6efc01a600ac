//! Assembles a service from its parts: the stages around loaded plugins, open tables and queues.
//!
//! Does not open or load anything.

use std::num::NonZeroUsize;
use std::sync::Arc;

use engine::drivers::keeping::Keeping;
use engine::drivers::service::{Queues, Service};
use engine::progress::Progress;
use engine::roles::aggregate::{Aggregate, GoldTable};
use engine::roles::breaker::Breaker;
use engine::roles::clean::Clean;
use engine::roles::enrich::Enrich;
use engine::roles::gateway::Gateway;
use engine::roles::ingest::{Ingest, ReadBy};
use lake::Lake;
use lake::answers::Keeper;
use lake::silver::Silver;
use pipeline::plan::{Percent, Plan};
use seams::plugin::{Cleaner, PluginStamp};
use seams::secrets::Secrets;
use tokio::sync::OnceCell;

use super::places::{SecretPlaces, source};
use super::shared::Shared;
use crate::context::Context;
use crate::load::Loaded;
use crate::pipelines::PipelineFile;
use crate::redact::RegisteringSecrets;

/// The gateway for the enrich plugin's calls.
pub(super) fn gateway(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
    progress: &Arc<Progress>,
) -> Arc<Gateway> {
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

/// Assembles a service from its parts.
pub(super) fn assembled(
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

/// The secrets that a pipeline file can name; each one is registered when it is read, so that no log shows it.
pub(crate) fn secrets(file: &PipelineFile, shared: &Shared, context: &Context) -> Arc<dyn Secrets> {
    Arc::new(RegisteringSecrets::new(SecretPlaces::new(file, shared), context.redactor.clone()))
}

/// The roles that the plugins become once the tables are open.
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

/// The breaker of the enrich stage; without a plugin it never opens.
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
