//! What a source gives, format by format.
use std::num::NonZeroUsize;

use pipeline::plan::{Location, OrderBy, Percent};

use super::*;

pub(super) fn source(format: SourceFormat, order_by: Option<(&str, bool)>, top_n: usize) -> Source {
    let extension = format_name(format).split(' ').next().unwrap().to_lowercase();
    Source {
        location: Location::Local(format!("data/x.{extension}")),
        format,
        records: None,
        key: vec!["name".into()],
        optional: Vec::new(),
        order_by: order_by.map(|(column, descending)| OrderBy { column: column.into(), descending }),
        top_n: NonZeroUsize::new(top_n).unwrap(),
        batch_size: NonZeroUsize::MIN,
        suspend_above: Percent::SUSPEND_ABOVE,
        dialect: Default::default(),
    }
}

fn names(reading: &Reading) -> String {
    reading.records.iter().map(|taken| taken.record.text("name").unwrap()).collect::<Vec<_>>().join(" ")
}

fn bad(reading: &Reading) -> Vec<(u64, &str)> {
    reading.bad.iter().map(|line| (line.number, line.reason.as_str())).collect()
}

fn json(text: &str) -> Result<Reading, SourceError> {
    read(&source(SourceFormat::Json, None, 9), &Bytes::from(text.to_owned()))
}

fn lines(text: &str) -> Result<Reading, SourceError> {
    read(&source(SourceFormat::JsonLines, None, 9), &Bytes::from(text.to_owned()))
}

fn at(pointer: &str, text: &str) -> Result<Reading, SourceError> {
    let source = Source { records: Some(pointer.to_owned()), ..source(SourceFormat::Json, None, 9) };
    read(&source, &Bytes::from(text.to_owned()))
}

/// That the error has each of these parts.
fn says(result: Result<Reading, SourceError>, parts: &[&str]) {
    let text = result.unwrap_err().to_string();
    for part in parts {
        assert!(text.contains(part), "`{text}` has no `{part}`");
    }
}

const TEXT: &str = "name,votes\na,9\nb,\nc,10\nd,x\ne,10\n";

#[test]
fn csv_is_ordered_by_number_with_words_and_nothing_last_in_both_directions() {
    let csv = Bytes::from(TEXT);
    let read_by = |order, n| read(&source(SourceFormat::Csv, order, n), &csv).unwrap();
    assert_eq!(names(&read_by(Some(("votes", true)), 9)), "c e a d b");
    assert_eq!(names(&read_by(Some(("votes", false)), 9)), "a c e d b");
    assert_eq!(names(&read_by(Some(("votes", true)), 2)), "c e");
    assert_eq!(names(&read_by(None, 2)), "a b");
}

#[test]
fn all_records_and_values_that_are_no_numbers_are_counted_whatever_is_taken() {
    let csv = Bytes::from(TEXT);
    for (order, n) in [(Some(("votes", true)), 1), (None, 1), (None, 9)] {
        assert_eq!(read(&source(SourceFormat::Csv, order, n), &csv).unwrap().total, 5);
    }
    let not_numbers = |column| read(&source(SourceFormat::Csv, Some((column, true)), 1), &csv).unwrap().not_numbers;
    // A column of text alone is ordered as text, and nothing in it is odd.
    assert_eq!((not_numbers("votes"), not_numbers("name")), (1, 0));
}

#[test]
fn empty_is_null_and_all_else_text() {
    let read = read(&source(SourceFormat::Csv, None, 9), &Bytes::from(TEXT)).unwrap();
    let votes = |index: usize| read.records[index].record.get("votes").unwrap().get();
    assert_eq!((votes(0), votes(1)), ("\"9\"", "null"));
}

#[test]
fn a_missing_column_is_named_beside_those_there_are() {
    let error = read(&source(SourceFormat::Csv, Some(("stars", true)), 9), &Bytes::from(TEXT)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "source `data/x.csv` has no column `stars`, which `order_by` under `[source]` names\n  hint: its columns are `name`, `votes`"
    );
    says(lines("{\"id\":1}\n{\"b\":1}\n"), &["has no column `name`", "`id`, `b`"]);
}

#[test]
fn a_reserved_column_is_refused_where_the_format_names_columns() {
    for column in ["_meta", "_key", "_seq", "_ord", "_source", "_plugin", "_bucket"] {
        let text = Bytes::from(format!("name,{column}\na,1\n"));
        says(read(&source(SourceFormat::Csv, None, 9), &text), &[column, "reserved", "hint: give it another name"]);
    }
}

#[test]
fn digits_of_json_stay_as_they_are_written_and_order_exactly() {
    let text = r#"{"name":"a","v":9007199254740993}
{"name":"b","v":9007199254740992}
{"name":"c","v":18446744073709551617}
{"name":"d","v":18446744073709551616}
{"name":"e","v":0.1234567890123456789}
{"name":"f","v":1.10}
{"name":"g","v":1e-400}
{"name":"h","v":-0.0}
"#;
    let read = read(&source(SourceFormat::JsonLines, Some(("v", true)), 9), &Bytes::from(text)).unwrap();
    assert_eq!(names(&read), "c d a b f e g h");
    for taken in &read.records {
        assert!(text.contains(&taken.record.to_string()), "{}", taken.record);
    }
}

