//! A store that counts requests as S3 would bill them: a request for each object, each range and each page of a listing.
//!
//! Does not change any answer. Retries of S3's adapter after a lost reply are not counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Objects on one page of a listing.
const PAGE: usize = 1_000;

/// Kinds of requests, as they are priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A write, or a copy.
    Put,
    /// A page of a listing.
    List,
    /// A read of an object or of a range, or of its metadata.
    Get,
    /// A deletion, which costs nothing.
    Delete,
}

/// Requests by kind and by the first part of the object's name. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    by: BTreeMap<(Verb, String), u64>,
    /// Bytes read.
    read: u64,
}

/// The number of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests that cost something: all but deletions.
    pub requests: u64,
    /// Deletions, which cost nothing.
    pub deletions: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Bytes read.
    pub read: u64,
}

impl Asked {
    /// The requests since `before`.
    #[must_use]
    pub fn since(&self, before: &Asked) -> Asked {
        Asked {
            requests: self.requests - before.requests,
            deletions: self.deletions - before.deletions,
            lists: self.lists - before.lists,
            read: self.read - before.read,
        }
    }
}

impl Requests {
    fn add(&self, verb: Verb, layer: &str, path: Option<&Path>) {
        let part = path.and_then(|path| path.parts().next().map(|part| part.as_ref().to_owned())).unwrap_or_default();
        // Ticks and buckets are many, and all alike.
        let part = part.split('=').next().unwrap_or_default();
        *self.counts().by.entry((verb, format!("{layer}/{part}"))).or_default() += 1;
    }

    /// The number of that kind.
    #[must_use]
    pub fn of(&self, verb: Verb) -> u64 {
        self.all().into_iter().filter(|((kind, _), _)| *kind == verb).map(|(_, count)| count).sum()
    }

    /// All of them by kind and place.
    #[must_use]
    pub fn all(&self) -> BTreeMap<(Verb, String), u64> {
        self.counts().by.clone()
    }

    /// What was asked for so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let (lists, deletions) = (self.of(Verb::List), self.of(Verb::Delete));
        let counts = self.counts();
        Asked { requests: counts.by.values().sum::<u64>() - deletions, deletions, lists, read: counts.read }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counting {
    inner: Arc<dyn ObjectStore>,
    layer: &'static str,
    requests: Requests,
}

impl Counting {
    /// Counts the requests to `inner`, the store of that layer.
    #[must_use]
    pub fn over(inner: Arc<dyn ObjectStore>, layer: &'static str, requests: &Requests) -> Arc<dyn ObjectStore> {
        Arc::new(Counting { inner, layer, requests: requests.clone() })
    }

    fn add(&self, verb: Verb, path: Option<&Path>) {
        self.requests.add(verb, self.layer, path);
    }

    fn pages(
        &self,
        prefix: Option<&Path>,
        listing: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (counting, prefix) = (self.clone(), prefix.cloned());
        counting.add(Verb::List, prefix.as_ref());
        let counted = listing.enumerate().inspect(move |(index, _)| {
            if *index > 0 && index.is_multiple_of(PAGE) {
                counting.add(Verb::List, prefix.as_ref());
            }
        });
        counted.map(|(_, object)| object).boxed()
    }
}

impl std::fmt::Display for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counting({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.add(Verb::Put, Some(location));
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.add(Verb::Put, Some(location));
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.add(Verb::Get, Some(location));
        let is_head = options.head;
        let found = self.inner.get_opts(location, options).await?;
        if !is_head {
            self.requests.counts().read += found.range.end - found.range.start;
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counting = self.clone();
        let counted = locations.inspect(move |location| counting.add(Verb::Delete, location.as_ref().ok()));
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.add(Verb::List, prefix);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.add(Verb::Put, Some(to));
        self.inner.copy_opts(from, to, options).await
    }
}
