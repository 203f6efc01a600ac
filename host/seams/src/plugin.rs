//! Plugins as the engine sees them: loaded once from bytes, called many times, each call a pure function.
//!
//! Does not know WebAssembly: `runtime` implements this on wasmtime, `testkit` on closures.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use bytes::Bytes;
use pipeline::plan::Limits;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::http::HttpAnswer;

/// SHA-256 of a component's bytes; prints as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Digest(format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))))
    }

    /// `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ScalarType {
    /// True or false.
    Boolean,
    /// A 64-bit signed integer.
    Int64,
    /// A finite or non-finite IEEE 754 double.
    Float64,
    /// UTF-8 text.
    Utf8,
    /// Days since 1970-01-01.
    Date32,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// The raw text of a JSON value; stored as text.
    Json,
}

impl ScalarType {
    /// The name that a plugin author and an error message use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ScalarType::Boolean => "boolean",
            ScalarType::Int64 => "int64",
            ScalarType::Float64 => "float64",
            ScalarType::Utf8 => "utf8",
            ScalarType::Date32 => "date32",
            ScalarType::Timestamp => "timestamp",
            ScalarType::Json => "json",
        }
    }

    /// The Arrow type that holds it.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            ScalarType::Boolean => DataType::Boolean,
            ScalarType::Int64 => DataType::Int64,
            ScalarType::Float64 => DataType::Float64,
            ScalarType::Utf8 | ScalarType::Json => DataType::Utf8,
            ScalarType::Date32 => DataType::Date32,
            ScalarType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColumnType {
    /// One value a row.
    Scalar(ScalarType),
    /// A list of values a row, no item null.
    List(ScalarType),
}

impl ColumnType {
    /// The Arrow type that holds it. The items of a list are declared non-null and named `element`, as Delta and Parquet do.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Scalar(scalar) => scalar.arrow(),
            ColumnType::List(scalar) => DataType::List(Arc::new(ArrowField::new("element", scalar.arrow(), false))),
        }
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnType::Scalar(scalar) => f.write_str(scalar.name()),
            ColumnType::List(scalar) => write!(f, "list<{}>", scalar.name()),
        }
    }
}

/// A column that a plugin produces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// Name of the column.
    pub name: String,
    /// Type of the column.
    pub ty: ColumnType,
    /// Whether a row may have no value.
    pub nullable: bool,
}

/// A column that a plugin reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InputField {
    /// Name: of a source column for an enricher, of a Silver column for an aggregator.
    pub name: String,
    /// RFC 6901 JSON pointer into the Bronze document: a cleaner's input.
    pub pointer: String,
    /// Type of the column.
    pub ty: ColumnType,
    /// Whether a row may have no value.
    pub nullable: bool,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// What it reads.
    pub input: Vec<InputField>,
    /// What it produces; empty for an enricher.
    pub output: Vec<Field>,
    /// JSON Schema of its configuration.
    pub config_schema: String,
}

impl Descriptor {
    /// The Arrow schema of the output.
    #[must_use]
    pub fn output_schema(&self) -> SchemaRef {
        let field = |field: &Field| ArrowField::new(&field.name, field.ty.arrow(), field.nullable);
        Arc::new(Schema::new(self.output.iter().map(field).collect::<Vec<_>>()))
    }
}

/// What a plugin gets when it is loaded.
#[derive(Clone, Debug)]
pub struct Grants {
    /// The plugin's configuration: the text of one JSON object.
    pub config: String,
    /// What each call may use.
    pub limits: Limits,
}

/// Why a component was refused at load. The version that serves, if any, keeps serving.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct LoadError {
    /// Stable code, `P` and three digits.
    pub code: &'static str,
    /// What is wrong, against what was expected.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// How a plugin broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// It trapped: `unreachable`, a panic, an out-of-bounds access.
    Trap,
    /// It ran past its deadline.
    Deadline,
    /// It asked for more memory, tables or instances than it may have.
    Memory,
    /// Its call stack is exhausted.
    Stack,
    /// What it returned is not what its descriptor or the contract says.
    BadOutput,
    /// It refused the configuration that it accepted when it was loaded, or failed in `configure`.
    Configure,
    /// The host failed, not the plugin: a bug of ours.
    Host,
}

/// A plugin that broke. One that refuses a record in its own words is a [`Reject`], not a fault.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct Fault {
    /// How it broke.
    pub kind: FaultKind,
    /// Stable code, `P` and three digits.
    pub code: &'static str,
    /// What happened, limit against actual where there is one.
    pub message: String,
    /// The plugin's own call stack, if it trapped.
    pub backtrace: Option<String>,
    /// The last lines that the plugin logged.
    pub log: Vec<String>,
}

/// What every loaded plugin can say.
pub trait Plugin: Send + Sync + std::fmt::Debug {
    /// What the plugin says of itself.
    fn descriptor(&self) -> &Descriptor;

    /// Digest of the component that it was loaded from.
    fn digest(&self) -> &Digest;

    /// The component itself. The lake keeps it, so that what the plugin made can be made again when another plugin serves.
    fn component(&self) -> &Bytes;