#[test]
fn a_line_that_is_no_record_is_refused_alone_with_its_number_text_and_reason() {
    let deep = format!("{{\"name\":\"d\",\"j\":{}{}}}", "[".repeat(101), "]".repeat(101));
    let cases = [
        ("{\"name\":\"b\",\"a\":\"\\ud83d\"}", "hex escape"),
        ("{\"name\":\"b\",\"a\":NaN}", "expected value, at column 17"),
        ("{\"name\":\"b\",\"a\":", "EOF while parsing"),
        ("{\"name\":\"b\",\"a\":1e400}", "number out of range"),
        ("{\"name\":\"b\",\"_meta\":{\"source\":\"crm\"}}", "`_meta` has a name that is reserved"),
        ("{\"name\":\"b\",\"name\":\"c\"}", "is there twice"),
        ("{\"name\":\"b\"} {\"name\":\"c\"}", "a second object without a line break"),
        ("42", "found a number, expected an object"),
        (deep.as_str(), "more than 100 levels deep"),
    ];
    for (line, reason) in cases {
        let read = lines(&format!("{{\"name\":\"a\"}}\r\n\n  \n{line}\n{{\"name\":\"z\"}}")).unwrap();
        assert_eq!((names(&read).as_str(), read.total), ("a z", 2), "{line}");
        let found = &read.bad[0];
        assert!(found.number == 4 && found.text == line && found.reason.contains(reason), "{found:?}");
        let read = json(&format!("[\n {{\"name\":\"a\"}},\n\n{line},\n{{\"name\":\"z\"}}]"));
        // In a list, what is cut takes its neighbours with it: no reader can tell where it ends.
        if !line.ends_with(':') {
            let read = read.unwrap();
            assert!(names(&read) == "a z" && read.bad[0].number == 4 && read.bad[0].text == line, "{:?}", read.bad);
        }
    }
}

#[test]
fn a_byte_that_is_no_utf_8_costs_its_line_and_is_named_with_its_encoding() {
    let text = Bytes::from_static(b"{\"name\":\"a\"}\n{\"name\":\"K\xF6ln\"}\n{\"name\":\"z\"}\n");
    let read = read(&source(SourceFormat::JsonLines, None, 9), &text).unwrap();
    assert_eq!(names(&read), "a z");
    let [(2, reason)] = bad(&read)[..] else { panic!("{:?}", read.bad) };
    assert!(
        reason.contains("0xF6") && reason.contains("Latin-1 it is `ö`") && reason.contains("iconv -f WINDOWS-1252")
    );
    assert_eq!(read.bad[0].text, "{\"name\":\"K\u{FFFD}ln\"}");
}

#[test]
fn an_element_over_several_lines_is_told_with_the_lines_of_the_file() {
    let read = json("[{\"name\":\"a\"},\n{\n  \"name\": \"b\",\n  \"a\": nope\n},\n{\"name\":\"c\"}]").unwrap();
    assert_eq!((names(&read).as_str(), read.bad[0].number), ("a c", 2));
    assert!(read.bad[0].reason.contains("at line 4"), "{:?}", read.bad);
}

#[test]
fn a_few_bad_lines_of_many_pass_and_too_many_refuse_the_whole() {
    let text = |bad: usize| {
        let line = |n: usize| if n < bad { "{\"name\":".to_owned() } else { format!("{{\"name\":\"{n}\"}}") };
        (0..100).map(line).collect::<Vec<_>>().join("\n")
    };
    let read = lines(&text(20)).unwrap();
    assert_eq!((read.total, read.bad.len()), (80, 20));
    says(
        lines(&text(21)),
        &[
            "21 of 100 lines are no records, allowed are 20%",
            "the first is line 1",
            "hint: mend the lines",
            "suspend_above = \"21%\"",
        ],
    );
    let patient = Source { suspend_above: Percent::WHOLE, ..source(SourceFormat::JsonLines, None, 9) };
    assert_eq!(super::read(&patient, &text(99).into()).unwrap().bad.len(), 99);
    // Of fewer than 50 lines a few are a large share and say little.
    assert_eq!(lines("{\"name\":\"a\"}\nx\ny\nz\n").unwrap().bad.len(), 3);
}

