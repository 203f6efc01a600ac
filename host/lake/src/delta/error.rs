//! Why a table could not be read or written: each variant is a decision.
//!
//! Does not say what the caller does about it; `is_transient` only says whether the same call may succeed later.

use delta_kernel::error::Error as KernelError;
use deltalake_core::DeltaTableError;
use parquet::errors::ParquetError;
use seams::store::StoreError;
use thiserror::Error;

/// How one column differs between the table and what is to be written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnChange {
    /// Name of the column.
    pub name: String,
    /// What the table has, if it has the column.
    pub table: Option<String>,
    /// What was to be written, if it has the column.
    pub wanted: Option<String>,
}

impl std::fmt::Display for ColumnChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let none = "no such column";
        let (table, wanted) = (self.table.as_deref().unwrap_or(none), self.wanted.as_deref().unwrap_or(none));
        write!(f, "column `{}`: the table has {table}, the new rows have {wanted}", self.name)
    }
}

/// Why a table could not be read or written.
#[derive(Debug, Error)]
pub enum TableError {
    /// The store failed. Try again: every operation is idempotent.
    #[error("table `{table}`: the store failed: {source}")]
    Store {
        /// The table.
        table: String,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// Other writers were faster too many times in a row. Try again later.
    #[error("table `{table}`: gave up after {attempts} attempts: other writers were faster each time")]
    Conflict {
        /// The table.
        table: String,
        /// How many commits were tried.
        attempts: u32,
    },
    /// So much time has passed between the writing of a file and its commit that a clean-up may have deleted it. Try again.
    #[error("table `{table}`: gave up a change whose files were written too long ago")]
    Late {
        /// The table.
        table: String,
    },
    /// The log does not reach back to a version, or not yet up to it.
    #[error(
        "table `{table}` has no version {version}: its log has {oldest} to {newest}\nhint: `retention` in `[lake]` says for how long old versions are kept"
    )]
    NoVersion {
        /// The table.
        table: String,
        /// The version asked for.
        version: i64,
        /// The oldest one that there is.
        oldest: u64,
        /// The newest one.
        newest: u64,
    },
    /// The rows do not fit the table's columns. A plugin's fault, or a new plugin's need.
    #[error("table `{table}` has other columns{}\nhint: {hint}", lines(columns))]
    Schema {
        /// The table.
        table: String,
        /// Every column that does not fit.
        columns: Vec<ColumnChange>,
        /// What to do.
        hint: &'static str,
    },
    /// A later generation of the plugin has written to the table: the output of an earlier one must not stand beside it.
    #[error(
        "table `{table}` is made by generation {table_has} of its plugin, this host runs generation {ours}\nhint: restart this host with the pipeline that the others run"
    )]
    Outdated {
        /// The table.
        table: String,
        /// The generation that has written last.
        table_has: i64,
        /// The generation of this host.
        ours: i64,
    },
    /// The number of buckets is not the one that the table was made with.
    #[error(
        "table `{table}` was made with {table_has} buckets, got {wanted}\nhint: set `buckets = {table_has}` in `[lake]`, or run `sluicebox replay --rebuild`"
    )]
    Buckets {
        /// The table.
        table: String,
        /// What the table has.
        table_has: u32,
        /// What `pipeline.toml` has.
        wanted: u32,
    },
    /// A file that the table's log names is not there: it was deleted, or the snapshot is older than the last vacuum.
    #[error(
        "table `{table}`: file `{path}` of version {version} is gone\nhint: an old version's files are kept as long as `retention` in `[lake]` says: read a newer one; if this is the newest, run `sluicebox verify`"
    )]
    Missing {
        /// The table.
        table: String,
        /// The file, relative to the table.
        path: String,
        /// The version that names it.
        version: u64,
    },
    /// Another engine has changed the table in a way that this one does not know how to keep.
    #[error(
        "table `{table}` uses {feature}, which sluicebox does not write\nhint: rewrite the table without it, or empty the layer and run `sluicebox replay`"
    )]
    Unsupported {
        /// The table.
        table: String,
        /// The feature.
        feature: String,
    },
    /// The table's log cannot be read.
    #[error("table `{table}`: its log cannot be read: {source}")]
    Log {
        /// The table.
        table: String,
        /// What the reader says.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// Something in the table is not what the engine writes there.
    #[error("table `{table}` is not valid: {what}")]
    Corrupt {
        /// The table.
        table: String,
        /// Expected against found.
        what: String,
    },
    /// The caller's rows and their metadata contradict each other: a bug of ours.
    #[error("table `{table}`: {what}")]
    Input {
        /// The table.
        table: String,
        /// Expected against found.
        what: String,
    },
}

