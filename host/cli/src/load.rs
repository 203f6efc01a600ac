//! From a plan to loaded plugins whose contracts fit: all of `check`'s loading, and the first half of `run`.
//!
//! Does not open a lake, a queue or a connection.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use engine::contract::columns::{self, Reader, Weight};
use engine::contract::silver_breaches;
use engine::drivers::service::Service;
use engine::roles::ingest::MOST_SOURCE;
use engine::roles::source;
use futures::future::join_all;
use lake::generations::Generations;
use lake::swaps::{self, Version};
use lake::{Lake, LakeError};
use local::outside::{self, OutsideError};
use pipeline::plan::{Location, Plan, PluginRef, Source, SourceFormat, Stage};
use pipeline::role::Role;
use seams::plugin::{Aggregator, Cleaner, Digest, Enricher, Grants, LoadError, Plugin, Plugins};
use tokio::sync::OnceCell;

use crate::compose::{Remote, Shared};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::short_digest;
use crate::pipelines::PipelineFile;
use crate::published::Published;
use crate::signature::{self, Unsigned};

mod absent;
mod aside;
mod covered;
mod found;
pub(crate) mod known;
mod passing;
mod stage_place;
mod trouble;

use absent::Absent;
pub(crate) use aside::Aside;
use aside::Signed;
pub(crate) use covered::Ignored;
use covered::{Kept, ignored, kept};
use found::{Found, version_of};
pub(crate) use passing::passes;
use stage_place::StagePlace;
pub(crate) use trouble::{CannotLoad, Trouble};

/// The plugins of one pipeline.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Each with its configuration.
    pub(crate) enrich: Option<(Arc<dyn Enricher>, String)>,
    pub(crate) clean: (Arc<dyn Cleaner>, String),
    /// In the order of the plan's aggregates.
    pub(crate) aggregates: Vec<(Arc<dyn Aggregator>, String)>,
    /// Findings besides the plugins.
    pub(crate) aside: Aside,
}

impl Loaded {
    /// The plugin that reads the source's records.
    pub(crate) fn reader(&self) -> Reader {
        Reader::of(self.enrich.as_ref().map(|(plugin, _)| plugin.descriptor()), self.clean.0.descriptor())
    }

    /// Every plugin with its stage's name.
    pub(crate) fn all(&self, plan: &Plan) -> Vec<(String, &dyn Plugin)> {
        let enrich = self.enrich.as_ref().map(|(plugin, _)| ("enrich".to_owned(), &**plugin as &dyn Plugin));
        let aggregates = plan.aggregates.iter().zip(&self.aggregates);
        let aggregates = aggregates
            .map(|(aggregate, (plugin, _))| (format!("aggregate {}", aggregate.name), &**plugin as &dyn Plugin));
        enrich.into_iter().chain([("clean".to_owned(), &*self.clean.0 as &dyn Plugin)]).chain(aggregates).collect()
    }
}

/// Where plugins are looked for, and what else decides which of them serve.
#[derive(Clone, Copy)]
pub(crate) struct Loading<'a> {
    /// The plan to load.
    pub(crate) plan: &'a Plan,
    /// The base of relative paths.
    pub(crate) folder: &'a Path,
    /// Loads a component.
    pub(crate) plugins: &'a dyn Plugins,
    /// The clients for what is not on this machine.
    pub(crate) remote: &'a Remote,
    /// The lake, which knows the plugins that were taken back. Without a lake only the files decide.
    pub(crate) lake: Option<&'a Lake>,
    /// The plan and service that run now: their plugins are not loaded again.
    pub(crate) serves: Option<(&'a Plan, &'a Service)>,
    /// Whether the plugin that last worked replaces one that cannot be loaded: for commands that only read, and show what became of
    /// the pipeline.
    pub(crate) else_last: bool,
    /// The roles whose plugins will be called soon: those are prepared as soon as they are loaded.
    pub(crate) roles: &'a [Role],
    /// A decision that is not made yet, to see what would then be loaded.
    pub(crate) what_if: Option<&'a swaps::Event>,
    /// Where the findings besides the plugins go: `load` sets it.
    pub(crate) aside: Option<&'a Mutex<Aside>>,
}

impl<'a> Loading<'a> {
    /// By the pipeline's files only: without a lake, and without a running service.
    pub(crate) fn by_files(file: &'a PipelineFile, shared: &'a Shared) -> Self {
        Loading {
            plan: &file.plan,
            folder: &file.folder,
            plugins: &shared.plugins,
            remote: &shared.remote,
            lake: None,
            serves: None,
            else_last: false,
            roles: &[],
            what_if: None,
            aside: None,
        }
    }

