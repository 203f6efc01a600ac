//! Answers for how the stand-in's own tests talk to it: a stub on a port of its own and calls over real HTTP.
//!
//! Does not interpret answers.

// Each test binary uses a part of this, and a helper that fails is a test that fails.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;

use omdb_stub::{Options, Stub};
use reqwest::{Client, Method, Response, redirect};
use serde_json::Value;

pub(crate) const KEY: &str = "k1";

/// The options of a test's stub.
pub(crate) fn options() -> Options {
    let films = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/films.csv");
    Options::new(films, KEY)
}

pub(crate) async fn started() -> Stub {
    Stub::start(options()).await.unwrap()
}

/// A client that follows nothing and unpacks nothing by itself.
pub(crate) fn client() -> Client {
    Client::builder().redirect(redirect::Policy::none()).no_gzip().build().unwrap()
}

/// `GET /?apikey=…&QUERY`, the answer as it came.
pub(crate) async fn get(stub: &Stub, query: &str) -> reqwest::Result<Response> {
    let url = format!("{}?apikey={KEY}&{query}", stub.url());
    client().get(url).send().await
}

/// The same, status and JSON.
pub(crate) async fn json(stub: &Stub, query: &str) -> (u16, Value) {
    parsed(get(stub, query).await.unwrap()).await
}

/// A control call.
pub(crate) async fn control(stub: &Stub, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = client().request(method, format!("{}_stub/{path}", stub.url()));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    parsed(request.send().await.unwrap()).await
}

async fn parsed(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}
