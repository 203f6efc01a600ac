//! One Gold table and what makes it: its plugin, its place in the plugin's history, and which Silver it was made from.
//!
//! Does not make the table.

use std::sync::Arc;

use lake::failure::Failure;
use lake::generations::{Generation, Generations};
use lake::gold::Gold;
use lake::silver::SilverVersion;
use lake::{Lake, TableError};
use seams::plugin::{Aggregator, FaultKind, PluginStamp};
use tokio::sync::OnceCell;

use super::associative::Tried;
use super::stop::Stop;

/// After how many deadlines in a row a plugin is taken to be at fault, and not the machine.
const MOST_DEADLINES: usize = 3;

/// One Gold table and what makes it.
#[derive(Debug)]
pub struct GoldTable {
    /// The aggregate's name.
    pub name: String,
    /// Its plugin.
    pub plugin: Arc<dyn Aggregator>,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    pub config: String,
    /// The table.
    pub gold: Gold,
    /// The plugin's history.
    pub generations: Generations,
    /// The plugin's place in it, entered with the first work: a command that only reads starts no generation.
    pub generation: OnceCell<Generation>,
    /// How far the plugin's `merge` has been tried.
    pub tried: Tried,
}

impl GoldTable {
    /// The same table with another plugin, whose columns `gold` has.
    #[must_use]
    pub fn with(&self, plugin: Arc<dyn Aggregator>, config: String, gold: Gold) -> Self {
        let (name, generations) = (self.name.clone(), self.generations.clone());
        GoldTable { name, plugin, config, gold, generations, generation: OnceCell::new(), tried: Tried::default() }
    }

    /// The plugin's generation, entered if this is the first work.
    pub async fn generation(&self, lake: &Lake) -> Result<&Generation, Failure> {
        let enter = || self.generations.enter(lake, &*self.plugin, &self.config);
        Ok(self.generation.get_or_try_init(enter).await?)
    }

    /// What a stop means for the work in hand. A deadline may have been the machine's fault, but not each time.
    pub(super) fn failure_of(&self, stop: Stop) -> Failure {
        let failure = match stop {
            Stop::Fault(fault) if fault.kind == FaultKind::Deadline && self.tried.deadlines() >= MOST_DEADLINES => {
                Failure::Plugin(format!("plugin failed [{}]: {fault}, {MOST_DEADLINES} times in a row", fault.code))
            }
            Stop::Fault(fault) => fault.into(),
            Stop::Failure(failure) => failure,
        };
        // The suspension of the table reports its plugin's fault, in the same words.
        if !matches!(failure, Failure::Plugin(_)) {
            tracing::warn!(table = self.name, error = %failure, "table not made");
        }
        failure
    }

    /// Whether what the table holds was made from that version of Silver, or a later one of the same Silver. `newest` is the newest one.
    pub async fn holds(&self, wanted: &SilverVersion, newest: &SilverVersion) -> Result<bool, TableError> {
        Ok(self.gold.made_from().await?.is_some_and(|made_from| made_from.holds_for(wanted, newest)))
    }

    /// Whether the table was made from that version of Silver, the newest one, by this plugin with this configuration.
    pub(super) async fn is_made_from(&self, silver: &SilverVersion) -> Result<bool, Failure> {
        if !self.holds(silver, silver).await? {
            return Ok(false);
        }
        let made_by = self.gold.generation().await?;
        let latest = self.generations.latest().await?;
        Ok(latest.is_some_and(|latest| {
            Some(latest.number) == made_by
                && latest.config == self.config
                && latest.plugin == PluginStamp::of(&*self.plugin)
        }))
    }
}
