//! Snapshots, one message after the other: the messages of a large tick need not fit into memory.
//!
//! Does not keep what it has returned.

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use records::keys::Tick;
use seams::store::{GetOptions, Path, StoreError};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Message, object_named};
use crate::{Lake, LakeError};

/// A message without its records.
#[derive(Clone, Debug, Deserialize)]
pub struct Outline {
    /// The tick.
    pub tick: Tick,
    batch: u32,
    id: String,
    entries: Vec<IgnoredAny>,
}

impl Outline {
    /// Where its Bronze object is.
    #[must_use]
    pub fn object(&self) -> Path {
        object_named(self.tick, self.batch, &self.id)
    }

    /// How many records are in it.
    #[must_use]
    pub fn records(&self) -> usize {
        self.entries.len()
    }
}

/// The messages of a snapshot, one after the other.
///
/// # Errors
/// The store fails, or a line is no message.
pub async fn messages(
    lake: &Lake,
    path: &Path,
) -> Result<impl Stream<Item = Result<Message, LakeError>> + Unpin + use<>, LakeError> {
    parsed(lake, path).await
}

/// The outlines of a snapshot's messages, one after the other, without their records.
///
/// # Errors
/// The store fails, or a line is no message.
pub async fn outlines(
    lake: &Lake,
    path: &Path,
) -> Result<impl Stream<Item = Result<Outline, LakeError>> + Unpin + use<>, LakeError> {
    parsed(lake, path).await
}

async fn parsed<T: DeserializeOwned + Send + 'static>(
    lake: &Lake,
    path: &Path,
) -> Result<BoxStream<'static, Result<T, LakeError>>, LakeError> {
    let found = lake.bronze.get_opts(path, GetOptions::default()).await?;
    let lines = Lines {
        path: path.clone(),
        left: found.meta.size,
        number: 0,
        held: BytesMut::new(),
        body: found.into_stream(),
    };
    let parsed = futures::stream::try_unfold(lines, |mut lines| async move {
        let Some(line) = lines.next().await? else { return Ok(None) };
        let corrupt = |error| LakeError::corrupt(format!("{}:{}", lines.path, lines.number), error);
        let parsed = serde_json::from_slice(&line).map_err(corrupt)?;
        Ok(Some((parsed, lines)))
    });
    Ok(parsed.boxed())
}

/// The lines of an object while it is read.
struct Lines {
    path: Path,
    /// Bytes that are still to come.
    left: u64,
    number: usize,
    held: BytesMut,
    body: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl Lines {
    /// The next line that is not empty, without its line break.
    async fn next(&mut self) -> Result<Option<Bytes>, LakeError> {
        let mut looked = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.held.get(looked..).unwrap_or_default()) {
                let mut line = self.held.split_to(looked + end + 1);
                line.truncate(looked + end);
                (looked, self.number) = (0, self.number + 1);
                if !line.is_empty() {
                    return Ok(Some(line.freeze()));
                }
                continue;
            }
            looked = self.held.len();
            match self.body.next().await {
                Some(bytes) => {
                    let bytes = bytes?;
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    self.held.extend_from_slice(&bytes);
                }
                None if self.left > 0 => {
                    let source = format!("`{}` ended {} bytes too early", self.path, self.left).into();
                    return Err(StoreError::Generic { store: "snapshot", source }.into());
                }
                None if self.held.is_empty() => return Ok(None),
                None => {
                    self.number += 1;
                    return Ok(Some(self.held.split().freeze()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use futures::TryStreamExt as _;
    use object_store::memory::InMemory;

    use super::*;
    use crate::bronze::{Entry, keep_snapshot, snapshot_body, snapshot_name};
    use records::keys::{Key, Record};
    use seams::store::replace;

    #[tokio::test]
    async fn a_snapshot_is_read_line_by_line_as_it_is_read_whole() {
        let store = || Arc::new(InMemory::new());
        let lake = Lake { bronze: store(), silver: store(), gold: store(), buckets: NonZeroU32::MIN };
        let tick = Tick::parse("20260101T030000Z").unwrap();
        let entry = Entry { key: Key::from_text("a"), record: Record::new() };
        let all: Vec<Message> =
            (0..5).map(|batch| Message::new("p", tick, batch, vec![entry.clone(); batch as usize + 1])).collect();
        keep_snapshot(&lake, tick, "c", all.clone()).await.unwrap();
        let path = Path::from(format!("run={tick}/{}", snapshot_name("c")));
        let read: Vec<Message> = messages(&lake, &path).await.unwrap().try_collect().await.unwrap();
        assert_eq!(read, all);
        let outlines: Vec<Outline> = outlines(&lake, &path).await.unwrap().try_collect().await.unwrap();
        let told: Vec<_> = outlines.iter().map(|one| (one.object(), one.records())).collect();
        assert_eq!(told, all.iter().map(|one| (one.object(), one.entries.len())).collect::<Vec<_>>());
        let cut = snapshot_body(&all);
        replace(&*lake.bronze, &path, cut.slice(..cut.len() - 3)).await.unwrap();
        let error = messages(&lake, &path).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
        assert!(error.to_string().contains("_snapshot-c.jsonl:5"), "{error}");
    }
}