    /// Begins to prepare the plugin for a first call that is about to come, and waits for nothing. A call does that as well.
    fn prepare(&self) {}
}

/// A request that an enricher asks for: never a host, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRequest {
    /// Name of an endpoint of `pipeline.toml`.
    pub endpoint: String,
    /// Path relative to the endpoint's URL.
    pub path: String,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
}

/// What an enricher wants next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Make these requests and call again with all answers so far.
    Fetch(Vec<EndpointRequest>),
    /// The document for Bronze: the text of one JSON object, validated.
    Done(String),
    /// Nothing to store, and that is no fault.
    Skip(String),
    /// Quarantine the record.
    Reject(String),
    /// The service asks to be left alone.
    BackOff {
        /// How long.
        pause: Duration,
        /// Why, in the plugin's words.
        reason: String,
    },
}

/// The enrich layer's logic.
#[async_trait]
pub trait Enricher: Plugin {
    /// One step for one record. `entry` is the text of a JSON object; `answers` are all so far, in the order asked for.
    async fn enrich(&self, entry: &str, answers: &[HttpAnswer]) -> Result<Step, Fault>;
}

/// A document that makes no row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Index of the document in the input.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// Who refused a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RejectedBy {
    /// The plugin, in its own words.
    Plugin,
    /// The host: a field that the plugin requires is missing or of another type.
    Projection,
    /// The host: the plugin made a row with a value that tables cannot hold.
    Range,
}

/// A refused document: quarantine its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Index of the document in the input.
    pub index: usize,
    /// Why.
    pub reason: String,
    /// Who refused it.
    pub by: RejectedBy,
}

/// What a cleaner made of a batch. Every input index is in exactly one of `row_of` (once or more), `rejects` and `skips`.
#[derive(Clone, Debug)]
pub struct Cleaned {
    /// The rows, with the schema of [`Descriptor::output_schema`].
    pub rows: RecordBatch,
    /// For each row, the index of its document; never decreasing.
    pub row_of: Vec<usize>,
    /// Refused documents, by ascending index.
    pub rejects: Vec<Reject>,
    /// Documents that rightly make no row, by ascending index.
    pub skips: Vec<Note>,
}

/// The clean layer's logic.
#[async_trait]
pub trait Cleaner: Plugin {
    /// Cleans a batch of Bronze documents, each the text of one JSON object. The host extracts the descriptor's fields from them.
    async fn clean(&self, documents: &[Bytes]) -> Result<Cleaned, Fault>;
}

/// One aggregate's logic.
#[async_trait]
pub trait Aggregator: Plugin {
    /// The partial result of these rows. Each batch has (at least) the columns of the descriptor's input, found by name.
    async fn fold(&self, rows: &[RecordBatch]) -> Result<Bytes, Fault>;

    /// One partial result in place of these, merged in order: merged or finished with others, it gives the same result as these do. The
    /// engine checks that on real data (`roles::aggregate`), an adapter does not.
    async fn merge(&self, partials: &[Bytes]) -> Result<Bytes, Fault>;

    /// The table of these partial results, merged in order, with the schema of [`Descriptor::output_schema`].
    async fn finish(&self, partials: &[Bytes]) -> Result<RecordBatch, Fault>;
}

/// Loads plugins.
///
/// # Contract
/// * Equal bytes and grants behave equally, for ever: a plugin's output depends on its digest, configuration and input alone.
/// * A load that fails leaves every loaded plugin as it was.
/// * Nothing that a plugin does harms the host: it ends in a [`Fault`].
#[async_trait]
pub trait Plugins: Send + Sync + std::fmt::Debug {
    /// Loads a component of the world `enricher`.
    async fn enricher(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Enricher>, LoadError>;

    /// Loads a component of the world `cleaner`.
    async fn cleaner(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Cleaner>, LoadError>;

    /// Loads a component of the world `aggregator`.
    async fn aggregator(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Aggregator>, LoadError>;
}

/// Which plugin made something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginStamp {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it was loaded from.
    pub digest: String,
}

impl PluginStamp {
    /// What `plugin` is called in documents, rows and quarantine.
    pub fn of(plugin: &(impl Plugin + ?Sized)) -> Self {
        let Descriptor { name, version, .. } = plugin.descriptor();
        PluginStamp { name: name.clone(), version: version.clone(), digest: plugin.digest().to_string() }
    }

    /// Its short name in the log and in traces: its name and the first digits of its digest.
    #[must_use]
    pub fn short(&self) -> String {
        plugin_name(&self.name, &self.digest)
    }
}

/// For people: with the first digits of its digest, which tell it from others.
impl std::fmt::Display for PluginStamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = self.digest.get(.."sha256:".len() + 12).unwrap_or(&self.digest);
        write!(f, "{} {} {digest}", self.name, self.version)
    }
}

/// What a plugin is called: its name, and as many digits of its digest as tell plugins apart.
#[must_use]
pub fn plugin_name(name: &str, digest: &str) -> String {
    let digits = digest.trim_start_matches("sha256:");
    format!("{name}@{}", digits.get(..12).unwrap_or(digits))
}
