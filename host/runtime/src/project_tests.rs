//! What columns a document yields, and why one is refused.

use seams::plugin::{ColumnType, ScalarType};

use super::*;

fn field(name: &str, pointer: &str, ty: ColumnType, nullable: bool) -> InputField {
    InputField { name: name.into(), pointer: pointer.into(), ty, nullable }
}

fn scalar(pointer: &str, ty: ScalarType, nullable: bool) -> InputField {
    field(pointer.trim_start_matches('/'), pointer, ColumnType::Scalar(ty), nullable)
}

fn project(fields: Vec<InputField>, documents: &[&str]) -> Projected {
    let documents: Vec<Bytes> = documents.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    Projection::new(fields, 1 << 30).project(&documents).unwrap()
}

fn refusal(ty: ColumnType, value: &str) -> String {
    let document = format!("{{\"v\":{value}}}");
    let projected = project(vec![field("v", "/v", ty, false)], &[&document]);
    assert_eq!(projected.batch.rows, 0, "{value} was taken");
    projected.rejects[0].reason.clone()
}

fn texts(values: &wit::Values) -> Vec<&str> {
    let (wit::Values::Utf8(text) | wit::Values::Json(text)) = values else { panic!("{values:?}") };
    let whole = std::str::from_utf8(&text.bytes).unwrap();
    text.offsets.windows(2).map(|pair| &whole[pair[0] as usize..pair[1] as usize]).collect()
}

