//! An aggregator of weather readings. The rules are in `rules.rs`, which knows nothing of WebAssembly.
//!
//! Does nothing else: this file only says which type makes the plugin.

pub mod rules;

sluicebox_sdk::aggregator! { aggregate = rules::Stations }
