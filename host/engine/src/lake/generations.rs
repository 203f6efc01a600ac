//! The history of a stage's plugins: each change of digest or configuration starts a new generation, and of two versions of a row
//! with the same tick the later generation's counts.
//!
//! Does not load or compare plugins.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::bronze::PluginStamp;
use super::{Lake, LakeError};
use crate::seams::store::{Created, Path, create, read};

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

fn path(number: u32) -> Path {
    Path::from(format!("_generations/{number:08}.json"))
}

/// The clean stage's history, oldest first.
pub async fn history(lake: &Lake) -> Result<Vec<Generation>, LakeError> {
    let mut paths: Vec<Path> =
        lake.silver.list(Some(&Path::from("_generations"))).map_ok(|object| object.location).try_collect().await?;
    paths.sort();
    let mut history = Vec::new();
    for path in paths {
        history.push(parse(&path, &read(&*lake.silver, &path).await?)?);
    }
    Ok(history)
}

/// The generation of `plugin` with `config`: the latest one if it is that, or else a new one.
pub async fn enter(lake: &Lake, plugin: PluginStamp, config: &str) -> Result<Generation, LakeError> {
    let mut latest = history(lake).await?.pop();
    loop {
        if let Some(generation) = latest.take_if(|latest| latest.plugin == plugin && latest.config == config) {
            return Ok(generation);
        }
        let number = latest.map_or(1, |latest| latest.number.saturating_add(1));
        let next = Generation { number, plugin: plugin.clone(), config: config.to_owned() };
        let path = path(number);
        let body = serde_json::to_vec_pretty(&next).map_err(|error| LakeError::corrupt(&path, error))?;
        match create(&*lake.silver, &path, body.into()).await? {
            Created::New => return Ok(next),
            // Another host was first with this number; if it runs the same plugin, its generation is ours as well.
            Created::Existing(bytes) => latest = Some(parse(&path, &bytes)?),
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Generation, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, error))
}
