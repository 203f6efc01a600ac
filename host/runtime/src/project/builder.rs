//! A column being filled, value by value, from raw JSON text; its last row can be taken back.
//!
//! Does not know where the text comes from.

use arrow::array::BooleanBufferBuilder;
use seams::plugin::{ColumnType, ScalarType};
use sonic_rs::{JsonValueTrait, to_array_iter};

use super::value;
use crate::bindings::wit;
use crate::columns::bitmap;

/// Why a value was not taken; the column is unchanged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has another type than the column. Holds that type.
    Value(String),
    /// The column's bytes or items would not fit 32-bit offsets.
    Full,
}

/// A column of any type.
pub(super) struct ColumnBuilder {
    rows: usize,
    /// Made when the first null comes.
    validity: Option<BooleanBufferBuilder>,
    values: Values,
    /// For a list: where each row's items end.
    ends: Option<Vec<i32>>,
}

impl ColumnBuilder {
    pub(super) fn new(ty: ColumnType, rows: usize) -> Self {
        let (scalar, ends) = match ty {
            ColumnType::Scalar(scalar) => (scalar, None),
            ColumnType::List(scalar) => (scalar, Some(vec![0])),
        };
        ColumnBuilder { rows: 0, validity: None, values: Values::new(scalar, rows), ends }
    }

    /// Adds a row: `None` and `null` mean that there is no value.
    pub(super) fn push(&mut self, raw: Option<&str>, nullable: bool) -> Result<(), Refused> {
        let present = match raw {
            Some("null") | None if nullable => false,
            Some("null") => return Err(Refused::Value("null".to_owned())),
            None => return Err(Refused::Value("nothing".to_owned())),
            Some(raw) => {
                self.push_value(raw)?;
                true
            }
        };
        if !present {
            self.push_nothing()?;
        }
        self.rows += 1;
        if !present && self.validity.is_none() {
            let mut validity = BooleanBufferBuilder::new(self.rows);
            validity.append_n(self.rows - 1, true);
            self.validity = Some(validity);
        }
        if let Some(validity) = &mut self.validity {
            validity.append(present);
        }
        Ok(())
    }

    fn push_value(&mut self, raw: &str) -> Result<(), Refused> {
        let Some(ends) = &mut self.ends else { return self.values.push(raw) };
        if !raw.starts_with('[') {
            return Err(Refused::Value(value::describe(raw)));
        }
        let before = self.values.len();
        match push_items(&mut self.values, raw) {
            Ok(end) => {
                ends.push(end);
                Ok(())
            }
            Err(refused) => {
                self.values.truncate(before);
                Err(refused)
            }
        }
    }

    fn push_nothing(&mut self) -> Result<(), Refused> {
        match &mut self.ends {
            Some(ends) => {
                ends.push(ends.last().copied().unwrap_or_default());
                Ok(())
            }
            None => self.values.push_default(),
        }
    }

    /// Takes the last row back.
    pub(super) fn pop(&mut self) {
        self.rows = self.rows.saturating_sub(1);
        if let Some(validity) = &mut self.validity {
            validity.truncate(self.rows);
        }
        match &mut self.ends {
            Some(ends) => {
                ends.truncate(self.rows + 1);
                let items = ends.last().copied().unwrap_or_default();
                self.values.truncate(usize::try_from(items).unwrap_or_default());
            }
            None => self.values.truncate(self.rows),
        }
    }
}

fn push_items(values: &mut Values, raw: &str) -> Result<i32, Refused> {
    for (index, item) in to_array_iter(raw).enumerate() {
        let item = item.map_err(|_| Refused::Value("a broken list".to_owned()))?;
        if item.is_null() {
            return Err(Refused::Value(format!("a list whose item {index} is null")));
        }
        values.push(item.as_raw_str()).map_err(|refused| match refused {
            Refused::Value(found) => Refused::Value(format!("a list whose item {index} is {found}")),
            Refused::Full => Refused::Full,
        })?;
    }
    i32::try_from(values.len()).map_err(|_| Refused::Full)
}

