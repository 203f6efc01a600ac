//! A note beside Gold of a table whose plugin has failed: the table keeps its last good version until something changes, whichever host looks.
//!
//! Does not keep other tables from being made. A process that starts tries the plugin once more if Silver has changed by then, because the
//! data may differ. A plugin that was too slow is tried again from time to time, because the machine may differ.

use lake::LakeError;
use lake::silver::SilverVersion;
use pipeline::plan::Percent;
use records::keys::fingerprint;
use seams::plugin::PluginStamp;
use seams::store::{Path, delete_if_there, read_if_there, replace};

use super::role::Aggregate;
use super::table::GoldTable;
use crate::roles::breaker::{BehindSince, Sample, Suspension};

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

/// Why a table stays as it is, and what helps.
pub fn told(note: &Suspension) -> String {
    let table = note.stage.trim_start_matches("aggregate ");
    let since =
        note.behind.as_ref().map(|behind| format!(" since silver version {}", behind.since)).unwrap_or_default();
    let why = note.samples.first().map_or("its plugin failed", |sample| sample.reason.as_str());
    format!(
        "table `{table}` is behind{since}, because {why}\nhint: it keeps its last good version; mend `{}` or its configuration, or have \
         it tried again as it is with `sluicebox resume aggregate {table}`",
        note.plugin.name
    )
}

impl Aggregate {
    /// Notes that the plugin of `table` has failed on that version of Silver.
    pub(super) async fn note_failure(
        &self,
        table: &GoldTable,
        reason: &str,
        tried: SilverVersion,
        too_slow: bool,
    ) -> Result<Suspension, LakeError> {
        let reason = reason.lines().next().unwrap_or_default().chars().take(MOST_KEPT).collect();
        let sample = Sample { code: String::new(), reason, input: format!("table `{}`", table.name), key: None };
        // It is behind since it failed first, however often it is tried.
        let before = self.failure(table).await?.and_then(|note| note.behind);
        let since = before.map(|behind| behind.since).filter(|since| since.is_of(&tried));
        let since = since.unwrap_or_else(|| tried.clone());
        let suspension = Suspension {
            stage: format!("aggregate {}", table.name),
            plugin: PluginStamp::of(&*table.plugin),
            suspend_above: Percent::WHOLE,
            records: 0,
            failed: 0,
            at: table.gold.now(),
            samples: vec![sample],
            surroundings: None,
            behind: Some(BehindSince { since, tried, too_slow }),
        };
        let path = path(table);
        let body = serde_json::to_vec_pretty(&suspension).map_err(|error| LakeError::corrupt(&path, error))?;
        replace(&*self.lake.gold, &path, body.into()).await?;
        Ok(suspension)
    }

    /// Removes the note of a table that was made.
    pub(super) async fn forget_failure(&self, table: &GoldTable) -> Result<(), LakeError> {
        Ok(delete_if_there(&*self.lake.gold, &path(table)).await?)
    }

    /// The note of a table whose plugin, as configured, has failed.
    pub async fn failure(&self, table: &GoldTable) -> Result<Option<Suspension>, LakeError> {
        let path = path(table);
        let body = read_if_there(&*self.lake.gold, &path).await?;
        body.map(|body| serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(&path, error))).transpose()
    }
}
