//! Dates and timestamps that every reader of a table can show: those of the years 1 to 9999.
//!
//! Arrow's types hold far more than calendars do. A plugin that returns such a value would make a row that no CSV, no SQL engine and no
//! `verify` can read. Does not decide what follows: for a record's row the record is refused, for an aggregate's row the table stays as it
//! was.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use seams::plugin::{Cleaned, Reject, RejectedBy};

/// 0001-01-01 and 9999-12-31 in days since 1970.
const DAYS: (i32, i32) = (-719_162, 2_932_896);
/// The first and the last microsecond of these days.
const MICROS: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// What is wrong with the first value that is out of range, in words.
pub(crate) fn first_out_of_range(rows: &RecordBatch) -> Option<String> {
    out_of_range(rows).into_iter().next().map(|(_, wrong)| wrong)
}

/// The rows with a value out of range, in order, each once and with what is wrong.
pub(crate) fn out_of_range(rows: &RecordBatch) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        found.extend(in_column(column).into_iter().map(|(row, value)| (row, told(field.name(), &value))));
    }
    found.sort_by_key(|(row, _)| *row);
    found.dedup_by_key(|(row, _)| *row);
    found
}

/// The cleaned rows, without documents that made a row out of range: those are refused, each with its first such value.
#[must_use]
pub fn within_calendar(mut cleaned: Cleaned) -> Cleaned {
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    for (row, wrong) in out_of_range(&cleaned.rows) {
        refused.extend(cleaned.row_of.get(row).map(|document| (*document, wrong)));
    }
    if refused.is_empty() {
        return cleaned;
    }
    let stays: Vec<bool> = cleaned.row_of.iter().map(|document| !refused.contains_key(document)).collect();
    // There are as many flags as rows: the plugin's seam makes sure of that. Else all rows go with their documents.
    cleaned.rows =
        filter_record_batch(&cleaned.rows, &BooleanArray::from(stays)).unwrap_or_else(|_| cleaned.rows.slice(0, 0));
    cleaned.row_of.retain(|document| !refused.contains_key(document));
    let reject = |(index, reason)| Reject { index, reason, by: RejectedBy::Range };
    cleaned.rejects.extend(refused.into_iter().map(reject));
    cleaned.rejects.sort_by_key(|reject| reject.index);
    cleaned
}

fn told(column: &str, value: &str) -> String {
    format!("column `{column}` is {value}, expected an instant of the years 1 to 9999")
}

/// Rows of a column with a value out of range, and the value.
fn in_column(column: &ArrayRef) -> Vec<(usize, String)> {
    match column.data_type() {
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().iter().enumerate();
            let wrong =
                days.filter_map(|(row, day)| Some((row, day?))).filter(|(_, day)| *day < DAYS.0 || *day > DAYS.1);
            wrong.map(|(row, day)| (row, format!("the date {day} days from 1970-01-01"))).collect()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let instants = column.as_primitive::<TimestampMicrosecondType>().iter().enumerate();
            let wrong = instants
                .filter_map(|(row, micros)| Some((row, micros?)))
                .filter(|(_, micros)| *micros < MICROS.0 || *micros > MICROS.1);
            wrong.map(|(row, micros)| (row, format!("the instant {micros} µs from 1970-01-01"))).collect()
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let items = in_column(lists.values());
            if items.is_empty() {
                return Vec::new();
            }
            let row_of = |item: usize| {
                lists.offsets().partition_point(|start| usize::try_from(*start).is_ok_and(|start| start <= item))
            };
            let rows = items.into_iter().filter_map(|(item, value)| Some((row_of(item).checked_sub(1)?, value)));
            rows.filter(|(row, _)| *row < lists.len() && lists.is_valid(*row)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, ListArray, TimestampMicrosecondArray};

    use super::*;

    fn one(name: &str, column: ArrayRef) -> Vec<(usize, String)> {
        out_of_range(&RecordBatch::try_from_iter([(name, column)]).unwrap())
    }

    #[test]
    fn the_ends_of_the_types_are_no_dates_and_those_of_the_calendar_are() {
        let days = Date32Array::from(vec![Some(DAYS.0), None, Some(DAYS.1), Some(i32::MIN), Some(DAYS.1 + 1)]);
        let found = one("born", Arc::new(days));
        assert_eq!(found.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3, 4]);
        assert!(found[0].1.contains("column `born` is the date -2147483648 days"), "{found:?}");
        let instants = TimestampMicrosecondArray::from(vec![MICROS.0, MICROS.1, i64::MIN, i64::MAX, MICROS.1 + 1]);
        let found = one("at", Arc::new(instants.with_timezone("UTC")));
        assert_eq!(found.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_list_is_looked_into() {
        let lists = [Some(vec![Some(1)]), None, Some(vec![]), Some(vec![Some(2), Some(i32::MAX)])];
        let lists = ListArray::from_iter_primitive::<Date32Type, _, _>(lists);
        assert_eq!(one("days", Arc::new(lists)).iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn the_bounds_are_those_of_the_calendar() {
        let date = |days: i32| chrono::DateTime::from_timestamp(i64::from(days) * 86_400, 0).unwrap().date_naive();
        assert_eq!((date(DAYS.0).to_string(), date(DAYS.1).to_string()), ("0001-01-01".into(), "9999-12-31".into()));
        let day = 86_400_000_000;
        assert_eq!(MICROS, (i64::from(DAYS.0) * day, (i64::from(DAYS.1) + 1) * day - 1));
    }
}
