//! One value of an Arrow array as JSON text, with all its digits.
//!
//! Decimals and integers are numbers as long as they are. NaN is null, as it has no JSON and stands for "no number" in most files. What has
//! neither number nor text (infinity, a year beyond 9999) is refused with its place in the value. Bytes are hexadecimal digits.

use std::fmt::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float32Array, Float64Array, GenericListArray, OffsetSizeTrait, PrimitiveArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use chrono_tz::Tz;

use super::moments;
use super::shape::Shape;

/// Why a value has no JSON: where it is within the column, and what it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoJson {
    pub(super) path: String,
    pub(super) what: String,
}

impl NoJson {
    fn inside(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

type Written = Result<(), NoJson>;

fn no_json(what: impl Into<String>) -> NoJson {
    NoJson { path: String::new(), what: what.into() }
}

/// Writes values. Timestamps without a zone are the wall clock of `zone`.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    pub(super) zone: Tz,
}

impl Writer {
    /// Appends the value in `row` of `array`.
    pub(super) fn write(self, shape: &Shape, array: &dyn Array, row: usize, out: &mut String) -> Written {
        if array.is_null(row) || *array.data_type() == DataType::Null {
            out.push_str("null");
            return Ok(());
        }
        match shape {
            Shape::Scalar => self.scalar(array, row, out),
            Shape::Uuid => uuid(array, row, out),
            Shape::List(item) => self.list(item, array, row, out),
            Shape::Map(values) => self.map(values, array, row, out),
            Shape::Struct(members) => self.members(members, array, row, out),
        }
    }

    fn list(self, item: &Shape, array: &dyn Array, row: usize, out: &mut String) -> Written {
        let items = match array.data_type() {
            DataType::List(_) => items_of::<i32>(array, row),
            DataType::LargeList(_) => items_of::<i64>(array, row),
            DataType::FixedSizeList(..) => array.as_fixed_size_list_opt().map(|list| list.value(row)),
            _ => None,
        };
        let items = items.ok_or_else(|| unknown(array))?;
        out.push('[');
        for index in 0..items.len() {
            comma(index, out);
            self.write(item, &items, index, out).map_err(|error| error.inside(&format!("[{index}]")))?;
        }
        out.push(']');
        Ok(())
    }

    fn map(self, values: &Shape, array: &dyn Array, row: usize, out: &mut String) -> Written {
        let entries = array.as_map_opt().ok_or_else(|| unknown(array))?.value(row);
        let [keys, items] = entries.columns() else { return Err(unknown(array)) };
        let mut names: Vec<String> = Vec::with_capacity(keys.len());
        out.push('{');
        for index in 0..entries.len() {
            let mut name = String::new();
            self.key(keys, index, &mut name)?;
            if names.contains(&name) {
                return Err(no_json(format!("a map in which {name} stands twice")));
            }
            comma(index, out);
            out.push_str(&name);
            out.push(':');
            self.write(values, items, index, out).map_err(|error| error.inside(&format!("[{name}]")))?;
            names.push(name);
        }
        out.push('}');
        Ok(())
    }

    fn key(self, keys: &ArrayRef, index: usize, name: &mut String) -> Written {
        self.write(&Shape::Scalar, keys, index, name)?;
        if name == "null" { Err(no_json("a map with a null for a key")) } else { Ok(()) }
    }

    fn members(self, members: &[(String, Shape)], array: &dyn Array, row: usize, out: &mut String) -> Written {
        let columns = array.as_struct_opt().ok_or_else(|| unknown(array))?.columns();
        out.push('{');
        for (index, ((name, shape), column)) in members.iter().zip(columns).enumerate() {
            comma(index, out);
            out.push_str(name);
            out.push(':');
            let inside = |error: NoJson| error.inside(&format!(".{}", name.trim_matches('"')));
            self.write(shape, column, row, out).map_err(inside)?;
        }
        out.push('}');
        Ok(())
    }

