//! What became of the plugins that were published for a stage: which took over, which were refused, which were taken back. One object an
//! event, never changed, and one that names the last decision: its tag shows whether something was decided.
//!
//! Does not say which plugins have made something: `lake::generations` does.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use records::keys::fingerprint;
use seams::plugin::PluginStamp;
use seams::store::{ObjectStoreExt as _, Path, StoreError, create, read_small, replace};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

const FOLDER: &str = "_swaps";
/// Most bytes of an event.
const MOST: u64 = 1 << 20;
/// In the names of events that decide what serves.
const DECISION: &str = "decision";
/// The object that names the last of those.
const LAST: &str = "_last.json";

/// A plugin with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The plugin. If it could not be loaded, only the digest is known.
    pub plugin: PluginStamp,
    /// Its configuration: the text of one JSON object with its keys sorted.
    pub config: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Happened {
    /// It was refused; what served before still serves.
    Refused {
        /// Stable code, if there is one.
        code: Option<String>,
        /// Why.
        reason: String,
    },
    /// It is compared with what serves, before it may serve.
    Compared {
        /// How it is compared.
        how: String,
    },
    /// It serves.
    Promoted {
        /// How its output differs for the latest inputs.
        summary: String,
    },
    /// It no longer serves, even if it is found again, until another version is published or it is released.
    RolledBack(Held),
    /// It may serve again.
    Released,
}

impl Happened {
    /// Whether it changes what serves when a version is found.
    fn decides(&self) -> bool {
        match self {
            Happened::RolledBack(_) | Happened::Released => true,
            Happened::Refused { .. } | Happened::Compared { .. } | Happened::Promoted { .. } => false,
        }
    }
}

/// What serves instead of a version that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What serves.
    pub version: Version,
    /// Why.
    pub reason: String,
    /// Who has decided it.
    pub by: Initiator,
}

/// Who has decided something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initiator {
    /// A running host, by itself.
    Host,
    /// A person.
    Person,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The stage: `enrich`, `clean`, or `aggregate NAME`.
    pub stage: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What was published.
    pub version: Version,
    /// What became of it.
    pub happened: Happened,
}

/// Notes an event.
pub async fn tell(
    lake: &Lake,
    stage: &str,
    version: &Version,
    happened: Happened,
    at: DateTime<Utc>,
) -> Result<(), LakeError> {
    let event = Event { stage: stage.to_owned(), at, version: version.clone(), happened };
    let folder = folder(stage);
    let body = serde_json::to_vec_pretty(&event).map_err(|error| LakeError::corrupt(&folder, error))?;
    let kind = if event.happened.decides() { DECISION } else { "note" };
    // After all earlier events, even if the clock was set back since: the last event counts.
    let before = paths(lake, &folder).await?.iter().filter_map(place_of).max().unwrap_or_default();
    let place = at.timestamp_micros().max(before.saturating_add(1));
    let path = folder.join(format!("{place:020}-{kind}-{}.json", fingerprint(&[&body])));
    create(&*lake.bronze, &path, body.into()).await?;
    if event.happened.decides() {
        // After the event, so that a reader of this object finds the event.
        let body = serde_json::json!({ "last": path.as_ref() }).to_string();
        replace(&*lake.bronze, &last(), body.into()).await?;
    }
    Ok(())
}

/// The events of a stage, oldest first.
pub async fn events(lake: &Lake, stage: &str) -> Result<Vec<Event>, LakeError> {
    let paths = paths(lake, &folder(stage)).await?;
    read(lake, &paths).await
}

/// The last event of a stage.
pub async fn latest(lake: &Lake, stage: &str) -> Result<Option<Event>, LakeError> {
    let paths = paths(lake, &folder(stage)).await?;
    Ok(read(lake, paths.last().map(std::slice::from_ref).unwrap_or_default()).await?.pop())
}

/// The events of a stage that decide what serves, oldest first.
pub async fn decisions(lake: &Lake, stage: &str) -> Result<Vec<Event>, LakeError> {
    let mut paths = paths(lake, &folder(stage)).await?;
    paths.retain(is_decision);
    read(lake, &paths).await
}

/// The events of all stages that decide what serves, each stage's oldest first.
pub async fn all_decisions(lake: &Lake) -> Result<Vec<Event>, LakeError> {
    read(lake, &decision_names(lake).await?).await
}

/// The names of all events of a pipeline that decide what serves. The list changes with each decision.
pub async fn decision_names(lake: &Lake) -> Result<Vec<Path>, LakeError> {
    let mut paths = paths(lake, &Path::from(FOLDER)).await?;
    paths.retain(is_decision);
    Ok(paths)
}

