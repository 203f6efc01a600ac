//! There and back again: what a guest would send back unchanged is the batch that it was given, slices and all.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field as ArrowField, Int64Type, Schema};
use seams::plugin::{Descriptor, Field};

use super::*;
use crate::columns::record_batch;

const TYPES: [(&str, ColumnType); 8] = [
    ("b", ColumnType::Scalar(ScalarType::Boolean)),
    ("i", ColumnType::Scalar(ScalarType::Int64)),
    ("f", ColumnType::Scalar(ScalarType::Float64)),
    ("s", ColumnType::Scalar(ScalarType::Utf8)),
    ("d", ColumnType::Scalar(ScalarType::Date32)),
    ("t", ColumnType::Scalar(ScalarType::Timestamp)),
    ("j", ColumnType::Scalar(ScalarType::Json)),
    ("l", ColumnType::List(ScalarType::Int64)),
];

fn fields() -> Vec<InputField> {
    let field =
        |(name, ty): (&str, ColumnType)| InputField { name: name.into(), pointer: String::new(), ty, nullable: true };
    TYPES.map(field).to_vec()
}

fn descriptor() -> Descriptor {
    let field = |(name, ty): (&str, ColumnType)| Field { name: name.into(), ty, nullable: true };
    Descriptor {
        name: "p".into(),
        version: "1.0.0".into(),
        input: fields(),
        output: TYPES.map(field).to_vec(),
        config_schema: String::new(),
    }
}

fn batch() -> RecordBatch {
    let rows = 100_i32;
    let some = |row: i32| row % 3 != 1;
    let ints = || (0..rows).map(|row| some(row).then_some(i64::from(row)));
    let lists = (0..rows)
        .map(|row| some(row).then(|| (0..row % 4).map(|item| Some(i64::from(item + row))).collect::<Vec<_>>()));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    let item = Arc::new(ArrowField::new("element", DataType::Int64, false));
    let lists = ListArray::new(item, lists.offsets().clone(), lists.values().clone(), lists.nulls().cloned());
    let texts: Vec<Option<String>> = (0..rows).map(|row| some(row).then(|| "\"é\"".repeat(row as usize % 2))).collect();
    let json: Vec<Option<&str>> = (0..rows).map(|row| some(row).then_some("[1]")).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..rows).map(|row| some(row).then_some(row % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(ints().collect::<Int64Array>()),
        Arc::new(ints().map(|value| value.map(|value| value as f64 / 3.0)).collect::<Float64Array>()),
        Arc::new(StringArray::from(texts)),
        Arc::new((0..rows).map(|row| some(row).then_some(row)).collect::<Date32Array>()),
        Arc::new(ints().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(StringArray::from(json)),
        Arc::new(lists),
    ];
    RecordBatch::try_new(descriptor().output_schema(), columns).unwrap()
}

fn round_trip(batch: &RecordBatch) -> RecordBatch {
    let descriptor = descriptor();
    record_batch(batch_of(batch, &fields()).unwrap(), &descriptor.output, &descriptor.output_schema()).unwrap()
}

#[test]
fn a_batch_survives_the_round_trip() {
    assert_eq!(round_trip(&batch()), batch());
}

#[test]
fn so_does_every_slice_of_it() {
    for (start, length) in [(0, 0), (1, 1), (3, 60), (7, 8), (9, 91), (100, 0)] {
        let slice = batch().slice(start, length);
        assert_eq!(round_trip(&slice), slice, "{start}+{length}");
    }
}

#[test]
fn columns_are_found_by_name_and_their_types_compared() {
    let wanted = |name: &str, ty: ScalarType, nullable| {
        vec![InputField { name: name.into(), pointer: String::new(), ty: ColumnType::Scalar(ty), nullable }]
    };
    let message = |fields: Vec<InputField>| batch_of(&batch(), &fields).unwrap_err().message;
    assert!(message(wanted("z", ScalarType::Int64, true)).contains("no column `z`"));
    assert!(message(wanted("i", ScalarType::Float64, true)).contains("column `i` is Int64, the plugin reads float64"));
    assert!(message(wanted("i", ScalarType::Int64, false)).contains("column `i` holds nulls"));
    let one = batch_of(&batch(), &wanted("s", ScalarType::Utf8, true)).unwrap();
    assert_eq!(one.columns.len(), 1);
}

#[test]
fn readers_own_names_for_utc_and_list_items_do_not_matter() {
    let zoned = TimestampMicrosecondArray::from(vec![5]).with_timezone("+00:00");
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    let schema = Schema::new(vec![
        ArrowField::new("t", zoned.data_type().clone(), true),
        ArrowField::new("l", lists.data_type().clone(), true),
    ]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(zoned), Arc::new(lists)]).unwrap();
    let fields: Vec<InputField> = fields().into_iter().filter(|field| field.name == "t" || field.name == "l").collect();
    assert_eq!(batch_of(&batch, &fields).unwrap().columns.len(), 3);
}
