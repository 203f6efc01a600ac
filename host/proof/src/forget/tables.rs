//! Gold tables that the pipeline file no longer names. Nothing makes them again, so their rows stay unchanged.
//!
//! Does not touch tables that the file names, and no folder without a history of plugins: that is not ours.

use std::collections::BTreeSet;

use engine::drivers::service::Service;
use futures::TryStreamExt;
use lake::LakeError;
use lake::failure::Failure;
use seams::store::{ObjectStoreExt, Path, StoreError, delete_if_there};

/// The names of tables that this pipeline made, that still have objects, and that its file no longer names.
pub async fn removed_tables(service: &Service) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for name in unnamed(service).await? {
        if !objects(service, &name).await?.is_empty() {
            found.push(name);
        }
    }
    Ok(found)
}

/// Deletes them with their exports and partial results; the history of their plugins stays.
pub(super) async fn wipe_removed(service: &Service) -> Result<Vec<String>, Failure> {
    let gold = &service.enrich.lake.gold;
    let removed = removed_tables(service).await?;
    for name in &removed {
        for path in objects(service, name).await? {
            delete_if_there(&**gold, &path).await?;
        }
    }
    Ok(removed)
}

async fn unnamed(service: &Service) -> Result<BTreeSet<String>, Failure> {
    let gold = &service.enrich.lake.gold;
    let listed = gold.list_with_delimiter(Some(&Path::from("_generations"))).await.map_err(LakeError::from)?;
    let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned));
    let known: BTreeSet<&str> = service.aggregate.tables.iter().map(|table| table.name.as_str()).collect();
    Ok(names.filter(|name| !known.contains(name.as_str())).collect())
}

/// All objects of a table, its log last: as long as the log is there, so is the table.
async fn objects(service: &Service, name: &str) -> Result<Vec<Path>, Failure> {
    let gold = &service.enrich.lake.gold;
    let mut found = Vec::new();
    for folder in [Path::from(name), Path::from_iter(["_partials", name])] {
        let listed: Vec<_> = gold.list(Some(&folder)).try_collect().await.map_err(LakeError::from)?;
        found.extend(listed.into_iter().map(|object| object.location));
    }
    for format in ["parquet", "csv"] {
        let path = Path::from(format!("{name}.{format}"));
        match gold.head(&path).await {
            Ok(_) => found.push(path),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_by_key(|path| path.as_ref().contains("/_delta_log/"));
    Ok(found)
}