/// A text that changes with each decision, for one small request; none if nothing was ever decided. Earlier versions of the program decide
/// without it, so a process that follows decisions also looks at [`decision_names`] now and then.
///
/// # Errors
/// The lake cannot be read.
pub async fn last_decision(lake: &Lake) -> Result<Option<String>, LakeError> {
    match lake.bronze.head(&last()).await {
        Ok(found) => Ok(Some(found.e_tag.unwrap_or_else(|| found.last_modified.to_rfc3339()))),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn last() -> Path {
    Path::from_iter([FOLDER, LAST])
}

async fn paths(lake: &Lake, folder: &Path) -> Result<Vec<Path>, LakeError> {
    let listed = lake.bronze.list(Some(folder)).map_ok(|object| object.location);
    let mut paths: Vec<Path> = listed.try_collect().await?;
    paths.sort();
    Ok(paths)
}

async fn read(lake: &Lake, paths: &[Path]) -> Result<Vec<Event>, LakeError> {
    let mut events = Vec::new();
    for path in paths {
        let Some(body) = read_small(&*lake.bronze, path, MOST).await? else { continue };
        events.push(serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(path, error))?);
    }
    Ok(events)
}

/// The number that an event's name begins with.
fn place_of(path: &Path) -> Option<i64> {
    path.filename()?.split('-').next()?.parse().ok()
}

fn is_decision(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.split('-').nth(1) == Some(DECISION))
}

/// What serves instead of the plugin of that digest and configuration, if that was taken back.
#[must_use]
pub fn held<'a>(
    events: impl IntoIterator<Item = &'a Event, IntoIter: DoubleEndedIterator>,
    digest: &str,
    config: &str,
) -> Option<&'a Held> {
    let of_it = |event: &&Event| event.version.plugin.digest == digest && event.version.config == config;
    let decisive = events.into_iter().filter(of_it).rev().find_map(|event| match &event.happened {
        Happened::RolledBack(held) => Some(Some(held)),
        Happened::Released => Some(None),
        Happened::Refused { .. } | Happened::Compared { .. } | Happened::Promoted { .. } => None,
    });
    decisive.flatten()
}

/// As [`held`], for a version of one stage, from the events of all stages.
#[must_use]
pub fn held_at<'a>(events: &'a [Event], stage: &str, version: &Version) -> Option<&'a Held> {
    held(events.iter().filter(|event| event.stage == stage), &version.plugin.digest, &version.config)
}

fn folder(stage: &str) -> Path {
    Path::from_iter([FOLDER, &stage.replace(' ', "=")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(digest: &str, happened: Happened) -> Event {
        let plugin = PluginStamp { name: "p".into(), version: "1.0.0".into(), digest: digest.into() };
        let version = Version { plugin, config: "{}".into() };
        Event { stage: "clean".into(), at: DateTime::UNIX_EPOCH, version, happened }
    }

    fn back_to(digest: &str) -> Happened {
        let version = event(digest, Happened::Released).version;
        Happened::RolledBack(Held { version, reason: "worse".into(), by: Initiator::Host })
    }

    #[test]
    fn the_last_decision_about_a_version_counts_and_only_for_it() {
        let mut events = vec![event("b", back_to("a"))];
        assert_eq!(held(&events, "b", "{}").map(|held| held.version.plugin.digest.as_str()), Some("a"));
        assert_eq!(held(&events, "b", "{\"other\":1}"), None);
        assert_eq!(held(&events, "c", "{}"), None);
        events.push(event("b", Happened::Refused { code: None, reason: "later".into() }));
        assert!(held(&events, "b", "{}").is_some());
        events.push(event("b", Happened::Released));
        assert_eq!(held(&events, "b", "{}"), None);
    }

    #[tokio::test]
    async fn the_last_word_counts_also_when_the_clock_was_set_back() {
        let store = || -> seams::store::Store { std::sync::Arc::new(object_store::memory::InMemory::new()) };
        let (bronze, silver, gold) = (store(), store(), store());
        let lake = Lake { bronze, silver, gold, buckets: std::num::NonZeroU32::MIN };
        let (version, hour) = (event("b", Happened::Released).version, chrono::TimeDelta::hours(1));
        let at: DateTime<Utc> = "2026-01-01T03:00:00Z".parse().unwrap();
        tell(&lake, "clean", &version, back_to("a"), at).await.unwrap();
        tell(&lake, "clean", &version, Happened::Released, at - hour).await.unwrap();
        let events = decisions(&lake, "clean").await.unwrap();
        assert_eq!((events.len(), held(&events, "b", "{}")), (2, None));
    }

    #[tokio::test]
    async fn a_decision_is_seen_by_one_tag_and_a_note_is_none() {
        let store = || -> seams::store::Store { std::sync::Arc::new(object_store::memory::InMemory::new()) };
        let (bronze, silver, gold) = (store(), store(), store());
        let lake = Lake { bronze, silver, gold, buckets: std::num::NonZeroU32::MIN };
        let (version, at) = (event("b", Happened::Released).version, DateTime::UNIX_EPOCH);
        assert_eq!(last_decision(&lake).await.unwrap(), None);
        let mut tags = Vec::new();
        for happened in [back_to("a"), Happened::Promoted { summary: "none".into() }, Happened::Released] {
            tell(&lake, "clean", &version, happened, at).await.unwrap();
            tags.push(last_decision(&lake).await.unwrap().expect("something was decided"));
        }
        assert!(tags[0] == tags[1] && tags[1] != tags[2], "{tags:?}");
        let names = decision_names(&lake).await.unwrap();
        assert_eq!((names.len(), all_decisions(&lake).await.unwrap().len()), (2, 2));
    }

    #[test]
    fn an_event_reads_back() {
        for happened in [back_to("a"), Happened::Released, Happened::Promoted { summary: "none".into() }] {
            let event = event("b", happened);
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
