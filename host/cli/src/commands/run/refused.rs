//! The records of a tick in quarantine, compared with how many a run may leave there.
//!
//! Does not say why a record was refused: `sluicebox quarantine ls` does.

use engine::drivers::service::Service;
use lake::quarantine::{self, RefusedAt};
use pipeline::plan::AtMost;
use records::keys::Tick;
use serde::Serialize;

use crate::context::Context;
use crate::output::{Tone, counted};

/// The refusals of one tick.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusals {
    /// Records of the tick that are in quarantine, refused by any stage.
    quarantined: usize,
    /// Records of the tick.
    of: usize,
    /// How many may be in quarantine.
    at_most: String,
    /// Whether there are too many: then the run fails.
    exceeded: bool,
}

impl Refusals {
    /// Counts the refusals of `tick`, whose messages hold `records`.
    pub(crate) async fn of(service: &Service, tick: Tick, records: usize, at_most: AtMost) -> anyhow::Result<Self> {
        let all = quarantine::all(&service.enrich.lake).await?;
        let here: Vec<_> = all.iter().filter(|one| one.seq == tick).collect();
        // Records refused while the source was read are in no message.
        let of = records + here.iter().filter(|one| one.stage == RefusedAt::Ingest).count();
        let exceeded = !at_most.allows(here.len(), of);
        Ok(Refusals { quarantined: here.len(), of, at_most: at_most.to_string(), exceeded })
    }

    /// Whether the run fails for it.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// What is wrong, if anything is.
    pub(crate) fn text(&self, context: &Context) -> String {
        if !self.exceeded {
            return String::new();
        }
        let share = (self.quarantined * 100).checked_div(self.of).unwrap_or(0);
        let what = format!(
            "\ntoo many refused: {} of the tick's {} are in quarantine ({share}%), allowed are {} (`at_most` under `[quarantine]`)",
            self.quarantined,
            counted(self.of, "record", "records"),
            self.at_most
        );
        let what = context.output.tone(Tone::Bad, &what);
        format!(
            "{what}\n  hint: when the cause is mended, `sluicebox quarantine replay` makes them again; `--max-quarantined` accepts more"
        )
    }
}
