//! A cleaner that passes three columns of text through. For the inputs in `tests/cases`.
//!
//! Does not judge anything: what comes in goes out.
pub mod rules;
sluicebox_sdk::cleaner! { config = sluicebox_sdk::NoConfig, input = rules::Document, output = rules::Row, clean = rules::clean }