#[test]
fn json_in_another_shape_than_its_format_says_which_one_fits() {
    // The last line of such a list is an object of its own, and must not be taken for the whole.
    let list = "[\n{\"name\":\"1\"},\n{\"name\":\"2\"}\n]\n";
    says(lines(list), &["line 1: found a list", "`format = \"json\"`"]);
    says(lines("[{\"name\":\"1\"},{\"name\":\"2\"}]"), &["found a list", "`format = \"json\"`"]);
    says(
        lines("{\n  \"name\": \"1\",\n  \"a\": \"x\"\n}\n"),
        &["line 1: found an object over several lines", "`jq -c . x.json"],
    );
    says(lines("{\n \"data\": [\n  {\"name\":\"1\"}\n ]\n}\n"), &["`format = \"json\"` and `records = \"/data\"`"]);
    says(lines("{\"name\":\"1\"}\r{\"name\":\"2\"}\r"), &["CR alone", "tr "]);
    says(lines("name,a\n1,x\n"), &["line 1: found text", "if it is CSV: `format = \"csv\"`"]);
    says(lines("x\ny\n"), &["none of its 2 lines is a record; line 1"]);
    says(lines("{\"name\":\n"), &["its only line is no record; line 1: EOF"]);
    says(lines("{\"name\":\"1\"} {\"name\":\"2\"}\n"), &["a second object without a line break", "`jq -c . x.json"]);
    says(json("name,a\n1,x\n"), &["if it is CSV: `format = \"csv\"`"]);
    says(
        json("{\"name\":\"1\",\"a\":\"x\"}\n{\"name\":\"2\",\"a\":\"x\"}\n"),
        &["objects one behind the other", "`format = \"jsonl\"`"],
    );
    says(json("{\"name\":\"1\",\"a\":\"x\"}"), &["found one object", "`format = \"jsonl\"`"]);
    says(json("{\"data\":[{\"name\":\"1\"}],\"next\":null}"), &["`/data`", "`records = \"/data\"`"]);
    says(json("{\"a/b\":[{\"name\":\"1\"}]}"), &["`records = \"/a~1b\"`"]);
    says(json("null"), &["line 1: found `null`, expected a list of objects", "is `[]`"]);
    says(json("// x\n[{\"name\":\"1\"}]"), &["line 1: found a comment", "hint: take the comments out"]);
    says(json("[{\"name\":\"1\"},\n]"), &["line 2: found a comma behind the last element"]);
    says(json("[{\"name\":\"1\"},,{\"name\":\"2\"}]"), &["line 1: found a comma without an element"]);
    says(json("[{\"name\":\"1\"}]\n[{\"name\":\"2\"}]"), &["line 2: found `[` behind the end"]);
    says(json(""), &["it is empty: 0 bytes"]);
    says(lines("\n \n"), &["it is empty: 3 bytes, all of them blank"]);
}

#[test]
fn an_empty_list_is_no_records_and_says_so() {
    let read = json(" [ ] ").unwrap();
    assert_eq!(
        (read.total, read.notices.as_slice()),
        (0, &["source `data/x.json` holds an empty list: no record".to_owned()][..])
    );
}

#[test]
fn a_byte_order_mark_before_json_is_read() {
    assert_eq!(names(&json("\u{FEFF}[{\"name\":\"a\"}]").unwrap()), "a");
    assert_eq!(names(&lines("\u{FEFF}{\"name\":\"a\"}\n").unwrap()), "a");
}

#[test]
fn json_that_is_cut_or_unbalanced_is_refused_whole_with_the_line() {
    says(json("[{\"name\":\"a\"},\n{\"name\":\"b\""), &["line 2: the file ends within an object", "cut off"]);
    says(json("[{\"name\":\"a\"},\n{\"name\":\"b\"}\n"), &["the file ends within the list of records"]);
    says(
        json("[{\"name\":\"a\"},\n{\"name\":\"b},\n{\"name\":\"c\"}]"),
        &["line 2: a string is not closed", "quote is missing"],
    );
    says(json("[{\"name\":\"a\"},\n{\"name\":[1}]"), &["line 2: found `}`", "`[` of line 2"]);
}

#[test]
fn records_are_found_where_a_pointer_says() {
    let text = "{\"meta\":{\"a]\":\"}\"},\"data\":{\"items\":[{\"name\":\"a\"},\n{\"name\":\"b\"}]},\"next\":null}";
    let read = at("/data/items", text).unwrap();
    assert_eq!((names(&read).as_str(), read.records[1].number), ("a b", 2));
    assert_eq!(names(&at("/1", "[[{\"name\":\"a\"}],[{\"name\":\"b\"}]]").unwrap()), "b");
    assert_eq!(names(&at("", "[{\"name\":\"a\"}]").unwrap()), "a");
    assert_eq!(names(&at("/a~1b/~0", "{\"a/b\":{\"~\":[{\"name\":\"a\"}]}}").unwrap()), "a");
    says(at("/rows", "{\"data\":[{\"name\":\"a\"}]}"), &["nothing at `/rows`", "the lists there are `/data`"]);
    says(at("/data", "{\"data\":{\"x\":[{\"name\":\"a\"}]}}"), &["`records = \"/data/x\"`"]);
    says(at("/data", "{\n\"\\ud800\":1,\"data\":[{\"name\":\"a\"}]}"), &["line 2: a key is not text"]);
    says(
        at("/data", "{\"data\":[{\"name\":\"a\"}],\"next\":"),
        &["the file ends within an object that begins on line 1", "cut off"],
    );
}

#[test]
fn a_long_bad_line_is_shortened() {
    let read = lines(&format!("{{\"name\":\"a\"}}\n{}\n", "ö".repeat(10_000))).unwrap();
    assert!(
        read.bad[0].text.len() < 4_200 && read.bad[0].text.ends_with("ö… (20000 bytes in all)"),
        "{}",
        read.bad[0].text
    );
}
