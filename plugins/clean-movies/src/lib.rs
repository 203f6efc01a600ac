//! Turns OMDb's strings into typed rows.
//!
//! The rules are in `rules`; what OMDb's notations mean is in `rules::notation`.

pub mod rules;

sluicebox_sdk::cleaner! {
    config = rules::Config,
    input = rules::Film,
    output = rules::Row,
    clean = rules::clean,
}
