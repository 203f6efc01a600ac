//! [`Faulty`] over an object store. A listing fails as a whole; a multipart upload fails at its start or at its completion.
//!
//! Odd: a create fails because the object exists, though it does not (as S3's client reports a 409); a body is cut off on its way; a
//! listing does not show its last object yet.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::{Fate, Faults, Faulty};

fn failure(message: &str) -> Error {
    Error::Generic { store: "Faulty", source: message.into() }
}

impl<T: ObjectStore + ?Sized> Faulty<T> {
    /// A write, or a failure of it.
    async fn write<R>(&self, call: impl Future<Output = Result<R>>) -> Result<R> {
        self.call(call, |message| self.faults.store_failure(message)).await
    }

    /// The fate of a read: only writes meet faults of the machine.
    async fn fate_of_read(&self) -> Fate {
        if self.faults.trouble.is_some() { Fate::Pass } else { self.faults.next().await }
    }

    async fn read<R>(&self, call: impl Future<Output = Result<R>>) -> Result<R> {
        self.end(self.fate_of_read().await, call, failure).await
    }
}

impl Faults {
    fn store_failure(&self, message: &str) -> Error {
        match self.trouble {
            Some(trouble) => Error::Generic { store: "Faulty", source: trouble.cause() },
            None => failure(message),
        }
    }
}

impl<T: ObjectStore + ?Sized> std::fmt::Display for Faulty<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl<T: ObjectStore + ?Sized> ObjectStore for Faulty<T> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.faults.next().await {
            Fate::Odd if options.mode == PutMode::Create => {
                let source = "injected: a conflicting operation is in progress".into();
                Err(Error::AlreadyExists { path: location.to_string(), source })
            }
            fate => {
                let failure = |message: &str| self.faults.store_failure(message);
                self.end(fate, self.inner.put_opts(location, payload, options), failure).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.write(self.inner.put_multipart_opts(location, options)).await?;
        Ok(Box::new(FaultyUpload { faults: Arc::clone(&self.faults), upload }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fate_of_read().await {
            Fate::Odd => Ok(cut_off(self.inner.get_opts(location, options).await?)),
            fate => self.end(fate, self.inner.get_opts(location, options), failure).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (faults, inner) = (Arc::clone(&self.faults), Arc::clone(&self.inner));
        locations
            .then(move |location| {
                let one = Faulty { faults: Arc::clone(&faults), inner: Arc::clone(&inner) };
                async move {
                    let location = location?;
                    one.write(one.inner.delete(&location)).await.map(|()| location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (faults, listing) = (Arc::clone(&self.faults), self.inner.list(prefix));
        let start = async move {
            let fate = if faults.trouble.is_some() { Fate::Pass } else { faults.next().await };
            match fate {
                Fate::Pass => Ok(listing),
                Fate::Odd => {
                    let mut objects: Vec<_> = listing.try_collect().await?;
                    objects.pop();
                    Ok(stream::iter(objects.into_iter().map(Ok)).boxed())
                }
                Fate::FailBefore | Fate::FailAfter => Err(failure("injected into the listing")),
                Fate::Die { .. } => faults.die().await,
            }
        };
        stream::once(start).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.write(self.inner.rename_opts(from, to, options)).await
    }
}

/// An answer whose connection breaks in the middle of the body.
fn cut_off(whole: GetResult) -> GetResult {
    let GetResult { meta, range, attributes, .. } = &whole;
    let (meta, range, attributes) = (meta.clone(), range.clone(), attributes.clone());
    let half = usize::try_from((range.end - range.start) / 2).unwrap_or_default();
    let body = async move {
        let bytes = whole.bytes().await?;
        let parts = [Ok(bytes.slice(..half)), Err(failure("injected: the body ended early"))];
        Ok::<_, Error>(stream::iter(parts))
    };
    let payload = GetResultPayload::Stream(stream::once(body).try_flatten().boxed());
    GetResult { payload, meta, range, attributes }
}

#[derive(Debug)]
struct FaultyUpload {
    faults: Arc<Faults>,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        self.upload.put_part(payload)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.faults.next().await {
            Fate::Pass | Fate::Odd => self.upload.complete().await,
            Fate::FailBefore => Err(failure("injected before the upload was complete")),
            Fate::FailAfter => {
                self.upload.complete().await?;
                Err(failure("injected after the upload was complete: the reply is lost"))
            }
            Fate::Die { after } => {
                if after {
                    let _ = self.upload.complete().await;
                }
                self.faults.die().await
            }
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
