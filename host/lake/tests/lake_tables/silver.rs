//! Silver with one writer: units, counts, pruning, projection, checkpoints.
//!
//! Does not race: that is `writers`.

use lake::TableError;
use lake::silver::{Silver, bucket_of};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use super::model::Model;
use super::support::{Doc, buckets, clock, content, doc, lines, memory, open, schema, versions};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_again_commits_nothing() {
    let silver = open(&memory(), 4).await;
    let call = versions(&[doc("a", 1, 0), doc("b", 1, 0), doc("c", 1, 0)]);
    let first = silver.upsert(&call).await.unwrap();
    assert_eq!((first.version, first.committed, first.written), (1, true, 3));
    let second = silver.upsert(&call).await.unwrap();
    assert_eq!((second.version, second.committed), (1, false));
    assert_eq!((second.written, second.unchanged, second.superseded), (0, 3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_given_is_counted_once() {
    let silver = open(&memory(), 2).await;
    silver.upsert(&versions(&[doc("a", 2, 0), doc("b", 1, 0)])).await.unwrap();
    let call = [doc("a", 1, 0), doc("b", 2, 0), doc("c", 1, 0), doc("b", 1, 1), doc("a", 2, 0), doc("c", 1, 0)];
    let done = silver.upsert(&versions(&call)).await.unwrap();
    assert_eq!((done.written, done.superseded, done.unchanged, done.replaced), (2, 2, 1, 1), "{done:?}");
    assert_eq!(content(&silver).await, Model::of(&[doc("a", 2, 0), doc("b", 2, 0), doc("c", 1, 0)]).content(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_s_rows_replace_all_rows_of_the_one_before() {
    let silver = open(&memory(), 1).await;
    let old = Doc { rows: 3, ..doc("a", 1, 0) };
    let new = Doc { rows: 2, ..doc("a", 1, 1) };
    silver.upsert(&versions([&old])).await.unwrap();
    assert_eq!(content(&silver).await.len(), 3);
    silver.upsert(&versions([&new])).await.unwrap();
    silver.upsert(&versions([&old])).await.unwrap();
    assert_eq!(content(&silver).await, Model::of([&new]).content(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_versions_of_two_sources_are_decided_by_the_source() {
    let (one, two) = (Doc { line: 1, ..doc("a", 1, 0) }, Doc { line: 2, rows: 2, ..doc("a", 1, 0) });
    for order in [[&one, &two], [&two, &one]] {
        let silver = open(&memory(), 1).await;
        silver.upsert(&versions([order[0]])).await.unwrap();
        silver.upsert(&versions([order[1]])).await.unwrap();
        assert_eq!(content(&silver).await, Model::of([&two]).content(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_given_is_nothing_done() {
    let silver = open(&memory(), 4).await;
    let done = silver.upsert(&versions(&[])).await.unwrap();
    assert_eq!((done.version, done.committed, done.written), (0, false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_metadata_are_refused() {
    let silver = open(&memory(), 4).await;
    let mut call = versions(&[doc("a", 1, 0)]);
    call.meta.clear();
    let error = silver.upsert(&call).await.unwrap_err();
    assert_eq!(error.to_string(), "table `silver`: 1 rows with metadata of 0 rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_with_all_its_rows_and_columns() {
    let silver = open(&memory(), 3).await;
    let wanted = Doc { rows: 2, ..doc("b c", 1, 0) };
    silver.upsert(&versions(&[doc("a", 1, 0), wanted.clone(), doc("d", 1, 0)])).await.unwrap();
    assert_eq!(lines(&silver.find("b c").await.unwrap()), Model::of([&wanted]).content(3));
    assert_eq!(silver.find("nobody").await.unwrap().num_rows(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_read_by_name_in_the_order_given() {
    let silver = open(&memory(), 1).await;
    silver.upsert(&versions(&[doc("a", 3, 1)])).await.unwrap();
    let snapshot = silver.snapshot().await.unwrap();
    let read = silver.read(&snapshot, 0, Some(&["_key", "stock", "tags"])).await.unwrap();
    assert_eq!(lines(&read[0]), ["a · 310 · [t3, a|b]"]);
    let error = silver.read(&snapshot, 0, Some(&["weight"])).await.unwrap_err();
    assert!(error.to_string().contains("column `weight`: the table has no such column"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_buckets_is_refused() {
    let store = memory();
    open(&store, 8).await;
    let error = Silver::open(store, clock(), schema(), buckets(16)).await.unwrap_err();
    assert!(matches!(error, TableError::Buckets { table_has: 8, wanted: 16, .. }));
    assert_eq!(
        error.to_string(),
        "table `silver` was made with 8 buckets, got 16\n\
         hint: set `buckets = 8` in `[lake]`, or run `sluicebox replay --rebuild`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_equal_content_is_told_by_its_content_and_not_its_name() {
    let (one, two) = (open(&memory(), 1).await, open(&memory(), 1).await);
    for silver in [&one, &two] {
        silver.upsert(&versions(&[doc("b", 1, 0), doc("a", 1, 0)])).await.unwrap();
    }
    let (one, two) = (one.snapshot().await.unwrap(), two.snapshot().await.unwrap());
    assert_eq!(one.buckets[&0][0].content(), two.buckets[&0][0].content());
    assert_ne!(one.buckets[&0][0].path(), two.buckets[&0][0].path(), "a vacuum of one must not hit the other");
}

/// Engines skip files by these: they must be true, and bounds must not cut off what they bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_names_partition_and_statistics() {
    let store = memory();
    let silver = open(&store, 4).await;
    silver.upsert(&versions(&[doc("a", 1, 0)])).await.unwrap();
    let entry = store.get(&Path::from("_delta_log/00000000000000000001.json")).await.unwrap().bytes().await.unwrap();
    let actions: Vec<Value> =
        entry.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(actions[0]["commitInfo"]["operation"], "MERGE");
    let add = &actions[1]["add"];
    assert_eq!(add["partitionValues"]["_bucket"], bucket_of("a", buckets(4)).to_string());
    assert_eq!(add["dataChange"], true);
    let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    assert_eq!(stats["numRecords"], 1);
    assert_eq!((&stats["minValues"]["_key"], &stats["maxValues"]["_key"]), (&Value::from("a"), &Value::from("a")));
    assert_eq!(stats["minValues"]["_seq"], "2026-03-01T03:00:00.000Z");
    assert_eq!(stats["maxValues"]["_seq"], "2026-03-01T03:00:00.001Z");
}

/// A table opened again comes from a checkpoint; and another engine may have cleaned up the log behind a process that slept.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_summed_up_and_may_be_cut_off() {
    let store = memory();
    let sleeper = open(&store, 4).await;
    let silver = open(&store, 4).await;
    let docs: Vec<Doc> = (0..105).map(|at| doc(&format!("k{}", at % 7), 1 + at / 7, 0)).collect();
    for doc in &docs {
        silver.upsert(&versions([doc])).await.unwrap();
    }
    store.head(&Path::from("_delta_log/_last_checkpoint")).await.unwrap();
    for version in 0..100 {
        store.delete(&Path::from(format!("_delta_log/{version:020}.json"))).await.unwrap();
    }
    let expected = Model::of(&docs).content(4);
    assert_eq!(content(&open(&store, 4).await).await, expected);
    assert_eq!(content(&sleeper).await, expected);
    let next = sleeper.upsert(&versions(&[doc("new", 1, 0)])).await.unwrap();
    assert_eq!(next.version, 106, "the sleeper must not write an old version's number again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_deleted_is_named() {
    let store = memory();
    let silver = open(&store, 1).await;
    silver.upsert(&versions(&[doc("a", 1, 0)])).await.unwrap();
    let snapshot = silver.snapshot().await.unwrap();
    let path = snapshot.buckets[&0][0].path();
    store.delete(&Path::from(path)).await.unwrap();
    let error = silver.read(&snapshot, 0, None).await.unwrap_err();
    assert!(matches!(&error, TableError::Missing { path: missing, version: 1, .. } if missing == path), "{error}");
}

/// The engine's runtime need not be multi-threaded.
#[tokio::test]
async fn one_thread_is_enough() {
    let store = memory();
    let silver = open(&store, 2).await;
    silver.upsert(&versions(&[doc("a", 1, 0), doc("b", 1, 0)])).await.unwrap();
    assert_eq!(content(&open(&store, 2).await).await, Model::of(&[doc("a", 1, 0), doc("b", 1, 0)]).content(2));
}
