//! A column of a bucket with more than the two gibibytes that a column of one batch can have.
//!
//! Does not test where rows are parted: `lake/silver/parts.rs` does.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::buffer::{Buffer, OffsetBuffer};
use lake::silver::Versions;

use super::support::{doc, memory, open, schema, versions};

/// One row whose text has so many bytes, all of them in memory that the rows share.
fn row(key: &str, text: &Buffer) -> Versions {
    let one = versions([&doc(key, 1, 1)]);
    let offsets = OffsetBuffer::from_lengths([text.len()]);
    let label = StringArray::new(offsets, text.clone(), None);
    let schema = schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "label" => Arc::new(label.clone()) as _,
        _ => new_null_array(field.data_type(), 1),
    });
    let rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
    Versions { rows, ..one }
}

#[tokio::test]
async fn f17_a_column_of_more_than_two_gibibytes_is_written_read_and_changed() {
    // Some gigabytes of memory and two minutes: for `cargo xtask faults`.
    if std::env::var_os("SLUICEBOX_FAULTS").is_none() {
        return;
    }
    const EACH: usize = 900 << 20;
    let text = Buffer::from_vec(vec![b'a'; EACH]);
    let store = memory();
    let silver = open(&store, 1).await;
    for key in ["a", "b", "c"] {
        let upserted = silver.upsert(&row(key, &text)).await.unwrap();
        assert_eq!(upserted.written, 1, "{key}");
    }
    let snapshot = silver.snapshot().await.unwrap();
    let read = silver.read(&snapshot, 0, Some(&["label"])).await.unwrap();
    let lengths = read.iter().flat_map(|batch| {
        let labels = batch.column(0).as_string::<i32>();
        (0..labels.len()).map(|row| labels.value(row).len()).collect::<Vec<_>>()
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [EACH; 3]);
    drop(read);
    assert_eq!(silver.erase("b").await.unwrap(), 1);
    assert_eq!(silver.snapshot().await.unwrap().rows, 2);
}
