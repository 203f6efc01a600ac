//! A published version, loaded and tried: a service that could replace the serving one.
//!
//! Does not decide whether it takes over.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::drivers::service::Service;
use engine::drivers::serving::{Replaced, Serving};
use engine::rehearsal::{self, Comparison, NotGood};
use engine::roles::aggregate::GoldTable;
use lake::failure::Failure;
use lake::gold::Gold;
use lake::silver::Silver;
use lake::swaps::Version;
use pipeline::plan::{Percent, Plan};
use seams::plugin::{Plugin, PluginStamp};

use super::refused::{Refused, WHOLE, cannot, not_good, of_file, refused};
use crate::compose::{Shared, clean_breaker, compose_with, enrich_breaker};
use crate::context::Context;
use crate::load::{Loaded, Loading, known, load};
use crate::pipelines::PipelineFile;

/// A service that could take over.
pub(crate) struct Candidate {
    pub(crate) service: Service,
    pub(crate) file: PipelineFile,
    /// The plugins that differ.
    pub(crate) replaced: Vec<Replaced>,
    /// Whether more than plugins differs.
    pub(crate) whole: bool,
    /// By stage: the differences in the output.
    pub(crate) summaries: BTreeMap<String, Comparison>,
    /// The version of the file on disk.
    as_file: Version,
}

impl Candidate {
    /// The candidate from `next`, if it differs from the serving version.
    pub(crate) async fn build(
        file: &PipelineFile,
        next: PipelineFile,
        serving: &Serving,
        shared: &Shared,
        context: &Context,
    ) -> Result<Option<Self>, Vec<Refused>> {
        let serves = serving.current();
        // `frame` leaves credentials out, so locations are compared as well: other credentials are another place.
        let moved = file.plan.source.location != next.plan.source.location;
        let whole = moved || frame(&file.plan) != frame(&next.plan);
        let as_file = of_file(&next).await;
        let cannot = |error: &anyhow::Error| cannot(error, &as_file);
        let service = if whole {
            // The counters continue, and with them the metrics.
            compose_with(&next, shared, context, &serves.progress).await.map_err(|error| cannot(&error))?
        } else {
            let loaded = load(Loading {
                lake: Some(&serves.enrich.lake),
                serves: Some((&file.plan, &serves)),
                ..Loading::by_files(&next, shared)
            });
            let loaded = loaded.await.map_err(|error| cannot(&error))?;
            loaded.aside.tell();
            loaded.aside.keep_signatures(&serves.enrich.lake, &shared.roles).await;
            if !shared.handed {
                known::note(&next).await;
            }
            restaged(&serves, &file.plan, &next.plan, loaded, shared)
        };
        let replaced = differences(&serves, &service);
        if replaced.is_empty() && !whole && as_json(&file.plan) == as_json(&next.plan) {
            return Ok(None);
        }
        Ok(Some(Candidate { service, file: next, replaced, whole, summaries: BTreeMap::new(), as_file }))
    }

    /// Whether new inputs can test it: an aggregate has no inputs before its table is made.
    pub(crate) fn can_be_compared(&self) -> bool {
        !self.whole && self.replaced.iter().any(|one| ["enrich", "clean"].contains(&one.stage.as_str()))
    }

    /// Tries the new plugins on the latest real inputs.
    pub(crate) async fn rehearse(&mut self, serves: &Service) -> Result<(), Vec<Refused>> {
        let most = self.file.plan.swap.rehearse;
        let inputs = rehearsal::latest(&serves.enrich.lake, most, &mut Default::default()).await;
        let inputs = inputs.map_err(|error| self.refusals(None, &Failure::from(error)))?;
        for one in self.replaced.clone() {
            let compared = compared(serves, &self.service, &one.stage, &inputs).await;
            let comparison = compared.map_err(|error| vec![not_good(&one, &error)])?;
            let first = comparison.first.as_deref().unwrap_or("none");
            tracing::info!(stage = one.stage, plugin = one.new.plugin.short(), %comparison, first, "tried on the latest inputs");
            self.add(&one, comparison)?;
        }
        Ok(())
    }

