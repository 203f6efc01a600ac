//! Rows of a parts catalogue, small ones, and the sum of each group: the table that all parts of the benchmark use.
//!
//! Does not measure anything.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use lake::silver::{RowMeta, Silver, Versions};
use local::SystemClock;
use seams::plugin::{ColumnType, Descriptor, ScalarType};
use seams::store::Store;
use testkit::ClosureAggregator;
use testkit::rows::{descriptor, input, output};

/// How many groups there are.
const GROUPS: u32 = 100;

fn text() -> ColumnType {
    ColumnType::Scalar(ScalarType::Utf8)
}

fn number() -> ColumnType {
    ColumnType::Scalar(ScalarType::Int64)
}

pub(crate) fn cleaner() -> Descriptor {
    let mut cleaner = descriptor("clean-parts", "1.0.0");
    cleaner.output = vec![output("grp", text()), output("label", text()), output("amount", number())];
    cleaner
}

pub(crate) async fn open(store: &Store, buckets: u32) -> Silver {
    let buckets = NonZeroU32::new(buckets).unwrap();
    Silver::open(Arc::clone(store), Arc::new(SystemClock), cleaner().output_schema(), buckets).await.unwrap()
}

pub(crate) fn key(number: u32) -> String {
    format!("part-{number:08}")
}

fn group(number: u32) -> String {
    format!("group-{:03}", number % GROUPS)
}

/// What a part is worth at first.
pub(crate) fn amount(number: u32) -> i64 {
    i64::from(number % 1000)
}

/// These parts as of a generation, each with its amount.
pub(crate) fn versions(parts: impl Iterator<Item = (u32, i64)> + Clone, generation: u32) -> Versions {
    let seq: DateTime<Utc> = "2026-03-01T03:00:00Z".parse().unwrap();
    let meta = |(number, _): (u32, i64)| RowMeta {
        key: key(number),
        ord: format!("2026-03-01T03:00:00Z.{generation:06}"),
        seq,
        source: format!("run=2026-03-01T03:00:00Z/batch={}.jsonl:{:06}", number / 10_000, number % 10_000),
        plugin: "sha256:0000000000000000".into(),
    };
    let groups: StringArray = parts.clone().map(|(number, _)| Some(group(number))).collect();
    let labels: StringArray = parts.clone().map(|(number, _)| Some(format!("part no. {number}"))).collect();
    let amounts: Int64Array = parts.clone().map(|(_, amount)| Some(amount)).collect();
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(groups), Arc::new(labels), Arc::new(amounts)];
    let rows = RecordBatch::try_new(cleaner().output_schema(), columns).unwrap();
    Versions { rows, meta: parts.map(meta).collect(), gone: Vec::new(), generation: 1 }
}

pub(crate) fn sums() -> Descriptor {
    let mut sums = descriptor("aggregate-sums", "1.0.0");
    sums.input = vec![input("grp", text()), input("amount", number())];
    sums.output = vec![output("grp", text()), output("parts", number()), output("total", number())];
    sums
}

type Sums = BTreeMap<String, (i64, i64)>;

/// Count and sum of each group.
pub(crate) fn aggregator() -> ClosureAggregator {
    let fold = |_: &str, batches: &[RecordBatch]| {
        let mut sums = Sums::new();
        for batch in batches {
            let groups = batch.column_by_name("grp").unwrap().as_string::<i32>();
            let amounts = batch.column_by_name("amount").unwrap().as_primitive::<Int64Type>();
            for (group, amount) in groups.iter().zip(amounts) {
                let group = group.unwrap();
                if !sums.contains_key(group) {
                    sums.insert(group.to_owned(), (0, 0));
                }
                let sum = sums.get_mut(group).unwrap();
                *sum = (sum.0 + 1, sum.1 + amount.unwrap());
            }
        }
        Ok(encode(sums.iter().map(|(group, sum)| (group.as_bytes(), *sum))))
    };
    let merge = |_: &str, partials: &[Bytes]| Ok(encode(merged(partials)));
    let schema = sums().output_schema();
    let finish = move |_: &str, partials: &[Bytes]| {
        let sums = merged(partials);
        let groups: StringArray = sums.keys().map(|group| Some(std::str::from_utf8(group).unwrap())).collect();
        let parts: Int64Array = sums.values().map(|sum| Some(sum.0)).collect();
        let totals: Int64Array = sums.values().map(|sum| Some(sum.1)).collect();
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(groups), Arc::new(parts), Arc::new(totals)];
        Ok(RecordBatch::try_new(schema.clone(), columns).unwrap())
    };
    ClosureAggregator::new(sums(), fold, merge, finish)
}

/// The sums of all of them.
fn merged(partials: &[Bytes]) -> BTreeMap<&[u8], (i64, i64)> {
    let mut sums = BTreeMap::new();
    for partial in partials {
        let mut rest = &partial[..];
        while let Some((length, tail)) = rest.split_first() {
            let (group, tail) = tail.split_at(usize::from(*length));
            let (numbers, tail) = tail.split_at(16);
            let at = |from: usize| i64::from_le_bytes(numbers[from..from + 8].try_into().unwrap());
            let sum: &mut (i64, i64) = sums.entry(group).or_default();
            *sum = (sum.0 + at(0), sum.1 + at(8));
            rest = tail;
        }
    }
    sums
}

/// Each group as its length, its name and two numbers.
fn encode<'a>(sums: impl IntoIterator<Item = (&'a [u8], (i64, i64))>) -> Bytes {
    let mut bytes = Vec::new();
    for (group, (parts, total)) in sums {
        bytes.push(u8::try_from(group.len()).unwrap());
        bytes.extend_from_slice(group);
        bytes.extend_from_slice(&parts.to_le_bytes());
        bytes.extend_from_slice(&total.to_le_bytes());
    }
    bytes.into()
}
