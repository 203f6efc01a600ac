//! The past of the tables: what each commit did, and the rows that were there.
//!
//! Does not delete anything: that is `tidy`.

use lake::TableError;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::json;

use super::gold::rows;
use super::model::Model;
use super::support::{Doc, doc, lines, memory, open, versions};

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_says_what_it_did() {
    let store = memory();
    let silver = open(&store, 1).await;
    silver.upsert(&versions(&[doc("a", 1, 0)])).await.unwrap();
    silver.upsert(&versions(&[doc("a", 2, 0)])).await.unwrap();
    let history = silver.history().await.unwrap();
    let told: Vec<_> = history.iter().map(|commit| (commit.version, commit.operation.as_deref().unwrap())).collect();
    assert_eq!(told, [(0, "CREATE TABLE"), (1, "MERGE"), (2, "MERGE")]);
    assert_eq!(history[2].timestamp.unwrap().to_rfc3339(), "2026-03-01T04:00:00+00:00");
    assert_eq!(history[2].parameters["buckets"], json!([0]));
    assert_eq!((history[1].added.len(), history[1].removed.len()), (1, 0));
    assert_eq!(history[2].removed, history[1].added, "the second replaces the first one's file");
    let current = silver.snapshot().await.unwrap().buckets[&0][0].path().to_owned();
    assert_eq!(&history[2].added, std::slice::from_ref(&current));
}

#[tokio::test(flavor = "multi_thread")]
async fn gold_s_commits_name_silver_s_versions() {
    let gold = super::gold::open(&memory()).await;
    gold.publish(&rows(1), 4, 1).await.unwrap();
    gold.publish(&rows(1), 6, 1).await.unwrap();
    let history = gold.history().await.unwrap();
    let versions: Vec<_> = history.iter().map(|commit| commit.transactions.get("sluicebox.silver").copied()).collect();
    assert_eq!(versions, [None, Some(4), Some(6)]);
    assert!(history[2].added.is_empty() && history[2].removed.is_empty(), "equal content");
}

/// Through a checkpoint and without one, every version has the rows that it had.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_as_it_was() {
    let store = memory();
    let silver = open(&store, 3).await;
    let docs: Vec<Doc> = (0..115).map(|at| doc(&format!("k{}", at % 7), 1 + at / 7, 0)).collect();
    for doc in &docs {
        silver.upsert(&versions([doc])).await.unwrap();
    }
    for version in [0, 1, 2, 50, 99, 100, 101, 114, 115] {
        let snapshot = silver.snapshot_at(version).await.unwrap();
        assert_eq!(snapshot.version, version);
        let mut found = Vec::new();
        for bucket in snapshot.buckets.keys() {
            for batch in silver.read(&snapshot, *bucket, None).await.unwrap() {
                found.extend(lines(&batch));
            }
        }
        let so_far = docs.iter().take(usize::try_from(version).unwrap());
        assert_eq!(found, Model::of(so_far).content(3), "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_there_is_named() {
    let store = memory();
    let silver = open(&store, 1).await;
    for tick in 1..=4 {
        silver.upsert(&versions(&[doc("a", tick, 0)])).await.unwrap();
    }
    for version in [-1, 5, i64::MAX] {
        let error = silver.snapshot_at(version).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "table `silver` has no version {version}: its log has 0 to 4\n\
                 hint: `retention` in `[lake]` says for how long old versions are kept"
            )
        );
    }
    let gone = silver.snapshot_at(2).await.unwrap();
    store.delete(&Path::from(gone.buckets[&0][0].path())).await.unwrap();
    let error = silver.read(&gone, 0, None).await.unwrap_err();
    assert!(matches!(error, TableError::Missing { version: 2, .. }), "{error}");
}
