//! A cleaner of weather readings. The rules are in `rules.rs`, which knows nothing of WebAssembly.
//!
//! Does nothing else: this file only says which types and which function make the plugin.

pub mod rules;

sluicebox_sdk::cleaner! { config = rules::Settings, input = rules::Document, output = rules::Reading, clean = rules::clean }
