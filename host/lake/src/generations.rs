//! The history of a stage's plugins: each change of digest or configuration starts a new generation, and of two versions of a row
//! with the same tick the later generation's counts.
//!
//! Does not load or compare plugins.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use seams::plugin::{Plugin, PluginStamp};
use seams::store::{Created, ObjectStoreExt, Path, Store, StoreError, create, read};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError, components, swaps};

/// One generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u32,
    /// The plugin.
    pub plugin: PluginStamp,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    pub config: String,
}

/// One stage's history, kept beside what the stage makes.
#[derive(Clone, Debug)]
pub struct Generations {
    store: Store,
    folder: Path,
    stage: String,
}

impl Generations {
    /// The history of the enrich stage.
    #[must_use]
    pub fn of_enrich(lake: &Lake) -> Self {
        Generations { store: lake.bronze.clone(), folder: Path::from("_generations"), stage: "enrich".to_owned() }
    }

    /// The history of the clean stage.
    #[must_use]
    pub fn of_clean(lake: &Lake) -> Self {
        Generations { store: lake.silver.clone(), folder: Path::from("_generations"), stage: "clean".to_owned() }
    }

    /// The history of the aggregate of that name.
    #[must_use]
    pub fn of_aggregate(lake: &Lake, name: &str) -> Self {
        Generations {
            store: lake.gold.clone(),
            folder: Path::from_iter(["_generations", name]),
            stage: format!("aggregate {name}"),
        }
    }

    /// The history of the stage of that name: `enrich`, `clean`, or `aggregate NAME`.
    #[must_use]
    pub fn of(lake: &Lake, stage: &str) -> Self {
        match stage {
            "enrich" => Generations::of_enrich(lake),
            "clean" => Generations::of_clean(lake),
            other => Generations::of_aggregate(lake, other.trim_start_matches("aggregate ")),
        }
    }

    fn path(&self, number: u32) -> Path {
        self.folder.clone().join(format!("{number:08}.json"))
    }

    /// All generations, oldest first.
    pub async fn all(&self) -> Result<Vec<Generation>, LakeError> {
        let listed = self.store.list(Some(&self.folder)).map_ok(|object| object.location);
        let mut paths: Vec<Path> = listed.try_collect().await?;
        paths.sort();
        let mut history = Vec::new();
        for path in paths {
            history.push(parse(&path, &read(&*self.store, &path).await?)?);
        }
        Ok(history)
    }

    /// The generation that was entered last.
    pub async fn latest(&self) -> Result<Option<Generation>, LakeError> {
        let listed = self.store.list(Some(&self.folder)).map_ok(|object| object.location);
        let latest = listed.try_fold(None, |latest, path| std::future::ready(Ok(latest.max(Some(path))))).await?;
        let Some(path) = latest else { return Ok(None) };
        Ok(Some(parse(&path, &read(&*self.store, &path).await?)?))
    }

    /// When the generation of that number was entered, if it is there.
    pub async fn since(&self, number: u32) -> Result<Option<DateTime<Utc>>, LakeError> {
        match self.store.head(&self.path(number)).await {
            Ok(object) => Ok(Some(object.last_modified)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an earlier generation again if it was deleted with the layer: what it made still names it.
    pub async fn restore(&self, generation: &Generation) -> Result<(), LakeError> {
        let path = self.path(generation.number);
        if self.since(generation.number).await?.is_none() {
            let body = serde_json::to_vec_pretty(generation).map_err(|error| LakeError::corrupt(&path, error))?;
            create(&*self.store, &path, body.into()).await?;
        }
        Ok(())
    }

    /// The number that `plugin` with `config` has, or would have if it entered now.
    pub async fn number_of(&self, plugin: &(impl Plugin + ?Sized), config: &str) -> Result<u32, LakeError> {
        Ok(match self.latest().await? {
            Some(latest) if latest.plugin == PluginStamp::of(plugin) && latest.config == config => latest.number,
            Some(latest) => latest.number.saturating_add(1),
            None => 1,
        })
    }

    /// The generation of `plugin` with `config`: the latest one if it is that, or else a new one. The plugin's component is kept
    /// before anything is made by it.
    ///
    /// # Errors
    /// `LakeError::TakenBack` if it would be a new one and a decision in the lake says that another plugin serves in its place: a host that
    /// has not heard of that yet would set it above the one that serves.
    pub async fn enter(
        &self,
        lake: &Lake,
        plugin: &(impl Plugin + ?Sized),
        config: &str,
    ) -> Result<Generation, LakeError> {
        let stamp = PluginStamp::of(plugin);
        let ((), mut latest) = futures::try_join!(components::keep(lake, plugin.component()), self.latest())?;
        loop {
            if let Some(generation) = latest.take_if(|latest| latest.plugin == stamp && latest.config == config) {
                return Ok(generation);
            }
            if latest.is_some() {
                self.heed_decisions(lake, &stamp, config).await?;
            }
            let number = latest.map_or(1, |latest| latest.number.saturating_add(1));
            let next = Generation { number, plugin: stamp.clone(), config: config.to_owned() };
            let path = self.path(number);
            let body = serde_json::to_vec_pretty(&next).map_err(|error| LakeError::corrupt(&path, error))?;
            match create(&*self.store, &path, body.into()).await? {
                Created::New => return Ok(next),
                // Another host was first with this number; if it runs the same plugin, its generation is ours as well.
                Created::Existing(bytes) => latest = Some(parse(&path, &bytes)?),
            }
        }
    }

    async fn heed_decisions(&self, lake: &Lake, stamp: &PluginStamp, config: &str) -> Result<(), LakeError> {
        let decisions = swaps::decisions(lake, &self.stage).await?;
        match swaps::held(&decisions, &stamp.digest, config) {
            Some(held) => Err(LakeError::TakenBack {
                stage: self.stage.clone(),
                plugin: stamp.short(),
                serves: held.version.plugin.short(),
            }),
            None => Ok(()),
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Generation, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, error))
}
