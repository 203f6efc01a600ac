//! A read-only store: whatever is called on it, the store below stays unchanged.
//!
//! Does not refuse writes: it keeps them in memory, on top of the store below, and drops them in the end. So a missing table can
//! be read as an empty one, on a read-only disk.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// An [`ObjectStore`] that changes nothing.
#[derive(Debug)]
pub struct ViewStore {
    below: Arc<dyn ObjectStore>,
    above: Arc<InMemory>,
}

impl ViewStore {
    /// A view of `below`.
    #[must_use]
    pub fn over(below: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(ViewStore { below, above: Arc::new(InMemory::new()) })
    }

    /// A view of an empty place.
    #[must_use]
    pub fn of_nothing() -> Arc<dyn ObjectStore> {
        ViewStore::over(Arc::new(InMemory::new()))
    }

    async fn is_above(&self, location: &Path) -> bool {
        self.above.head(location).await.is_ok()
    }

    /// The objects written here, below `prefix`.
    async fn written(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        self.above.list(prefix).try_collect().await
    }
}

impl std::fmt::Display for ViewStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewStore({})", self.below)
    }
}

fn refused(operation: &str) -> Error {
    Error::NotImplemented { operation: format!("`{operation}` where one only looks"), implementer: "ViewStore".into() }
}

#[async_trait]
impl ObjectStore for ViewStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if !self.is_above(location).await && options.mode != PutMode::Overwrite {
            match (self.below.head(location).await, &options.mode) {
                (Ok(_), PutMode::Create) => {
                    let source = "it lies below".into();
                    return Err(Error::AlreadyExists { path: location.to_string(), source });
                }
                (Err(Error::NotFound { .. }), PutMode::Create) => {}
                (Err(error), _) => return Err(error),
                (Ok(_), _) => return Err(refused("put_opts with an update")),
            }
        }
        self.above.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.above.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.is_above(location).await {
            return self.above.get_opts(location, options).await;
        }
        self.below.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|location| location.and_then(|_| Err(refused("delete")))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (below, prefix, above) = (Arc::clone(&self.below), prefix.cloned(), Arc::clone(&self.above));
        let all = async move {
            let written: Vec<ObjectMeta> = above.list(prefix.as_ref()).try_collect().await?;
            let names: HashSet<Path> = written.iter().map(|object| object.location.clone()).collect();
            let mut all: Vec<ObjectMeta> = below.list(prefix.as_ref()).try_collect().await?;
            all.retain(|object| !names.contains(&object.location));
            all.extend(written);
            all.sort_by(|a, b| a.location.cmp(&b.location));
            Ok::<_, Error>(futures::stream::iter(all.into_iter().map(Ok)))
        };
        futures::stream::once(all).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut found = self.below.list_with_delimiter(prefix).await?;
        if self.written(prefix).await?.is_empty() {
            return Ok(found);
        }
        let above = self.above.list_with_delimiter(prefix).await?;
        let folders = above.common_prefixes.into_iter().filter(|folder| !found.common_prefixes.contains(folder));
        let folders: Vec<Path> = folders.collect();
        found.common_prefixes.extend(folders);
        found.objects.retain(|object| above.objects.iter().all(|written| written.location != object.location));
        found.objects.extend(above.objects);
        Ok(found)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refused("copy"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(refused("rename"))
    }
}

/// A place that cannot be opened: each call says why.
#[derive(Debug)]
pub struct ClosedStore {
    why: String,
}

impl ClosedStore {
    /// A store that fails every call with `why`.
    #[must_use]
    pub fn because(why: String) -> Arc<dyn ObjectStore> {
        Arc::new(ClosedStore { why })
    }

    fn error(&self) -> Error {
        Error::Generic { store: "layer", source: self.why.clone().into() }
    }
}

impl std::fmt::Display for ClosedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClosedStore({})", self.why)
    }
}

#[async_trait]
impl ObjectStore for ClosedStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(self.error())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(self.error())
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> Result<GetResult> {
        Err(self.error())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let why = self.why.clone();
        let failed = move |_| Err(Error::Generic { store: "layer", source: why.clone().into() });
        locations.map(failed).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::iter([Err(self.error())]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(self.error())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.error())
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(self.error())
    }
}