    fn scalar(self, array: &dyn Array, row: usize, out: &mut String) -> Written {
        match array.data_type() {
            DataType::Boolean => {
                let value = array.as_boolean_opt().ok_or_else(|| unknown(array))?.value(row);
                out.push_str(if value { "true" } else { "false" });
                Ok(())
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => float(array, row, out),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text(array, row, out),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                let bytes = bytes(array, row).ok_or_else(|| unknown(array))?;
                quoted(&hex::encode(bytes), out);
                Ok(())
            }
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                decimal(array, row, out)
            }
            DataType::Timestamp(unit, zone) => {
                let value = timestamp(array, *unit, row).ok_or_else(|| unknown(array))?;
                let wall = zone.is_none().then_some(self.zone);
                moment(moments::timestamp(value, *unit, wall), "a timestamp", value, out)
            }
            DataType::Date32 => {
                let days = i64::from(value::<Date32Type>(array, row)?);
                moment(moments::date(days), "a date", days, out)
            }
            DataType::Date64 => {
                let millis = value::<Date64Type>(array, row)?;
                moment(moments::date_of_millis(millis), "a date", millis, out)
            }
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let value = time(array, *unit, row).ok_or_else(|| unknown(array))?;
                moment(moments::time(value, *unit), "a time of day", value, out)
            }
            DataType::Duration(unit) => {
                let value = duration(array, *unit, row).ok_or_else(|| unknown(array))?;
                moment(moments::duration(value, *unit), "a duration", value, out)
            }
            _ => integer(array, row, out),
        }
    }
}

fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

/// A type that `shape` has taken for one that is written here.
fn unknown(array: &dyn Array) -> NoJson {
    no_json(format!("a value of the type {}", array.data_type()))
}

fn quoted(text: &str, out: &mut String) {
    let _ = write!(out, "{}", serde_json::Value::from(text));
}

fn moment(text: Option<String>, kind: &str, value: i64, out: &mut String) -> Written {
    let text = text.ok_or_else(|| no_json(format!("{kind} that no date or time can say ({value})")))?;
    quoted(&text, out);
    Ok(())
}

fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Result<T::Native, NoJson> {
    array.as_primitive_opt::<T>().map(|array| array.value(row)).ok_or_else(|| unknown(array))
}

fn items_of<O: OffsetSizeTrait>(array: &dyn Array, row: usize) -> Option<ArrayRef> {
    array.as_any().downcast_ref::<GenericListArray<O>>().map(|list| list.value(row))
}

fn integer(array: &dyn Array, row: usize, out: &mut String) -> Written {
    let number = match array.data_type() {
        DataType::Int8 => value::<Int8Type>(array, row)?.to_string(),
        DataType::Int16 => value::<Int16Type>(array, row)?.to_string(),
        DataType::Int32 => value::<Int32Type>(array, row)?.to_string(),
        DataType::Int64 => value::<Int64Type>(array, row)?.to_string(),
        DataType::UInt8 => value::<UInt8Type>(array, row)?.to_string(),
        DataType::UInt16 => value::<UInt16Type>(array, row)?.to_string(),
        DataType::UInt32 => value::<UInt32Type>(array, row)?.to_string(),
        DataType::UInt64 => value::<UInt64Type>(array, row)?.to_string(),
        _ => return Err(unknown(array)),
    };
    out.push_str(&number);
    Ok(())
}

/// The shortest digits that are this number and no other of its width.
fn float(array: &dyn Array, row: usize, out: &mut String) -> Written {
    let (wide, digits) = match array.data_type() {
        DataType::Float16 => {
            let value = f32::from(value::<Float16Type>(array, row)?);
            (f64::from(value), serde_json::to_string(&value))
        }
        DataType::Float32 => {
            let value = array.as_any().downcast_ref::<Float32Array>().ok_or_else(|| unknown(array))?.value(row);
            (f64::from(value), serde_json::to_string(&value))
        }
        _ => {
            let value = array.as_any().downcast_ref::<Float64Array>().ok_or_else(|| unknown(array))?.value(row);
            (value, serde_json::to_string(&value))
        }
    };
    if wide.is_infinite() {
        return Err(no_json("infinity, which is no number of JSON"));
    }
    out.push_str(if wide.is_nan() { "null" } else { digits.as_deref().unwrap_or("null") });
    Ok(())
}

