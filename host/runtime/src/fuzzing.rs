//! Entry points for the fuzz targets: values as a guest or a worker process would send them, made from arbitrary bytes and passed to
//! the code that checks them.
//!
//! Does not run a guest. Exists only with the feature `fuzzing`, which `tests/fuzz` alone asks for.

// A property that does not hold is a finding, and a finding is a panic.
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use arrow::array::Array as _;
use arrow::datatypes::{Field as ArrowField, Schema};
use bytes::Bytes;
use seams::plugin::{ColumnType, Field, ScalarType};

use crate::bindings::{described, wit};
use crate::columns;
use crate::descriptor::{MAX_DESCRIPTION, check};
use crate::project::Projection;
use crate::world::World;

pub use crate::worker::fuzzing::frames;

/// A guest can return much from few bytes of code, so a short input can stand for a long value. No text and no list here is larger than what
/// a guest can return as its description: more would test the allocator.
const LONGEST: usize = MAX_DESCRIPTION;
const MOST_FIELDS: usize = 100_000;
/// Fields of a batch of columns. More of them test nothing else.
const MOST_COLUMNS: usize = 8;

/// Checks a descriptor of each world, and reads a document with one that was accepted.
pub fn descriptor(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(raw) = raw_descriptor(&mut bytes) else { return };
    let document = Bytes::copy_from_slice(bytes.take_rest());
    for world in [World::Enricher, World::Cleaner, World::Aggregator] {
        match check(raw.clone(), world) {
            Ok(accepted) if world == World::Cleaner => {
                let fields = accepted.input.len();
                if let Ok(projected) =
                    Projection::new(accepted.input, LONGEST as u64).project(std::slice::from_ref(&document))
                {
                    assert_eq!(projected.documents.len() + projected.rejects.len(), 1);
                    assert!(projected.batch.columns.len() >= fields);
                }
            }
            Ok(_) => {}
            Err(refused) => assert!(refused.message.len() < 64 << 10, "{} bytes of message", refused.message.len()),
        }
    }
}

/// Takes over the columns of a guest. Those that are accepted are valid by Arrow's own full check.
pub fn columns(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((fields, batch)) = fields(&mut bytes).and_then(|fields| Ok((fields, raw_batch(&mut bytes)?))) else {
        return;
    };
    let arrow_field = |field: &Field| ArrowField::new(&field.name, field.ty.arrow(), field.nullable);
    let schema = Arc::new(Schema::new(fields.iter().map(arrow_field).collect::<Vec<_>>()));
    match columns::record_batch(batch, &fields, &schema) {
        Ok(batch) => {
            for column in batch.columns() {
                column.to_data().validate_full().expect("an accepted column is a valid one");
            }
        }
        Err(fault) => assert!(!fault.message.is_empty()),
    }
}

fn raw_descriptor(bytes: &mut Unstructured<'_>) -> Result<described::Descriptor> {
    let (name, version, config_schema) = (text(bytes)?, text(bytes)?, text(bytes)?);
    let size = |field: &described::InputField| field.name.len() + field.pointer.len();
    let input = repeated(bytes, size, |bytes| {
        let (name, pointer, type_, nullable) =
            (text(bytes)?, text(bytes)?, column_type(bytes)?, bool::arbitrary(bytes)?);
        Ok(described::InputField { name, pointer, type_, nullable })
    })?;
    let output = repeated(
        bytes,
        |field: &described::Field| field.name.len(),
        |bytes| {
            Ok(described::Field { name: text(bytes)?, type_: column_type(bytes)?, nullable: bool::arbitrary(bytes)? })
        },
    )?;
    Ok(described::Descriptor { name, version, input, output, config_schema })
}

/// A few different items, the last of them perhaps very often.
fn repeated<T: Clone>(
    bytes: &mut Unstructured<'_>,
    size: impl Fn(&T) -> usize,
    mut item: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let different = bytes.int_in_range(0..=6)?;
    let mut items = (0..different).map(|_| item(bytes)).collect::<Result<Vec<T>>>()?;
    if let Some(last) = items.last().cloned().filter(|_| bytes.ratio(1, 16).unwrap_or(false)) {
        let most = (LONGEST / size(&last).max(1)).min(MOST_FIELDS);
        items.extend(std::iter::repeat_n(last, bytes.int_in_range(0..=most)?));
    }
    Ok(items)
}