#[test]
fn every_type_is_read() {
    let types = [
        ("/b", ScalarType::Boolean),
        ("/i", ScalarType::Int64),
        ("/f", ScalarType::Float64),
        ("/s", ScalarType::Utf8),
        ("/d", ScalarType::Date32),
        ("/t", ScalarType::Timestamp),
        ("/j", ScalarType::Json),
    ];
    let fields = types.map(|(pointer, ty)| scalar(pointer, ty, false)).to_vec();
    let document = r#"{"x":[{"b":1}],"b":true,"i":-9223372036854775808,"f":1e-3,"s":"A\u00e9\n\"","d":"1970-01-02","t":"1970-01-01T00:00:01+01:00","j": {"a" : [1]} ,"_meta":{}}"#;
    let projected = project(fields, &[document]);
    let values: Vec<&wit::Values> = projected.batch.columns.iter().map(|column| &column.values).collect();
    assert!(matches!(values[0], wit::Values::Boolean(bits) if bits == &[1]));
    assert!(matches!(values[1], wit::Values::Int64(v) if v == &[i64::MIN]));
    assert!(matches!(values[2], wit::Values::Float64(v) if v == &[0.001]));
    assert_eq!(texts(values[3]), ["Aé\n\""]);
    assert!(matches!(values[4], wit::Values::Date32(v) if v == &[1]));
    assert!(matches!(values[5], wit::Values::Timestamp(v) if v == &[-3_599_000_000]));
    assert_eq!(texts(values[6]), [r#"{"a" : [1]}"#]);
    assert!(projected.batch.columns.iter().all(|column| column.validity.is_none()));
}

#[test]
fn missing_and_null_are_null_where_that_is_allowed() {
    let fields =
        vec![scalar("/a", ScalarType::Utf8, true), field("l", "/l", ColumnType::List(ScalarType::Int64), true)];
    let projected = project(fields, &[r#"{"a":"x","l":[1,2]}"#, "{}", r#"{"l":null,"a":null}"#, r#"{"a":"y","l":[]}"#]);
    assert_eq!(projected.documents, [0, 1, 2, 3]);
    let [a, l, items] = &projected.batch.columns[..] else { panic!() };
    assert_eq!(a.validity.as_deref(), Some(&[0b1001][..]));
    assert_eq!(texts(&a.values), ["x", "", "", "y"]);
    assert_eq!(l.validity.as_deref(), Some(&[0b1001][..]));
    assert!(matches!(&l.values, wit::Values::ListOf(list) if list.offsets == [0, 2, 2, 2, 2] && list.child == 2));
    assert!(matches!(&items.values, wit::Values::Int64(v) if v == &[1, 2]));
}

#[test]
fn pointers_reach_into_objects_and_arrays() {
    let fields = vec![
        scalar("/a/b~1c/1", ScalarType::Int64, true),
        scalar("/a", ScalarType::Json, true),
        scalar("/0", ScalarType::Int64, true),
        scalar("/r/0/x", ScalarType::Utf8, true),
        scalar("/r/01/x", ScalarType::Utf8, true),
        scalar("/r/2/x", ScalarType::Utf8, true),
        scalar("", ScalarType::Json, true),
    ];
    let document = r#"{"r":[{"x":"p"},{"x":"q"}],"0":5,"a":{"b/c":[1,2,3]}}"#;
    let projected = project(fields, &[document, r#"{"a":[{"b/c":[7,8]}],"r":"text"}"#]);
    let columns = &projected.batch.columns;
    assert!(matches!(&columns[0].values, wit::Values::Int64(v) if v == &[2, 0]));
    assert_eq!(texts(&columns[1].values), [r#"{"b/c":[1,2,3]}"#, r#"[{"b/c":[7,8]}]"#]);
    assert!(matches!(&columns[2].values, wit::Values::Int64(v) if v == &[5, 0]));
    assert_eq!(texts(&columns[3].values), ["p", ""]);
    assert_eq!(texts(&columns[4].values), ["", ""], "an index with a leading zero is none");
    assert_eq!(texts(&columns[5].values), ["", ""]);
    assert_eq!(texts(&columns[6].values)[0], document);
}

#[test]
fn keys_in_another_order_and_escaped_keys_are_found() {
    let fields = vec![
        scalar("/a", ScalarType::Int64, false),
        scalar("/b", ScalarType::Int64, false),
        scalar("/c", ScalarType::Int64, false),
    ];
    let projected = project(
        fields,
        &[r#"{"c":3,"a":1,"b":2}"#, r#"{"b":2,"\u0063":3,"z":0,"a":1}"#, r#"{"a":1,"a":9,"b":2,"c":3}"#],
    );
    for (column, value) in projected.batch.columns.iter().zip([1, 2, 3]) {
        assert!(matches!(&column.values, wit::Values::Int64(v) if v == &[value; 3]));
    }
}

#[test]
fn a_timestamp_without_a_zone_is_utc_with_a_blank_or_a_t_and_a_fraction() {
    let read = |text: &str| {
        let projected =
            project(vec![scalar("/t", ScalarType::Timestamp, false)], &[format!(r#"{{"t":"{text}"}}"#).as_str()]);
        let Some(wit::Values::Timestamp(micros)) = projected.batch.columns.first().map(|column| &column.values) else {
            panic!("no timestamps")
        };
        micros.first().copied()
    };
    for (text, micros) in [
        ("1970-01-01T00:00:01", Some(1_000_000)),
        ("1970-01-01 00:00:01", Some(1_000_000)),
        ("1970-01-01t00:00:01.5", Some(1_500_000)),
        ("1970-01-01 00:00:01.123456789", Some(1_123_456)),
        ("1970-01-01 01:00:01+01:00", Some(1_000_000)),
        ("0001-01-01T00:00:00", Some(-62_135_596_800_000_000)),
        ("9999-12-31 23:59:59.999999", Some(253_402_300_799_999_999)),
        ("+12020-01-01T00:00:00", None),
        ("12020-01-01T00:00:00", None),
        ("1970-01-01  00:00:01", None),
        ("1970-01-01 00:00", None),
        ("1970-01-01", None),
        ("1970-02-30 00:00:01", None),
        ("1970-01-01 24:00:01", None),
        ("1970-01-01 00:00:01 Berlin", None),
    ] {
        assert_eq!(read(text), micros, "{text}");
    }
}

#[test]
fn a_value_of_another_type_is_refused_in_words() {
    let cases = [
        (ScalarType::Utf8, "142", "field `v` (/v): expected utf8, found number 142"),
        (ScalarType::Utf8, r#""\ud800""#, r#"expected utf8, found string "\ud800""#),
        (ScalarType::Int64, "1.5", "expected int64, found number 1.5"),
        (ScalarType::Int64, "9223372036854775808", "expected int64, found number 9223372036854775808"),
        (ScalarType::Int64, r#""7""#, r#"expected int64, found string "7""#),
        (ScalarType::Float64, "1e400", "expected float64, found number 1e400"),
        (ScalarType::Boolean, "1", "expected boolean, found number 1"),
        (ScalarType::Date32, r#""2024-02-30""#, r#"expected date32, found string "2024-02-30""#),
        (ScalarType::Date32, r#""14 Oct 1994""#, "expected date32, found string"),
        (ScalarType::Timestamp, r#""2024-01-01""#, "expected timestamp, found string"),
        (ScalarType::Timestamp, r#""2024-01-01""#, "such as 2026-01-31T03:00:00Z"),
        (ScalarType::Utf8, "null", "expected utf8, found null"),
        (ScalarType::Utf8, "[\n1]", "expected utf8, found list [ 1]"),
    ];
    for (ty, value, expected) in cases {
        let reason = refusal(ColumnType::Scalar(ty), value);
        assert!(reason.contains(expected), "`{reason}` has no `{expected}`");
    }
    let list = ColumnType::List(ScalarType::Int64);
    assert!(refusal(list, r#"[1,"2"]"#).contains(r#"expected list<int64>, found a list whose item 1 is string "2""#));
    assert!(refusal(list, "[1,null]").contains("item 1 is null"));
    assert!(refusal(list, "5").contains("found number 5"));
}

#[test]
fn whole_numbers_may_be_written_as_decimals() {
    for (text, value) in [("3.0", 3), ("-2e2", -200), ("-0", 0), ("9007199254740992.0", 1 << 53)] {
        assert_eq!(value::int64(text), Some(value), "{text}");
    }
    assert_eq!(value::int64("1e30"), None);
}

#[test]
fn a_refused_document_leaves_no_trace_in_the_columns() {
    let fields = vec![
        field("l", "/l", ColumnType::List(ScalarType::Utf8), true),
        scalar("/s", ScalarType::Utf8, true),
        scalar("/b", ScalarType::Boolean, true),
        scalar("/n", ScalarType::Int64, false),
    ];
    let good = r#"{"l":["a"],"s":"x","b":true,"n":1}"#;
    let documents = [
        good,
        r#"{"l":["b","c"],"s":"long text","b":false,"n":"no"}"#,
        "{}",
        r#"{"l":["d",1],"n":1}"#,
        "not json",
        good,
        r#"{"n":2}"#,
    ];
    let projected = project(fields, &documents);
    assert_eq!(projected.documents, [0, 5, 6]);
    let refused: Vec<usize> = projected.rejects.iter().map(|reject| reject.index).collect();
    assert_eq!(refused, [1, 2, 3, 4]);
    assert!(projected.rejects.iter().all(|reject| reject.by == RejectedBy::Projection));
    let [l, s, b, n, items] = &projected.batch.columns[..] else { panic!() };
    assert!(matches!(&l.values, wit::Values::ListOf(list) if list.offsets == [0, 1, 2, 2]));
    assert_eq!(texts(&items.values), ["a", "a"]);
    assert_eq!(texts(&s.values), ["x", "x", ""]);
    assert!(matches!(&b.values, wit::Values::Boolean(bits) if bits == &[0b011]));
    assert!(matches!(&n.values, wit::Values::Int64(v) if v == &[1, 1, 2]));
    for column in [l, s, b] {
        assert_eq!(column.validity.as_deref(), Some(&[0b011][..]));
    }
}

#[test]
fn what_is_no_object_is_refused_with_a_reason() {
    let fields = || vec![scalar("/a", ScalarType::Int64, false)];
    for (document, part) in [
        ("", "not a JSON object"),
        ("[1]", "not a JSON object"),
        (r#"{"b":}"#, "not JSON"),
        (r#"{"b" 1}"#, "not JSON"),
        (r#"{"a":1"#, "not a JSON object"),
    ] {
        let reason = project(fields(), &[document]).rejects[0].reason.clone();
        assert!(reason.contains(part), "{document}: {reason}");
    }
    let bytes = Bytes::from_static(b"{\"a\":\"\xff\"}");
    assert!(Projection::new(fields(), 1 << 30).project(&[bytes]).unwrap().rejects[0].reason.contains("not UTF-8"));
}

#[test]
fn more_than_64_fields_are_found() {
    let fields: Vec<InputField> = (0..100).map(|n| scalar(&format!("/k{n}"), ScalarType::Int64, false)).collect();
    let entries: Vec<String> = (0..100).rev().map(|n| format!("\"k{n}\":{n}")).collect();
    let projected = project(fields, &[&format!("{{{}}}", entries.join(","))]);
    assert_eq!(projected.documents, [0]);
    for (n, column) in projected.batch.columns.iter().enumerate() {
        assert!(matches!(&column.values, wit::Values::Int64(v) if v == &[n as i64]));
    }
}

#[test]
fn one_value_for_many_columns_is_bounded_by_the_guests_memory() {
    let fields = (0..1_000).map(|n| field(&n.to_string(), "", ColumnType::Scalar(ScalarType::Json), false)).collect();
    let document = Bytes::from(format!("{{\"v\":\"{}\"}}", "x".repeat(1 << 20)));
    let fault = Projection::new(fields, 128 << 20).project(&[document]).err().unwrap();
    assert_eq!(fault.code, "P110");
    assert!(fault.message.contains("memory cap 128 MiB"), "{}", fault.message);
}

#[test]
fn wide_descriptors_find_their_fields_in_any_order() {
    let name = |n: usize| format!("/k{:03}", (n * 7) % 100);
    let fields: Vec<InputField> = (0..100).map(|n| scalar(&name(n), ScalarType::Int64, false)).collect();
    let members: Vec<String> = (0..100).rev().map(|n| format!("\"k{n:03}\":{n}")).collect();
    let projected = project(fields, &[&format!("{{{}}}", members.join(","))]);
    let values: Vec<i64> = projected
        .batch
        .columns
        .iter()
        .map(|column| match &column.values {
            wit::Values::Int64(values) => values[0],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, (0..100).map(|n| (n * 7) % 100).collect::<Vec<i64>>());
}
