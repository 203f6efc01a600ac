//! An aggregate of the ids that each text has. For the inputs in `tests/cases`.
//!
//! Does not judge anything: what comes in goes out.
pub mod rules;
sluicebox_sdk::aggregator! { aggregate = rules::Ids }
