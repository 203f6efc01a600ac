//! V9: no work is left, and every refusal has what its replay needs.
//!
//! Does not replay anything.

use engine::census::Fate;
use engine::drivers::sweep::everything;
use lake::bronze;
use lake::failure::Failure;
use lake::quarantine::{Refused, RefusedAt};

use super::tables::is_untouched;
use super::{Checker, Invariant};

impl Checker<'_> {
    /// V9.
    pub(super) async fn drain(&mut self) -> Result<(), Failure> {
        for (stage, queue) in self.service.queues.all() {
            let (live, dead) = (queue.live.depth().await?.total(), queue.dead.depth().await?.total());
            self.report.checked(Invariant::V9, 1);
            if live + dead > 0 {
                let message = format!("{live} messages wait or are under way, {dead} are given up");
                self.report.find(Invariant::V9, format!("queue of {stage}"), message);
            }
        }
        // If what the sweep needs is broken, that was reported already.
        if self.evidence.damaged.is_empty() {
            let mut missing = everything(self.service).await?;
            if is_untouched(&self.evidence.snapshot) {
                missing.tables = 0;
            }
            if !missing.is_nothing() {
                self.report.find(Invariant::V9, "lake", missing.to_string());
            }
        }
        if self.evidence.snapshot.rebuilding {
            let message = "it is being rebuilt and is not whole yet: `sluicebox replay --rebuild` was not finished";
            self.report.find(Invariant::V9, "silver", message);
        }
        let underway = self.fates.iter().filter(|fate| **fate == Fate::Underway).count();
        if underway > 0 {
            self.report.find(Invariant::V9, "bronze", format!("{underway} record versions are not cleaned yet"));
        }
        self.report.checked(Invariant::V9, self.refused.len());
        for refused in self.refused.values() {
            if let Some(missing) = unreplayable(refused) {
                self.report.find(Invariant::V9, &refused.id, missing);
            }
        }
        Ok(())
    }
}

/// What a replay of this refusal would lack. V6 checks that its line is there.
fn unreplayable(refused: &Refused) -> Option<&'static str> {
    let kept = match refused.stage {
        RefusedAt::Ingest => !refused.record.is_empty() || refused.line.is_some(),
        RefusedAt::Enrich | RefusedAt::Clean => {
            bronze::place(&refused.input).is_some() || refused.record.contains_key("message")
        }
    };
    (!kept).then_some("it names no input from which it could be replayed")
}
