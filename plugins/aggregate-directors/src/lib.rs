//! The directors whose films get most votes. The rules are in `rules`.

pub mod rules;

sluicebox_sdk::aggregator! { aggregate = rules::Directors }
