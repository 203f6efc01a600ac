//! How two rows, or two documents, differ, in words.
//!
//! Does not decide which of them is right.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Longest value that is shown whole, in characters.
const MOST_TOLD: usize = 120;

/// A row of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The batch.
    pub batch: &'a RecordBatch,
    /// Its index there.
    pub index: usize,
}

impl Row<'_> {
    /// The value of a column as text; `null` for none.
    #[must_use]
    pub fn text(&self, column: &str) -> String {
        let Some(values) = self.batch.column_by_name(column) else { return "no such column".to_owned() };
        let options = FormatOptions::new().with_null("null");
        let text = ArrayFormatter::try_new(values, &options).map(|values| values.value(self.index).to_string());
        let text = text.unwrap_or_else(|error| error.to_string());
        if text.chars().count() <= MOST_TOLD {
            return text;
        }
        text.chars().take(MOST_TOLD).chain("…".chars()).collect()
    }

    /// All values, in the order of the columns.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, String)> {
        let schema = self.batch.schema();
        schema.fields().iter().map(|field| (field.name().clone(), self.text(field.name()))).collect()
    }
}

/// The first column of `right`, other than `but`, in which `left` has a different value.
#[must_use]
pub fn first_difference(left: Row<'_>, right: Row<'_>, but: &[&str]) -> Option<String> {
    let schema = right.batch.schema();
    schema.fields().iter().map(|field| field.name().clone()).find(|name| {
        let value = |row: Row<'_>| row.batch.column_by_name(name).map(|values| values.slice(row.index, 1));
        !but.contains(&name.as_str()) && value(left) != value(right)
    })
}

/// The first row in which two tables of equal columns differ: its index and the difference in words. `left` is what is there.
#[must_use]
pub fn first_different_row(left: &RecordBatch, right: &RecordBatch) -> Option<(usize, String)> {
    for index in 0..left.num_rows().max(right.num_rows()) {
        let (there, wanted) = (Row { batch: left, index }, Row { batch: right, index });
        if index >= left.num_rows() {
            return Some((index, format!("row {} is missing: {}", index + 1, joined(wanted))));
        }
        if index >= right.num_rows() {
            return Some((index, format!("row {} should not be there: {}", index + 1, joined(there))));
        }
        if let Some(column) = first_difference(there, wanted, &[]) {
            let (there_text, wanted_text) = (there.text(&column), wanted.text(&column));
            return Some((
                index,
                format!("row {} ({}): `{column}` is {there_text}, recomputed {wanted_text}", index + 1, joined(there)),
            ));
        }
    }
    None
}

fn joined(row: Row<'_>) -> String {
    row.texts().into_iter().take(3).map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

/// Where two documents first differ. `there` is the one that is kept.
#[must_use]
pub fn different_bytes(there: &[u8], again: &[u8]) -> String {
    let at = there.iter().zip(again).position(|(a, b)| a != b).unwrap_or(there.len().min(again.len()));
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(20);
        let piece = bytes.get(from..bytes.len().min(at + 30)).unwrap_or_default();
        String::from_utf8_lossy(piece).into_owned()
    };
    format!("from byte {} on it differs: `{}`, made again `{}`", at + 1, around(there), around(again))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn batch(names: &[&str], numbers: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([
            ("name", Arc::new(StringArray::from(names.to_vec())) as arrow::array::ArrayRef),
            ("n", Arc::new(Int64Array::from(numbers.to_vec()))),
        ])
        .unwrap()
    }

    #[test]
    fn the_first_difference_is_told_with_both_values() {
        let (there, wanted) = (batch(&["a", "b"], &[1, 2]), batch(&["a", "b"], &[1, 3]));
        assert_eq!(first_different_row(&there, &there), None);
        assert_eq!(first_different_row(&there, &wanted), Some((1, "row 2 (b, 2): `n` is 2, recomputed 3".into())));
        let shorter = batch(&["a"], &[1]);
        assert_eq!(first_different_row(&shorter, &wanted).unwrap().1, "row 2 is missing: b, 3");
        assert_eq!(first_different_row(&wanted, &shorter).unwrap().1, "row 2 should not be there: b, 3");
    }
}
