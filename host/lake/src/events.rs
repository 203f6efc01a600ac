//! What the queues carry: batches of records to enrich, names of new objects to clean, versions to aggregate.
//!
//! Does not send or receive.

use bytes::Bytes;
use records::keys::Tick;
use seams::queue::{Queue, QueueError};
use seams::store::{Path, create, read};
use serde::{Deserialize, Serialize};

use crate::bronze::{Message, object_named};
use crate::failure::Failure;
use crate::{Lake, LakeError};

/// A body over this many bytes goes through the store: SQS takes 1 MiB, and an event must fit everywhere.
const MOST_INLINE: usize = 200 << 10;
/// Messages sent to a queue in one call.
const SEND_AT_ONCE: usize = 256;

/// Work for the enrich stage.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EnrichWork {
    /// The message itself.
    Inline(Message),
    /// The object of Bronze that holds the message.
    Stored(String),
    /// Records that are in Bronze already.
    Again(Again),
}

/// Records of an object of Bronze that are to be enriched again, from what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// The pipeline that they belong to.
    pub pipeline: String,
    /// The object.
    pub bronze: String,
    /// Its lines, counted from 1.
    pub lines: Vec<usize>,
    /// Whether services may be asked for what is not kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetch: bool,
}

/// What the enrich stage is asked to do.
#[derive(Debug)]
pub enum ToEnrich {
    /// New records.
    Message(Message),
    /// Records that are in Bronze already.
    Again(Again),
}

/// The body for records to be enriched again.
#[must_use]
pub fn again_body(again: Again) -> Bytes {
    encode(&EnrichWork::Again(again))
}

/// A new object of Bronze: work for the clean stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewObject {
    /// Its path in Bronze.
    pub bronze: String,
    /// The lines to clean, counted from 1; empty means all lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<usize>,
    /// Whether to clean also what the plugin that serves has seen already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl NewObject {
    /// All of an object.
    #[must_use]
    pub fn whole(object: &Path) -> Self {
        NewObject { bronze: object.to_string(), lines: Vec::new(), again: false }
    }
}

/// A new version of Silver: work for the aggregate stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewVersion {
    /// The version, or an earlier one of the same table: the stage always reads the latest.
    pub silver: i64,
}

/// The body for `message`.
pub async fn enrich_body(lake: &Lake, message: Message) -> Result<Bytes, LakeError> {
    let path = Path::from(format!("run={}/_message-{:05}-{}.json", message.tick, message.batch, message.id));
    let body = encode(&EnrichWork::Inline(message));
    if body.len() <= MOST_INLINE {
        return Ok(body);
    }
    create(&*lake.bronze, &path, body).await?;
    Ok(encode(&EnrichWork::Stored(path.to_string())))
}

/// The work that a body describes.
///
/// # Errors
/// [`Unreadable::Ever`] if the body is no work and never will be.
pub async fn enrich_work(lake: &Lake, body: &Bytes) -> Result<ToEnrich, Unreadable> {
    match decode::<EnrichWork>(body)? {
        EnrichWork::Inline(message) => Ok(ToEnrich::Message(message)),
        EnrichWork::Again(again) => Ok(ToEnrich::Again(again)),
        EnrichWork::Stored(path) => {
            let body = read(&*lake.bronze, &Path::from(path)).await.map_err(|error| Unreadable::Now(error.into()))?;
            match decode::<EnrichWork>(&body)? {
                EnrichWork::Inline(message) => Ok(ToEnrich::Message(message)),
                EnrichWork::Stored(_) | EnrichWork::Again(_) => {
                    Err(Unreadable::Ever("a stored message points to another stored message".to_owned()))
                }
            }
        }
    }
}

/// The object of Bronze that a body for the enrich stage is about, and whether the object is still to be made. Does not read the store or
/// the records.
#[must_use]
pub fn object_of(body: &[u8]) -> Option<(Path, bool)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Named {
        Inline { tick: Tick, batch: u32, id: String },
        Stored(String),
        Again { bronze: String },
    }
    match serde_json::from_slice(body).ok()? {
        Named::Inline { tick, batch, id } => Some((object_named(tick, batch, &id), true)),
        Named::Stored(path) => {
            let (folder, name) = path.split_once("/_message-")?;
            Some((Path::from(format!("{folder}/batch={}.jsonl", name.strip_suffix(".json")?)), true))
        }
        Named::Again { bronze } => Some((Path::from(bronze), false)),
    }
}

/// Why a body is no work.
#[derive(Debug)]
pub enum Unreadable {
    /// It cannot be read now.
    Now(Failure),
    /// It is not what this queue carries, and never will be.
    Ever(String),
}

/// Sends bodies in few calls, each small enough for every queue.
pub async fn send_all(queue: &dyn Queue, bodies: &[Bytes]) -> Result<(), QueueError> {
    for some in bodies.chunks(SEND_AT_ONCE) {
        queue.send(some.to_vec()).await?;
    }
    Ok(())
}

/// As [`send_all`], but skips a body if an equal message is there. Returns how many were sent.
pub async fn send_missing(queue: &dyn Queue, bodies: &[Bytes]) -> Result<usize, QueueError> {
    let mut sent = 0;
    for some in bodies.chunks(SEND_AT_ONCE) {
        sent += queue.send_missing(some.to_vec()).await?;
    }
    Ok(sent)
}

/// The JSON of an event.
pub fn encode<T: Serialize>(event: &T) -> Bytes {
    serde_json::to_vec(event).unwrap_or_default().into()
}

/// The event in `body`.
pub fn decode<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|error| Unreadable::Ever(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_the_object_that_it_is_about_whether_it_holds_the_message_or_its_place() {
        let tick = Tick::parse("20261124T030000Z").unwrap();
        let message = Message::new("orders", tick, 7, Vec::new());
        let stored = format!("run={tick}/_message-00007-{}.json", message.id);
        let object = message.object();
        for work in [EnrichWork::Inline(message), EnrichWork::Stored(stored)] {
            assert_eq!(object_of(&encode(&work)), Some((object.clone(), true)));
        }
        let again = Again { pipeline: "orders".into(), bronze: object.to_string(), lines: vec![1], fetch: false };
        assert_eq!(object_of(&again_body(again)), Some((object, false)));
        assert_eq!(object_of(b"{}"), None);
    }
}