/// The columns as a batch: fields first, then the items of lists.
pub(super) fn batch(rows: u32, columns: Vec<ColumnBuilder>) -> wit::Batch {
    let fields = columns.len();
    let (mut built, mut items) = (Vec::with_capacity(fields), Vec::new());
    for column in columns {
        let validity = column.validity.map(into_bytes);
        let values = match column.ends {
            None => column.values.finish(),
            Some(offsets) => {
                items.push(wit::Column { validity: None, values: column.values.finish() });
                let child = u32::try_from(fields + items.len() - 1).unwrap_or(u32::MAX);
                wit::Values::ListOf(wit::ListValues { offsets, child })
            }
        };
        built.push(wit::Column { validity, values });
    }
    built.append(&mut items);
    wit::Batch { rows, columns: built }
}

fn into_bytes(bits: BooleanBufferBuilder) -> Vec<u8> {
    bitmap(bits.as_slice(), bits.len())
}

/// Values of one type; a null has any value.
enum Values {
    Boolean(BooleanBufferBuilder),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Date32(Vec<i32>),
    Timestamp(Vec<i64>),
    Utf8(Text),
    Json(Text),
}

struct Text {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Text {
    fn push(&mut self, text: &str) -> Result<(), Refused> {
        let end = i32::try_from(self.bytes.len() + text.len()).map_err(|_| Refused::Full)?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(end);
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or_default();
        self.bytes.truncate(usize::try_from(end).unwrap_or_default());
    }
}

impl Values {
    fn new(scalar: ScalarType, rows: usize) -> Self {
        let text = || {
            let mut offsets = Vec::with_capacity(rows + 1);
            offsets.push(0);
            Text { offsets, bytes: Vec::with_capacity(rows * 16) }
        };
        match scalar {
            ScalarType::Boolean => Values::Boolean(BooleanBufferBuilder::new(rows)),
            ScalarType::Int64 => Values::Int64(Vec::with_capacity(rows)),
            ScalarType::Float64 => Values::Float64(Vec::with_capacity(rows)),
            ScalarType::Date32 => Values::Date32(Vec::with_capacity(rows)),
            ScalarType::Timestamp => Values::Timestamp(Vec::with_capacity(rows)),
            ScalarType::Utf8 => Values::Utf8(text()),
            ScalarType::Json => Values::Json(text()),
        }
    }

    fn push(&mut self, raw: &str) -> Result<(), Refused> {
        let unfit = || Refused::Value(value::describe(raw));
        match self {
            Values::Boolean(bits) => bits.append(value::boolean(raw).ok_or_else(unfit)?),
            Values::Int64(values) => values.push(value::int64(raw).ok_or_else(unfit)?),
            Values::Float64(values) => values.push(value::float64(raw).ok_or_else(unfit)?),
            Values::Date32(values) => values.push(value::date32(raw).ok_or_else(unfit)?),
            Values::Timestamp(values) => values.push(value::timestamp(raw).ok_or_else(unfit)?),
            Values::Utf8(text) => text.push(&value::text(raw).ok_or_else(unfit)?)?,
            Values::Json(text) => text.push(raw)?,
        }
        Ok(())
    }

    fn push_default(&mut self) -> Result<(), Refused> {
        match self {
            Values::Boolean(bits) => bits.append(false),
            Values::Int64(values) | Values::Timestamp(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Date32(values) => values.push(0),
            Values::Utf8(text) | Values::Json(text) => text.push("")?,
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match self {
            Values::Boolean(bits) => bits.len(),
            Values::Int64(values) | Values::Timestamp(values) => values.len(),
            Values::Float64(values) => values.len(),
            Values::Date32(values) => values.len(),
            Values::Utf8(text) | Values::Json(text) => text.offsets.len() - 1,
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Values::Boolean(bits) => bits.truncate(len),
            Values::Int64(values) | Values::Timestamp(values) => values.truncate(len),
            Values::Float64(values) => values.truncate(len),
            Values::Date32(values) => values.truncate(len),
            Values::Utf8(text) | Values::Json(text) => text.truncate(len),
        }
    }

    fn finish(self) -> wit::Values {
        let text = |text: Text| wit::Text { offsets: text.offsets, bytes: text.bytes };
        match self {
            Values::Boolean(bits) => wit::Values::Boolean(into_bytes(bits)),
            Values::Int64(values) => wit::Values::Int64(values),
            Values::Float64(values) => wit::Values::Float64(values),
            Values::Date32(values) => wit::Values::Date32(values),
            Values::Timestamp(values) => wit::Values::Timestamp(values),
            Values::Utf8(values) => wit::Values::Utf8(text(values)),
            Values::Json(values) => wit::Values::Json(text(values)),
        }
    }
}
