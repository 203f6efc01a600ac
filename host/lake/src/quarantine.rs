//! Quarantine: one object for each refused record version, with the reason, who refused it, and where its input is.
//!
//! Never deletes by itself: a refused record waits until a user replays it.

use futures::{StreamExt, TryStreamExt};
use records::keys::{Key, Tick, fingerprint};
use records::record::Record;
use seams::plugin::PluginStamp;
use seams::store::{Created, Path, create, delete_if_there, read_if_there};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

/// Where a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusedAt {
    /// Reading the source: no record, no key, or a key twice in one tick.
    Ingest,
    /// The enrich stage.
    Enrich,
    /// The clean stage.
    Clean,
}

impl RefusedAt {
    /// The stage's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RefusedAt::Ingest => "ingest",
            RefusedAt::Enrich => "enrich",
            RefusedAt::Clean => "clean",
        }
    }
}

/// A line of the source that is no record, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceLine {
    /// Its number, from 1; in Parquet that of the row.
    pub number: u64,
    /// The text of the line, shortened if it is long.
    pub text: String,
}

/// A refused record version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Derived from stage, input and generation: refusing it again writes the same object.
    pub id: String,
    /// Where it was refused.
    pub stage: RefusedAt,
    /// Stable code of the reason; `R001` is a refusal in the plugin's own words.
    pub code: String,
    /// Why.
    pub reason: String,
    /// The record's key, if it has one.
    pub key: Option<Key>,
    /// The tick that brought it.
    pub seq: Tick,
    /// Its input: `run=…/batch=….jsonl:LINE` of Bronze; for ingest the source.
    pub input: String,
    /// The plugin that refused it or broke on it.
    pub plugin: Option<PluginStamp>,
    /// The plugin's generation: another configuration is another generation. 0 without a plugin.
    pub generation: u32,
    /// The source's record; without columns if the line is no record.
    pub record: Record,
    /// The line of the source that is no record. It cannot be replayed: the source has to be mended and read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<SourceLine>,
    /// The plugin's call stack and last log lines, if it broke.
    pub details: Vec<String>,
}

/// A refusal in the plugin's own words.
pub const REFUSED_BY_PLUGIN: &str = "R001";
/// A field that the plugin requires is missing or of another type.
pub const REFUSED_BY_PROJECTION: &str = "R002";
/// A row that the plugin made has a value that tables cannot hold.
pub const REFUSED_BY_RANGE: &str = "P171";
/// The source's record has no key, or the key of another record of the tick.
pub const REFUSED_BY_INGEST: &str = "R003";
/// Tried as often as `[queue] max_receives` allows.
pub const REFUSED_BY_RETRIES: &str = "R004";

/// A message that does not belong to this pipeline.
pub const REFUSED_MESSAGE: &str = "R005";
/// A line of the source that is no record.
pub const REFUSED_LINE: &str = "R006";

impl Refused {
    /// The id of a refusal: the same stage, input and generation of the plugin always give the same one.
    #[must_use]
    pub fn id_of(stage: RefusedAt, input: &str, generation: u32) -> String {
        format!("q-{}", fingerprint(&[stage.name().as_bytes(), input.as_bytes(), &generation.to_be_bytes()]))
    }
}

impl Refused {
    /// Writes to the log, where a user looks first. A record that broke the plugin is worth more attention than one that it refused.
    fn tell(&self) {
        // The place of a source may be a URL.
        let split = self.input.rsplit_once(':').filter(|_| self.stage != RefusedAt::Ingest);
        let (batch, line) = split.unwrap_or((&self.input, ""));
        let (id, code, reason, run) = (&self.id, &self.code, &self.reason, self.seq);
        let key = self.key.as_ref().map(Key::as_str);
        let plugin = self.plugin.as_ref().map(PluginStamp::short);
        if self.details.is_empty() {
            tracing::info!(key, %run, batch, line, plugin, id, code, reason, "refused");
        } else {
            tracing::warn!(key, %run, batch, line, plugin, id, code, reason, "refused");
        }
    }
}

fn path(id: &str) -> Path {
    Path::from(format!("_quarantine/{id}.json"))
}

/// Puts a record into quarantine. A second call changes nothing.
pub async fn put(lake: &Lake, refused: &Refused) -> Result<(), LakeError> {
    let path = path(&refused.id);
    let body = serde_json::to_vec_pretty(refused).map_err(|error| LakeError::corrupt(&path, error))?;
    if let Created::New = create(&*lake.bronze, &path, body.into()).await? {
        refused.tell();
    }
    Ok(())
}

/// Puts several records into quarantine, some at a time.
pub async fn put_all(lake: &Lake, refused: &[Refused]) -> Result<(), LakeError> {
    let puts: Vec<_> = refused.iter().map(|one| put(lake, one)).collect();
    futures::stream::iter(puts).buffer_unordered(16).try_collect().await
}

/// Removes refusals that no longer hold: the record has gone on.
pub async fn resolve(lake: &Lake, ids: &[String]) -> Result<(), LakeError> {
    let delete = |id: &String| {
        let path = path(id);
        async move { delete_if_there(&*lake.bronze, &path).await.map_err(LakeError::from) }
    };
    let deletes: Vec<_> = ids.iter().map(delete).collect();
    futures::stream::iter(deletes).buffer_unordered(16).try_collect().await
}

/// Ids of all refused records, sorted.
pub async fn ids(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let mut ids = Vec::new();
    let mut listing = lake.bronze.list(Some(&Path::from("_quarantine")));
    while let Some(object) = listing.try_next().await? {
        if let Some(id) = object.location.filename().and_then(|name| name.strip_suffix(".json")) {
            ids.push(id.to_owned());
        }
    }
    ids.sort();
    Ok(ids)
}

/// The refused record of that id, if there is one.
pub async fn get(lake: &Lake, id: &str) -> Result<Option<Refused>, LakeError> {
    let path = path(id);
    let bytes = read_if_there(&*lake.bronze, &path).await?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(&path, error))).transpose()
}

/// All refused records, by id.
pub async fn all(lake: &Lake) -> Result<Vec<Refused>, LakeError> {
    let read = |id: String| async move { get(lake, &id).await };
    let found: Vec<Option<Refused>> =
        futures::stream::iter(ids(lake).await?).map(read).buffered(16).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
