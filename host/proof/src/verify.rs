//! Verification: everything that the engine promises of a lake, recomputed from what it keeps and held against what is there.
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
use serde::Serialize;

use crate::remake::Workshop;

mod chain;
mod closure;
mod documents;
mod drain;
mod egress;
mod history;
mod patience;
mod records;
mod rows;
mod secrecy;
mod tables;

use patience::Patience;
pub(crate) use rows::plugin_columns;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Invariant {
    /// Conservation.
    V1,
    /// Uniqueness.
    V2,
    /// Purity.
    V3,
    /// Derivation.
    V4,
    /// Monotony.
    V5,
    /// Closure.
    V6,
    /// Secrecy.
    V7,
    /// Egress.
    V8,
    /// Drain.
    V9,
    /// Coverage.
    V10,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 10] = [
        Invariant::V1,
        Invariant::V2,
        Invariant::V3,
        Invariant::V4,
        Invariant::V5,
        Invariant::V6,
        Invariant::V7,
        Invariant::V8,
        Invariant::V9,
        Invariant::V10,
    ];

    /// The promise in a few words.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Invariant::V1 => "every record version is in exactly one place",
            Invariant::V2 => "no key stands twice, no message has two objects",
            Invariant::V3 => "the recorded plugins make the same again",
            Invariant::V4 => "silver and gold are what bronze comes to",
            Invariant::V5 => "versions never go back",
            Invariant::V6 => "every file that is named is there and whole",
            Invariant::V7 => "no secret is in the lake",
            Invariant::V8 => "only declared endpoints were asked",
            Invariant::V9 => "nothing is under way, and every refusal can be replayed",
            Invariant::V10 => "what the lake has decided is covered by pins and signatures",
        }
    }
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Which promise.
    pub invariant: Invariant,
    /// Where: a key, an object and line, a table.
    pub at: String,
    /// What is there against what was expected.
    pub message: String,
}

/// Findings of one kind that are told one by one; of more only the number is told.
const MOST_TOLD: usize = 20;

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// For each promise, how many things were held against it.
    pub checked: BTreeMap<Invariant, usize>,
    /// For each promise that does not hold, how often.
    pub broken: BTreeMap<Invariant, usize>,
    /// What does not hold: for each promise the first few by place, the smallest witness first.
    pub findings: Vec<Finding>,
    /// Record versions by state.
    pub states: BTreeMap<&'static str, usize>,
    /// What breaks no promise but is worth knowing.
    pub notes: Vec<String>,
    /// The last entry of the chain, as `NUMBER-DIGEST`: kept elsewhere, it tells a chain that was forged whole.
    pub chain: Option<String>,
}

impl Report {
    /// Whether everything holds.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Takes in how many things were held against a promise by somebody else: what the lake does not know, its pipeline file does.
    pub fn looked_at(&mut self, invariant: Invariant, count: usize) {
        self.checked(invariant, count);
    }

    /// Takes in one more thing that does not hold, found by somebody else.
    pub fn also(&mut self, invariant: Invariant, at: impl ToString, message: impl ToString) {
        self.find(invariant, at, message);
        *self.broken.entry(invariant).or_default() += 1;
        self.findings.sort();
    }

    fn checked(&mut self, invariant: Invariant, count: usize) {
        *self.checked.entry(invariant).or_default() += count;
    }

    fn find(&mut self, invariant: Invariant, at: impl ToString, message: impl ToString) {
        self.findings.push(Finding { invariant, at: at.to_string(), message: message.to_string() });
    }

    fn finish(mut self) -> Self {
        self.findings.sort();
        self.findings.dedup();
        for finding in &self.findings {
            *self.broken.entry(finding.invariant).or_default() += 1;
        }
        let mut told: BTreeMap<Invariant, usize> = BTreeMap::new();
        self.findings.retain(|finding| {
            let told = told.entry(finding.invariant).or_default();
            *told += 1;
            *told <= MOST_TOLD
        });
        self
    }
}

/// A verification under way.
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

/// Holds the lake of `service` against every promise; `workshop` is the one of that lake.
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

    /// What could not even be read.
    fn damage(&mut self) {
        self.report.checked(Invariant::V6, self.evidence.inventory.objects.len() + self.evidence.receipts.len());
        for (at, reason) in &self.evidence.damaged {
            self.report.find(Invariant::V6, at, reason);
        }
    }

    /// Keys that stay forgotten are in no line.
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

    /// A tick that is still to come makes all that the schedule brings until then older than itself.
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