/// A short text, or one piece many times.
fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let piece = <&str>::arbitrary(bytes)?;
    let most = LONGEST.checked_div(piece.len()).unwrap_or(1);
    let times = if bytes.ratio(1, 16)? { bytes.int_in_range(0..=most)? } else { 1 };
    Ok(piece.repeat(times))
}

const SCALARS: [(wit::ScalarType, ScalarType); 7] = [
    (wit::ScalarType::Boolean, ScalarType::Boolean),
    (wit::ScalarType::Int64, ScalarType::Int64),
    (wit::ScalarType::Float64, ScalarType::Float64),
    (wit::ScalarType::Utf8, ScalarType::Utf8),
    (wit::ScalarType::Date32, ScalarType::Date32),
    (wit::ScalarType::Timestamp, ScalarType::Timestamp),
    (wit::ScalarType::Json, ScalarType::Json),
];

fn column_type(bytes: &mut Unstructured<'_>) -> Result<wit::ColumnType> {
    let (scalar, _) = *bytes.choose(&SCALARS)?;
    Ok(if bool::arbitrary(bytes)? { wit::ColumnType::ListOf(scalar) } else { wit::ColumnType::Scalar(scalar) })
}

fn fields(bytes: &mut Unstructured<'_>) -> Result<Vec<Field>> {
    let count = bytes.int_in_range(0..=MOST_COLUMNS)?;
    let field = |index: usize, bytes: &mut Unstructured<'_>| {
        let (_, scalar) = *bytes.choose(&SCALARS)?;
        let ty = if bool::arbitrary(bytes)? { ColumnType::List(scalar) } else { ColumnType::Scalar(scalar) };
        Ok(Field { name: format!("column_{index}"), ty, nullable: bool::arbitrary(bytes)? })
    };
    (0..count).map(|index| field(index, bytes)).collect()
}

fn raw_batch(bytes: &mut Unstructured<'_>) -> Result<wit::Batch> {
    let rows = if bytes.ratio(1, 16)? { u32::arbitrary(bytes)? } else { bytes.int_in_range(0..=20)? };
    let count = bytes.int_in_range(0..=2 * MOST_COLUMNS)?;
    let column = |bytes: &mut Unstructured<'_>| {
        Ok(wit::Column { validity: Option::<Vec<u8>>::arbitrary(bytes)?, values: values(bytes)? })
    };
    Ok(wit::Batch { rows, columns: (0..count).map(|_| column(bytes)).collect::<Result<Vec<_>>>()? })
}

fn values(bytes: &mut Unstructured<'_>) -> Result<wit::Values> {
    Ok(match bytes.int_in_range(0..=7)? {
        0 => wit::Values::Boolean(Arbitrary::arbitrary(bytes)?),
        1 => wit::Values::Int64(Arbitrary::arbitrary(bytes)?),
        2 => wit::Values::Float64(Arbitrary::arbitrary(bytes)?),
        3 => wit::Values::Utf8(raw_text(bytes)?),
        4 => wit::Values::Date32(Arbitrary::arbitrary(bytes)?),
        5 => wit::Values::Timestamp(Arbitrary::arbitrary(bytes)?),
        6 => wit::Values::Json(raw_text(bytes)?),
        _ => wit::Values::ListOf(wit::ListValues { offsets: offsets(bytes)?, child: bytes.int_in_range(0..=17)? }),
    })
}

fn raw_text(bytes: &mut Unstructured<'_>) -> Result<wit::Text> {
    Ok(wit::Text { offsets: offsets(bytes)?, bytes: text(bytes)?.into_bytes() })
}

/// Mostly as they should be: small steps up from 0. Otherwise no column would ever be accepted.
fn offsets(bytes: &mut Unstructured<'_>) -> Result<Vec<i32>> {
    if bytes.ratio(1, 4)? {
        return Arbitrary::arbitrary(bytes);
    }
    let steps: Vec<u8> = Arbitrary::arbitrary(bytes)?;
    let sum = |at: &mut i32, step: u8| {
        *at += i32::from(step % 4);
        Some(*at)
    };
    Ok(std::iter::once(0).chain(steps.into_iter().scan(0, sum)).collect())
}
