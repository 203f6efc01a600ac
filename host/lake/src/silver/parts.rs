//! Rows of a bucket in parts that a column of one batch can hold: text and lists have at most 2 GiB there.
//!
//! Does not write them. The division into parts depends on the rows alone, so that equal rows make equal files.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::DataType;

use super::TableError;

/// Bytes of text and list items in one part. A single row may have more.
const MOST_BYTES: usize = 256 << 20;

/// The rows of `batches` in that order, each by batch and row. At least one part, which is empty if there are no rows.
pub(super) fn parts(
    table: &str,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
) -> Result<Vec<RecordBatch>, TableError> {
    parts_of(table, batches, order, MOST_BYTES)
}

fn parts_of(
    table: &str,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
    most: usize,
) -> Result<Vec<RecordBatch>, TableError> {
    let all: Vec<&RecordBatch> = batches.iter().collect();
    let part = |rows: &[(usize, usize)]| {
        interleave_record_batch(&all, rows).map_err(|error| TableError::corrupt(table, error))
    };
    // What lies in memory is never less than the values: most buckets need no closer look.
    if batches.iter().map(RecordBatch::get_array_memory_size).fold(0, usize::saturating_add) <= most {
        return Ok(vec![part(order)?]);
    }
    let sizes: Vec<Vec<usize>> = batches.iter().map(sizes).collect();
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0_usize);
    for (at, (batch, row)) in order.iter().enumerate() {
        let size = sizes.get(*batch).and_then(|sizes| sizes.get(*row)).copied().unwrap_or_default();
        if at > start && bytes.saturating_add(size) > most {
            parts.push(part(order.get(start..at).unwrap_or_default())?);
            (start, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(size);
    }
    if start < order.len() || parts.is_empty() {
        parts.push(part(order.get(start..).unwrap_or_default())?);
    }
    Ok(parts)
}

/// For each row the bytes of its text and lists.
fn sizes(batch: &RecordBatch) -> Vec<usize> {
    let mut sizes = vec![0_usize; batch.num_rows()];
    for column in batch.columns() {
        for (size, own) in sizes.iter_mut().zip(of_column(column.as_ref())) {
            *size = size.saturating_add(own);
        }
    }
    sizes
}

fn of_column(column: &dyn Array) -> Vec<usize> {
    let length = |pair: &[i32]| match pair {
        [start, end] => usize::try_from(end - start).unwrap_or_default(),
        _ => 0,
    };
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value_offsets().windows(2).map(length).collect(),
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let items = of_column(lists.values().as_ref());
            let range = |pair: &[i32]| match pair {
                [start, end] => {
                    usize::try_from(*start).ok().zip(usize::try_from(*end).ok()).map(|(start, end)| start..end)
                }
                _ => None,
            };
            // An item has a place of its own, however short it is.
            let size = |pair: &[i32]| {
                let items = range(pair).and_then(|range| items.get(range)).unwrap_or_default();
                items.iter().fold(0, |sum: usize, item| sum.saturating_add(item.saturating_add(8)))
            };
            lists.value_offsets().windows(2).map(size).collect()
        }
        _ => vec![0; column.len()],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batch(texts: &[&str]) -> RecordBatch {
        let lists = texts.iter().map(|text| Some(vec![Some(1_i64); text.len() % 3]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let texts = StringArray::from(texts.to_vec());
        RecordBatch::try_from_iter([("t", Arc::new(texts) as _), ("l", Arc::new(lists) as _)]).unwrap()
    }

    #[test]
    fn rows_are_parted_by_their_bytes_and_stay_in_order() {
        let batches = [batch(&["aaaa", "bbbbbbbb"]), batch(&["c", "dddddddddddddddddddddddddddd"])];
        let order = [(1, 0), (0, 1), (0, 0), (1, 1)];
        let parts = parts_of("t", &batches, &order, 40).unwrap();
        let counts: Vec<usize> = parts.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(counts, [2, 1, 1]);
        let texts: Vec<String> = parts
            .iter()
            .flat_map(|part| {
                part.column(0).as_string::<i32>().iter().map(|text| text.unwrap()[..1].to_owned()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(texts, ["c", "b", "a", "d"]);
        // However the same rows lie in batches.
        let other = [batch(&["c", "bbbbbbbb", "aaaa"]), batch(&["dddddddddddddddddddddddddddd"])];
        assert_eq!(parts_of("t", &other, &[(0, 0), (0, 1), (0, 2), (1, 0)], 40).unwrap(), parts);
        assert_eq!(parts_of("t", &batches, &[], 40).unwrap().len(), 1);
    }
}
