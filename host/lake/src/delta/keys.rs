//! The names under which a table's log says what Delta has no word for.
//!
//! Does not read or write a log.

/// The application id under which a table's `txn` action records the Silver version that it was made from.
pub const MADE_FROM: &str = "sluicebox.silver";

/// The application id under which a commit of Silver records which entry of the chain was the last one.
pub(crate) const CHAIN: &str = "sluicebox.chain";

/// The key under which a derived table's configuration names the Silver table of that version: a table that was removed and made again
/// counts its versions from the start.
pub(crate) const MADE_FROM_TABLE: &str = "sluicebox.silver.table";

/// The key under which a table's configuration names the generation of its plugin that wrote last, and `operationParameters` the generation
/// that made the commit.
pub const GENERATION: &str = "sluicebox.generation";

/// The key under which a table's configuration says that it was emptied and is not complete yet.
pub(crate) const REBUILDING: &str = "sluicebox.rebuilding";

/// The key of `commitInfo` that says where in which trace a commit was made, as W3C's `traceparent`.
pub(crate) const TRACE: &str = "sluicebox.trace";
