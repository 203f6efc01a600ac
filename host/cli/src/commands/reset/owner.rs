//! Which pipeline a lake belongs to.
//!
//! Does not claim it.

use lake::{Lake, identity};

/// The identity of a lake, also if only Silver or Gold is left of it.
pub(super) async fn owner(lake: &Lake) -> anyhow::Result<Option<identity::Identity>> {
    for layer in [&lake.bronze, &lake.silver, &lake.gold] {
        let alone = Lake { bronze: layer.clone(), ..lake.clone() };
        if let Some(found) = identity::read(&alone).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
