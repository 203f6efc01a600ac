//! An enricher that returns as its document the text of `{"document": "TEXT"}`, or the record itself; with `{"ask": true}` it
//! makes one request first and then returns the body of the first answer.
//!
//! Does not check anything: it is there to test the host's checks.

#![cfg_attr(not(target_family = "wasm"), allow(dead_code))]

#[allow(
    warnings,
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "enricher" });
}

use bindings::exports::sluicebox::plugin::{enrich, lifecycle};
use std::sync::OnceLock;

struct Echo;

struct Config {
    document: Option<String>,
    ask: bool,
}

static CONFIG: OnceLock<Config> = OnceLock::new();

impl lifecycle::Guest for Echo {
    fn describe() -> lifecycle::Descriptor {
        lifecycle::Descriptor {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            input: Vec::new(),
            output: Vec::new(),
            config_schema: String::new(),
        }
    }

    fn configure(config: String) -> Result<(), String> {
        let config: serde_json::Value = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        let document = config.get("document").and_then(serde_json::Value::as_str).map(str::to_owned);
        let ask = config.get("ask").and_then(serde_json::Value::as_bool).unwrap_or_default();
        CONFIG.set(Config { document, ask }).map_err(|_| "configured twice".to_owned())
    }
}

impl enrich::Guest for Echo {
    fn enrich(entry: String, answers: Vec<enrich::Answer>) -> enrich::Step {
        let config = CONFIG.get();
        if let Some(answer) = answers.first() {
            return enrich::Step::Done(String::from_utf8_lossy(&answer.body).into_owned());
        }
        if config.is_some_and(|config| config.ask) {
            let request = enrich::Request {
                endpoint: "echo".to_owned(),
                path: "a/b".to_owned(),
                query: vec![("q".to_owned(), entry)],
                headers: Vec::new(),
            };
            return enrich::Step::Fetch(vec![request]);
        }
        enrich::Step::Done(config.and_then(|config| config.document.clone()).unwrap_or(entry))
    }
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the macro's exports are")]
const _: () = {
    bindings::export!(Echo with_types_in bindings);
};
