//! Every type and every attribute that may stand in a table.

use sluicebox_sdk::{Date, Input, Json, JsonRef, List, Output, Timestamp};

#[derive(Input)]
#[input(rename_all = "PascalCase")]
struct Borrowed<'a> {
    flag: bool,
    number: Option<i64>,
    ratio: f64,
    text: &'a str,
    owned_text: Option<String>,
    day: Option<Date>,
    time: sluicebox_sdk::Timestamp,
    #[field(pointer = "/a~1b/0", rename = "raw")]
    json: JsonRef<'a>,
    list: List<'a, &'a str>,
    vector: Option<Vec<&'a str>>,
    r#type: Vec<i64>,
}

#[derive(Input, Output)]
struct Owned {
    time: Timestamp,
    json: Json,
    #[field(rename = "names")]
    list: Vec<String>,
}

#[derive(Output)]
#[output(rename_all = "camelCase")]
struct Row<'r> {
    first_name: &'r str,
    list: List<'r, i64>,
    names: Option<Vec<&'r str>>,
}

fn main() {
    let names: Vec<_> = <Borrowed as Input>::FIELDS.iter().map(|field| (field.name, field.pointer)).collect();
    assert_eq!(names[4], ("OwnedText", "/OwnedText"));
    assert_eq!(names[7], ("raw", "/a~1b/0"));
    assert_eq!(names[10], ("Type", "/Type"));
    let names: Vec<_> = <Row as Output>::FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names, ["firstName", "list", "names"]);
    let _ = (<Owned as Input>::columns, <Owned as Output>::finish);
}
