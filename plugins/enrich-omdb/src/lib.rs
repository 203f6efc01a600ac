//! Asks the OMDb API about one film and keeps its answer as it is.
//!
//! The rules are in `rules`; the calls, the key and the retries are the host's.

pub mod rules;

sluicebox_sdk::enricher! {
    config = rules::Config,
    entry = rules::Entry,
    enrich = rules::enrich,
}
