//! From a plan to loaded plugins whose contracts fit: what `check` does, and the first half of what `run` does.
//!
//! Does not open a lake, a queue or a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use engine::contract::{Breach, silver_breaches, source_breaches};
use engine::pipeline::plan::{Location, Plan, PluginRef, Source, SourceFormat, Stage};
use engine::roles::source;
use engine::seams::plugin::{Aggregator, Cleaner, Descriptor, Digest, Enricher, Grants, LoadError, Plugin, Plugins};

use crate::exit::ExitCode;
use crate::failure::Failure;

/// The plugins of one pipeline.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) enrich: Option<Arc<dyn Enricher>>,
    pub(crate) clean: Arc<dyn Cleaner>,
    /// In the order of the plan's aggregates.
    pub(crate) aggregates: Vec<Arc<dyn Aggregator>>,
}

impl Loaded {
    /// Every plugin with its stage's name.
    pub(crate) fn all(&self, plan: &Plan) -> Vec<(String, &dyn Plugin)> {
        let enrich = self.enrich.as_deref().map(|plugin| ("enrich".to_owned(), plugin as &dyn Plugin));
        let aggregates = plan.aggregates.iter().zip(&self.aggregates);
        let aggregates =
            aggregates.map(|(aggregate, plugin)| (format!("aggregate {}", aggregate.name), &**plugin as &dyn Plugin));
        enrich.into_iter().chain([("clean".to_owned(), &*self.clean as &dyn Plugin)]).chain(aggregates).collect()
    }
}

/// Everything that stops a valid pipeline file from running.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(.0))]
pub(crate) struct CannotLoad(pub(crate) Vec<Trouble>);

/// One thing that stops it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Trouble {
    /// Stage and plugin, or layer.
    pub(crate) place: String,
    /// Stable code, if there is one.
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

fn summary(troubles: &[Trouble]) -> String {
    let mut text = String::from("the plugins cannot run as this pipeline");
    for trouble in troubles {
        let code = trouble.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        text.push_str(&format!("\n{}{code}: {}", trouble.place, trouble.message));
        if let Some(hint) = &trouble.hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
    }
    text
}

impl Trouble {
    fn load(place: String, error: LoadError) -> Self {
        Trouble { place, code: Some(error.code), message: error.message, hint: error.hint }
    }

    fn breach(breach: Breach) -> Self {
        Trouble { place: "contract".to_owned(), code: Some("P040"), message: breach.message, hint: breach.hint }
    }
}

/// Loads every plugin of `plan` and checks what each layer needs against what the one before gives; an error names all that is wrong.
pub(crate) async fn load(plan: &Plan, folder: &Path, plugins: &dyn Plugins) -> anyhow::Result<Loaded> {
    let mut troubles = Vec::new();
    let enrich = match &plan.enrich {
        None => None,
        Some(stage) => match read(stage, folder, "enrich") {
            Ok((bytes, grants)) => keep(plugins.enricher(bytes, &grants).await, "enrich", stage, &mut troubles),
            Err(trouble) => note(trouble, &mut troubles),
        },
    };
    let clean = match read(&plan.clean, folder, "clean") {
        Ok((bytes, grants)) => keep(plugins.cleaner(bytes, &grants).await, "clean", &plan.clean, &mut troubles),
        Err(trouble) => note(trouble, &mut troubles),
    };
    let mut aggregates = Vec::new();
    for aggregate in &plan.aggregates {
        let place = format!("aggregate `{}`", aggregate.name);
        let loaded = match read(&aggregate.stage, folder, &place) {
            Ok((bytes, grants)) => {
                keep(plugins.aggregator(bytes, &grants).await, &place, &aggregate.stage, &mut troubles)
            }
            Err(trouble) => note(trouble, &mut troubles),
        };
        if let (Some(clean), Some(plugin)) = (&clean, &loaded) {
            troubles.extend(
                silver_breaches(clean.descriptor(), &aggregate.name, plugin.descriptor())
                    .into_iter()
                    .map(Trouble::breach),
            );
        }
        aggregates.extend(loaded);
    }
    if let Some(enrich) = &enrich {
        troubles.extend(source_troubles(&plan.source, folder, enrich.descriptor()));
    }
    match (clean, troubles.is_empty()) {
        (Some(clean), true) => Ok(Loaded { enrich, clean, aggregates }),
        _ => Err(Failure::new(ExitCode::Usage, "cannot start the pipeline").caused_by(CannotLoad(troubles)).into()),
    }
}

fn keep<T>(result: Result<T, LoadError>, place: &str, stage: &Stage, troubles: &mut Vec<Trouble>) -> Option<T> {
    result.map_err(|error| troubles.push(Trouble::load(format!("{place} (`{}`)", stage.plugin), error))).ok()
}

fn note<T>(trouble: Trouble, troubles: &mut Vec<Trouble>) -> Option<T> {
    troubles.push(trouble);
    None
}

/// A stage's component and what it is granted; the pinned digest is checked first.
fn read(stage: &Stage, folder: &Path, place: &str) -> Result<(Bytes, Grants), Trouble> {
    let trouble = |code, message: String, hint: Option<String>| Trouble {
        place: format!("{place} (`{}`)", stage.plugin),
        code,
        message,
        hint,
    };
    let path = component_path(&stage.plugin, folder).ok_or_else(|| {
        trouble(None, "is not on this machine".to_owned(), Some("copy the component into the project".to_owned()))
    })?;
    let bytes = std::fs::read(&path).map_err(|error| {
        let hint = match &stage.plugin {
            PluginRef::Crate(name) => format!("run `sluicebox plugin build {name}`"),
            PluginRef::File(_) => "name a component's file, or a crate of `plugins/`".to_owned(),
        };
        trouble(None, format!("cannot read `{}`: {error}", path.display()), Some(hint))
    })?;
    let found = Digest::of(&bytes);
    match &stage.sha256 {
        Some(pinned) if found.as_str() != format!("sha256:{pinned}") => Err(trouble(
            Some("P016"),
            format!("`{}` is {found}, pinned is sha256:{pinned}", path.display()),
            Some("publish the pinned component, or change `sha256` to the one that you trust".to_owned()),
        )),
        _ => Ok((bytes.into(), Grants { config: stage.config.clone(), limits: stage.limits })),
    }
}

fn component_path(plugin: &PluginRef, folder: &Path) -> Option<PathBuf> {
    match plugin {
        PluginRef::Crate(name) => Some(folder.join("plugins").join(name).join(format!("{name}.wasm"))),
        PluginRef::File(Location::Local(path)) => Some(folder.join(path)),
        PluginRef::File(Location::Remote(_)) => None,
    }
}

/// What the enrich plugin misses in a source that can be looked at here and names its columns.
fn source_troubles(source: &Source, folder: &Path, enrich: &Descriptor) -> Vec<Trouble> {
    let columns = match (&source.location, source.format) {
        (Location::Local(path), SourceFormat::Csv | SourceFormat::Parquet) => std::fs::read(folder.join(path))
            .ok()
            .and_then(|bytes| source::columns(source, &bytes.into()).ok().flatten()),
        _ => None,
    };
    columns
        .map(|columns| source_breaches(&columns, enrich))
        .unwrap_or_default()
        .into_iter()
        .map(Trouble::breach)
        .collect()
}
