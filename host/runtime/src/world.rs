//! The worlds of the contract: which kinds of plugin there are, and what each is called in `wit/`.
//!
//! Does not look at a component: `inspect` finds out its world.

use serde::{Deserialize, Serialize};

/// The kinds of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum World {
    /// Source records to documents, through requests that the host makes.
    Enricher,
    /// Documents to rows.
    Cleaner,
    /// Rows to a table.
    Aggregator,
}

impl World {
    pub(crate) const ALL: [World; 3] = [World::Enricher, World::Cleaner, World::Aggregator];

    /// Its name in `wit/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            World::Enricher => "enricher",
            World::Cleaner => "cleaner",
            World::Aggregator => "aggregator",
        }
    }

    /// The interface that only this world exports.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            World::Enricher => "enrich",
            World::Cleaner => "clean",
            World::Aggregator => "aggregate",
        }
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
