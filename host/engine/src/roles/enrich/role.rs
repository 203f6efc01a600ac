//! The enrich role of one pipeline: its plugin, where answers come from, and where documents go.
//!
//! Does none of its work: the files beside this one do.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lake::Lake;
use lake::answers::Keeper;
use lake::failure::Failure;
use lake::generations::{Generation, Generations};
use seams::plugin::Enricher;
use seams::queue::Queue;
use tokio::sync::OnceCell;

use crate::progress::Progress;
use crate::roles::breaker::Breaker;
use crate::roles::gateway::Gateway;

/// The enrich role of one pipeline.
#[derive(Debug)]
pub struct Enrich {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where documents go.
    pub lake: Lake,
    /// What is known of kept answers, and where more go.
    pub answers: Arc<Keeper>,
    /// The plugin; without one the source's record is the document.
    pub plugin: Option<Arc<dyn Enricher>>,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    pub config: String,
    /// The plugin's place in the stage's history, entered with the first work.
    pub generation: OnceCell<Option<Generation>>,
    /// The way out.
    pub gateway: Arc<Gateway>,
    /// Where the news of a new object goes.
    pub queue: Arc<dyn Queue>,
    /// Records of one message under way at once.
    pub concurrency: NonZeroUsize,
    /// Suspends the stage when its plugin fails on too many records.
    pub breaker: Breaker,
    /// Counters.
    pub progress: Arc<Progress>,
}

impl Enrich {
    /// The same plugin at the beginning of a new generation.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        self.with(self.plugin.clone(), self.config.clone(), self.breaker.fresh())
    }

    /// The same role with another plugin.
    #[must_use]
    pub fn with(&self, plugin: Option<Arc<dyn Enricher>>, config: String, breaker: Breaker) -> Self {
        Enrich {
            pipeline: self.pipeline.clone(),
            lake: self.lake.clone(),
            answers: Arc::clone(&self.answers),
            plugin,
            config,
            generation: OnceCell::new(),
            gateway: Arc::clone(&self.gateway),
            queue: Arc::clone(&self.queue),
            concurrency: self.concurrency,
            breaker: breaker.calling(Arc::clone(&self.gateway)),
            progress: Arc::clone(&self.progress),
        }
    }

    /// The plugin's generation, entered if this is the first work; none without a plugin.
    pub async fn generation(&self) -> Result<Option<&Generation>, Failure> {
        let enter = || async {
            match self.plugin.as_deref() {
                None => Ok(None),
                Some(plugin) => {
                    Generations::of_enrich(&self.lake).enter(&self.lake, plugin, &self.config).await.map(Some)
                }
            }
        };
        Ok(self.generation.get_or_try_init(enter).await?.as_ref())
    }
}
