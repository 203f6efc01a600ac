//! Role aggregate: a version of Silver becomes a version of each Gold table, one partial result a bucket.
//!
//! Does not decide which of two versions counts: `lake::gold` refuses the older.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::events::NewVersion;
use crate::failure::Failure;
use crate::lake::gold::{Gold, Published};
use crate::lake::keys::fingerprint;
use crate::lake::silver::{Silver, Snapshot};
use crate::progress::Progress;
use crate::seams::plugin::Aggregator;

/// The aggregate role of one pipeline.
#[derive(Debug)]
pub struct Aggregate {
    /// The keyed table.
    pub silver: Silver,
    /// The Gold tables, each with its plugin.
    pub tables: Vec<GoldTable>,
    /// Buckets folded at once.
    pub concurrency: NonZeroUsize,
    /// Counters.
    pub progress: Arc<Progress>,
}

/// One Gold table and what makes it.
#[derive(Debug)]
pub struct GoldTable {
    /// The aggregate's name.
    pub name: String,
    /// Its plugin.
    pub plugin: Arc<dyn Aggregator>,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    pub config: String,
    /// The table.
    pub gold: Gold,
}

/// How far Gold is behind Silver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Tables made from an older version than the latest.
    pub tables: usize,
    /// Silver's latest version.
    pub silver_version: i64,
}

impl Aggregate {
    /// Brings every Gold table to the latest Silver version, which is that of the events or a later one. A table that fails keeps no
    /// other from being made; the gravest failure decides.
    pub async fn versions(&self, _events: &[NewVersion]) -> Result<(), Failure> {
        let snapshot = self.silver.snapshot().await?;
        let mut worst = None::<Failure>;
        for table in &self.tables {
            let Err(failure) = self.table(table, &snapshot).await else { continue };
            let failure = match failure {
                Failure::Plugin(reason) => Failure::Plugin(format!(
                    "stage `aggregate` is suspended: table `{}`: {reason}\nhint: mend `{}` or its configuration and run again",
                    table.name,
                    table.plugin.descriptor().name
                )),
                other => other,
            };
            tracing::warn!(table = table.name, error = %failure, "table not made");
            if worst.as_ref().is_none_or(|worst| failure.gravity() > worst.gravity()) {
                worst = Some(failure);
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// The tables that were made from an older version of Silver than the latest.
    pub async fn behind(&self) -> Result<Behind, Failure> {
        let silver_version = self.silver.snapshot().await?.version;
        let mut tables = 0;
        for table in &self.tables {
            let made_from = table.gold.silver_version().await?;
            tables += usize::from(made_from.is_none_or(|made_from| made_from < silver_version));
        }
        Ok(Behind { tables, silver_version })
    }

    /// Equal content is not committed again, so doing this for a version that is there already costs no more than finding that out.
    async fn table(&self, table: &GoldTable, snapshot: &Snapshot) -> Result<(), Failure> {
        let folds: Vec<_> = snapshot.buckets.keys().map(|bucket| self.partial(table, snapshot, *bucket)).collect();
        let partials: Vec<Bytes> = futures::stream::iter(folds).buffered(self.concurrency.get()).try_collect().await?;
        let rows = table.plugin.finish(&partials).await?;
        let published = table.gold.publish(&rows, snapshot.version).await?;
        if matches!(published, Published::Committed { .. }) {
            Progress::add(&self.progress.published, 1);
        }
        tracing::info!(
            table = table.name,
            rows = rows.num_rows(),
            silver_version = snapshot.version,
            ?published,
            "aggregated"
        );
        Ok(table.gold.export().await?)
    }

    /// The partial result of one bucket: kept under the hash of all that it depends on.
    async fn partial(&self, table: &GoldTable, snapshot: &Snapshot, bucket: u32) -> Result<Bytes, Failure> {
        let files = snapshot
            .buckets
            .get(&bucket)
            .map(|files| files.iter().map(|file| file.content.as_str()).collect::<Vec<_>>().join("\n"));
        let id = fingerprint(&[
            table.plugin.digest().as_str().as_bytes(),
            table.config.as_bytes(),
            files.unwrap_or_default().as_bytes(),
        ]);
        if let Some(partial) = table.gold.partial(&id).await? {
            return Ok(partial);
        }
        let columns: Vec<&str> = table.plugin.descriptor().input.iter().map(|field| field.name.as_str()).collect();
        let rows = self.silver.read(snapshot, bucket, Some(&columns)).await?;
        let partial = table.plugin.fold(&rows).await?;
        table.gold.put_partial(&id, partial.clone()).await?;
        Ok(partial)
    }
}
