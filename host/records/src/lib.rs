//! The values that every other crate speaks of: a record, its key, the tick that it came with, and what may be written as a document.
//!
//! Does not know where any of them is kept.

pub mod columns;
pub mod document;
pub mod keys;
pub mod record;
