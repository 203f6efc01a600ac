//! Rows out and in again: what the builders write is what the readers read, laid out as `wit/` says.

use super::*;
use crate::{Date, Json, JsonRef, Timestamp};

#[derive(Debug, PartialEq, Clone, Default, crate::Input, crate::Output)]
struct Owned {
    flag: bool,
    count: Option<i64>,
    ratio: Option<f64>,
    #[field(rename = "label", pointer = "/Deep/Label")]
    text: Option<String>,
    day: Date,
    time: Option<Timestamp>,
    raw: Option<Json>,
    words: Vec<String>,
    flags: Option<Vec<bool>>,
    r#type: String,
}

#[derive(Debug, PartialEq, crate::Input)]
struct Borrowed<'a> {
    flag: bool,
    count: Option<i64>,
    ratio: Option<f64>,
    text: Option<&'a str>,
    day: Date,
    time: Option<Timestamp>,
    raw: Option<JsonRef<'a>>,
    words: List<'a, &'a str>,
    flags: Option<List<'a, bool>>,
    kind: &'a str,
}

fn full(number: i64) -> Owned {
    Owned {
        flag: number % 3 == 0,
        count: (number % 2 == 0).then_some(number),
        ratio: (number % 5 != 0).then_some(number as f64 / 4.0),
        text: (number % 4 != 1).then(|| "ä".repeat(number as usize % 3)),
        day: Date::from_days(number as i32),
        time: (number != 9).then(|| Timestamp::from_micros(-number)),
        raw: (number % 7 != 0).then(|| Json::from_text(format!("[{number}]"))),
        words: (0..number % 3).map(|word| format!("w{word}")).collect(),
        flags: (number % 3 != 2).then(|| vec![number % 2 == 0; number as usize % 4]),
        r#type: "film".to_owned(),
    }
}

fn write<O: Output>(rows: impl IntoIterator<Item = O>) -> Batch {
    let mut builders = O::builders(0);
    for row in rows {
        row.push(&mut builders);
    }
    O::finish(builders)
}

#[test]
fn rows_come_back_as_they_went() {
    let rows: Vec<_> = (0..100).map(full).collect();
    let batch = write(rows.clone());
    let columns = Owned::columns(&batch);
    let read: Vec<_> = (0..batch.rows as usize).map(|row| Owned::row(&columns, row)).collect();
    assert_eq!(read, rows);
}

#[test]
fn borrowed_rows_are_the_owned_ones() {
    let rows: Vec<_> = (0..20).map(full).collect();
    let words: Vec<Vec<&str>> = rows.iter().map(|row| row.words.iter().map(String::as_str).collect()).collect();
    let batch = write(rows.clone());
    let columns = Borrowed::columns(&batch);
    for (row, (owned, words)) in rows.iter().zip(&words).enumerate() {
        let expected = Borrowed {
            flag: owned.flag,
            count: owned.count,
            ratio: owned.ratio,
            text: owned.text.as_deref(),
            day: owned.day,
            time: owned.time,
            raw: owned.raw.as_ref().map(|raw| JsonRef::from_text(raw.as_str())),
            words: List::of(words),
            flags: owned.flags.as_deref().map(List::of),
            kind: "film",
        };
        assert_eq!(Borrowed::row(&columns, row), expected);
    }
}

#[test]
fn items_stand_behind_the_fields() {
    let batch = write((0..3).map(full));
    assert_eq!((batch.rows, batch.columns.len()), (3, 12));
    let Values::ListOf(words) = &batch.columns[7].values else { panic!("a list") };
    assert_eq!((words.offsets.as_slice(), words.child), ([0, 0, 1, 3].as_slice(), 10));
    let Values::ListOf(flags) = &batch.columns[8].values else { panic!("a list") };
    assert_eq!(flags.child, 11);
    let expected = Text { offsets: vec![0, 2, 4, 6], bytes: b"w0w0w1".to_vec() };
    assert_eq!(batch.columns[10], Column { validity: None, values: Values::Utf8(expected) });
}

#[test]
fn validity_is_there_from_the_first_null_on() {
    let counts = |numbers: &[i64]| write(numbers.iter().map(|number| full(*number))).columns[1].clone();
    assert_eq!(counts(&[0, 2, 4]).validity, None);
    assert_eq!(counts(&[0, 2, 1, 4]).validity, Some(vec![0b1011]));
    let many: Vec<i64> = (0..8).map(|number| number * 2).chain([1, 2]).collect();
    assert_eq!(counts(&many).validity, Some(vec![0xFF, 0b10]));
}

#[test]
fn a_batch_without_rows_is_laid_out_too() {
    let batch = write(Vec::<Owned>::new());
    assert_eq!(batch.columns[3].values, Values::Utf8(Text { offsets: vec![0], bytes: vec![] }));
    assert_eq!(Owned::rows(&Owned::builders(4)), 0);
}

#[test]
fn descriptors_say_what_the_struct_says() {
    let field = |name| Owned::fields_of(name);
    let label = field("label");
    assert_eq!(
        (label.pointer, label.column_type, label.nullable),
        ("/Deep/Label", ColumnType::Scalar(ScalarType::Utf8), true)
    );
    assert_eq!(field("type").pointer, "/type");
    assert_eq!(field("flags").column_type, ColumnType::ListOf(ScalarType::Boolean));
    assert!(field("flags").nullable && !field("words").nullable);
    assert_eq!(<Owned as Output>::FIELDS.iter().map(|field| field.name).nth(3), Some("label"));
}

impl Owned {
    fn fields_of(name: &str) -> &'static InputField {
        <Self as Input>::FIELDS.iter().find(|field| field.name == name).unwrap()
    }
}

#[test]
#[should_panic(expected = "not of the type ScalarType::Utf8")]
fn a_column_of_another_type_is_a_breach() {
    #[derive(crate::Input)]
    struct Other {
        flag: String,
    }
    let batch = write([full(1)]);
    Other::columns(&batch);
    unreachable!("{:?}", Other { flag: String::new() }.flag);
}
