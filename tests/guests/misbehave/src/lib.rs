//! A cleaner that does on request what no cleaner may do: `{"mode": "loop"}` loops for ever, and so on, a name for each way.
//! With `"on": N` it does so only in a batch that holds the number N.
//!
//! Reads `/n`, an integer. Written against the bare contract: through the SDK most of this cannot be said. Does not misbehave while
//! it is being loaded, unless asked to by a mode whose name ends in `-configure`.

#![cfg_attr(not(target_family = "wasm"), allow(dead_code))]

mod bindings;
mod modes;

use bindings::exports::sluicebox::plugin::{clean, lifecycle};
use bindings::sluicebox::plugin::columns::{Batch, ColumnType, Field, InputField, ScalarType, Values};
use std::sync::OnceLock;

struct Misbehave;

/// What was asked for.
struct Mode {
    name: String,
    on: Option<i64>,
}

static MODE: OnceLock<Mode> = OnceLock::new();

impl lifecycle::Guest for Misbehave {
    fn describe() -> lifecycle::Descriptor {
        let integer = || ColumnType::Scalar(ScalarType::Int64);
        lifecycle::Descriptor {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            input: vec![InputField {
                name: "n".to_owned(),
                pointer: "/n".to_owned(),
                type_: integer(),
                nullable: false,
            }],
            output: vec![
                Field { name: "n".to_owned(), type_: integer(), nullable: false },
                Field { name: "half".to_owned(), type_: ColumnType::Scalar(ScalarType::Float64), nullable: true },
                Field { name: "text".to_owned(), type_: ColumnType::Scalar(ScalarType::Utf8), nullable: false },
            ],
            config_schema: r#"{"type":"object","properties":{"mode":{"type":"string"},"on":{"type":"integer"}}}"#
                .to_owned(),
        }
    }

    fn configure(config: String) -> Result<(), String> {
        let config: serde_json::Value = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        let name = config.get("mode").and_then(serde_json::Value::as_str).unwrap_or("behave").to_owned();
        match name.as_str() {
            "refuse-configure" => return Err("`mode`: expected something reasonable".to_owned()),
            "trap-configure" => modes::trap(),
            _ => {}
        }
        let on = config.get("on").and_then(serde_json::Value::as_i64);
        MODE.set(Mode { name, on }).map_err(|_| "configured twice".to_owned())
    }
}

impl clean::Guest for Misbehave {
    fn clean(documents: Batch) -> clean::Cleaned {
        let numbers: &[i64] = match documents.columns.first().map(|column| &column.values) {
            Some(Values::Int64(numbers)) => numbers,
            _ => &[],
        };
        let due = |mode: &Mode| mode.on.is_none_or(|on| numbers.contains(&on));
        let mode = MODE.get().filter(|mode| due(mode)).map_or("behave", |mode| mode.name.as_str());
        modes::clean(mode, numbers)
    }
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the macro's exports are")]
const _: () = {
    bindings::export!(Misbehave with_types_in bindings);
};
