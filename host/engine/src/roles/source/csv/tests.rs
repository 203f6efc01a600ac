//! The words about a CSV file, and the records that go on. Does not test how rows are split: `rows` does.

use bytes::Bytes;
use pipeline::plan::{Dialect, SourceFormat};

use crate::roles::source::tests::source;
use crate::roles::source::{Reading, SourceError, read};

fn reading(text: &[u8], dialect: Dialect) -> Result<Reading, SourceError> {
    let mut source = source(SourceFormat::Csv, None, 100);
    source.key = vec!["id".to_owned()];
    source.dialect = dialect;
    read(&source, &Bytes::copy_from_slice(text))
}

fn records(text: &str) -> Vec<String> {
    reading(text.as_bytes(), Dialect::default()).unwrap().records.iter().map(|taken| taken.record.to_string()).collect()
}

#[track_caller]
fn says(text: impl AsRef<[u8]>, parts: &[&str]) {
    let error = reading(text.as_ref(), Dialect::default()).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
}

/// The lines that are refused, each with its reason.
fn refused(text: impl AsRef<[u8]>) -> Vec<(u64, String)> {
    let reading = reading(text.as_ref(), Dialect::default()).unwrap();
    reading.bad.into_iter().map(|line| (line.number, line.reason)).collect()
}

#[test]
fn values_are_text_as_written_and_empty_ones_null() {
    assert_eq!(records("id,a\n1, x \n\"2\",\"\"\n"), [r#"{"id":"1","a":" x "}"#, r#"{"id":"2","a":null}"#]);
    assert_eq!(records("id\n"), Vec::<String>::new());
}

#[test]
fn quotes_that_do_not_pair_up_refuse_the_file_with_line_and_column() {
    says("id,a\n1,x\n2,\"Boston\n3,y\n", &["line 3, column 3", "never closes", "hint: "]);
    says("id,a\n1,x\n2,\"cut he", &["line 3, column 3", "cut"]);
    says("id,a\n1,\"a\"b\n", &["line 2, column 6", "line 2, column 3", "written twice"]);
    says("id,a\n1,\"say \\\"hi\\\"\"\n", &["line 2, column 10", "backslash"]);
    says("id,a\n1,\"x\n2,y\n3,\"z\n", &["line 4, column 4", "line 2, column 3"]);
    says("\"id,a\n1,x\n", &["line 1, column 1", "never closes"]);
}

#[test]
fn a_ragged_row_is_refused_alone_with_its_line() {
    let rows = refused("id,a\n1\n2,x\n3,x,y\n4,x,\n5, \"x, y\"\nTotal: 5\n");
    assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4, 5, 6, 7]);
    assert_eq!(rows[0].1, "it has 1 value, expected 2 as in the header");
    assert!(rows[2].1.contains("delimiter too many"), "{rows:?}");
    assert!(rows[3].1.contains("behind a blank"), "{rows:?}");
    // Lines are counted through the line ends within quotes.
    assert_eq!(refused("id,a\n1,\"x\r\ny\n\"\n2\n")[0].0, 5);
}

#[test]
fn bytes_that_are_no_text_refuse_their_row_alone() {
    let rows = refused(b"id,a\n1,K\xF6ln\n2,x\0y\n3,z\n");
    assert_eq!(rows[0], (2, "byte 0xF6 at column 4 is not UTF-8, in Latin-1 it is `ö`".to_owned()));
    assert_eq!(rows[1], (3, "a NUL byte stands at column 4".to_owned()));
    says(b"id,K\xF6ln\n1,x\n", &["line 1", "0xF6", "iconv"]);
}

#[test]
fn another_delimiter_is_named_with_the_line_that_mends_it() {
    says("id;a;b\n1;x;3,5\n", &["`;`", "hint: write `delimiter = \";\"` under `[source]`"]);
    says("id\ta\n1\tx\n", &["tabs", "delimiter = \"\\t\""]);
    says("\"id\"|\"a\"\n\"1\"|\"x\"\n", &["`|`", "delimiter = \"|\""]);
    says("sep=;\nid;a\n1;x\n", &["line 1", "delimiter = \";\""]);
    says("id,a\n1,\"x\";y\n", &["line 2, column 6", "delimiter = \";\""]);
    assert_eq!(records("sep=,\nid,a\n1,x\n").len(), 1);
    let semicolons = Dialect { delimiter: ';', ..Dialect::default() };
    let read = reading(b"\"sep=;\"\r\nid;a\r\n1;\"3,5;\"\r\n", semicolons).unwrap();
    assert_eq!(read.records[0].record.to_string(), r#"{"id":"1","a":"3,5;"}"#);
    assert_eq!(read.records[0].number, 3);
}

#[test]
fn lines_above_the_header_are_named_and_skipped_when_the_pipeline_says_so() {
    says("# made by tool 1.2\nid,a\n1,x\n", &["line 2", "`skip_lines = 1`"]);
    says("Report\nMay\nid;a\n1;x\n", &["line 3", "delimiter = \";\"", "`skip_lines = 2`"]);
    let skipping =
        |lines| reading(b"# made\r\n\"open\r\nid,a\r\n1,x\r\n", Dialect { skip_lines: lines, ..Dialect::default() });
    assert_eq!(skipping(2).unwrap().records[0].number, 4);
    assert!(skipping(9).unwrap_err().to_string().contains("4 lines"));
}

#[test]
fn a_header_names_each_column_once() {
    says(",id\n0,1\n", &["line 1: column 1", "index=False"]);
    says("id,a,\n1,x,\n", &["line 1: column 3", "at the end"]);
    says("id,a,a\n1,x,y\n", &["`a` stands twice"]);
}

#[test]
fn line_ends_of_all_kinds_and_blank_lines_make_no_difference() {
    let expected = [r#"{"id":"1","a":"x"}"#, r#"{"id":"2","a":"y"}"#];
    for text in ["id,a\r1,x\r2,y\r", "id,a\r\n1,x\n2,y", "\n  \nid,a\n\n1,x\n   \n2,y\n\n"] {
        assert_eq!(records(text), expected, "{text:?}");
    }
}
