//! The chain: what is in each object of Bronze, noted once by the host that cleaned it first. Each entry names the digest of the one
//! before. So an edited object is found, together with any mark that was set to hide the edit, and so is an entry that is edited or gone.
//!
//! The chain is beside Silver, where a process that writes to Bronze needs no write access. Bronze is not read for it: a digest is taken of
//! what is read anyway. Does not detect a chain that a person with write access to the whole lake has forged as a whole: `verify` shows its
//! head, to be kept elsewhere.
//!
//! An entry is `_chain/NUMBER.json`, from 1. Commits of Silver name the entry that was the last one when they were made.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use records::keys::sha256;
use seams::store::{Created, Path, Store, create, read_if_there};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::LakeError;

/// Where entries are, in Silver.
const FOLDER: &str = "_chain";

/// Why objects are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// They were cleaned, for the first time or because their receipt was gone: what is in them was never to change.
    Cleaned,
    /// A record was erased from them.
    Forgotten,
    /// Lines that could not be read were taken out of them.
    Repaired,
    /// Their tick was taken back.
    TakenBack,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Digest of the entry before; empty in the first one.
    pub before: String,
    /// When it was written, by its writer's clock.
    pub at: DateTime<Utc>,
    /// Why.
    pub why: Why,
    /// Objects of Bronze with the digest of what is in them; none for an object that is gone.
    pub objects: BTreeMap<String, Option<String>>,
}

/// The last entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: String,
}

/// The form in which a commit of Silver names it.
impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.number, self.digest)
    }
}

impl Head {
    /// What a commit names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, digest) = text.split_once('-')?;
        Some(Head { number: number.parse().ok()?, digest: digest.to_owned() })
    }
}

/// An entry as it is found.
#[derive(Debug)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Digest of its bytes.
    pub digest: String,
    /// What it says, if it can be read.
    pub entry: Result<Entry, String>,
}

/// The chain of one lake.
#[derive(Debug)]
pub struct Chain {
    store: Store,
    /// The last entry that this process knows, and the table beside which it was.
    known: Mutex<Option<(String, Head)>>,
}

/// From where the last entry is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The id of the Silver table: a table that was made in its place has another chain.
    pub table: &'a str,
    /// The number of an entry that was once the last one.
    pub hint: Option<u64>,
}

impl Chain {
    /// The chain in that Silver.
    #[must_use]
    pub fn of(silver: Store) -> Self {
        Chain { store: silver, known: Mutex::default() }
    }

    /// The last entry that this process knows, or else the last one in the store, if there is one.
    ///
    /// # Errors
    /// The store fails.
    pub async fn head(&self, from: Start<'_>) -> Result<Option<Head>, LakeError> {
        let mut known = self.known.lock().await;
        match own(&known, from) {
            Some(head) => Ok(Some(head)),
            None => self.follow(&mut known, from).await,
        }
    }

    /// Adds an entry. Hosts that add one at the same time each get their own.
    ///
    /// # Errors
    /// The store fails.
    pub async fn append(
        &self,
        from: Start<'_>,
        at: DateTime<Utc>,
        why: Why,
        objects: &BTreeMap<String, Option<String>>,
    ) -> Result<(), LakeError> {
        let mut known = self.known.lock().await;
        // Nearly always no other host has added one: the write itself shows whether that is so.
        let mut head = match own(&known, from) {
            Some(head) => Some(head),
            None => self.follow(&mut known, from).await?,
        };
        loop {
            let (last, before) = head.as_ref().map_or((0, String::new()), |head| (head.number, head.digest.clone()));
            let number = last.saturating_add(1);
            let path = path(number);
            let entry = Entry { before, at, why, objects: objects.clone() };
            let body = serde_json::to_vec(&entry).map_err(|error| LakeError::corrupt(&path, error))?;
            let ours = sha256(&body);
            let there = match create(&*self.store, &path, body.into()).await? {
                Created::New => None,
                // Ours, if a reply was lost; else another host was faster, and ours comes after it.
                Created::Existing(bytes) => Some(sha256(&bytes)).filter(|theirs| *theirs != ours),
            };
            let done = there.is_none();
            *known = Some((from.table.to_owned(), Head { number, digest: there.unwrap_or(ours) }));
            if done {
                return Ok(());
            }
            head = self.follow(&mut known, from).await?;
        }
    }

