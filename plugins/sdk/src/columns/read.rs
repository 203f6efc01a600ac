//! Readers: one a column, made once for a batch, from which a row's value is taken by index.
//!
//! Text is checked to be UTF-8 once for a whole column, validity is tested by bit, and nothing is
//! allocated for a row unless the field owns its value.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "offsets out of bounds, a column of another type: the host broke the contract, and a trap says so"
)]

use super::input::{InputScalar, InputValue};
use super::{Batch, ColumnType, List, ScalarType, Text, Values};
use crate::{Date, Json, JsonRef, Timestamp};

/// Text whose bytes are known to be UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'b> {
    offsets: &'b [i32],
    text: &'b str,
}

impl<'b> Strings<'b> {
    fn new(text: &'b Text) -> Self {
        match std::str::from_utf8(&text.bytes) {
            Ok(bytes) => Self { offsets: &text.offsets, text: bytes },
            Err(error) => panic!("a text column from the host is not UTF-8: {error}"),
        }
    }

    #[inline(always)]
    fn at(self, index: usize) -> &'b str {
        &self.text[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

/// Whether bit `row` is set, least significant bit of each byte first.
#[inline(always)]
fn bit(bits: &[u8], row: usize) -> bool {
    bits[row / 8] >> (row % 8) & 1 == 1
}

/// The values of the column at `index` of a batch.
pub(super) fn scalars<'b, T: InputScalar<'b>>(batch: &'b Batch, index: usize) -> T::Values {
    let column = &batch.columns[index];
    match T::values(&column.values) {
        Some(values) => values,
        None => panic!("column {index} from the host is not of the type {:?} that was declared", T::SCALAR),
    }
}

macro_rules! scalar {
    ($type:ty, $scalar:ident, $values:ty, |$found:ident| $read:expr, |$column:ident, $index:ident| $at:expr) => {
        impl<'b> InputScalar<'b> for $type {
            const SCALAR: ScalarType = ScalarType::$scalar;
            type Values = $values;

            fn values(values: &'b Values) -> Option<$values> {
                match values {
                    Values::$scalar($found) => Some($read),
                    _ => None,
                }
            }

            #[inline(always)]
            fn at($column: $values, $index: usize) -> Self {
                $at
            }
        }

        impl<'b> InputValue<'b> for $type {
            const TYPE: ColumnType = ColumnType::Scalar(ScalarType::$scalar);
            const NULLABLE: bool = false;
            type Reader = $values;

            fn reader(batch: &'b Batch, index: usize) -> $values {
                scalars::<Self>(batch, index)
            }

            #[inline(always)]
            fn get(reader: &$values, row: usize) -> Self {
                <Self as InputScalar>::at(*reader, row)
            }
        }
    };
}

scalar!(bool, Boolean, &'b [u8], |bits| bits.as_slice(), |bits, row| bit(bits, row));
scalar!(i64, Int64, &'b [i64], |numbers| numbers.as_slice(), |numbers, row| numbers[row]);
scalar!(f64, Float64, &'b [f64], |numbers| numbers.as_slice(), |numbers, row| numbers[row]);
scalar!(&'b str, Utf8, Strings<'b>, |text| Strings::new(text), |text, row| text.at(row));
scalar!(String, Utf8, Strings<'b>, |text| Strings::new(text), |text, row| text.at(row).to_owned());
scalar!(JsonRef<'b>, Json, Strings<'b>, |text| Strings::new(text), |text, row| JsonRef::from_text(text.at(row)));
scalar!(Json, Json, Strings<'b>, |text| Strings::new(text), |text, row| Json::from_text(text.at(row)));
scalar!(Date, Date32, &'b [i32], |days| days.as_slice(), |days, row| Date::from_days(days[row]));
scalar!(Timestamp, Timestamp, &'b [i64], |micros| micros.as_slice(), |micros, row| Timestamp::from_micros(micros[row]));

impl<'b, T: InputValue<'b>> InputValue<'b> for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;
    type Reader = (Option<&'b [u8]>, T::Reader);

    fn reader(batch: &'b Batch, index: usize) -> Self::Reader {
        (batch.columns[index].validity.as_deref(), T::reader(batch, index))
    }

    #[inline(always)]
    fn get((validity, values): &Self::Reader, row: usize) -> Self {
        match validity {
            Some(bits) if !bit(bits, row) => None,
            _ => Some(T::get(values, row)),
        }
    }
}

impl<'b, T: InputScalar<'b>> InputValue<'b> for List<'b, T> {
    const TYPE: ColumnType = ColumnType::ListOf(T::SCALAR);
    const NULLABLE: bool = false;
    type Reader = (&'b [i32], T::Values);

    fn reader(batch: &'b Batch, index: usize) -> Self::Reader {
        let Values::ListOf(lists) = &batch.columns[index].values else {
            panic!("column {index} from the host is not the list that was declared");
        };
        (&lists.offsets, scalars::<T>(batch, lists.child as usize))
    }

    #[inline(always)]
    fn get((offsets, items): &Self::Reader, row: usize) -> Self {
        Self::new(*items, offsets[row] as usize, offsets[row + 1] as usize)
    }
}

impl<'b, T: InputScalar<'b>> InputValue<'b> for Vec<T> {
    const TYPE: ColumnType = ColumnType::ListOf(T::SCALAR);
    const NULLABLE: bool = false;
    type Reader = (&'b [i32], T::Values);

    fn reader(batch: &'b Batch, index: usize) -> Self::Reader {
        <List<'b, T>>::reader(batch, index)
    }

    fn get(reader: &Self::Reader, row: usize) -> Self {
        <List<'b, T>>::get(reader, row).iter().collect()
    }
}
