//! A store that counts what it is asked for, as S3 would bill it: a listing is a request for each thousand objects.
//!
//! Does not change what is asked or answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use engine::seams::store::Store;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Objects of one page of a listing.
const PAGE: u64 = 1000;

/// What was asked of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Objects written, and uploads begun.
    pub puts: u64,
    /// Objects read or looked at.
    pub gets: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes of what was read.
    pub read: u64,
}

impl Asked {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.lists + self.deletes
    }

    /// What was asked since `before`.
    #[must_use]
    pub fn since(&self, before: &Asked) -> Asked {
        Asked {
            puts: self.puts - before.puts,
            gets: self.gets - before.gets,
            lists: self.lists - before.lists,
            deletes: self.deletes - before.deletes,
            written: self.written - before.written,
            read: self.read - before.read,
        }
    }
}

/// Counters that several stores share.
#[derive(Debug, Default)]
pub struct Counts {
    puts: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
}

impl Counts {
    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let get = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Asked {
            puts: get(&self.puts),
            gets: get(&self.gets),
            lists: get(&self.lists),
            deletes: get(&self.deletes),
            written: get(&self.written),
            read: get(&self.read),
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::SeqCst);
}

/// [`ObjectStore`] that counts.
#[derive(Debug)]
pub struct Counting {
    inner: Store,
    counts: Arc<Counts>,
}

impl Counting {
    /// Before `inner`.
    #[must_use]
    pub fn new(inner: Store, counts: &Arc<Counts>) -> Arc<Self> {
        Arc::new(Counting { inner, counts: Arc::clone(counts) })
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
        add(&self.counts.puts, 1);
        add(&self.counts.written, payload.content_length() as u64);
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        add(&self.counts.puts, 1);
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        add(&self.counts.gets, 1);
        let is_head = options.head;
        let found = self.inner.get_opts(location, options).await?;
        if !is_head {
            add(&self.counts.read, found.range.end - found.range.start);
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counts = Arc::clone(&self.counts);
        self.inner.delete_stream(locations.inspect_ok(move |_| add(&counts.deletes, 1)).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let counts = Arc::clone(&self.counts);
        add(&counts.lists, 1);
        let counted = self.inner.list(prefix).enumerate().map(move |(at, object)| {
            let at = at as u64;
            add(&counts.lists, u64::from(at > 0 && at.is_multiple_of(PAGE)));
            object
        });
        counted.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let found = self.inner.list_with_delimiter(prefix).await?;
        let count = (found.objects.len() + found.common_prefixes.len()) as u64;
        add(&self.counts.lists, count.div_ceil(PAGE).max(1));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        add(&self.counts.puts, 1);
        self.inner.copy_opts(from, to, options).await
    }
}
