//! Gold: whole tables, never older after newer, exports that say the same.
//!
//! Does not fold or merge.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::future::try_join_all;
use lake::gold::{Gold, Published};
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use seams::plugin::{ColumnType, Descriptor, ScalarType};
use seams::store::{Store, read};
use serde_json::json;
use testkit::rows::{batch, descriptor, output};

use super::support::{Stalling, clock, files_written, lines, memory, parts};

pub(crate) fn sums() -> Descriptor {
    let mut sums = descriptor("aggregate-sums", "1.0.0");
    sums.output = vec![
        output("group", ColumnType::Scalar(ScalarType::Utf8)),
        output("total", ColumnType::Scalar(ScalarType::Int64)),
    ];
    sums
}

pub(crate) fn rows(total: i64) -> RecordBatch {
    batch(&sums(), &[json!({ "group": "a", "total": total }), json!({ "group": "b, \"c\"", "total": null })])
}

pub(crate) async fn open(store: &Store) -> Gold {
    Gold::open(Arc::clone(store), clock(), "sums", sums().output_schema()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_replaces_the_one_before() {
    let gold = open(&memory()).await;
    assert_eq!((gold.current().await.unwrap(), gold.silver_version().await.unwrap()), (None, None));
    assert_eq!(gold.publish(&rows(1), 4, 1).await.unwrap(), Published::Committed { version: 1 });
    assert_eq!(gold.publish(&rows(2), 5, 1).await.unwrap(), Published::Committed { version: 2 });
    assert_eq!(gold.current().await.unwrap().unwrap(), rows(2));
    assert_eq!(gold.silver_version().await.unwrap(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_silver_version_never_replaces_a_newer_one() {
    let gold = open(&memory()).await;
    gold.publish(&rows(9), 9, 1).await.unwrap();
    assert_eq!(gold.publish(&rows(8), 8, 1).await.unwrap(), Published::Stale);
    assert_eq!((gold.current().await.unwrap().unwrap(), gold.silver_version().await.unwrap()), (rows(9), Some(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_content_only_moves_the_silver_version_on() {
    let store = memory();
    let gold = open(&store).await;
    gold.publish(&rows(1), 1, 1).await.unwrap();
    assert_eq!(gold.publish(&rows(1), 1, 1).await.unwrap(), Published::Unchanged);
    assert_eq!(gold.publish(&rows(1), 2, 1).await.unwrap(), Published::Unchanged);
    assert_eq!(gold.silver_version().await.unwrap(), Some(2));
    let entry = read(store.as_ref(), &Path::from("sums/_delta_log/00000000000000000002.json")).await.unwrap();
    let text = String::from_utf8(entry.to_vec()).unwrap();
    assert!(text.contains("\"txn\"") && !text.contains("\"add\"") && !text.contains("\"remove\""), "{text}");
    assert_eq!(gold.publish(&rows(7), 1, 1).await.unwrap(), Published::Stale, "version 2 holds for it now");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_result_of_the_same_silver_version_is_a_changed_plugin_and_wins() {
    let gold = open(&memory()).await;
    gold.publish(&rows(1), 3, 1).await.unwrap();
    assert_eq!(gold.publish(&rows(2), 3, 1).await.unwrap(), Published::Committed { version: 2 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_publishers_the_newest_silver_version_stands() {
    let store = memory();
    open(&store).await;
    let start = Arc::new(tokio::sync::Barrier::new(16));
    let publish = |version: i64| {
        let (store, start) = (Arc::clone(&store), Arc::clone(&start));
        tokio::spawn(async move {
            let gold = open(&store).await;
            start.wait().await;
            gold.publish(&rows(version), version, 1).await.unwrap();
            gold.export().await.unwrap();
        })
    };
    try_join_all((1..=16).map(publish)).await.unwrap();
    let gold = open(&store).await;
    assert_eq!((gold.silver_version().await.unwrap(), gold.current().await.unwrap().unwrap()), (Some(16), rows(16)));
    assert_eq!(exported(&store).await, rows(16), "whoever wrote last looked again");
}

/// A publisher stalls before each of its calls in turn while another publishes a result of a newer Silver version.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_stalls_never_puts_the_older_table_back() {
    let (mut finished, mut overtaken) = (false, 0);
    let mut stops = 0..60;
    while !finished {
        let stop = stops.next().expect("a publish takes fewer calls");
        let store = memory();
        open(&store).await.publish(&rows(0), 0, 1).await.unwrap();
        let stalling = Stalling::over(&store);
        let slow_store = Arc::clone(&stalling.store);
        let slow = tokio::spawn(async move { open(&slow_store).await.publish(&rows(1), 1, 1).await.unwrap() });
        stalling.until_call(&slow, stop).await;
        finished = slow.is_finished();
        let fast = open(&store).await;
        fast.publish(&rows(2), 2, 1).await.unwrap();
        stalling.until_call(&slow, u64::MAX).await;
        let outcome = slow.await.unwrap();
        assert!(
            matches!(outcome, Published::Stale | Published::Committed { version: 2 }),
            "{outcome:?} at call {stop}"
        );
        // Its file is there and its commit is not: it was overtaken between the two.
        overtaken += usize::from(outcome == Published::Stale && files_written(&store).await == 3);
        assert_eq!((fast.silver_version().await.unwrap(), fast.current().await.unwrap().unwrap()), (Some(2), rows(2)));
    }
    assert!(overtaken > 0, "no stop was between the work and its commit");
}

async fn exported(store: &Store) -> RecordBatch {
    let bytes = read(store.as_ref(), &Path::from("sums.parquet")).await.unwrap();
    let batches: Result<Vec<_>, _> =
        ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap().collect();
    arrow::compute::concat_batches(&sums().output_schema(), &batches.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_equal_the_table() {
    let store = memory();
    let gold = open(&store).await;
    gold.publish(&rows(5), 1, 1).await.unwrap();
    gold.export().await.unwrap();
    assert_eq!(exported(&store).await, gold.current().await.unwrap().unwrap());
    let csv = read(store.as_ref(), &Path::from("sums.csv")).await.unwrap();
    assert_eq!(csv, "group,total\na,5\n\"b, \"\"c\"\"\",\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_every_type_as_documented() {
    let store = memory();
    let gold = Gold::open(Arc::clone(&store), clock(), "all", parts().output_schema()).await.unwrap();
    let table = batch(
        &parts(),
        &[
            json!({ "label": "line\nbreak", "stock": -1, "price": 0.1, "active": true, "made": 18_321, "checked": 1_582_977_600_000_001_i64, "tags": ["a|b", "c\\d", ""] }),
            json!({ "label": "", "price": 1e21, "active": false, "made": -1, "checked": 0, "tags": [] }),
            json!({}),
        ],
    );
    gold.publish(&table, 1, 1).await.unwrap();
    gold.export().await.unwrap();
    let csv = read(store.as_ref(), &Path::from("all.csv")).await.unwrap();
    assert_eq!(
        String::from_utf8(csv.to_vec()).unwrap(),
        "label,stock,price,active,made,checked,tags\n\
         \"line\nbreak\",-1,0.1,true,2020-02-29,2020-02-29T12:00:00.000001Z,a\\|b|c\\\\d|\n\
         ,,1e21,false,1969-12-31,1970-01-01T00:00:00Z,\n\
         ,,,,,,\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_is_a_table() {
    let store = memory();
    let gold = open(&store).await;
    let empty = batch(&sums(), &[]);
    assert_eq!(gold.publish(&empty, 1, 1).await.unwrap(), Published::Unchanged);
    assert_eq!(gold.current().await.unwrap().unwrap(), empty);
    gold.publish(&rows(1), 2, 1).await.unwrap();
    assert_eq!(gold.publish(&empty, 3, 1).await.unwrap(), Published::Committed { version: 3 });
    gold.export().await.unwrap();
    assert_eq!(exported(&store).await, empty);
    assert_eq!(read(store.as_ref(), &Path::from("sums.csv")).await.unwrap(), "group,total\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_change_with_the_content_and_not_before() {
    let store = memory();
    open(&store).await.publish(&rows(1), 1, 1).await.unwrap();
    let mut other = sums();
    other.output[1] = output("share", ColumnType::Scalar(ScalarType::Float64));
    let gold = Gold::open(Arc::clone(&store), clock(), "sums", other.output_schema()).await.unwrap();
    assert_eq!(gold.current().await.unwrap().unwrap(), rows(1));
    let table = batch(&other, &[json!({ "group": "a", "share": 0.5 })]);
    assert_eq!(gold.publish(&table, 1, 1).await.unwrap(), Published::Committed { version: 2 });
    assert_eq!(gold.current().await.unwrap().unwrap(), table);
    assert_eq!(lines(&table), ["a · 0.5"]);
}