    /// Adds a new plugin's results, and refuses the plugin if it does worse.
    pub(super) fn add(&mut self, one: &Replaced, comparison: Comparison) -> Result<(), Vec<Refused>> {
        let summary = self.summaries.entry(one.stage.clone()).or_default();
        summary.add(comparison);
        let above =
            self.file.plan.stage(&one.stage).and_then(|stage| stage.suspend_above).unwrap_or(Percent::SUSPEND_ABOVE);
        if summary.is_worse(above) {
            let reason = format!("it fails on more than {above} of the inputs beyond those before: {summary}");
            return Err(vec![refused(one, Some("P145"), reason)]);
        }
        Ok(())
    }

    /// Opens its tables with its plugins' columns: the last step before it takes over, since it changes the tables.
    pub(crate) async fn ready(self, serves: &Service, shared: &Shared) -> Result<Self, Vec<Refused>> {
        if self.whole {
            return Ok(self);
        }
        let (lake, clock) = (&serves.enrich.lake, &shared.clock);
        let columns = |plugin: &dyn Plugin| plugin.descriptor().output_schema();
        let (old, new) = (&serves.clean, &self.service.clean);
        let mut silver = old.silver.clone();
        if columns(&*old.plugin) != columns(&*new.plugin) {
            let opened = Silver::open(Arc::clone(&lake.silver), Arc::clone(clock), columns(&*new.plugin), lake.buckets);
            silver = opened.await.map_err(|error| self.refusals(Some("P041"), &error.into()))?;
        }
        let clean = if Arc::ptr_eq(old, new) {
            Arc::clone(new)
        } else {
            let same = is(&*old.plugin, &old.config, &*new.plugin, &new.config);
            let breaker = if same { new.breaker.fresh() } else { new.breaker.fresh().on_trial(&old.breaker) };
            Arc::new(new.with(Arc::clone(&new.plugin), new.config.clone(), breaker, silver.clone()))
        };
        let mut tables: Vec<GoldTable> = Vec::new();
        for table in &self.service.aggregate.tables {
            let before = serves.aggregate.tables.iter().find(|before| before.name == table.name);
            let gold = match before.filter(|before| columns(&*before.plugin) == columns(&*table.plugin)) {
                Some(before) => before.gold.clone(),
                None => {
                    let schema = columns(&*table.plugin);
                    Gold::open(Arc::clone(&lake.gold), Arc::clone(clock), &table.name, schema)
                        .await
                        .map_err(|error| self.refusals(Some("P041"), &error.into()))?
                }
            };
            tables.push(table.with(Arc::clone(&table.plugin), table.config.clone(), gold));
        }
        let aggregate = Arc::new(self.service.aggregate.with(silver, tables));
        let service = Service { clean, aggregate, ..self.service };
        Ok(Candidate { service, ..self })
    }

    /// A reason that is not one plugin's: reported for each new plugin, or for the file.
    fn refusals(&self, code: Option<&str>, why: &Failure) -> Vec<Refused> {
        let (reason, passing) = (why.to_string(), why.passes());
        if self.replaced.is_empty() {
            let (stage, version) = (WHOLE.to_owned(), self.as_file.clone());
            return vec![Refused { stage, version, code: code.map(str::to_owned), reason, passing, again: false }];
        }
        self.replaced.iter().map(|one| Refused { passing, ..refused(one, code, reason.clone()) }).collect()
    }
}

/// Compares a stage's new plugin with the old one on inputs.
pub(super) async fn compared(
    serves: &Service,
    next: &Service,
    stage: &str,
    inputs: &[rehearsal::Input],
) -> Result<Comparison, NotGood> {
    match stage {
        "enrich" => rehearsal::enrich(&serves.enrich, &next.enrich, inputs).await,
        "clean" => rehearsal::clean(&*serves.clean.plugin, &*next.clean.plugin, inputs).await,
        _ => {
            let find = |service: &Service| {
                let named = |table: &&GoldTable| stage.strip_prefix("aggregate ") == Some(table.name.as_str());
                service.aggregate.tables.iter().find(named).map(|table| Arc::clone(&table.plugin))
            };
            let (Some(old), Some(new)) = (find(serves), find(next)) else { return Ok(Comparison::default()) };
            let silver = &serves.clean.silver;
            let snapshot = silver.snapshot().await.map_err(Failure::from)?;
            rehearsal::aggregate((silver, &snapshot), &old, &new).await
        }
    }
}

