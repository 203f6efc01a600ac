//! Objects in a bucket of S3, below one prefix.
//!
//! Does not know layers or keys.
//!
//! The SDK signs, retries what is worth it (503 SlowDown, time-outs) and compares checksums: S3 checks the CRC32 of what is sent, the SDK
//! checks what is read whole. This file adds what the SDK leaves open: whose object it is when a conditional write is refused or its reply
//! lost.

mod condition;
mod failure;
mod listing;
mod place;
mod read;
mod removal;
mod upload;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use self::place::Place;
pub use self::place::S3Options;
use crate::cloud::Cloud;

/// An [`ObjectStore`] over `s3://BUCKET/PREFIX`.
///
/// * `PutMode::Create` is `If-None-Match: *`, `PutMode::Update` is `If-Match` with the tag. Each such put marks its object with a name of
///   its own (`x-amz-meta-sluicebox-put`). When the put is refused, or no reply comes, the mark says whether the object there is its own: then
///   it has succeeded. So a call that the SDK has sent twice does not lose against itself.
/// * 409 (another conditional write at the same time) is tried again a few times, from the beginning.
/// * A copy to a place that must be empty reads and puts: not every store that speaks S3 heeds the condition of `CopyObject`, and one that
///   does not would replace the object in silence. A plain copy is S3's own, for at most 5 GiB.
/// * A large body goes in parts; they are invisible until the last call, and are aborted when one fails. What a killed process
///   leaves is for the bucket's lifecycle (`AbortIncompleteMultipartUpload`).
/// * A bucket that keeps old versions of objects keeps what was removed or replaced. A lake wants one that does not.
/// * Objects whose keys are no paths (`a//b`, and the markers of folders, which end in `/`) are not listed.
#[derive(Clone, Debug)]
pub struct S3Store {
    place: Arc<Place>,
}

impl S3Store {
    /// The store at `s3://BUCKET/PREFIX`. Nothing is asked yet.
    ///
    /// # Errors
    /// Fails if `url` is no such place.
    pub fn open(cloud: &Cloud, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        S3Store::open_with(cloud, url, S3Options::default())
    }

    /// As [`S3Store::open`], with other options for writing.
    ///
    /// # Errors
    /// As [`S3Store::open`].
    pub fn open_with(cloud: &Cloud, url: &Url, options: S3Options) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(S3Store { place: Arc::new(Place::of(cloud, url, options)?) }))
    }
}

impl std::fmt::Display for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Store({})", self.place.name(""))
    }
}

fn refuse_attributes(empty: bool, operation: &str) -> Result<()> {
    if empty {
        return Ok(());
    }
    Err(Error::NotImplemented { operation: format!("`{operation}` with attributes"), implementer: "S3Store".into() })
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        refuse_attributes(options.attributes.is_empty(), "put_opts")?;
        write::put(&self.place, location, payload.into(), options.mode).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        refuse_attributes(options.attributes.is_empty(), "put_multipart_opts")?;
        Ok(Box::new(upload::PartedUpload::begin(Arc::clone(&self.place), location.clone()).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        read::get(&self.place, location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        removal::remove(Arc::clone(&self.place), locations)
    }

    /// In the order of the keys.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::all(Arc::clone(&self.place), prefix, None)
    }

    /// In the order of the keys. What comes before the offset is not asked for.
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::all(Arc::clone(&self.place), prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        listing::one_level(Arc::clone(&self.place), prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        match options.mode {
            CopyMode::Overwrite => write::copy(&self.place, from, to).await,
            CopyMode::Create => {
                let there = read::get(&self.place, from, GetOptions::default()).await?.bytes().await?;
                write::put(&self.place, to, there, PutMode::Create).await.map(drop)
            }
        }
    }
}
