//! Every way in which returned columns can be wrong.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use seams::plugin::Descriptor;

use super::*;

fn field(ty: ColumnType, nullable: bool) -> Field {
    Field { name: "c".into(), ty, nullable }
}

fn take_over(fields: Vec<Field>, rows: u32, columns: Vec<wit::Column>) -> Result<RecordBatch, Fault> {
    let descriptor = Descriptor {
        name: "p".into(),
        version: "1.0.0".into(),
        input: Vec::new(),
        output: fields,
        config_schema: String::new(),
    };
    record_batch(wit::Batch { rows, columns }, &descriptor.output, &descriptor.output_schema())
}

fn column(values: wit::Values) -> wit::Column {
    wit::Column { validity: None, values }
}

fn text(offsets: &[i32], bytes: &[u8]) -> wit::Text {
    wit::Text { offsets: offsets.to_vec(), bytes: bytes.to_vec() }
}

#[test]
fn lists_and_nulls_arrive() {
    let list = wit::Column {
        validity: Some(vec![0b101]),
        values: wit::Values::ListOf(wit::ListValues { offsets: vec![0, 2, 2, 3], child: 1 }),
    };
    let items = column(wit::Values::Int64(vec![1, 2, 3]));
    let batch = take_over(vec![field(ColumnType::List(ScalarType::Int64), true)], 3, vec![list, items]).unwrap();
    let array = batch.column(0).as_list::<i32>();
    assert!(array.is_null(1));
    assert_eq!(array.value(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    assert_eq!(array.value(2).as_primitive::<Int64Type>().values(), &[3]);
}

#[test]
fn an_int_column_is_taken_over_without_a_copy() {
    let values = vec![1_i64, 2, 3];
    let place = values.as_ptr();
    let batch = take_over(
        vec![field(ColumnType::Scalar(ScalarType::Int64), false)],
        3,
        vec![column(wit::Values::Int64(values))],
    )
    .unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().as_ptr(), place);
}

#[test]
fn a_value_that_is_null_may_be_anything() {
    let floats = wit::Column { validity: Some(vec![0b01]), values: wit::Values::Float64(vec![1.5, f64::NAN]) };
    assert!(take_over(vec![field(ColumnType::Scalar(ScalarType::Float64), true)], 2, vec![floats]).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    let scalar = |ty, values| (field(ColumnType::Scalar(ty), false), vec![column(values)]);
    let list = |offsets: &[i32], child, items| {
        let list = wit::ListValues { offsets: offsets.to_vec(), child };
        (field(ColumnType::List(ScalarType::Int64), false), vec![column(wit::Values::ListOf(list)), column(items)])
    };
    let nulls = wit::Column { validity: Some(vec![0b01]), values: wit::Values::Int64(vec![1, 2]) };
    let short = wit::Column { validity: Some(vec![]), values: wit::Values::Int64(vec![1, 2]) };
    let int = field(ColumnType::Scalar(ScalarType::Int64), false);
    let cases = [
        ((int.clone(), vec![]), "P171", "0 columns, expected 1"),
        ((int.clone(), vec![nulls]), "P171", "row 1 is null"),
        ((int, vec![short]), "P171", "validity has 0 bytes, expected 1"),
        (scalar(ScalarType::Int64, wit::Values::Int64(vec![1])), "P171", "1 values, expected 2"),
        (scalar(ScalarType::Int64, wit::Values::Float64(vec![1.0, 2.0])), "P171", "found float64, expected int64"),
        (scalar(ScalarType::Boolean, wit::Values::Boolean(vec![0, 0])), "P171", "it has 2 bytes, expected 1"),
        (scalar(ScalarType::Float64, wit::Values::Float64(vec![1.0, f64::INFINITY])), "P171", "row 1 is inf"),
        (scalar(ScalarType::Float64, wit::Values::Float64(vec![f64::NAN, 1.0])), "P171", "row 0 is NaN"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, 1], b"ab"))), "P171", "2 offsets, expected 3"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[1, 1, 2], b"ab"))), "P171", "first offset"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, 2, 1], b"ab"))), "P171", "offsets decrease at row 1"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, -1, 2], b"ab"))), "P171", "offsets decrease at row 0"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, 1, 9], b"ab"))), "P171", "last offset is 9, expected 2"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, 1, 2], b"a\0"))), "P171", "row 1 holds a NUL"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, 1, 2], b"a\xff"))), "P122", "row 1: invalid text"),
        (scalar(ScalarType::Utf8, wit::Values::Utf8(text(&[0, 1, 2], "é".as_bytes()))), "P122", "invalid text"),
        (scalar(ScalarType::Json, wit::Values::Json(text(&[0, 1, 2], b"1x"))), "P171", "row 1 is not JSON"),
        (list(&[0, 1, 2], 0, wit::Values::Int64(vec![1, 2])), "P171", "items are column 0, expected one behind"),
        (list(&[0, 1, 2], 7, wit::Values::Int64(vec![1, 2])), "P171", "column 7, but there are 2"),
        (list(&[0, 1, 3], 1, wit::Values::Int64(vec![1, 2])), "P171", "2 values, expected 3"),
        (list(&[0, 1, 2], 1, wit::Values::Date32(vec![1, 2])), "P171", "items: found date32, expected int64"),
    ];
    for ((field, columns), code, part) in cases {
        let fault = take_over(vec![field], 2, columns).expect_err(part);
        assert!(
            fault.message.contains(part) && fault.message.contains(if columns_named(part) { "`c`" } else { "" }),
            "{}",
            fault.message
        );
        assert_eq!(fault.code, code, "{}", fault.message);
    }
}

fn columns_named(part: &str) -> bool {
    !part.contains("columns, expected")
}

#[test]
fn two_lists_cannot_share_their_items() {
    let list = || column(wit::Values::ListOf(wit::ListValues { offsets: vec![0, 1], child: 2 }));
    let fields = vec![
        field(ColumnType::List(ScalarType::Int64), false),
        Field { name: "d".into(), ..field(ColumnType::List(ScalarType::Int64), false) },
    ];
    let items = || column(wit::Values::Int64(vec![1]));
    let fault = take_over(fields, 1, vec![list(), list(), items(), items()]).unwrap_err();
    assert!(fault.message.contains("belongs to another column"), "{}", fault.message);
}
