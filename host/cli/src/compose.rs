//! The composition root: a plan and its plugins become a service. Only this module and those below it name all adapters.
//!
//! Does not run the service.

mod assembly;
mod look;
mod ours;
mod places;
mod remote;
mod shared;
mod uses;

use std::sync::Arc;

use engine::drivers::heal::heal;
use engine::drivers::service::Service;
use engine::progress::Progress;
use engine::roles::aggregate::{GoldTable, Tried};
use futures::future::try_join_all;
use lake::generations::Generations;
use lake::gold::Gold;
use lake::silver::Silver;
use lake::{Lake, TableError};
use pipeline::plan::{Limits, Plan};
use pipeline::role::Role;
use proof::remake::Workshop;
use tokio::sync::OnceCell;

use self::assembly::{assembled, gateway};
pub(crate) use self::assembly::{clean_breaker, enrich_breaker, secrets};
pub(crate) use self::look::{Looked, look, unread};
use self::places::queues;
pub(crate) use self::places::{lake, look_at_lake, queue_file, remove_unfinished, scrub_queue, source};
pub(crate) use self::remote::Remote;
pub(crate) use self::shared::Shared;
pub(crate) use self::uses::in_use;
use crate::context::Context;
use crate::load::{Loaded, Loading, known, load};
use crate::pipelines::PipelineFile;

/// The service of one pipeline. Makes the lake's folders and tables if they are not there.
pub(crate) async fn compose(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<Service> {
    compose_with(file, shared, context, &Arc::default()).await
}

/// As [`compose`], with the counters of an earlier service of the pipeline.
pub(crate) async fn compose_with(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
    progress: &Arc<Progress>,
) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Fitting, progress).await
}

/// As [`compose`], with Silver emptied first, so that it can have other columns and buckets.
pub(crate) async fn compose_to_rebuild(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Emptied, &Arc::default()).await
}

/// As [`compose`], for commands that do not run the file's plugins: the tables stay as they are.
pub(crate) async fn compose_to_look(
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<Service> {
    compose_on(file, shared, context, Silvers::Viewed, &Arc::default()).await
}

/// How Silver is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silvers {
    /// With the clean plugin's columns, new ones added.
    Fitting,
    /// As it is.
    Viewed,
    /// Emptied of all rows.
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
        // A function starts only when there is work.
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
    // Concurrently, here and below: places in AWS are opened by calls, and a function costs money and time while it waits for them.
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

/// The plugins that made the lake of `file`, to make parts of it again.
pub(crate) async fn workshop(file: &PipelineFile, service: &Service, shared: &Shared) -> anyhow::Result<Workshop> {
    // The present limits of a stage say nothing about an earlier plugin: all plugins get the widest limits of any stage.
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
