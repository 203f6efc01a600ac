//! An enricher of weather readings. The rules are in `rules.rs`, which knows nothing of WebAssembly.
//!
//! Does nothing else: this file only says which type and which function make the plugin.

pub mod rules;

sluicebox_sdk::enricher! { entry = rules::Reading, enrich = rules::enrich }
