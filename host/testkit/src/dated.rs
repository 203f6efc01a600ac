//! A store that dates its objects by the simulated clock.
//!
//! Does not age anything by itself: the clock moves only when a test moves it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use seams::clock::Clock;
use seams::store::Store;

/// Wraps another store. Its listings date an object by the last put through this wrapper.
#[derive(Debug)]
pub struct Dated {
    inner: Store,
    clock: Arc<dyn Clock>,
    written: Arc<Mutex<HashMap<Path, DateTime<Utc>>>>,
}

impl Dated {
    /// Dates what is put into `inner` from now on.
    #[must_use]
    pub fn over(inner: Store, clock: Arc<dyn Clock>) -> Store {
        Arc::new(Dated { inner, clock, written: Arc::default() })
    }

    fn note(&self, location: &Path) {
        self.written.lock().unwrap().insert(location.clone(), self.clock.now());
    }
}

impl std::fmt::Display for Dated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dated({})", self.inner)
    }
}

/// `object` as old as the clock says.
fn dated(object: ObjectMeta, written: &Mutex<HashMap<Path, DateTime<Utc>>>, clock: &dyn Clock) -> ObjectMeta {
    // An object that is there and not yet noted is being written just now.
    let noted = written.lock().unwrap().get(&object.location).copied();
    ObjectMeta { last_modified: noted.unwrap_or_else(|| clock.now()), ..object }
}

#[async_trait]
impl ObjectStore for Dated {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.inner.put_opts(location, payload, options).await?;
        self.note(location);
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.note(location);
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (written, clock) = (Arc::clone(&self.written), Arc::clone(&self.clock));
        self.inner.list(prefix).map(move |object| object.map(|object| dated(object, &written, &*clock))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects = listed.objects.into_iter().map(|object| dated(object, &self.written, &*self.clock)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.note(to);
        Ok(())
    }
}
