//! A pipeline that can run: every name resolved, every number in range, every unit gone.
//!
//! Serializes to JSON with durations in milliseconds, sizes in bytes, and places, templates and secrets in their text form.
//! Holds no text that still has to be parsed, no default that still has to be applied, and no secret's value.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use url::Url;

use super::json::{as_json, as_millis, as_millis_with_fraction, as_optional_text, as_text, as_texts};
pub use super::limits::{Isolation, Limits};
use super::s3;
use super::schedule::Schedule;
pub use crate::secret::SecretRef;
use crate::urls::shown_url;

/// One pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Its name: `[a-z0-9][a-z0-9_-]{0,62}`.
    pub name: String,
    /// When it ticks; `None` runs only on demand.
    pub schedule: Option<Schedule>,
    /// Where its records come from.
    pub source: Source,
    /// How messages are handed out.
    pub queue: QueueSettings,
    /// Secrets by the name that endpoints use.
    #[serde(serialize_with = "as_texts")]
    pub secrets: BTreeMap<String, SecretRef>,
    /// The only doors out, by the name that plugins use.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The enrich stage; without one the source's record is the Bronze document.
    pub enrich: Option<Stage>,
    /// The clean stage.
    pub clean: Stage,
    /// The aggregates, in the order of the file, names unique.
    pub aggregates: Vec<Aggregate>,
    /// Where the layers are.
    pub lake: LakePlaces,
    /// What a run may leave in quarantine.
    #[serde(skip_serializing_if = "QuarantineSettings::is_default")]
    pub quarantine: QuarantineSettings,
    /// How another plugin takes over while the pipeline runs.
    pub swap: Swap,
    /// A component must have a signature by one of these keys; if there are none, no component needs one.
    pub trusted_keys: Vec<TrustedKey>,
}

impl Plan {
    /// The whole plan as indented JSON with a fixed order of keys: equal plans have equal text.
    #[must_use]
    pub fn describe(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The stages that have a plugin, in the order in which records pass them, with their names: `enrich`, `clean`, `aggregate NAME`.
    pub fn stages(&self) -> impl Iterator<Item = (String, &Stage)> {
        let enrich = self.enrich.iter().map(|stage| ("enrich".to_owned(), stage));
        let aggregates = self.aggregates.iter().map(|one| (format!("aggregate {}", one.name), &one.stage));
        enrich.chain([("clean".to_owned(), &self.clean)]).chain(aggregates)
    }

    /// The stage of that name, if it has a plugin.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages().find(|(known, _)| known == name).map(|(_, stage)| stage)
    }
}

/// How another plugin takes over while the pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swap {
    /// Whether files are watched at all.
    pub watch: bool,
    /// How many of the latest inputs a plugin is tried on before it serves.
    pub rehearse: usize,
    /// Comparing it with the one that serves, on inputs that come in, before it takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// A comparison on inputs that come in. Only what the plugin that serves makes of them is kept: two generations that write to one table
/// at the same time would have to agree on whose row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compare {
    /// The share of inputs.
    #[serde(serialize_with = "as_text")]
    pub share: Percent,
    /// After how many inputs it is decided.
    pub inputs: usize,
}

/// An ed25519 public key (RFC 8032): `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedKey(pub [u8; 32]);

impl TrustedKey {
    /// A key from its text; none if that is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.strip_prefix("ed25519:")?, &mut key).ok()?;
        Some(TrustedKey(key))
    }
}

impl std::fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ed25519:{}", hex::encode(self.0))
    }
}

impl Serialize for TrustedKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `top_n = "all"`: more than any source holds.
pub const TOP_N_ALL: NonZeroUsize = NonZeroUsize::MAX;

/// A number, or `all`.
fn as_top_n<S: serde::Serializer>(top_n: &NonZeroUsize, serializer: S) -> Result<S::Ok, S::Error> {
    if *top_n == TOP_N_ALL { serializer.serialize_str("all") } else { top_n.serialize(serializer) }
}