fn decimal(array: &dyn Array, row: usize, out: &mut String) -> Written {
    fn digits<T: DecimalType + ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<String> {
        array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.value_as_string(row))
    }
    let digits = match array.data_type() {
        DataType::Decimal32(..) => digits::<Decimal32Type>(array, row),
        DataType::Decimal64(..) => digits::<Decimal64Type>(array, row),
        DataType::Decimal128(..) => digits::<Decimal128Type>(array, row),
        _ => digits::<Decimal256Type>(array, row),
    };
    out.push_str(&digits.ok_or_else(|| unknown(array))?);
    Ok(())
}

fn text(array: &dyn Array, row: usize, out: &mut String) -> Written {
    let text = match array.data_type() {
        DataType::Utf8 => array.as_string_opt::<i32>().map(|array| array.value(row)),
        DataType::LargeUtf8 => array.as_string_opt::<i64>().map(|array| array.value(row)),
        _ => array.as_string_view_opt().map(|array| array.value(row)),
    };
    quoted(text.ok_or_else(|| unknown(array))?, out);
    Ok(())
}

fn bytes(array: &dyn Array, row: usize) -> Option<&[u8]> {
    match array.data_type() {
        DataType::Binary => array.as_binary_opt::<i32>().map(|array| array.value(row)),
        DataType::LargeBinary => array.as_binary_opt::<i64>().map(|array| array.value(row)),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary_opt().map(|array| array.value(row)),
        _ => array.as_binary_view_opt().map(|array| array.value(row)),
    }
}

fn uuid(array: &dyn Array, row: usize, out: &mut String) -> Written {
    let value = bytes(array, row).and_then(|bytes| uuid::Uuid::from_slice(bytes).ok()).ok_or_else(|| unknown(array))?;
    quoted(&value.to_string(), out);
    Ok(())
}

fn timestamp(array: &dyn Array, unit: TimeUnit, row: usize) -> Option<i64> {
    Some(match unit {
        TimeUnit::Second => array.as_primitive_opt::<TimestampSecondType>()?.value(row),
        TimeUnit::Millisecond => array.as_primitive_opt::<TimestampMillisecondType>()?.value(row),
        TimeUnit::Microsecond => array.as_primitive_opt::<TimestampMicrosecondType>()?.value(row),
        TimeUnit::Nanosecond => array.as_primitive_opt::<TimestampNanosecondType>()?.value(row),
    })
}

fn time(array: &dyn Array, unit: TimeUnit, row: usize) -> Option<i64> {
    Some(match unit {
        TimeUnit::Second => array.as_primitive_opt::<Time32SecondType>()?.value(row).into(),
        TimeUnit::Millisecond => array.as_primitive_opt::<Time32MillisecondType>()?.value(row).into(),
        TimeUnit::Microsecond => array.as_primitive_opt::<Time64MicrosecondType>()?.value(row),
        TimeUnit::Nanosecond => array.as_primitive_opt::<Time64NanosecondType>()?.value(row),
    })
}

fn duration(array: &dyn Array, unit: TimeUnit, row: usize) -> Option<i64> {
    Some(match unit {
        TimeUnit::Second => array.as_primitive_opt::<DurationSecondType>()?.value(row),
        TimeUnit::Millisecond => array.as_primitive_opt::<DurationMillisecondType>()?.value(row),
        TimeUnit::Microsecond => array.as_primitive_opt::<DurationMicrosecondType>()?.value(row),
        TimeUnit::Nanosecond => array.as_primitive_opt::<DurationNanosecondType>()?.value(row),
    })
}
