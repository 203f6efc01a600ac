//! A Delta Lake table on any object store: opening, following and changing its log.
//!
//! Does not know what the rows mean: `silver` and `gold` do. Does not plan queries or compact: other engines may, and nothing here minds if
//! they do.

mod checkpoint;
mod commit;
mod entry;
mod error;
mod files;
mod genesis;
mod history;
mod keys;
mod load;
mod log;
mod purge;
mod ranges;
mod schema;
mod state;
mod table;
mod tidy;

pub(crate) use commit::Outcome;
pub(crate) use entry::Draft;
pub use error::{ColumnChange, TableError};
pub use files::text_of;
pub(crate) use files::{FileReader, Written, damaged, encode, encode_parts};
pub(crate) use genesis::Genesis;
pub use history::Commit;
pub(crate) use keys::{CHAIN, MADE_FROM_TABLE, REBUILDING};
pub use keys::{GENERATION, MADE_FROM};
pub use schema::conform;
pub(crate) use schema::{evolve, metadata_with_schema, metadata_with_setting, normalise};
pub(crate) use state::{DataFile, TableState};
pub use table::LastCommit;
pub(crate) use table::Table;
pub use tidy::Tidied;
