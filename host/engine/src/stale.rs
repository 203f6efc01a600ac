//! What a lake holds that the plugins of today might make differently: counted from receipts and histories, without reading Bronze.
//!
//! Does not make anything again: `crate::replay` does.

use lake::failure::Failure;
use lake::generations::Generations;
use lake::receipts;
use serde::Serialize;

use crate::drivers::service::Service;

/// Records that another version of a plugin has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// By another version or configuration of the clean plugin.
    pub clean: usize,
    /// By another version or configuration of the enrich plugin: all that there are, if the one that is configured has made none yet.
    pub enrich: usize,
}

impl Stale {
    /// Whether there are none.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Stale::default()
    }
}

/// Counts them.
pub async fn stale(service: &Service) -> Result<Stale, Failure> {
    let lake = &service.enrich.lake;
    let receipts = receipts::all(lake).await?;
    let clean = &service.clean;
    let generation = Generations::of_clean(lake).number_of(&*clean.plugin, &clean.config).await?;
    let mut stale = Stale {
        clean: receipts.iter().map(|receipt| receipt.stale_lines(generation).count()).sum(),
        ..Stale::default()
    };
    if let Some(plugin) = service.enrich.plugin.as_deref() {
        let history = Generations::of_enrich(lake);
        let number = history.number_of(plugin, &service.enrich.config).await?;
        if history.latest().await?.is_some_and(|latest| latest.number < number) {
            stale.enrich = receipts.iter().map(|receipt| receipt.lines).sum();
        }
    }
    Ok(stale)
}
