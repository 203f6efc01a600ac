//! V8: every kept answer belongs to a request through a door that `pipeline.toml` declares, and is kept under the name of that request.
//!
//! Cannot count calls: a service's own log could.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use lake::answers::{self, AnswerAt, AnswerId, Said};
use lake::failure::Failure;
use lake::{LakeError, bronze};

use super::{Checker, Invariant};

impl Checker<'_> {
    /// V8.
    pub(super) async fn egress(&mut self) -> Result<(), Failure> {
        let lake = &self.service.enrich.lake;
        let objects = self.evidence.inventory.objects.iter().chain(&self.evidence.inventory.snapshots);
        let days: BTreeSet<_> = objects.filter_map(bronze::tick_of).map(records::keys::Tick::day).collect();
        // Nearly every answer is named by a line and has that line's day: trying all days of a lake for each would take far longer.
        let mut asked: HashMap<String, BTreeSet<NaiveDate>> = HashMap::new();
        for place in &self.evidence.places {
            for id in &place.meta.answers {
                // A line whose tick is gone does not tell a day.
                asked
                    .entry(id.clone())
                    .or_default()
                    .extend(Some(place.meta.seq.day()).filter(|day| days.contains(day)));
            }
        }
        let mut strangers: BTreeSet<String> = BTreeSet::new();
        let objects = answers::objects(lake).await?;
        self.steps.begin("checking answers", objects.len());
        for object in objects {
            self.steps.step(1);
            let found = match answers::in_object(lake, &object).await {
                Ok(found) => found,
                Err(LakeError::Corrupt { path, reason }) => {
                    self.report.find(Invariant::V6, path, reason);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.report.checked(Invariant::V8, found.len());
            for (at, said) in found {
                let text = at.to_string();
                let likely = asked.get(text.as_str()).into_iter().flatten();
                self.answer(&at, said, &mut strangers, likely.chain(&days))?;
            }
        }
        for endpoint in strangers {
            self.report.notes.push(format!("endpoint `{endpoint}` was asked once and is not declared any more"));
        }
        Ok(())
    }
    /// One answer. Its request was made on one of these days, the likeliest first.
    fn answer<'a>(
        &mut self,
        at: &AnswerAt,
        said: Result<Said, LakeError>,
        strangers: &mut BTreeSet<String>,
        mut days: impl Iterator<Item = &'a NaiveDate>,
    ) -> Result<(), Failure> {
        let request = match said {
            Ok((request, _)) => request,
            Err(LakeError::Corrupt { path, reason }) => {
                self.report.find(Invariant::V6, path, reason);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if !self.service.enrich.gateway.knows(&request.endpoint) {
            strangers.insert(request.endpoint.clone());
        }
        if !days.any(|day| AnswerId::of(&request, *day) == *at.id()) {
            let message = format!(
                "the request in it (`{}` of endpoint `{}`) has another name on every day with a tick",
                request.path, request.endpoint
            );
            self.report.find(Invariant::V8, format!("answer {at}"), message);
        }
        Ok(())
    }
}
