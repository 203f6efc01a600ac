//! Columns between the sandbox and Arrow: the same memory layout on both sides, so that values are moved and not parsed.
//!
//! Does not read JSON (`project` does) and does not know what a column means.

mod bitmap;
mod from_arrow;
mod to_arrow;

pub(crate) use bitmap::bitmap;
pub(crate) use from_arrow::batch_of;
pub(crate) use to_arrow::record_batch;