/// A source of records.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Where it is.
    pub location: Location,
    /// How it is written.
    pub format: SourceFormat,
    /// Where the list of records is in a document of JSON: a JSON pointer (RFC 6901). `None` is the document itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
    /// The columns that make a record the same record tomorrow, at least one.
    pub key: Vec<String>,
    /// Columns that may be missing: no warning if a plugin reads one of them and the source does not have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
    /// Order by which the first `top_n` are taken; `None` is the source's own order.
    pub order_by: Option<OrderBy>,
    /// How many records a tick takes; [`TOP_N_ALL`] is all of them.
    #[serde(serialize_with = "as_top_n")]
    pub top_n: NonZeroUsize,
    /// How many records a message carries.
    pub batch_size: NonZeroUsize,
    /// The share of lines that are no records above which a tick takes nothing. Up to it they are refused one by one.
    #[serde(serialize_with = "as_text")]
    pub suspend_above: Percent,
    /// What its format leaves open.
    #[serde(flatten)]
    pub dialect: Dialect,
}

/// What a source's format leaves open. Only what is not the default is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dialect {
    /// What stands between two values of a row of CSV: one ASCII character.
    #[serde(skip_serializing_if = "is_comma")]
    pub delimiter: char,
    /// Lines of CSV before the header.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip_lines: usize,
    /// The zone of Parquet's timestamps that name none; `None` is UTC, and a tick that meets one says so.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    pub timezone: Option<Tz>,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { delimiter: ',', skip_lines: 0, timezone: None }
    }
}

fn is_comma(delimiter: &char) -> bool {
    *delimiter == ','
}

fn is_zero(lines: &usize) -> bool {
    *lines == 0
}

/// Where an object or a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A path of this machine, relative to the folder of `pipeline.toml`.
    Local(String),
    /// `s3://bucket/key`, as [`super::s3`] reads it, or `http://…` or `https://…`.
    Remote(Url),
}

impl std::fmt::Display for Location {
    /// As it is written, without credentials: text goes into logs and into the lake.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Local(path) => f.write_str(path),
            Location::Remote(url) if url.scheme() == "s3" => f.write_str(&s3::shown(url)),
            Location::Remote(url) => f.write_str(&shown_url(url)),
        }
    }
}

/// How a source is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceFormat {
    /// RFC 4180 with a header line and [`Dialect::delimiter`]; every value is text, an empty one is null.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

/// `column [asc|desc]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// Column of the source.
    pub column: String,
    /// Largest first. Values that are no numbers come after numbers, and records without a value last, in both orders.
    pub descending: bool,
}

impl std::fmt::Display for OrderBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.column, if self.descending { "desc" } else { "asc" })
    }
}

/// How messages are handed out.
#[derive(Clone, Debug, Serialize)]
pub struct QueueSettings {
    /// Where the queues are; `None` is the embedded ones beside the pipeline's state. `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME` is
    /// `NAME-enrich`, `NAME-clean` and `NAME-aggregate` there, each with its `…-dead`.
    #[serde(serialize_with = "as_optional_text")]
    pub url: Option<Url>,
    /// How long a delivered message stays invisible. A queue that is elsewhere has its own.
    #[serde(serialize_with = "as_millis")]
    pub visibility_timeout: Duration,
    /// How often a message may be received before it counts as poison.
    pub max_receives: NonZeroU32,
}

/// A service that the host may call for a plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoint {
    /// Scheme, host and base path. `http` only for loopback hosts.
    #[serde(serialize_with = "as_text")]
    pub url: Url,
    /// Query parameters that the host adds to every request.
    pub query: Vec<(String, Template)>,
    /// Headers that the host adds to every request, names in lower case.
    pub headers: Vec<(String, Template)>,
    /// Most requests in a second; `None` is unbounded.
    pub rate: Option<Rate>,
    /// The time for one request, from connecting to the last byte.
    #[serde(serialize_with = "as_millis")]
    pub timeout: Duration,
    /// How often a request is tried before the record is given back to the queue.
    pub attempts: NonZeroU32,
    /// Most decoded bytes of one answer.
    pub max_body: u64,
}

/// Text with secrets in it, as `{secret:name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

impl std::fmt::Display for Template {
    /// As it is written, secrets by name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => f.write_str(text)?,
                TemplatePart::Secret(name) => write!(f, "{{secret:{name}}}")?,
            }
        }
        Ok(())
    }
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Literal text.
    Text(String),
    /// The value of the secret of that name, a key of [`Plan::secrets`].
    Secret(String),
}

