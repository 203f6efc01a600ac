//! Figures by decade, with the return on the budgets that are known. The rules are in `rules`.

pub mod rules;

sluicebox_sdk::aggregator! { aggregate = rules::Decades }
