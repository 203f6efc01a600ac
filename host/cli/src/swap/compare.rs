//! Compares a candidate with the serving version on new inputs: all of them (shadow) or a share (canary). The candidate's output is compared
//! and dropped.
//!
//! Does not slow the stages down: it reads what they wrote to Bronze.

use std::collections::BTreeSet;

use engine::drivers::service::Service;
use engine::rehearsal::{self, Input};
use lake::bronze;
use pipeline::plan::Compare;
use records::keys::fingerprint;
use seams::store::Path;

use super::candidate::{Candidate, compared};
use super::refused::{Refused, not_good};

/// Inputs of one step.
const MOST_AT_ONCE: usize = 2000;

/// A comparison under way.
pub(super) struct Comparing {
    pub(super) candidate: Candidate,
    how: Compare,
    seen: BTreeSet<Path>,
    inputs: usize,
}

impl Comparing {
    /// Starts with the inputs from now on. None if the lake cannot be listed now; the log says so.
    pub(super) async fn start(candidate: Candidate, how: Compare, serves: &Service) -> Option<Self> {
        match bronze::inventory(&serves.enrich.lake, None).await {
            Ok(inventory) => {
                let seen = inventory.objects.into_iter().collect();
                Some(Comparing { candidate, how, seen, inputs: 0 })
            }
            Err(error) => {
                tracing::error!(%error, "cannot compare the new plugin, what served before serves on");
                None
            }
        }
    }

    /// Compares the inputs since the last step. Returns whether there were enough, so that the candidate may take over.
    pub(super) async fn step(&mut self, serves: &Service) -> Result<bool, Vec<Refused>> {
        let inputs = match rehearsal::latest(&serves.enrich.lake, MOST_AT_ONCE, &mut self.seen).await {
            Ok(inputs) => inputs,
            Err(error) => {
                tracing::warn!(%error, "cannot read what has come in, will be tried again");
                return Ok(false);
            }
        };
        let chosen: Vec<Input> = inputs.into_iter().filter(|input| self.is_chosen(input)).collect();
        if chosen.is_empty() {
            return Ok(false);
        }
        self.inputs += chosen.len();
        for one in self.candidate.replaced.clone() {
            if !["enrich", "clean"].contains(&one.stage.as_str()) {
                continue;
            }
            let comparison = compared(serves, &self.candidate.service, &one.stage, &chosen).await;
            let comparison = comparison.map_err(|error| vec![not_good(&one, &error)])?;
            self.candidate.add(&one, comparison)?;
        }
        Ok(self.inputs >= self.how.inputs)
    }

    /// Whether an input is in the share: by its key, so that a record is in it always or never.
    fn is_chosen(&self, input: &Input) -> bool {
        let hash = fingerprint(&[input.line.meta.key.as_str().as_bytes()]);
        let number = hash.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
        number % 100 < u64::from(self.how.share.get())
    }
}
