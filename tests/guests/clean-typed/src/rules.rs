//! Every type that a column can have, as it is in the document.
//!
//! Does not make one type of another.
use sluicebox_sdk::{Date, Input, Json, JsonRef, List, NoConfig, Output, Refusal, Timestamp};

/// What is read.
#[derive(Input)]
pub struct Document<'a> {
    id: Option<JsonRef<'a>>,
    ts: Option<Timestamp>,
    d: Option<Date>,
    n: Option<i64>,
    x: Option<f64>,
    t: Option<&'a str>,
    b: Option<bool>,
    j: Option<JsonRef<'a>>,
    l: Option<List<'a, &'a str>>,
}

/// What is made.
#[derive(Output)]
pub struct Row {
    id: Option<String>,
    ts: Option<Timestamp>,
    d: Option<Date>,
    n: Option<i64>,
    x: Option<f64>,
    t: Option<String>,
    b: Option<bool>,
    j: Option<Json>,
    l: Option<Vec<String>>,
}

/// As it is.
pub fn clean(_: &NoConfig, document: Document<'_>) -> Result<Row, Refusal> {
    Ok(Row {
        id: document.id.map(|id| id.as_str().to_owned()),
        ts: document.ts,
        d: document.d,
        n: document.n,
        x: document.x,
        t: document.t.map(str::to_owned),
        b: document.b,
        j: document.j.map(|json| Json::from_text(json.as_str())),
        l: document.l.map(|list| list.iter().map(str::to_owned).collect()),
    })
}
