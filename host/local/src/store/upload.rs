//! An object written in parts: one staged file, published when it is complete.
//!
//! Does not write parts out of order: each waits for the one before it, as its offset depends on it.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::sync::Mutex;

use super::blocking::blocking;
use super::files::{Folder, Staged};

/// The upload of one object.
#[derive(Debug)]
pub(super) struct FileUpload {
    folder: Arc<Folder>,
    parts: Arc<Mutex<Parts>>,
    given: usize,
}

/// What has been written so far.
#[derive(Debug)]
struct Parts {
    /// `None` once the upload is over or has failed.
    staged: Option<Staged>,
    /// Parts in the file.
    written: usize,
    /// Parts that came before one that they follow.
    waiting: std::collections::BTreeMap<usize, PutPayload>,
}

impl FileUpload {
    pub(super) fn new(folder: Arc<Folder>, staged: Staged) -> Self {
        let parts = Parts { staged: Some(staged), written: 0, waiting: std::collections::BTreeMap::new() };
        FileUpload { folder, parts: Arc::new(Mutex::new(parts)), given: 0 }
    }
}

fn over(what: &str) -> Error {
    Error::Generic { store: "DirStore", source: what.into() }
}

impl Parts {
    /// Keeps the part and writes all parts that can be written now.
    async fn accept(&mut self, number: usize, payload: PutPayload) -> Result<()> {
        self.waiting.insert(number, payload);
        let mut ready = Vec::new();
        while let Some(payload) = self.waiting.remove(&(self.written + ready.len())) {
            ready.push(payload);
        }
        let count = ready.len();
        // Taken out while it is written: a failed write leaves no file behind that a `complete` could publish.
        let mut staged = self.staged.take().ok_or_else(|| over("the upload has failed or is over"))?;
        let staged = blocking(move || {
            ready.iter().try_for_each(|payload| staged.append(payload))?;
            Ok(staged)
        })
        .await?;
        self.staged = Some(staged);
        self.written += count;
        Ok(())
    }
}

#[async_trait]
impl MultipartUpload for FileUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let number = self.given;
        self.given += 1;
        let parts = Arc::clone(&self.parts);
        Box::pin(async move { parts.lock().await.accept(number, payload).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut parts = self.parts.lock().await;
        if parts.written != self.given {
            let (written, given) = (parts.written, self.given);
            return Err(over(&format!("`complete` after {written} of {given} parts were written")));
        }
        let staged = parts.staged.take().ok_or_else(|| over("the upload has failed or is over"))?;
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.publish(staged, &object_store::PutMode::Overwrite)).await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.parts.lock().await.staged.take();
        blocking(move || {
            drop(staged);
            Ok(())
        })
        .await
    }
}
