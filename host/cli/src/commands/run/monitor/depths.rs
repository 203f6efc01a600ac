//! The depths of the queues, as a scrape shows them. If each look costs money, scrapes within a minute share one.
//!
//! Does not show the rest of the metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::drivers::service::Service;
use lake::failure::Failure;
use proof::status::{self, QueueStatus};

type ByStage = BTreeMap<&'static str, QueueStatus>;

/// The latest looks, by pipeline.
#[derive(Clone, Debug, Default)]
pub(super) struct Depths(Arc<Mutex<BTreeMap<String, (Instant, ByStage)>>>);

impl Depths {
    /// The depths of a pipeline's queues, by stage.
    ///
    /// # Errors
    /// Fails if a queue does not answer.
    pub(super) async fn of(&self, service: &Service) -> Result<ByStage, Failure> {
        let every = service.queues.look_every();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&service.pipeline).cloned();
        if let Some((at, depths)) = known
            && at.elapsed() < every
        {
            return Ok(depths);
        }
        let depths = status::queues(service).await?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(service.pipeline.clone(), (Instant::now(), depths.clone()));
        Ok(depths)
    }
}
