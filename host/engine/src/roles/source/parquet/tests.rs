//! Files of Parquet as other programs write them: every type as JSON, and what is said of those that cannot be read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
    Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::array::{Int64Builder, MapBuilder, StringBuilder, StringDictionaryBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, i256};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono_tz::Tz;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use pipeline::plan::{Dialect, SourceFormat};

use crate::roles::source::tests::source;
use crate::roles::source::{Reading, SourceError, read};

fn reading(bytes: &Bytes, timezone: Option<Tz>) -> Result<Reading, SourceError> {
    let mut source = source(SourceFormat::Parquet, None, 100);
    source.key = Vec::new();
    source.dialect = Dialect { timezone, ..Dialect::default() };
    read(&source, bytes)
}

fn file(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Bytes {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn one(array: impl Array + 'static) -> Vec<String> {
    let read = reading(&file(vec![("v", Arc::new(array))], WriterProperties::default()), None).unwrap();
    assert!(read.bad.is_empty(), "{:?}", read.bad);
    read.records.iter().map(|taken| taken.record.get("v").unwrap().get().to_owned()).collect()
}

fn refused(array: impl Array + 'static) -> Vec<(u64, String)> {
    let read = reading(&file(vec![("v", Arc::new(array))], WriterProperties::default()), None).unwrap();
    read.bad.into_iter().map(|bad| (bad.number, bad.reason)).collect()
}

#[test]
fn decimals_and_large_integers_keep_every_digit_and_are_numbers() {
    let ten = 12_345_678_901_234_567_890_123_456_789_012_345_678_i128;
    let whole = Decimal128Array::from(vec![Some(ten), Some(ten + 1), None]).with_precision_and_scale(38, 0).unwrap();
    assert_eq!(one(whole), [ten.to_string(), (ten + 1).to_string(), "null".to_owned()]);
    let small = Decimal128Array::from(vec![110, -5, 0]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(one(small), ["1.10", "-0.05", "0.00"]);
    let wide = i256::from_string(&"9".repeat(76)).unwrap();
    let wide = Decimal256Array::from(vec![wide]).with_precision_and_scale(76, 76).unwrap();
    assert_eq!(one(wide), [format!("0.{}", "9".repeat(76))]);
    assert_eq!(one(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
    assert_eq!(one(Int64Array::from(vec![9_007_199_254_740_993])), ["9007199254740993"]);
    assert_eq!(one(Float32Array::from(vec![0.1])), ["0.1"]);
    assert_eq!(one(Float64Array::from(vec![1e300, -0.0])), ["1e+300", "-0.0"]);
}

#[test]
fn a_number_that_is_none_is_null_and_infinity_refuses_its_row_alone() {
    assert_eq!(one(Float64Array::from(vec![f64::NAN])), ["null"]);
    let rows = refused(Float64Array::from(vec![1.0, f64::INFINITY, f64::NEG_INFINITY]));
    assert_eq!(rows[0], (2, "column `v` has infinity, which is no number of JSON".to_owned()));
    assert_eq!(rows.len(), 2);
}

#[test]
fn timestamps_are_instants_and_those_without_a_zone_are_of_the_named_one_or_of_utc_with_a_notice() {
    let micros = 1_582_977_600_123_456;
    assert_eq!(one(TimestampNanosecondArray::from(vec![micros * 1_000])), [r#""2020-02-29T12:00:00.123456Z""#]);
    let berlin = TimestampMicrosecondArray::from(vec![micros]).with_timezone("Europe/Berlin");
    assert_eq!(one(berlin), [r#""2020-02-29T12:00:00.123456Z""#]);
    let naive =
        file(vec![("ts", Arc::new(TimestampMicrosecondArray::from(vec![micros])))], WriterProperties::default());
    let read = reading(&naive, None).unwrap();
    assert!(read.notices[0].contains("`ts`") && read.notices[0].contains("timezone = "), "{:?}", read.notices);
    let read = reading(&naive, Some(Tz::Europe__Berlin)).unwrap();
    assert!(read.notices.is_empty());
    assert_eq!(read.records[0].record.text("ts").unwrap(), "2020-02-29T11:00:00.123456Z");
    let rows = refused(TimestampMicrosecondArray::from(vec![0, i64::MAX, 253_402_300_800_000_000]));
    assert_eq!(rows.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 3]);
    assert!(rows[0].1.contains("column `v` has a timestamp"), "{rows:?}");
    assert_eq!(refused(Date32Array::from(vec![0, i32::MAX]))[0].0, 2);
}

/// As Spark and old pandas write timestamps: a Julian day, and nanoseconds in it.
fn int96(days_since_1970: i64, nanos: u64) -> Int96 {
    let mut value = Int96::new();
    let day = u32::try_from(days_since_1970 + 2_440_588).unwrap();
    value.set_data(u32::try_from(nanos & 0xFFFF_FFFF).unwrap(), u32::try_from(nanos >> 32).unwrap(), day);
    value
}

#[test]
fn int96_outside_of_1677_to_2262_stays_the_date_that_it_is() {
    let schema = Arc::new(parse_message_type("message m { required int96 ts; optional group l (LIST) { repeated group list { required int96 element; } } }").unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let values = [int96(-719_162, 0), int96(18_321, 43_200_123_456_000), int96(2_932_896, 86_399_000_000_000)];
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int96Type>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int96Type>().write_batch(&values[..1], Some(&[2, 0, 0]), Some(&[0, 0, 0])).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let read = reading(&bytes.into(), None).unwrap();
    let stamps: Vec<_> = read.records.iter().map(|taken| taken.record.text("ts").unwrap()).collect();
    assert_eq!(stamps, ["0001-01-01T00:00:00Z", "2020-02-29T12:00:00.123456Z", "9999-12-31T23:59:59Z"]);
    assert_eq!(read.records[0].record.get("l").unwrap().get(), r#"["0001-01-01T00:00:00Z"]"#);
}

#[test]
fn nested_values_bytes_and_identifiers_have_their_json() {
    let inner = Fields::from(vec![
        Field::new("n", DataType::Decimal128(5, 2), true),
        Field::new("a b\"", DataType::Utf8, true),
    ]);
    let digits = Decimal128Array::from(vec![Some(123), None]).with_precision_and_scale(5, 2).unwrap();
    let structs =
        StructArray::new(inner.clone(), vec![Arc::new(digits), Arc::new(StringArray::from(vec!["x\n", "y"]))], None);
    let list = ListArray::new(
        Arc::new(Field::new("item", DataType::Struct(inner), true)),
        OffsetBuffer::from_lengths([2, 0]),
        Arc::new(structs),
        None,
    );
    assert_eq!(one(list), [r#"[{"n":1.23,"a b\"":"x\n"},{"n":null,"a b\"":"y"}]"#, "[]"]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(7);
    map.append(true).unwrap();
    assert_eq!(one(map.finish()), [r#"{"k":7}"#]);
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    ["x", "y", "x"].iter().for_each(|value| dictionary.append_value(value));
    assert_eq!(one(dictionary.finish()), [r#""x""#, r#""y""#, r#""x""#]);
    assert_eq!(one(BinaryArray::from(vec![&b"\x00\xFF"[..]])), [r#""00ff""#]);
    let schema = Arc::new(parse_message_type("message m { required fixed_len_byte_array(16) id (UUID); }").unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let value = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
    column.typed::<FixedLenByteArrayType>().write_batch(&[value], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let read = reading(&bytes.into(), None).unwrap();
    assert_eq!(read.records[0].record.text("id").unwrap(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
}

#[test]
fn a_map_without_text_for_keys_is_named_with_its_column() {
    let mut map = MapBuilder::new(None, Int64Builder::new(), Int64Builder::new());
    map.keys().append_value(1);
    map.values().append_value(7);
    map.append(true).unwrap();
    let bytes = file(vec![("prices", Arc::new(map.finish()))], WriterProperties::default());
    let error = reading(&bytes, None).unwrap_err().to_string();
    assert!(
        error.contains("column `prices`") && error.contains("Int64") && error.contains("hint: make text"),
        "{error}"
    );
}

#[test]
fn every_codec_and_many_row_groups_are_read_in_order() {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for codec in codecs {
        let properties =
            WriterProperties::builder().set_compression(codec).set_max_row_group_row_count(Some(3)).build();
        let read =
            reading(&file(vec![("v", Arc::new(Int64Array::from_iter_values(0..10)))], properties), None).unwrap();
        let rows: Vec<_> =
            read.records.iter().map(|taken| (taken.number, taken.record.get("v").unwrap().get().to_owned())).collect();
        assert_eq!(rows, (0..10).map(|n| (n + 1, n.to_string())).collect::<Vec<_>>(), "{codec:?}");
    }
}

#[test]
fn a_damaged_file_is_named_with_what_is_damaged() {
    let properties = || WriterProperties::builder().set_max_row_group_row_count(Some(50)).set_dictionary_enabled(false);
    let texts = StringArray::from_iter_values((0..100).map(|n| format!("value {n}")));
    let numbers = Int64Array::from_iter_values(0..100);
    let packed = properties().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let good = file(vec![("n", Arc::new(numbers)), ("t", Arc::new(texts))], packed);
    let says = |bytes: Bytes, parts: &[&str]| {
        let error = reading(&bytes, None).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
    };
    says(good.slice(..good.len() - 1), &["cut off", "hint: copy"]);
    says(good.slice(..good.len() / 2), &["cut off"]);
    says(Bytes::new(), &["empty"]);
    says(Bytes::from_static(b"id,a\n1,x\n"), &["begins with `id,a", "format = \"csv\""]);
    says(Bytes::from_static(b"PARE....PARE"), &["encrypted"]);
    let changed = |at: usize, by: &[u8]| {
        let mut bytes = good.to_vec();
        bytes[at..at + by.len()].copy_from_slice(by);
        Bytes::from(bytes)
    };
    says(changed(good.len() - 8, &[0xFF; 4]), &["index"]);
    // The frames of zstd begin with their magic number: the fourth of them is the text of the second row group.
    let frames: Vec<usize> = memchr::memmem::find_iter(&good, b"\x28\xB5\x2F\xFD").collect();
    says(changed(frames[3], b"oops"), &["row group 2", "column `t`"]);
}
