//! Three columns of text, as they are in the document.
//!
//! Does not trim, and refuses nothing.
use sluicebox_sdk::{Input, NoConfig, Output, Refusal};

/// What is read.
#[derive(Input)]
pub struct Document<'a> {
    id: Option<&'a str>,
    a: Option<&'a str>,
    b: Option<&'a str>,
}

/// What is made.
#[derive(Output)]
pub struct Row {
    id: Option<String>,
    a: Option<String>,
    b: Option<String>,
}

/// As it is.
pub fn clean(_: &NoConfig, document: Document<'_>) -> Result<Row, Refusal> {
    Ok(Row { id: document.id.map(str::to_owned), a: document.a.map(str::to_owned), b: document.b.map(str::to_owned) })
}
