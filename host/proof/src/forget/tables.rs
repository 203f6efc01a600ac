//! Gold tables that the pipeline file names no more: nobody makes them again, so what is in them stays as it is.
//!
//! Does not touch tables that the file names, and no folder without a history of plugins: that is not ours.

use std::collections::BTreeSet;

use engine::drivers::service::Service;
use futures::TryStreamExt;
use lake::LakeError;
use lake::failure::Failure;
use seams::store::{ObjectStoreExt, Path, StoreError, delete_if_there};

/// The names of tables that this pipeline has made, of which something is there, and which its file names no more.
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

/// All that a table has, its log last: as long as that is there, so is the table.
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
