//! V8: every kept answer belongs to a request through a door that `pipeline.toml` declares, and is kept under the name of that request.
//!
//! Cannot count calls: a service's own log could.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;

use super::{Checker, Invariant};
use crate::failure::Failure;
use crate::lake::answers::{self, AnswerId};
use crate::lake::{LakeError, bronze};

impl Checker<'_> {
    /// V8.
    pub(super) async fn egress(&mut self) -> Result<(), Failure> {
        let lake = &self.service.enrich.lake;
        let objects = self.evidence.inventory.objects.iter().chain(&self.evidence.inventory.snapshots);
        let days: BTreeSet<_> = objects.filter_map(bronze::tick_of).map(crate::lake::keys::Tick::day).collect();
        // Nearly every answer is named by a line, whose day is its own: trying all days of a lake for each would take far longer.
        let mut asked: HashMap<&str, BTreeSet<NaiveDate>> = HashMap::new();
        for place in &self.evidence.places {
            for id in &place.meta.answers {
                asked.entry(id).or_default().insert(place.meta.seq.day());
            }
        }
        let mut strangers: BTreeSet<String> = BTreeSet::new();
        let ids = answers::ids(lake).await?;
        self.steps.begin("checking answers", ids.len());
        self.report.checked(Invariant::V8, ids.len());
        for id in ids {
            self.steps.step(1);
            let request = match answers::kept_with_request(lake, &id).await {
                Ok(Some((request, _))) => request,
                Ok(None) => continue,
                Err(LakeError::Corrupt { path, reason }) => {
                    self.report.find(Invariant::V6, path, reason);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !self.service.enrich.gateway.knows(&request.endpoint) {
                strangers.insert(request.endpoint.clone());
            }
            let likely = asked.get(id.as_str()).into_iter().flatten();
            let named = |day: &NaiveDate| days.contains(day) && AnswerId::of(&request, *day) == id;
            if !likely.chain(&days).any(named) {
                let message = format!(
                    "the request in it (`{}` of endpoint `{}`) has another name on every day with a tick",
                    request.path, request.endpoint
                );
                self.report.find(Invariant::V8, format!("answer {}", id.as_str()), message);
            }
        }
        for endpoint in strangers {
            self.report.notes.push(format!("endpoint `{endpoint}` was asked once and is not declared any more"));
        }
        Ok(())
    }
}