    fn note(&self, note: impl FnOnce(&mut Aside)) {
        if let Some(aside) = self.aside {
            note(&mut aside.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn taken(aside: Mutex<Aside>) -> Aside {
    aside.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The decisions about plugins besides the files. One call for all stages, concurrent with the reads of their components: each listing
/// delays the start of a function.
pub(crate) struct Decided<'a> {
    lake: &'a Lake,
    what_if: Option<&'a swaps::Event>,
    events: OnceCell<Vec<swaps::Event>>,
}

impl<'a> Decided<'a> {
    fn of(lake: &'a Lake, what_if: Option<&'a swaps::Event>) -> Self {
        Decided { lake, what_if, events: OnceCell::new() }
    }

    async fn events(&self) -> Result<&[swaps::Event], LakeError> {
        let read = async || {
            let mut events = swaps::all_decisions(self.lake).await?;
            events.extend(self.what_if.cloned());
            Ok::<_, LakeError>(events)
        };
        Ok(self.events.get_or_try_init(read).await?)
    }
}

/// Loads every plugin of a plan concurrently, and checks what each layer needs against what the one before gives. An error names everything
/// wrong.
pub(crate) async fn load(loading: Loading<'_>) -> anyhow::Result<Loaded> {
    let aside = Mutex::default();
    let loaded = load_with(Loading { aside: Some(&aside), ..loading }).await?;
    Ok(Loaded { aside: taken(aside), ..loaded })
}

async fn load_with(loading: Loading<'_>) -> anyhow::Result<Loaded> {
    let decided = loading.lake.map(|lake| Decided::of(lake, loading.what_if));
    let decided = decided.as_ref();
    let events = async {
        match decided {
            Some(decided) => decided.events().await.map(drop),
            None => Ok(()),
        }
    };
    let (events, enrich, clean, aggregates) = tokio::join!(
        events,
        load_enrich(loading, decided),
        load_clean(loading, decided),
        load_aggregates(loading, decided)
    );
    events?;
    let mut troubles = Vec::new();
    let enrich = keep(enrich, &mut troubles).flatten();
    let clean = keep(clean, &mut troubles);
    let mut aggregators = Vec::new();
    for (aggregate, loaded) in loading.plan.aggregates.iter().zip(aggregates) {
        let loaded = keep(loaded, &mut troubles);
        if let (Some((clean, _)), Some((plugin, _))) = (&clean, &loaded) {
            let breaches = silver_breaches(clean.descriptor(), &aggregate.name, plugin.descriptor());
            troubles.extend(breaches.into_iter().map(Trouble::breach));
        }
        aggregators.extend(loaded);
    }
    let all_loaded = enrich.is_some() || loading.plan.enrich.is_none();
    if let (Some((clean, _)), true) = (&clean, all_loaded) {
        let reader = Reader::of(enrich.as_ref().map(|(plugin, _)| plugin.descriptor()), clean.descriptor());
        // The running service has read this source before: its ticks report trouble.
        if loading.serves.is_none_or(|(_, service)| service.reader() != reader) {
            troubles.extend(source_troubles(&loading.plan.source, loading.folder, &reader).await);
        }
    }
    match (clean, troubles.is_empty()) {
        (Some(clean), true) => Ok(Loaded { enrich, clean, aggregates: aggregators, aside: Aside::default() }),
        _ => Err(Failure::new(ExitCode::Usage, "cannot start the pipeline").caused_by(CannotLoad(troubles)).into()),
    }
}

/// As [`load`], for commands that only read: a plugin that cannot be loaded is replaced by the one that last worked, or by none. Contracts are
/// not checked. Returns also each stage with a replaced plugin, and why.
pub(crate) async fn load_to_look(loading: Loading<'_>) -> (Loaded, Vec<(String, String)>) {
    let aside = Mutex::default();
    let (loaded, others) = load_to_look_with(Loading { aside: Some(&aside), ..loading }).await;
    (Loaded { aside: taken(aside), ..loaded }, others)
}

async fn load_to_look_with(loading: Loading<'_>) -> (Loaded, Vec<(String, String)>) {
    let decided = loading.lake.map(|lake| Decided::of(lake, loading.what_if));
    // If the decisions cannot be read, only the files decide.
    let decided = match &decided {
        Some(known) if known.events().await.is_ok() => decided.as_ref(),
        _ => None,
    };
    let looking = Loading { else_last: false, ..loading };
    let (enrich, clean, aggregates) =
        tokio::join!(load_enrich(looking, decided), load_clean(looking, decided), load_aggregates(looking, decided));
    let mut others = Vec::new();
    let enrich = match (enrich, &loading.plan.enrich) {
        (Ok(enrich), _) => enrich,
        (Err(trouble), Some(stage)) => {
            let load = async |last: Found| loading.plugins.enricher(last.component, &last.grants).await;
            let place = StagePlace::plain("enrich", stage);
            let absent = |why| Absent::because(why) as Arc<dyn Enricher>;
            Some(instead((loading, &place), trouble, load, absent, &mut others).await)
        }
        (Err(_), None) => None,
    };
    let clean = match clean {
        Ok(clean) => clean,
        Err(trouble) => {
            let load = async |last: Found| loading.plugins.cleaner(last.component, &last.grants).await;
            let place = StagePlace::plain("clean", &loading.plan.clean);
            let absent = |why| Absent::because(why) as Arc<dyn Cleaner>;
            instead((loading, &place), trouble, load, absent, &mut others).await
        }
    };
    let mut all = Vec::new();
    for (aggregate, loaded) in loading.plan.aggregates.iter().zip(aggregates) {
        all.push(match loaded {
            Ok(loaded) => loaded,
            Err(trouble) => {
                let load = async |last: Found| loading.plugins.aggregator(last.component, &last.grants).await;
                let place = StagePlace::plain(&format!("aggregate {}", aggregate.name), &aggregate.stage);
                let absent = |why| Absent::because(why) as Arc<dyn Aggregator>;
                instead((loading, &place), trouble, load, absent, &mut others).await
            }
        });
    }
    (Loaded { enrich, clean, aggregates: all, aside: Aside::default() }, others)
}

/// The replacement of a plugin that cannot be loaded.
async fn instead<P: ?Sized>(
    (loading, place): (Loading<'_>, &StagePlace<'_>),
    trouble: Trouble,
    load: impl AsyncFnOnce(Found) -> Result<Arc<P>, LoadError>,
    absent: impl FnOnce(String) -> Arc<P>,
    others: &mut Vec<(String, String)>,
) -> (Arc<P>, String) {
    let code = trouble.code.map(|code| format!("[{code}] ")).unwrap_or_default();
    let why = format!("{code}{}", trouble.message);
    others.push((place.name.clone(), why.clone()));
    if let Some(last) = last(loading, place).await {
        let config = last.grants.config.clone();
        if let Ok(plugin) = load(last).await {
            return (plugin, config);
        }
    }
    (absent(why), place.stage.config.clone())
}

/// A plugin with its configuration, or why it is missing.
type OneLoaded<P> = Result<(Arc<P>, String), Trouble>;

async fn load_enrich(
    loading: Loading<'_>,
    decided: Option<&Decided<'_>>,
) -> Result<Option<(Arc<dyn Enricher>, String)>, Trouble> {
    let Some(stage) = &loading.plan.enrich else { return Ok(None) };
    let before = loading.serves.and_then(|(plan, service)| {
        let role = &service.enrich;
        Some(Before { stage: plan.enrich.as_ref()?, config: &role.config, plugin: role.plugin.clone()? })
    });
    let load = async |component: Bytes, grants: &Grants| loading.plugins.enricher(component, grants).await;
    one(Role::Enrich, (loading, decided), &StagePlace::plain("enrich", stage), before, load).await.map(Some)
}

async fn load_clean(loading: Loading<'_>, decided: Option<&Decided<'_>>) -> OneLoaded<dyn Cleaner> {
    let before = loading.serves.map(|(plan, service)| {
        let role = &service.clean;
        Before { stage: &plan.clean, config: &role.config, plugin: Arc::clone(&role.plugin) }
    });
    let load = async |component: Bytes, grants: &Grants| loading.plugins.cleaner(component, grants).await;
    one(Role::Clean, (loading, decided), &StagePlace::plain("clean", &loading.plan.clean), before, load).await
}

/// In the order of the plan's aggregates.
async fn load_aggregates(loading: Loading<'_>, decided: Option<&Decided<'_>>) -> Vec<OneLoaded<dyn Aggregator>> {
    let load = async |component: Bytes, grants: &Grants| loading.plugins.aggregator(component, grants).await;
    let loaded = loading.plan.aggregates.iter().map(async |aggregate| {
        let name = &aggregate.name;
        let (event, shown) = (format!("aggregate {name}"), format!("aggregate `{name}`"));
        let place = StagePlace { name: event, shown, stage: &aggregate.stage };
        let before = loading.serves.and_then(|(plan, service)| {
            let table = service.aggregate.tables.iter().find(|table| table.name == *name)?;
            let stage = &plan.aggregates.iter().find(|before| before.name == *name)?.stage;
            Some(Before { stage, config: &table.config, plugin: Arc::clone(&table.plugin) })
        });
        one(Role::Aggregate, (loading, decided), &place, before, load).await
    });
    join_all(loaded).await
}

/// The plugin that serves a stage now.
struct Before<'a, P: ?Sized> {
    stage: &'a Stage,
    config: &'a str,
    plugin: Arc<P>,
}

/// One plugin with its configuration. The plugin that serves is reused if nothing about it has changed.
async fn one<P: Plugin + ?Sized>(
    role: Role,
    (loading, decided): (Loading<'_>, Option<&Decided<'_>>),
    place: &StagePlace<'_>,
    before: Option<Before<'_, P>>,
    load: impl AsyncFn(Bytes, &Grants) -> Result<Arc<P>, LoadError>,
) -> Result<(Arc<P>, String), Trouble> {
    let trouble = match try_one(role, (loading, decided), place, before, &load).await {
        Err(trouble) if loading.else_last => trouble,
        result => {
            let soon = result.iter().filter(|_| loading.roles.contains(&role));
            soon.for_each(|(plugin, _)| plugin.prepare());
            return result;
        }
    };
    let Some(last) = last(loading, place).await else { return Err(trouble) };
    tracing::warn!(
        stage = place.name,
        reason = trouble.message,
        "cannot be loaded, looking with the plugin that has worked last"
    );
    load(last.component, &last.grants).await.map(|plugin| (plugin, last.grants.config)).map_err(|_| trouble)
}

async fn try_one<P: Plugin + ?Sized>(
    role: Role,
    (loading, decided): (Loading<'_>, Option<&Decided<'_>>),
    place: &StagePlace<'_>,
    before: Option<Before<'_, P>>,
    load: &impl AsyncFn(Bytes, &Grants) -> Result<Arc<P>, LoadError>,
) -> Result<(Arc<P>, String), Trouble> {
    let found = found(loading, decided, place).await?;
    if let Some(signature) = &found.signature {
        let (digest, signature) = (found.version().plugin.digest, signature.clone());
        loading.note(|aside| aside.signatures.push(Signed { role, digest, signature }));
    }
    let serves = before.filter(|before| {
        before.plugin.digest().as_str() == found.version().plugin.digest
            && before.config == found.grants.config
            && before.stage.limits == place.stage.limits
    });
    if let Some(before) = serves {
        return Ok((before.plugin, found.grants.config));
    }
    match load(found.component.clone(), &found.grants).await {
        Ok(plugin) => Ok((plugin, found.grants.config)),
        Err(error) => Err(Trouble::load(place, found.version(), error)),
    }
}

fn keep<T>(result: Result<T, Trouble>, troubles: &mut Vec<Trouble>) -> Option<T> {
    result.map_err(|trouble| troubles.push(trouble)).ok()
}

/// The version that serves a stage: `enrich`, `clean` or `aggregate NAME`. Without a lake, the one in the files.
pub(crate) async fn found_for(
    file: &PipelineFile,
    name: &str,
    lake: Option<&Lake>,
    shared: &Shared,
) -> anyhow::Result<Found> {
    let stage = file.plan.stage(name).with_context(|| format!("no stage `{name}`"))?;
    let place = StagePlace::plain(name, stage);
    let decided = lake.map(|lake| Decided::of(lake, None));
    let found = found(Loading::by_files(file, shared), decided.as_ref(), &place).await;
    found.map_err(|trouble| CannotLoad(vec![trouble]).into())
}

/// A stage's component with its grants: the file's, with its pinned digest and signature checked, or the version that serves instead, checked
/// in the same way.
async fn found(loading: Loading<'_>, decided: Option<&Decided<'_>>, place: &StagePlace<'_>) -> Result<Found, Trouble> {
    let (stage, remote) = (place.stage, loading.remote);
    let published = Published::component(&stage.plugin, loading.folder);
    let component = read(stage, &published, place, remote).await?;
    let signed = signature::check(&component, &loading.plan.trusted_keys, &published, remote).await;
    let signature = signed.map_err(|Unsigned { error, again }| {
        let trouble = Trouble::load(place, version_of(&component, &stage.config), error);
        Trouble { again, ..trouble }
    })?;
    let grants = Grants { config: stage.config.clone(), limits: stage.limits };
    let mut found = Found { component, grants, kept: None, signature };
    if let Some(decided) = decided {
        let trouble = |error: LakeError| {
            let trouble = Trouble::of(place, None, error.to_string(), None);
            Trouble { passing: lake::failure::Failure::from(error).passes(), ..trouble }
        };
        let events = decided.events().await.map_err(trouble)?;
        let events: Vec<&swaps::Event> = events.iter().filter(|event| event.stage == place.name).collect();
        // The version before may have been taken back as well.
        for _ in 0..events.len() {
            let version = found.version();
            let held = swaps::held(events.iter().copied(), &version.plugin.digest, &version.config);
            let Some(held) = held else { break };
            let places = (loading.plan, loading.folder);
            match kept(decided.lake, places, (&place.name, stage), &held.version).await.map_err(trouble)? {
                Kept::Found(kept) => found = *kept,
                Kept::Nothing => break,
                Kept::Uncovered(error) => {
                    loading.note(|aside| aside.ignored.push(ignored(&place.name, error)));
                    break;
                }
            }
        }
    }
    Ok(found)
}

async fn read(stage: &Stage, published: &Published, place: &StagePlace<'_>, remote: &Remote) -> Result<Bytes, Trouble> {
    let bytes = published.read(remote, outside::MOST_COMPONENT).await.map_err(|error| {
        let outside = error.downcast_ref::<OutsideError>();
        let code = matches!(outside, Some(OutsideError::TooLarge { .. })).then_some("P013");
        let again = outside.is_some_and(OutsideError::may_pass);
        let told = outside.and_then(OutsideError::hint).map(str::to_owned);
        let hint = told.unwrap_or_else(|| match &stage.plugin {
            PluginRef::Crate(name) => format!("run `sluicebox plugin build {name}`"),
            PluginRef::File(Location::Remote(_)) => {
                "publish the component there, and see that this host may read it (`s3:GetObject`)".to_owned()
            }
            PluginRef::File(Location::Local(_)) => "name a component's file, or a crate of `plugins/`".to_owned(),
        });
        let (passing, message) = (passes(&error), format!("cannot read `{published}`: {error:#}"));
        Trouble { passing, again, ..Trouble::of(place, code, message, Some(hint)) }
    })?;
    let Some(pinned) = &stage.sha256 else { return Ok(bytes) };
    let found = Digest::of(&bytes);
    if found.as_str() == format!("sha256:{pinned}") {
        return Ok(bytes);
    }
    let (is, pin) = (short_digest(found.as_str()), format!("sha256:{pinned}"));
    let message = format!("`{published}` is {is}, pinned is {}", short_digest(&pin));
    let hint = "publish the pinned component, or change `sha256` to the one that you trust: `sluicebox plugin inspect` prints it whole".to_owned();
    let about = Some(Box::new((place.name.clone(), version_of(&bytes, &stage.config))));
    Err(Trouble { about, ..Trouble::of(place, Some("P016"), message, Some(hint)) })
}

/// The plugin that last worked at a stage, if the lake has it.
async fn last(loading: Loading<'_>, place: &StagePlace<'_>) -> Option<Found> {
    let lake = loading.lake?;
    let last = Generations::of(lake, &place.name).latest().await.ok()??;
    let version = Version { plugin: last.plugin, config: last.config };
    match kept(lake, (loading.plan, loading.folder), (&place.name, place.stage), &version).await.ok()? {
        Kept::Found(kept) => Some(*kept),
        Kept::Nothing | Kept::Uncovered(_) => None,
    }
}

/// The columns missing in a source that can be read here and names its columns.
async fn source_troubles(source: &Source, folder: &Path, reader: &Reader) -> Vec<Trouble> {
    let found = match (&source.location, source.format) {
        (Location::Local(path), SourceFormat::Csv | SourceFormat::Parquet) => {
            let read = outside::read_soon(&folder.join(path), MOST_SOURCE).await;
            read.ok().and_then(|bytes| source::columns(source, &bytes).ok().flatten())
        }
        _ => None,
    };
    let missing = found.map(|found| columns::missing(source, &found, reader, &BTreeSet::new())).unwrap_or_default();
    missing.into_iter().filter(|one| one.weight == Weight::Error).map(Trouble::missing).collect()
}