impl TableError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            TableError::Store { .. } | TableError::Conflict { .. } | TableError::Late { .. } => true,
            TableError::Log { source, .. } => matches!(source.as_ref(), DeltaTableError::Io { .. }),
            TableError::Schema { .. }
            | TableError::Buckets { .. }
            | TableError::Outdated { .. }
            | TableError::Missing { .. }
            | TableError::NoVersion { .. }
            | TableError::Unsupported { .. }
            | TableError::Corrupt { .. }
            | TableError::Input { .. } => false,
        }
    }

    pub(crate) fn store(table: &str, source: StoreError) -> Self {
        TableError::Store { table: table.to_owned(), source }
    }

    /// An error of `deltalake-core`; a store's failure in it becomes [`TableError::Store`].
    pub(crate) fn log(table: &str, error: DeltaTableError) -> Self {
        match store_failure(error) {
            Ok(source) => TableError::store(table, source),
            Err(error) => TableError::Log { table: table.to_owned(), source: Box::new(error) },
        }
    }

    /// An error of the Parquet reader on `path`; a store's failure in it is handled by [`TableError::file`].
    pub(crate) fn parquet(table: &str, version: u64, path: &str, error: ParquetError) -> Self {
        let what = match error {
            ParquetError::External(inner) => match inner.downcast::<StoreError>() {
                Ok(source) => return TableError::file(table, version, path, *source),
                Err(other) => other.to_string(),
            },
            other => other.to_string(),
        };
        TableError::corrupt(table, format!("file `{path}`: {what}"))
    }

    /// What the store reports on a data file.
    pub(crate) fn file(table: &str, version: u64, path: &str, error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => {
                TableError::Missing { table: table.to_owned(), path: path.to_owned(), version }
            }
            error => TableError::store(table, error),
        }
    }

    pub(crate) fn corrupt(table: &str, what: impl std::fmt::Display) -> Self {
        TableError::Corrupt { table: table.to_owned(), what: what.to_string() }
    }

    /// The error for rows that do not fit `table`, with the reason.
    pub fn input(table: &str, what: impl std::fmt::Display) -> Self {
        TableError::Input { table: table.to_owned(), what: what.to_string() }
    }

    pub(crate) fn unsupported(table: &str, feature: impl std::fmt::Display) -> Self {
        TableError::Unsupported { table: table.to_owned(), feature: feature.to_string() }
    }
}

/// The store's own failure inside `error`, or `error` as it is.
fn store_failure(error: DeltaTableError) -> Result<StoreError, DeltaTableError> {
    match error {
        DeltaTableError::ObjectStore { source } => Ok(source),
        DeltaTableError::KernelError(KernelError::ObjectStore(source)) => Ok(source),
        DeltaTableError::KernelError(KernelError::IOError(source)) => {
            Ok(StoreError::Generic { store: "log", source: source.into() })
        }
        DeltaTableError::KernelError(KernelError::Backtraced { source, .. }) => {
            store_failure(DeltaTableError::KernelError(*source))
        }
        error => Err(error),
    }
}

fn lines(columns: &[ColumnChange]) -> String {
    columns.iter().map(|column| format!("\n  {column}")).collect()
}
