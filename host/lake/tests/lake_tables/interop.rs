//! The tables as other engines read them, and as their maintenance leaves them.
//!
//! Does not run unless asked: it needs `SLUICEBOX_TEST_PYTHON`, a Python with what `tests/e2e/requirements.txt` names.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lake::gold::Gold;
use lake::silver::{Silver, bucket_of};
use object_store::local::LocalFileSystem;
use seams::store::Store;
use serde_json::{Value, json};
use testkit::SimClock;

use super::model::Model;
use super::support::{Doc, buckets, clock, content, doc, open, parts, schema, versions};

/// What the script prints.
fn python(arguments: &[&str]) -> Value {
    let python = std::env::var("SLUICEBOX_TEST_PYTHON").expect(
        "`SLUICEBOX_TEST_PYTHON` names no Python with the readers of tests/e2e/requirements.txt; run: cargo xtask test",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/read_lake.py");
    let output = Command::new(python).arg(script).args(arguments).output().expect("the Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

fn folder(root: &Path, name: &str) -> (Store, String) {
    let path = root.join(name);
    std::fs::create_dir_all(&path).unwrap();
    (Arc::new(LocalFileSystem::new_with_prefix(&path).unwrap()), path.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_both_layers() {
    let root = tempfile::tempdir().unwrap();
    let ((silver_store, silver_path), (gold_store, gold_path)) =
        (folder(root.path(), "silver"), folder(root.path(), "gold"));
    let silver = open(&silver_store, 4).await;
    let docs: Vec<Doc> =
        ["a", "b/1999", "c d", "é", "zz+", "%41"].iter().map(|key| Doc { rows: 2, ..doc(key, 2, 0) }).collect();
    silver.upsert(&versions(&docs)).await.unwrap();
    silver.upsert(&versions(&[doc("a", 3, 0)])).await.unwrap();

    let gold = Gold::open(Arc::clone(&gold_store), clock(), "all", parts().output_schema()).await.unwrap();
    gold.publish(&versions(&docs[..1]).rows, 1, 1).await.unwrap();
    gold.publish(&versions(&docs).rows, 2, 1).await.unwrap();
    gold.export().await.unwrap();

    let facts = python(&["facts", &silver_path, &gold_path]);
    let seen = &facts["silver"];
    assert_eq!(seen["rows"], json!({ "deltalake": 11, "polars": 11, "duckdb": 11, "statistics": 11 }), "{seen:#}");
    assert_eq!((&seen["version"], &seen["keys"], &seen["first_version_rows"]), (&json!(2), &json!(6), &json!(0)));
    assert_eq!(seen["keys_listed"], json!(["%41", "a", "b/1999", "c d", "zz+", "é"]));
    assert_eq!((&seen["partition_columns"], &seen["buckets_setting"]), (&json!(["_bucket"]), &json!("4")));
    let mut used: Vec<u32> = docs.iter().map(|doc| bucket_of(&doc.key, buckets(4))).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!((&seen["buckets"], &seen["files"]), (&json!(used), &json!(used.len())));
    assert_eq!(seen["bucket_pruning"]["files"], 1);
    assert_eq!(seen["bucket_pruning"]["rows"], seen["bucket_pruning"]["expected_rows"]);
    assert_eq!(seen["operations"], json!(["CREATE TABLE", "MERGE", "MERGE"]));
    for (column, ty) in [("stock", "int64"), ("made", "date32"), ("_bucket", "int32")] {
        assert!(
            seen["columns"][column].as_str().unwrap().to_lowercase().contains(ty),
            "{column}: {}",
            seen["columns"][column]
        );
    }
    let seen = &facts["gold"]["all"];
    assert_eq!(seen["rows"], json!({ "deltalake": 12, "polars": 12, "duckdb": 12, "csv": 12 }), "{seen:#}");
    assert_eq!((&seen["version"], &seen["silver_version"]), (&json!(2), &json!(2)));
    assert_eq!((&seen["parquet_equals_table"], &seen["duckdb_equals_table"]), (&json!(true), &json!(true)));
    assert_eq!(seen["content"][0]["tags"], json!(["t2", "a|b"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_engine_s_rewrite_and_vacuum_change_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (store, path) = folder(root.path(), "silver");
    let silver = open(&store, 2).await;
    let mut docs: Vec<Doc> =
        (0..20).map(|at| Doc { line: 20 - at, rows: 1 + at % 2, ..doc(&format!("k{at:02}"), 1, 0) }).collect();
    silver.upsert(&versions(&docs)).await.unwrap();
    silver.upsert(&versions(&[doc("k00", 2, 0)])).await.unwrap();
    docs.push(doc("k00", 2, 0));
    let before = silver.snapshot().await.unwrap();

    let done = python(&["rewrite", &path]);
    assert!(done["rewritten"].as_u64().unwrap() >= 2 && done["deleted"].as_u64().unwrap() >= 3, "{done}");
    let mut sorted = content(&silver).await;
    sorted.sort();
    let mut expected = Model::of(&docs).content(2);
    expected.sort();
    assert_eq!(sorted, expected, "the same rows, in whatever order");
    silver.read(&before, 0, None).await.expect_err("the old files are gone");

    docs.extend([doc("k01", 3, 0), doc("k02", 3, 0), doc("new", 1, 0), doc("other", 1, 0)]);
    silver.upsert(&versions(&docs)).await.unwrap();
    assert_eq!(content(&silver).await, Model::of(&docs).content(2), "a bucket that is written again is in order again");
}

/// Makes all data files of the table older than they are.
fn age(folder: &Path, span: Duration) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, span);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - span).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_a_table_that_was_tidied_up() {
    let root = tempfile::tempdir().unwrap();
    let ((store, path), (_, gold_path)) = (folder(root.path(), "silver"), folder(root.path(), "gold"));
    let clock = SimClock::at("2026-03-01T04:00:00Z");
    clock.jump(chrono::Utc::now());
    let silver = Silver::open(store, clock.clone(), schema(), buckets(2)).await.unwrap();
    let docs: Vec<Doc> = (1..104).map(|at| doc(&format!("k{}", at % 9), 1, at)).collect();
    for doc in &docs {
        silver.upsert(&versions([doc])).await.unwrap();
    }
    age(&root.path().join("silver/_bucket=0"), Duration::from_secs(2 * 3600));
    age(&root.path().join("silver/_bucket=1"), Duration::from_secs(2 * 3600));
    clock.jump(chrono::Utc::now() + chrono::TimeDelta::days(8));
    let done = silver.tidy(Duration::from_secs(7 * 24 * 3600)).await.unwrap();
    assert_eq!((done.files, done.log_entries), (101, 100), "103 files but the two that stand; versions 0 to 99");

    let facts = python(&["facts", &path, &gold_path]);
    let seen = &facts["silver"];
    assert_eq!(seen["rows"], json!({ "deltalake": 9, "polars": 9, "duckdb": 9, "statistics": 9 }), "{seen:#}");
    assert_eq!((&seen["version"], &seen["keys"], &seen["first_version_rows"]), (&json!(103), &json!(9), &json!(null)));
    assert_eq!(content(&silver).await, Model::of(&docs).content(2));
}
