//! A note beside Gold of a table whose plugin has failed: for `status`, and so that somebody else can have it tried again.
//!
//! Does not keep a table from being made: a process that starts tries it, for the data may be other ones.

use chrono::{DateTime, Utc};

use super::{Aggregate, GoldTable};
use crate::lake::LakeError;
use crate::lake::bronze::PluginStamp;
use crate::lake::keys::fingerprint;
use crate::pipeline::plan::Percent;
use crate::roles::breaker::{Sample, Suspension};
use crate::seams::store::{ObjectStoreExt as _, Path, StoreError, read_if_there, replace};

/// Characters of a reason that are kept.
const MOST_KEPT: usize = 1_000;

fn path(table: &GoldTable) -> Path {
    let stage = format!("aggregate {}", table.name);
    let digest = PluginStamp::of(&*table.plugin).digest;
    Path::from(format!(
        "_suspended/{}.json",
        fingerprint(&[stage.as_bytes(), digest.as_bytes(), table.config.as_bytes()])
    ))
}

impl Aggregate {
    /// Notes that the plugin of `table` has failed.
    pub(crate) async fn note_failure(&self, table: &str, reason: &str, at: DateTime<Utc>) -> Result<(), LakeError> {
        let Some(table) = self.tables.iter().find(|known| known.name == table) else { return Ok(()) };
        let reason = reason.lines().next().unwrap_or_default().chars().take(MOST_KEPT).collect();
        let sample = Sample { code: String::new(), reason, input: format!("table `{}`", table.name), key: None };
        let suspension = Suspension {
            stage: format!("aggregate {}", table.name),
            plugin: PluginStamp::of(&*table.plugin),
            suspend_above: Percent::WHOLE,
            records: 0,
            failed: 0,
            at,
            samples: vec![sample],
            surroundings: None,
        };
        let path = path(table);
        let body = serde_json::to_vec_pretty(&suspension).map_err(|error| LakeError::corrupt(&path, error))?;
        Ok(replace(&*self.lake.gold, &path, body.into()).await?)
    }

    /// Takes the note of a table away that was made.
    pub(crate) async fn forget_failure(&self, table: &str) -> Result<(), LakeError> {
        let Some(table) = self.tables.iter().find(|known| known.name == table) else { return Ok(()) };
        if self.failure(table).await?.is_none() {
            return Ok(());
        }
        match self.lake.gold.delete(&path(table)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is noted of a table whose plugin, as configured, has failed.
    pub async fn failure(&self, table: &GoldTable) -> Result<Option<Suspension>, LakeError> {
        let path = path(table);
        let body = read_if_there(&*self.lake.gold, &path).await?;
        body.map(|body| serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(&path, error))).transpose()
    }
}
