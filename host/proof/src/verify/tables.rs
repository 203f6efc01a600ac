//! V4 of Gold and V6 of all tables: Gold is computed from Silver's rows from scratch, and every file that a table names is read.
//!
//! Uses no partial result.

use std::time::Duration;

use engine::difference::first_different_row;
use engine::roles::aggregate::{GoldTable, told};
use lake::TableError;
use lake::delta::conform;
use lake::failure::Failure;
use lake::silver::Snapshot;
use seams::store::Path;

use super::{Checker, Invariant};
use crate::remake::{CannotRemake, RemakeError};

/// A younger file may be about to be committed.
const GRACE: Duration = Duration::from_secs(3600);

impl Checker<'_> {
    /// V6 of Silver.
    pub(super) async fn silver_files(&mut self) -> Result<(), Failure> {
        let (files, damaged) = self.service.clean.silver.damaged(&self.evidence.snapshot).await?;
        self.report.checked(Invariant::V6, files);
        for (path, what) in damaged {
            self.report.find(Invariant::V6, format!("silver/{path}"), what);
        }
        let strays = self.service.clean.silver.strays(GRACE).await?;
        self.strays("silver", &strays);
        Ok(())
    }

    /// Files that no version names: they break no promise.
    fn strays(&mut self, table: &str, strays: &[Path]) {
        if let Some(first) = strays.first() {
            let note = format!(
                "{table}: {} files that no version names, such as `{first}`: killed writers left them, and they go after the retention",
                strays.len()
            );
            self.report.notes.push(note);
        }
    }

    /// V4 and V6 of Gold.
    pub(super) async fn gold(&mut self) -> Result<(), Failure> {
        let tables = &self.service.aggregate.tables;
        self.steps.begin("aggregating again", tables.len());
        for table in tables {
            let at = format!("gold {}", table.name);
            let (files, damaged) = table.gold.damaged().await?;
            self.report.checked(Invariant::V6, files);
            let whole = damaged.is_empty();
            for (path, what) in damaged {
                self.report.find(Invariant::V6, format!("{at}: {path}"), what);
            }
            let strays = table.gold.strays(GRACE).await?;
            self.strays(&at, &strays);
            if self.is_behind(table).await? {
                self.steps.step(1);
                continue;
            }
            match self.table(table).await {
                Ok(None) => {}
                Ok(Some(message)) => self.report.find(Invariant::V4, &at, message),
                Err(RemakeError::Failed(failure)) => return Err(failure),
                Err(RemakeError::Cannot(reason)) if whole => {
                    self.report.find(Invariant::V6, &at, format!("it cannot be made again: {reason}"));
                }
                // What cannot be read was reported already.
                Err(RemakeError::Cannot(_)) => {}
            }
            self.steps.step(1);
        }
        Ok(())
    }

    /// Whether a table is unchanged because its plugin fails: then that is the finding.
    async fn is_behind(&mut self, table: &GoldTable) -> Result<bool, Failure> {
        let newest = self.evidence.snapshot.named();
        if table.holds(&newest, &newest).await? {
            return Ok(false);
        }
        let Some(note) = self.service.aggregate.failure(table).await? else { return Ok(false) };
        self.report.checked(Invariant::V9, 1);
        self.report.find(Invariant::V9, format!("gold {}", table.name), told(&note));
        Ok(true)
    }

    /// How a table differs from what Silver yields, if it does.
    async fn table(&mut self, table: &GoldTable) -> Result<Option<String>, RemakeError> {
        let snapshot = &self.evidence.snapshot;
        let newest = snapshot.named();
        let made_from = table.gold.made_from().await.map_err(Failure::from)?;
        if made_from.is_none() && is_untouched(snapshot) {
            return Ok(None);
        }
        if !made_from.as_ref().is_some_and(|made_from| made_from.is_of(&newest) && made_from.number == newest.number) {
            let from = match made_from {
                None => "nothing".to_owned(),
                Some(made_from) if !made_from.is_of(&newest) => {
                    format!("version {made_from} of a silver table that is gone (`sluicebox run` makes it again)")
                }
                Some(made_from) => format!("silver version {made_from}"),
            };
            return Ok(Some(format!("it is made from {from}, silver is at version {newest}")));
        }
        let number = table.gold.generation().await.map_err(Failure::from)?.unwrap_or(0);
        let history = table.generations.all().await?;
        let generation = history.into_iter().find(|generation| generation.number == number);
        let missing = || CannotRemake::NoGeneration { stage: format!("aggregate `{}`", table.name), number };
        let plugin = self.workshop.aggregator(&generation.ok_or_else(missing)?).await?;
        let columns: Vec<&str> = plugin.descriptor().input.iter().map(|field| field.name.as_str()).collect();
        let mut partials = Vec::new();
        for bucket in snapshot.buckets.keys() {
            let rows = self.service.clean.silver.read(snapshot, *bucket, Some(&columns)).await.map_err(unreadable)?;
            partials.push(plugin.fold(&rows).await.map_err(CannotRemake::Fault)?);
        }
        let again = plugin.finish(&partials).await.map_err(CannotRemake::Fault)?;
        let there = table.gold.current().await.map_err(unreadable)?;
        self.report.checked(Invariant::V4, again.num_rows());
        let Some(there) = there else { return Ok(Some("nothing was published yet".to_owned())) };
        let again = conform(&table.name, &again, &there.schema()).map_err(unreadable)?;
        Ok(first_different_row(&there, &again).map(|(_, message)| message))
    }
}

/// Whether Silver was created and holds nothing: a failed first tick leaves it so, and then nothing is expected.
pub(super) fn is_untouched(silver: &Snapshot) -> bool {
    silver.version == 0 && silver.buckets.is_empty()
}

fn unreadable(error: TableError) -> RemakeError {
    if error.is_transient() {
        RemakeError::Failed(error.into())
    } else {
        RemakeError::Cannot(CannotRemake::Corrupt(error.to_string()))
    }
}
