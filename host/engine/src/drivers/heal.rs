//! Healing: once a Silver table is deleted, what was noted about it is removed, so that all of Bronze is cleaned into the new one.
//!
//! Does not clean: the sweep finds what has no receipt.

use futures::TryStreamExt;
use lake::failure::Failure;
use lake::generations::Generations;
use lake::{LakeError, sweeping};
use seams::store::{Path, delete_if_there, read_if_there, replace};
use serde::{Deserialize, Serialize};

use super::service::Service;

/// In Bronze, which outlives the table: the table that the receipts and Gold were made with.
const NAME: &str = "_silver.json";
/// What is noted about a table, in Silver.
const SAID: [&str; 2] = ["_receipts", "_retracted"];

/// Which table Silver is.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Its id.
    table: String,
}

/// Finds out whether Silver is a different table from the one that receipts and Gold speak of, and removes those if so. The deleted table
/// held nothing that Bronze does not hold. Returns whether that was so. Call it again if it fails.
pub async fn heal(service: &Service) -> Result<bool, Failure> {
    remember_generations(service).await?;
    let lake = &service.enrich.lake;
    let now = service.clean.silver.table_id().await?;
    let path = Path::from(NAME);
    let noted: Option<Note> = match read_if_there(&*lake.bronze, &path).await? {
        Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(&path, error))?),
        None => None,
    };
    if noted.as_ref().is_some_and(|noted| noted.table == now) {
        return Ok(false);
    }
    let deleted = noted.is_some();
    if deleted {
        tracing::warn!("silver's table was deleted: all of bronze is cleaned into a new one");
        for table in &service.aggregate.tables {
            table.gold.wipe().await?;
        }
        for folder in SAID {
            let listed = lake.silver.list(Some(&Path::from(folder))).map_ok(|object| object.location);
            let paths: Vec<Path> = listed.try_collect().await?;
            for path in paths {
                delete_if_there(&*lake.silver, &path).await?;
            }
        }
        // Closed ticks are not done any more.
        sweeping::forget_marks(lake).await?;
    }
    // Last: a process that dies before this starts over.
    let body = serde_json::to_vec_pretty(&Note { table: now }).map_err(|error| LakeError::corrupt(&path, error))?;
    replace(&*lake.bronze, &path, body.into()).await?;
    Ok(deleted)
}

/// Makes sure that the lake knows the plugins that this process has entered, also after a layer was deleted with their history.
async fn remember_generations(service: &Service) -> Result<(), Failure> {
    let lake = &service.enrich.lake;
    if let Some(generation) = service.enrich.generation.get().and_then(Option::as_ref) {
        Generations::of_enrich(lake).restore(generation).await?;
    }
    if let Some(generation) = service.clean.generation.get() {
        Generations::of_clean(lake).restore(generation).await?;
    }
    for table in &service.aggregate.tables {
        if let Some(generation) = table.generation.get() {
            table.generations.restore(generation).await?;
        }
    }
    Ok(())
}
