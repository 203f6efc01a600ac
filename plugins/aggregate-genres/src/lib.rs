//! Figures by genre. The rules are in `rules`.

pub mod rules;

sluicebox_sdk::aggregator! { aggregate = rules::Genres }
