//! A plugin with other columns: what the table takes over, and what it refuses by name.
//!
//! Does not rebuild anything.

use std::sync::Arc;

use lake::TableError;
use lake::silver::{Silver, Versions};
use seams::plugin::{ColumnType, Descriptor, ScalarType};
use serde_json::json;
use testkit::rows::{batch, output};

use super::support::{buckets, clock, content, doc, lines, memory, open, parts, schema, versions};

fn wider() -> Descriptor {
    let mut descriptor = parts();
    descriptor.output.insert(1, output("weight", ColumnType::Scalar(ScalarType::Float64)));
    descriptor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_nullable_column_is_null_in_old_rows() {
    let store = memory();
    let old = open(&store, 2).await;
    old.upsert(&versions(&[doc("a", 1, 0), doc("b", 1, 0)])).await.unwrap();
    let new = Silver::open(Arc::clone(&store), clock(), wider().output_schema(), buckets(2)).await.unwrap();
    let meta = versions(&[doc("c", 1, 1)]).meta;
    let rows = batch(&wider(), &[json!({ "label": "see", "weight": 2.5 })]);
    new.upsert(&Versions { rows, meta, gone: Vec::new(), generation: 1 }).await.unwrap();

    let names: Vec<String> =
        new.snapshot().await.unwrap().schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names[..3], ["label", "weight", "stock"], "new columns stand where the plugin has them");
    assert!(lines(&new.find("a").await.unwrap())[0].starts_with("a t1 g0 r0 · ∅ · 100"));
    assert!(lines(&new.find("c").await.unwrap())[0].starts_with("see · 2.5 · ∅"));

    // A process that still runs the old plugin goes on; its rows have no value there.
    old.upsert(&versions(&[doc("b", 2, 0), doc("c", 2, 0)])).await.unwrap();
    assert!(lines(&new.find("c").await.unwrap())[0].starts_with("c t2 g0 r0 · ∅ · 200"));
    assert_eq!(content(&new).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_again_changes_nothing() {
    let store = memory();
    open(&store, 2).await;
    Silver::open(Arc::clone(&store), clock(), wider().output_schema(), buckets(2)).await.unwrap();
    let again = Silver::open(Arc::clone(&store), clock(), wider().output_schema(), buckets(2)).await.unwrap();
    assert_eq!(again.snapshot().await.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_adds_no_column() {
    let store = memory();
    open(&store, 2).await.upsert(&versions(&[doc("a", 1, 0)])).await.unwrap();
    let looked = Silver::view(Arc::clone(&store), clock(), wider().output_schema(), buckets(2)).await.unwrap();
    assert_eq!(looked.snapshot().await.unwrap().version, 1);
    assert!(lines(&looked.find("a").await.unwrap())[0].starts_with("a t1 g0 r0 · 100"));
    let others = Silver::view(store, clock(), parts().output_schema(), buckets(4)).await.unwrap();
    assert_eq!((others.buckets(), others.find("a").await.unwrap().num_rows()), (buckets(2), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_column_may_become_nullable_and_not_the_reverse() {
    let store = memory();
    let mut strict = parts();
    strict.output[0].nullable = false;
    Silver::open(Arc::clone(&store), clock(), strict.output_schema(), buckets(1)).await.unwrap();
    let silver = open(&store, 1).await;
    let (rows, meta) = (batch(&parts(), &[json!({ "stock": 4 })]), versions(&[doc("a", 1, 0)]).meta);
    silver.upsert(&Versions { rows, meta, gone: Vec::new(), generation: 1 }).await.unwrap();
    let error = Silver::open(store, clock(), strict.output_schema(), buckets(1)).await.unwrap_err();
    assert!(
        error.to_string().contains("column `label`: the table has utf8, the new rows have utf8, never null"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_that_does_not_fit_is_named() {
    let store = memory();
    open(&store, 1).await;
    let mut other = parts();
    other.output.retain(|field| field.name != "price");
    other.output[1].ty = ColumnType::Scalar(ScalarType::Utf8);
    other.output[5].ty = ColumnType::List(ScalarType::Int64);
    other.output.push(output("weight", ColumnType::Scalar(ScalarType::Float64)));
    other.output[6].nullable = false;
    let error = Silver::open(store, clock(), other.output_schema(), buckets(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "table `silver` has other columns\n\
         \x20 column `stock`: the table has int64, the new rows have utf8\n\
         \x20 column `tags`: the table has list<utf8>, the new rows have list<int64>\n\
         \x20 column `weight`: the table has no such column, the new rows have float64, never null\n\
         \x20 column `price`: the table has float64, the new rows have no such column\n\
         hint: `sluicebox replay --rebuild` builds the layer again with the new columns; or keep the old columns and add new ones as nullable"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_the_plugin_s_are_refused() {
    let silver = open(&memory(), 1).await;
    let (rows, meta) = (batch(&wider(), &[json!({})]).project(&[1]).unwrap(), versions(&[doc("a", 1, 0)]).meta);
    silver
        .upsert(&Versions { rows, meta, gone: Vec::new(), generation: 1 })
        .await
        .expect("columns that a row lacks are null");
    let mut strict = parts();
    strict.output[0].nullable = false;
    let strict = Silver::open(memory(), clock(), strict.output_schema(), buckets(1)).await.unwrap();
    let (rows, meta) = (batch(&parts(), &[json!({})]), versions(&[doc("a", 1, 0)]).meta);
    let error = strict.upsert(&Versions { rows, meta, gone: Vec::new(), generation: 1 }).await.unwrap_err();
    assert!(
        error.to_string().contains("column `label`: the table has utf8, never null, the new rows have 1 nulls"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_not_every_engine_can_read_are_refused() {
    for name in ["two words", "_key", "LABEL", "a.b", ""] {
        let mut other = parts();
        other.output.push(output(name, ColumnType::Scalar(ScalarType::Utf8)));
        let error = Silver::open(memory(), clock(), other.output_schema(), buckets(1)).await.unwrap_err();
        assert!(matches!(error, TableError::Schema { .. }), "`{name}`: {error}");
    }
    Silver::open(memory(), clock(), schema(), buckets(1)).await.unwrap();
}
