//! Documents of a parts catalogue, and tables as text.
//!
//! Does not test anything.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use lake::silver::{RowMeta, Silver, Versions};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use seams::clock::Clock;
use seams::plugin::{ColumnType, Descriptor, ScalarType};
use seams::store::Store;
use serde_json::{Value, json};
use testkit::rows::{batch, descriptor, output};
use testkit::{Faults, Faulty, SimClock};
use tokio::task::JoinHandle;

/// A clock that stands still.
pub(crate) fn clock() -> Arc<dyn Clock> {
    SimClock::at("2026-03-01T04:00:00Z")
}

/// A store that forgets.
pub(crate) fn memory() -> Store {
    Arc::new(InMemory::new())
}

/// A number of buckets.
pub(crate) fn buckets(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

/// A cleaner's descriptor with a column of each type.
pub(crate) fn parts() -> Descriptor {
    let scalar = ColumnType::Scalar;
    let mut descriptor = descriptor("clean-parts", "1.0.0");
    descriptor.output = vec![
        output("label", scalar(ScalarType::Utf8)),
        output("stock", scalar(ScalarType::Int64)),
        output("price", scalar(ScalarType::Float64)),
        output("active", scalar(ScalarType::Boolean)),
        output("made", scalar(ScalarType::Date32)),
        output("checked", scalar(ScalarType::Timestamp)),
        output("tags", ColumnType::List(ScalarType::Utf8)),
    ];
    descriptor
}

/// The columns of [`parts`].
pub(crate) fn schema() -> SchemaRef {
    parts().output_schema()
}

/// One version of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) key: String,
    pub(crate) tick: u32,
    pub(crate) generation: u32,
    pub(crate) line: u32,
    /// How many rows the cleaner makes of it.
    pub(crate) rows: u32,
}

/// A version of a single row.
pub(crate) fn doc(key: &str, tick: u32, generation: u32) -> Doc {
    Doc { key: key.into(), tick, generation, line: 1, rows: 1 }
}

impl Doc {
    pub(crate) fn ord(&self) -> String {
        format!("2026-03-{:02}T03:00:00Z.{:06}", self.tick, self.generation)
    }

    pub(crate) fn source(&self) -> String {
        format!("run=2026-03-{:02}T03:00:00Z/batch=0.jsonl:{:04}", self.tick, self.line)
    }

    fn meta(&self) -> RowMeta {
        let seq: DateTime<Utc> = format!("2026-03-{:02}T03:00:00.000001Z", self.tick).parse().unwrap();
        RowMeta {
            key: self.key.clone(),
            ord: self.ord(),
            seq,
            source: self.source(),
            plugin: format!("sha256:{:064x}", self.generation),
        }
    }

    /// The rows that a pure cleaner makes of it: they depend on the version alone.
    fn json_rows(&self) -> Vec<Value> {
        let row = |at: u32| {
            json!({
                "label": format!("{} t{} g{} r{at}", self.key, self.tick, self.generation),
                "stock": i64::from(self.tick * 100 + self.generation * 10 + at),
                "price": f64::from(self.tick) / 4.0,
                "active": (!self.tick.is_multiple_of(3)).then_some(at == 0),
                "made": 20_000 + i64::from(self.tick),
                "checked": 1_700_000_000_000_000_i64 + i64::from(self.tick),
                "tags": (self.tick > 1).then(|| vec![format!("t{}", self.tick), "a|b".to_owned()]),
            })
        };
        (0..self.rows).map(row).collect()
    }
}

/// The argument of upsert for these documents.
pub(crate) fn versions<'a>(docs: impl IntoIterator<Item = &'a Doc>) -> Versions {
    let mut rows = Vec::new();
    let mut meta = Vec::new();
    for doc in docs {
        let made = doc.json_rows();
        meta.extend(std::iter::repeat_n(doc.meta(), made.len()));
        rows.extend(made);
    }
    Versions { rows: batch(&parts(), &rows), meta, gone: Vec::new(), generation: 1 }
}

/// Silver over a store.
pub(crate) async fn open(store: &Store, count: u32) -> Silver {
    Silver::open(Arc::clone(store), clock(), schema(), buckets(count)).await.unwrap()
}

/// A batch as lines of text, one a row, null as `∅`.
pub(crate) fn lines(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let columns: Vec<_> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" · ");
    (0..rows.num_rows()).map(line).collect()
}

/// All rows of the table as text, by bucket, as they stand in the files.
pub(crate) async fn content(silver: &Silver) -> Vec<String> {
    let snapshot = silver.snapshot().await.unwrap();
    let mut found = Vec::new();
    for (bucket, files) in &snapshot.buckets {
        assert_eq!(files.len(), 1, "one file a bucket");
        for batch in silver.read(&snapshot, *bucket, None).await.unwrap() {
            found.extend(lines(&batch));
        }
    }
    assert_eq!(found.len() as u64, snapshot.rows, "the snapshot counts the rows that are there");
    found
}

/// A store that stops before each of its calls until the clock moves on.
pub(crate) struct Stalling {
    pub(crate) store: Store,
    clock: Arc<SimClock>,
    faults: Arc<Faults>,
}

impl Stalling {
    /// Over `inner`.
    pub(crate) fn over(inner: &Store) -> Self {
        let clock = SimClock::at("2026-03-01T04:00:00Z");
        let faults = Arc::new(Faults::script([]).delayed(clock.clone(), Duration::from_secs(60)));
        let store: Store = Faulty::<dyn ObjectStore>::new(Arc::clone(inner), Arc::clone(&faults));
        Stalling { store, clock, faults }
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.faults.calls()
    }

    /// Opens a table through the store; its calls do not stop meanwhile.
    pub(crate) async fn passing<T>(&self, opening: impl Future<Output = T>) -> T {
        self.faults.stop();
        let opened = opening.await;
        self.faults.resume();
        opened
    }

    /// Lets `work` go on until it stands before one more call than `calls`, or is done.
    pub(crate) async fn until_call<T>(&self, work: &JoinHandle<T>, calls: u64) {
        while self.faults.calls() <= calls && !work.is_finished() {
            self.clock.advance(Duration::from_secs(60)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// How many data files were ever written, including those that no commit names.
pub(crate) async fn files_written(store: &Store) -> usize {
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    all.iter().filter(|object| object.location.as_ref().ends_with(".parquet")).count()
}
