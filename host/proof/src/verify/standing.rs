//! The rows that stand in Silver for a key, compared with those that should.
//!
//! Does not make rows and does not read the table: `rows` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use engine::difference::{Row, first_difference};
use lake::delta::conform;
use lake::silver::{BUCKET, KEY, ORD, PLUGIN, SEQ, SOURCE};
use records::keys::{Key, ordered};

use crate::remake::Workshop;

/// The engine's own columns of a row.
const OWN: [&str; 6] = [BUCKET, KEY, ORD, SEQ, SOURCE, PLUGIN];

/// A version that may stand in Silver.
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) ord: String,
    pub(super) source: String,
    pub(super) rows: RecordBatch,
}

/// The rows of each key of a bucket, by key; the rows of one key keep their order. Never all rows as one batch: a bucket may be larger than a
/// column of one can be.
pub(super) fn by_key(batches: &[RecordBatch]) -> Vec<(Key, Result<RecordBatch, ArrowError>)> {
    let mut places: BTreeMap<Key, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, batch) in batches.iter().enumerate() {
        for (row, key) in text(batch, KEY).iter().enumerate() {
            places.entry(Key::from_text(key.unwrap_or_default())).or_default().push((at, row));
        }
    }
    let all: Vec<&RecordBatch> = batches.iter().collect();
    let rows = |rows: Vec<(usize, usize)>| interleave_record_batch(&all, &rows);
    places.into_iter().map(|(key, places)| (key, rows(places))).collect()
}

fn text<'a>(batch: &'a RecordBatch, column: &str) -> std::borrow::Cow<'a, arrow::array::StringArray> {
    let values = batch.column_by_name(column).and_then(|values| values.as_string_opt::<i32>());
    values.map_or_else(
        || std::borrow::Cow::Owned(arrow::array::StringArray::new_null(batch.num_rows())),
        std::borrow::Cow::Borrowed,
    )
}

/// How the rows of a key differ from those wanted, if they do.
pub(super) fn different(workshop: &Workshop, standing: &RecordBatch, wanted: &Candidate) -> Option<String> {
    let own = |column: &str| Row { batch: standing, index: 0 }.text(column);
    if own(SOURCE) != wanted.source {
        return Some(format!("its row comes from `{}`, it should come from `{}`", own(SOURCE), wanted.source));
    }
    // A later generation that makes the same rows leaves them as they are.
    let same_version = ordered(&own(ORD))
        .zip(ordered(&wanted.ord))
        .is_some_and(|(there, wanted)| (there.0, there.1) == (wanted.0, wanted.1) && there.2 <= wanted.2);
    if !same_version {
        return Some(format!("its `{ORD}` is {}, it should be {}", own(ORD), wanted.ord));
    }
    let maker = ordered(&own(ORD)).and_then(|(_, _, clean)| workshop.clean_generation(clean).ok());
    if maker.is_none_or(|maker| maker.plugin.digest != own(PLUGIN)) {
        return Some(format!("its `{PLUGIN}` is {}, which is not the plugin of its `{ORD}`", own(PLUGIN)));
    }
    let tick = ordered(&wanted.ord).map(|(tick, _, _)| tick.instant().timestamp_micros());
    let seq = standing.column_by_name(SEQ).and_then(|values| {
        values.as_primitive_opt::<arrow::datatypes::TimestampMicrosecondType>().map(|values| values.value(0))
    });
    if seq != tick {
        return Some(format!("its `{SEQ}` is {}, which is not the tick of its `{ORD}`", own(SEQ)));
    }
    if standing.num_rows() != wanted.rows.num_rows() {
        return Some(format!("{} rows stand, cleaned again it makes {}", standing.num_rows(), wanted.rows.num_rows()));
    }
    let again = match conform("silver", &wanted.rows, &plugin_columns(standing)) {
        Ok(again) => again,
        Err(error) => return Some(error.to_string()),
    };
    (0..again.num_rows()).find_map(|index| {
        let (there, wanted) = (Row { batch: standing, index }, Row { batch: &again, index });
        let column = first_difference(there, wanted, &OWN)?;
        Some(format!("`{column}` is {}, cleaned again {}", there.text(&column), wanted.text(&column)))
    })
}

/// The plugin's own columns.
pub(crate) fn plugin_columns(rows: &RecordBatch) -> SchemaRef {
    let schema = rows.schema();
    let fields: Vec<_> =
        schema.fields().iter().filter(|field| !OWN.contains(&field.name().as_str())).cloned().collect();
    Arc::new(Schema::new(fields))
}
