//! Verification: everything that the engine promises about a lake, recomputed from what it keeps and compared with what is there.
//!
//! Changes nothing, and trusts no counter, event, receipt or partial result for what it can compute itself. Asks no service.

use std::collections::{BTreeMap, BTreeSet};

use ::records::keys::Key;
use engine::census::{self, Evidence, Fate};
use engine::drivers::service::Service;
use engine::progress::Steps;
use lake::failure::Failure;
use lake::kept_out::KeptOut;
use lake::quarantine::Refused;
use lake::{LakeError, quarantine};

use crate::remake::Workshop;

mod chain;
mod closure;
mod documents;
mod drain;
mod egress;
mod history;
mod patience;
mod records;
mod report;
mod rows;
mod secrecy;
mod standing;
mod tables;

use patience::Patience;
pub use report::{Finding, Invariant, Report};
pub(crate) use standing::plugin_columns;

/// A verification in progress.
struct Checker<'a> {
    service: &'a Service,
    workshop: Workshop,
    evidence: Evidence,
    fates: Vec<Fate>,
    refused: BTreeMap<String, Refused>,
    patience: Patience,
    steps: &'a Steps,
    report: Report,
}

/// Checks the lake of `service` against every promise; `workshop` belongs to that lake.
pub async fn verify(service: &Service, workshop: Workshop, steps: &Steps) -> Result<Report, Failure> {
    let lake = &service.enrich.lake;
    let evidence = Evidence::read(lake, &service.clean.silver, steps).await?;
    let fates = evidence.fates();
    let report = Report {
        pipeline: service.pipeline.clone(),
        states: census::count(&fates),
        checked: Invariant::ALL.map(|invariant| (invariant, 0)).into(),
        ..Report::default()
    };
    let (refused, patience) = (BTreeMap::new(), Patience::default());
    let mut checker = Checker { service, workshop, evidence, fates, refused, patience, steps, report };
    checker.read_quarantine().await?;
    checker.damage();
    checker.records().await?;
    checker.receipts();
    checker.chain().await?;
    checker.documents().await?;
    checker.rows().await?;
    checker.silver_files().await?;
    checker.gold().await?;
    checker.history().await?;
    checker.egress().await?;
    checker.secrecy().await?;
    checker.drain().await?;
    checker.kept_out().await?;
    checker.future().await?;
    checker.still_the_same().await?;
    Ok(checker.report.finish())
}

impl Checker<'_> {
    async fn read_quarantine(&mut self) -> Result<(), Failure> {
        let lake = &self.service.enrich.lake;
        for id in quarantine::ids(lake).await? {
            match quarantine::get(lake, &id).await {
                Ok(Some(refused)) => {
                    self.refused.insert(id, refused);
                }
                Ok(None) => {}
                Err(LakeError::Corrupt { path, reason }) => self.report.find(Invariant::V6, path, reason),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Things that could not be read at all.
    fn damage(&mut self) {
        self.report.checked(Invariant::V6, self.evidence.inventory.objects.len() + self.evidence.receipts.len());
        for (at, reason) in &self.evidence.damaged {
            self.report.find(Invariant::V6, at, reason);
        }
    }

    /// No line holds a key that stays forgotten.
    async fn kept_out(&mut self) -> Result<(), Failure> {
        let kept_out = KeptOut::read(&self.service.enrich.lake).await?;
        if kept_out.is_empty() {
            return Ok(());
        }
        let keys: BTreeSet<&Key> = self.evidence.places.iter().map(|place| &place.meta.key).collect();
        for key in keys.into_iter().filter(|key| kept_out.holds(key)) {
            let message = "its key stays forgotten, and the lake holds a record of it: run `sluicebox forget` again";
            self.report.find(Invariant::V1, key, message);
        }
        let count = kept_out.len();
        self.report.notes.push(format!("{count} of the keys that were forgotten stay so: no tick brings them again"));
        Ok(())
    }

    /// A tick in the future makes everything that the schedule brings until then count as older.
    async fn future(&mut self) -> Result<(), Failure> {
        for tick in self.service.future_ticks().await? {
            self.report.notes.push(format!(
                "tick {tick} is in the future: what comes until then counts as older; `sluicebox reset --run {tick}` takes it back"
            ));
        }
        Ok(())
    }

    /// A lake that others write to while it is verified may look broken where it is only moving.
    async fn still_the_same(&mut self) -> Result<(), Failure> {
        let now = self.service.clean.silver.snapshot().await?.version;
        let then = self.evidence.snapshot.version;
        if now != then {
            self.report.notes.push(format!(
                "silver went from version {then} to {now} meanwhile: what was found may have been under way, verify again when nothing runs"
            ));
        }
        Ok(())
    }
}