/// `requests/unit`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// The time between two requests at an even pace.
    #[serde(serialize_with = "as_millis_with_fraction")]
    pub interval: Duration,
    /// How many may be sent at once after a pause.
    pub burst: NonZeroU32,
}

/// A stage's plugin and what it may use.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Where its component is.
    pub plugin: PluginRef,
    /// The digest that the component must have: 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    #[serde(serialize_with = "as_json")]
    pub config: String,
    /// What each call may use.
    pub limits: Limits,
    /// How many units of work the stage has under way at once in one process.
    pub concurrency: NonZeroUsize,
    /// The share of records above which a plugin that fails on them is suspended; `100%` is never. None for an aggregate, which has no
    /// records and is suspended by its first fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_above: Option<Percent>,
}

/// A share in whole percent, at most 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const WHOLE: Percent = Percent(100);
    /// What a stage is suspended above where its section does not say.
    pub const SUSPEND_ABOVE: Percent = Percent(20);

    /// `None` if that is more than the whole.
    #[must_use]
    pub fn new(percent: u8) -> Option<Self> {
        (percent <= 100).then_some(Percent(percent))
    }

    /// The number before the `%`.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok()).and_then(Percent::new);
        number.ok_or_else(|| serde::de::Error::custom(format!("expected a percentage such as `20%`, got `{text}`")))
    }
}

/// What a run may leave in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuarantineSettings {
    /// How many records of a tick may be refused before `run --once` fails.
    #[serde(serialize_with = "as_text")]
    pub at_most: AtMost,
}

impl QuarantineSettings {
    fn is_default(&self) -> bool {
        *self == QuarantineSettings::default()
    }
}

/// A number of records, or a share of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtMost {
    /// A number of records.
    Records(u64),
    /// A share of the records of the tick.
    Share(Percent),
}

impl AtMost {
    /// Whether `count` of `total` is within the bound.
    #[must_use]
    pub fn allows(self, count: usize, total: usize) -> bool {
        match self {
            AtMost::Records(most) => u64::try_from(count).is_ok_and(|count| count <= most),
            AtMost::Share(share) => count.saturating_mul(100) <= total.saturating_mul(usize::from(share.get())),
        }
    }
}

impl Default for AtMost {
    fn default() -> Self {
        AtMost::Share(Percent::SUSPEND_ABOVE)
    }
}

impl std::fmt::Display for AtMost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AtMost::Records(most) => write!(f, "{most}"),
            AtMost::Share(share) => write!(f, "{share}"),
        }
    }
}

impl std::str::FromStr for AtMost {
    type Err = String;

    /// Reads `100` or `20%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let share = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok()).and_then(Percent::new);
        let records = || text.parse().ok().map(AtMost::Records);
        share.map(AtMost::Share).or_else(records).ok_or_else(|| {
            format!("`{text}` is neither a number of records nor a share; expected for example `100` or `20%`")
        })
    }
}

/// An aggregate stage.
#[derive(Clone, Debug, Serialize)]
pub struct Aggregate {
    /// Its name, that of its Gold table: `[a-z0-9][a-z0-9_-]{0,62}`.
    pub name: String,
    /// Its plugin.
    pub stage: Stage,
}

/// Where a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginRef {
    /// A crate of the project's `plugins/` folder, by its folder's name: the component is `plugins/NAME/NAME.wasm`.
    Crate(String),
    /// A `.wasm` file, or an object.
    File(Location),
}

impl std::fmt::Display for PluginRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PluginRef::Crate(name) => f.write_str(name),
            PluginRef::File(location) => location.fmt(f),
        }
    }
}

/// Where the layers are.
#[derive(Clone, Debug, Serialize)]
pub struct LakePlaces {
    /// Raw documents, kept answers, quarantine.
    pub bronze: Location,
    /// The keyed table.
    pub silver: Location,
    /// The aggregates' tables.
    pub gold: Location,
    /// Into how many buckets Silver is divided. Fixed when the table is made.
    pub buckets: NonZeroU32,
    /// How long old versions of the tables are kept.
    #[serde(serialize_with = "as_millis")]
    pub retention: Duration,
}

// In JSON these types are the text that they are written as.
macro_rules! serialize_as_text {
    ($($ty:ty),+) => {
        $(impl Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}

serialize_as_text!(Location, OrderBy, Percent, PluginRef, Template);