    /// All entries, in order.
    ///
    /// # Errors
    /// The store fails.
    pub async fn all(&self) -> Result<Vec<Found>, LakeError> {
        let mut all = Vec::new();
        for number in self.numbers().await? {
            let Some(bytes) = read_if_there(&*self.store, &path(number)).await? else { continue };
            let entry = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
            all.push(Found { number, digest: sha256(&bytes), entry });
        }
        Ok(all)
    }

    /// Reads on from the known entry to the last one.
    async fn follow(
        &self,
        known: &mut Option<(String, Head)>,
        Start { table, hint }: Start<'_>,
    ) -> Result<Option<Head>, LakeError> {
        let own = known.take().filter(|(beside, _)| beside == table).map(|(_, head)| head);
        let hinted = hint.filter(|hint| own.as_ref().is_none_or(|own| own.number < *hint));
        let mut head = match (own, hinted) {
            (Some(own), None) => Some(own),
            (_, Some(number)) => self.read(number).await?,
            (None, None) => None,
        };
        if head.is_none() {
            // No commit names the last entry, or the named entry is not there: `verify` reports that.
            head = match self.numbers().await?.last() {
                Some(number) => self.read(*number).await?,
                None => None,
            };
        }
        while let Some(last) = &head {
            match self.read(last.number.saturating_add(1)).await? {
                Some(next) => head = Some(next),
                None => break,
            }
        }
        *known = head.clone().map(|head| (table.to_owned(), head));
        Ok(head)
    }

    async fn read(&self, number: u64) -> Result<Option<Head>, LakeError> {
        let bytes = read_if_there(&*self.store, &path(number)).await?;
        Ok(bytes.map(|bytes| Head { number, digest: sha256(&bytes) }))
    }

    async fn numbers(&self) -> Result<Vec<u64>, LakeError> {
        let listed: Vec<_> = self.store.list(Some(&Path::from(FOLDER))).try_collect().await?;
        let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
        let mut numbers: Vec<u64> = listed.iter().filter_map(|object| number(&object.location)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// The known head, if it is of that table and no later one was named.
fn own(known: &Option<(String, Head)>, Start { table, hint }: Start<'_>) -> Option<Head> {
    let (_, head) = known.as_ref().filter(|(beside, _)| beside == table)?;
    hint.is_none_or(|hint| hint <= head.number).then(|| head.clone())
}

fn path(number: u64) -> Path {
    Path::from(format!("{FOLDER}/{number:020}.json"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    fn objects(name: &str) -> BTreeMap<String, Option<String>> {
        BTreeMap::from([(name.to_owned(), Some(sha256(name.as_bytes())))])
    }

    #[tokio::test]
    async fn entries_of_hosts_that_write_at_once_are_one_chain() {
        let store: Store = Arc::new(InMemory::new());
        let hosts: Vec<Chain> = (0..8).map(|_| Chain::of(store.clone())).collect();
        let writes = hosts.iter().enumerate().map(|(at, host)| async move {
            for round in 0..5 {
                let objects = objects(&format!("{at}-{round}"));
                host.append(Start { table: "t", hint: None }, DateTime::UNIX_EPOCH, Why::Cleaned, &objects)
                    .await
                    .unwrap();
            }
        });
        futures::future::join_all(writes).await;
        let all = Chain::of(store.clone()).all().await.unwrap();
        assert_eq!(all.len(), 40);
        let mut before = String::new();
        for (found, number) in all.iter().zip(1..) {
            let entry = found.entry.as_ref().unwrap();
            assert_eq!((found.number, &entry.before), (number, &before));
            before.clone_from(&found.digest);
        }
        // A process that comes later finds the last one, wherever it starts to look.
        for hint in [None, Some(1), Some(40), Some(99)] {
            let head = Chain::of(store.clone()).head(Start { table: "t", hint }).await.unwrap().unwrap();
            assert_eq!((head.number, &head.digest), (40, &before), "{hint:?}");
            assert_eq!(Head::parse(&head.to_string()), Some(head));
        }
    }
}