/// The serving service, with the new plugins in their places.
fn restaged(serves: &Service, old: &Plan, new: &Plan, loaded: Loaded, shared: &Shared) -> Service {
    let lake = &serves.enrich.lake;
    let enrich = {
        let breaker = enrich_breaker(new, &loaded, lake, shared);
        let (plugin, config) = loaded.enrich.map_or((None, "{}".to_owned()), |(plugin, config)| (Some(plugin), config));
        let role = &serves.enrich;
        let same = match (&role.plugin, &plugin) {
            (Some(before), Some(now)) => is(&**before, &role.config, &**now, &config),
            (before, now) => before.is_none() && now.is_none(),
        };
        if same && as_json(&old.enrich) == as_json(&new.enrich) {
            Arc::clone(role)
        } else {
            // The same plugin under other limits needs no trial.
            let breaker = if same { breaker } else { breaker.on_trial(&role.breaker) };
            Arc::new(role.with(plugin, config, breaker))
        }
    };
    let (plugin, config) = loaded.clean;
    let role = &serves.clean;
    let clean = if is(&*role.plugin, &role.config, &*plugin, &config) && as_json(&old.clean) == as_json(&new.clean) {
        Arc::clone(role)
    } else {
        // Its trial starts when it takes over, in `ready`.
        let breaker = clean_breaker(new, &*plugin, &config, lake, shared);
        Arc::new(role.with(plugin, config, breaker, role.silver.clone()))
    };
    let tables = serves.aggregate.tables.iter().zip(loaded.aggregates);
    let tables = tables.map(|(table, (plugin, config))| table.with(plugin, config, table.gold.clone())).collect();
    let aggregate = Arc::new(serves.aggregate.with(clean.silver.clone(), tables));
    Service { enrich, clean, aggregate, ..serves.clone() }
}

/// Whether both are one plugin in one configuration: then they make the same of every input.
fn is(one: &dyn Plugin, config: &str, other: &dyn Plugin, other_config: &str) -> bool {
    one.digest() == other.digest() && config == other_config
}

/// The plugins that differ between two services, stage by stage.
fn differences(old: &Service, new: &Service) -> Vec<Replaced> {
    let version =
        |plugin: &dyn Plugin, config: &str| Version { plugin: PluginStamp::of(plugin), config: config.to_owned() };
    let versions = |service: &Service| -> BTreeMap<String, Version> {
        let enrich = &service.enrich;
        let first = enrich.plugin.as_deref().map(|plugin| ("enrich".to_owned(), version(plugin, &enrich.config)));
        let clean = ("clean".to_owned(), version(&*service.clean.plugin, &service.clean.config));
        let tables = service.aggregate.tables.iter();
        let tables = tables.map(|table| (format!("aggregate {}", table.name), version(&*table.plugin, &table.config)));
        first.into_iter().chain([clean]).chain(tables).collect()
    };
    let mut before = versions(old);
    let now = versions(new).into_iter();
    now.filter_map(|(stage, new)| {
        let old = before.remove(&stage)?;
        let differs = old.plugin.digest != new.plugin.digest || old.config != new.config;
        differs.then_some(Replaced { stage, old, new })
    })
    .collect()
}

fn as_json(part: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// A plan without the settings of single stages.
fn frame(plan: &Plan) -> serde_json::Value {
    let mut frame = as_json(plan);
    let concurrency = |stage: Option<&mut serde_json::Value>| {
        if let Some(stage) = stage.and_then(serde_json::Value::as_object_mut) {
            stage.retain(|key, _| key == "concurrency");
        }
    };
    concurrency(frame.get_mut("enrich"));
    concurrency(frame.get_mut("clean"));
    for aggregate in frame.get_mut("aggregates").and_then(serde_json::Value::as_array_mut).into_iter().flatten() {
        concurrency(aggregate.get_mut("stage"));
    }
    if let Some(frame) = frame.as_object_mut() {
        frame.remove("swap");
    }
    frame
}
