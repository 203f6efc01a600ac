//! The names of the columns that the host adds to a plugin's own. Does not know what is in them.

/// The partition column.
pub const BUCKET: &str = "_bucket";
/// The column of a row's key.
pub const KEY: &str = "_key";
/// The column that orders the versions of a key.
pub const ORD: &str = "_ord";
/// The column of the tick.
pub const SEQ: &str = "_seq";
/// The column of the Bronze object and line.
pub const SOURCE: &str = "_source";
/// The column of the digest of the plugin that made the row.
pub const PLUGIN: &str = "_plugin";
