//! Objects in a bucket of S3, below one prefix.
//!
//! Does not know layers or keys.
//!
//! The SDK signs, retries what is worth it (503 SlowDown, time-outs) and holds checksums: what is sent carries a CRC32 that S3 checks,
//! what is read whole is checked against the one that S3 keeps. Here is what it leaves open: whose object it is when a conditional write
//! is refused or its reply lost.

mod listing;
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

use crate::cloud::Cloud;
use crate::failure::CallError;

/// How objects are written.
#[derive(Clone, Copy, Debug)]
pub struct S3Options {
    /// A body of more bytes goes in parts.
    pub in_parts_above: usize,
    /// Bytes of a part; S3 wants at least 5 MiB. More if there would be over 10,000.
    pub part: usize,
}

impl Default for S3Options {
    /// Parts of 8 MiB for what is over 16 MiB: a call that fails late has not sent much.
    fn default() -> Self {
        S3Options { in_parts_above: 16 << 20, part: 8 << 20 }
    }
}

/// An [`ObjectStore`] over `s3://BUCKET/PREFIX`.
///
/// * `PutMode::Create` is `If-None-Match: *`, `PutMode::Update` is `If-Match` with the tag. Each such put marks its object with a name of
///   its own (`x-amz-meta-sluicebox-put`). When it is refused, or no reply comes, the mark says whether the object there is its own: then
///   it has succeeded. So a call that the SDK has sent twice does not lose against itself.
/// * 409 (another conditional write at the same time) is tried again a few times, from the beginning.
/// * A copy to what must not be there reads and puts: not every store that speaks S3 heeds the condition of `CopyObject`, and one that
///   does not would replace the object in silence. A plain copy is S3's own, for at most 5 GiB.
/// * A large body goes in parts; they are nowhere to be seen before the last call, and are aborted when one fails. What a killed process
///   leaves is for the bucket's lifecycle (`AbortIncompleteMultipartUpload`).
/// * A bucket that keeps old versions of objects keeps what was removed or replaced. A lake wants one that does not.
/// * Objects whose keys are no paths (`a//b`, and the markers of folders, which end in `/`) are not listed.
#[derive(Clone, Debug)]
pub struct S3Store {
    place: Arc<Place>,
}

/// A prefix in a bucket, and the client that reaches it.
#[derive(Debug)]
struct Place {
    client: aws_sdk_s3::Client,
    bucket: String,
    /// Empty for a whole bucket.
    prefix: Path,
    options: S3Options,
}

impl S3Store {
    /// The store at `s3://BUCKET/PREFIX`. Nothing is asked yet.
    ///
    /// # Errors
    /// When `url` is no such place.
    pub fn open(cloud: &Cloud, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        S3Store::open_with(cloud, url, S3Options::default())
    }

    /// As [`S3Store::open`], writing in another way.
    ///
    /// # Errors
    /// As [`S3Store::open`].
    pub fn open_with(cloud: &Cloud, url: &Url, options: S3Options) -> Result<Arc<dyn ObjectStore>> {
        let bucket = url.host_str().filter(|_| url.scheme() == "s3").unwrap_or_default();
        if bucket.is_empty() {
            return Err(generic(format!("`{url}` is no place in S3, expected `s3://BUCKET/PREFIX`")));
        }
        let prefix = Path::from_url_path(url.path())?;
        let place = Place { client: cloud.s3(), bucket: bucket.to_owned(), prefix, options };
        Ok(Arc::new(S3Store { place: Arc::new(place) }))
    }
}

impl std::fmt::Display for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Store({})", self.place.name(""))
    }
}

impl Place {
    /// The key of an object.
    fn key(&self, location: &Path) -> String {
        match self.prefix.as_ref() {
            "" => location.to_string(),
            prefix => format!("{prefix}/{location}"),
        }
    }

    /// What the keys of everything in a folder begin with; empty for a whole bucket.
    fn folder(&self, folder: Option<&Path>) -> String {
        let folder = folder.map_or_else(|| self.prefix.to_string(), |folder| self.key(folder));
        let folder = folder.trim_end_matches('/');
        if folder.is_empty() { String::new() } else { format!("{folder}/") }
    }

    /// The object of a key; none if that is not below the prefix or no path.
    fn location(&self, key: &str) -> Option<Path> {
        let below = match self.prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        if below.is_empty() || below.ends_with('/') {
            return None;
        }
        Path::parse(below).ok()
    }

    /// A key as people write it.
    fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

/// An error without a class of its own.
fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "S3", source: source.into() }
}

/// What a failed call means for an object. A missing bucket is no missing object: who takes it for one would take the lake for empty.
fn failed(error: CallError, location: &Path) -> Error {
    let path = location.to_string();
    match (error.code(), error.status()) {
        (Some("NoSuchBucket"), _) => generic(error),
        (Some("NoSuchKey" | "NotFound" | "NoSuchVersion"), _) | (None, Some(404)) => {
            Error::NotFound { path, source: error.into() }
        }
        (_, Some(412)) => Error::Precondition { path, source: error.into() },
        (_, Some(304)) => Error::NotModified { path, source: error.into() },
        (Some("ExpiredToken" | "InvalidAccessKeyId" | "SignatureDoesNotMatch"), _) | (_, Some(401)) => {
            Error::Unauthenticated { path, source: error.into() }
        }
        (_, Some(403)) | (Some("AccessDenied"), _) => Error::PermissionDenied { path, source: error.into() },
        _ => generic(error),
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

#[cfg(test)]
mod tests {
    use aws_config::{Region, SdkConfig};

    use super::*;

    fn place(url: &str) -> Result<Place> {
        let config = SdkConfig::builder().region(Region::new("us-east-1")).build();
        let cloud = Cloud::of(config).unwrap();
        S3Store::open(&cloud, &Url::parse(url).unwrap())?;
        let url = Url::parse(url).unwrap();
        let prefix = Path::from_url_path(url.path())?;
        let bucket = url.host_str().unwrap_or_default().to_owned();
        Ok(Place { client: cloud.s3(), bucket, prefix, options: S3Options::default() })
    }

    #[test]
    fn keys_lie_below_the_prefix_and_lead_back() {
        for (url, key) in [("s3://lake", "a/b"), ("s3://lake/", "a/b"), ("s3://lake/p/q/", "p/q/a/b")] {
            let place = place(url).unwrap();
            assert_eq!(place.key(&"a/b".into()), key, "{url}");
            assert_eq!(place.location(key), Some("a/b".into()), "{url}");
        }
    }

    #[test]
    fn what_is_beside_the_prefix_or_no_path_is_no_object() {
        let place = place("s3://lake/p").unwrap();
        for key in ["q/a", "pq/a", "p", "p/", "p/folder/", "p/a//b"] {
            assert_eq!(place.location(key), None, "{key}");
        }
    }

    #[test]
    fn a_folder_ends_with_a_slash_and_a_bucket_with_nothing() {
        let (whole, part) = (place("s3://lake").unwrap(), place("s3://lake/p").unwrap());
        assert_eq!((whole.folder(None), whole.folder(Some(&"a".into()))), (String::new(), "a/".to_owned()));
        assert_eq!((part.folder(None), part.folder(Some(&"a".into()))), ("p/".to_owned(), "p/a/".to_owned()));
        assert_eq!(part.folder(Some(&Path::default())), "p/");
    }

    #[test]
    fn another_scheme_is_refused() {
        let told = place("https://lake/p").unwrap_err().to_string();
        assert!(told.contains("expected `s3://BUCKET/PREFIX`"), "{told}");
    }
}
