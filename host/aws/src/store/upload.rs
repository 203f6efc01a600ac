//! Uploads in parts: of a body that is complete, and of one that is still being made.
//!
//! Does not tidy up after a killed process: the bucket's lifecycle does.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::condition::{Condition, PUT, decide, new_mark};
use super::failure::{failed, generic};
use super::place::Place;
use crate::failure::CallError;

/// As many parts as S3 takes.
const MOST: usize = 10_000;
/// Parts under way at once.
const AT_ONCE: usize = 4;

type Called<T> = std::result::Result<T, CallError>;

/// An upload that has begun.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    key: String,
    upload: String,
}

impl Parts {
    /// Begins an upload. The object that it makes has the mark.
    pub(super) async fn begin(place: &Place, key: &str, mark: &str) -> Called<Self> {
        let call = place
            .client
            .create_multipart_upload()
            .bucket(&place.bucket)
            .key(key)
            .metadata(PUT, mark)
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        match call.send().await {
            Ok(begun) => Ok(Parts { key: key.to_owned(), upload: begun.upload_id.unwrap_or_default() }),
            Err(error) => Err(CallError::of("CreateMultipartUpload", &place.name(key), &error)),
        }
    }

    /// Sends a body in parts of equal size.
    pub(super) async fn send_all(&self, place: &Place, bytes: &Bytes) -> Called<Vec<CompletedPart>> {
        let size = place.options.part.max(bytes.len().div_ceil(MOST)).max(1);
        let starts = (0..bytes.len()).step_by(size).zip(1..);
        let pieces = starts.map(|(start, number)| (number, bytes.slice(start..bytes.len().min(start + size))));
        stream::iter(pieces.collect::<Vec<_>>())
            .map(|(number, piece)| self.send(place, number, piece))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn send(&self, place: &Place, number: i32, piece: Bytes) -> Called<CompletedPart> {
        let call = place
            .client
            .upload_part()
            .bucket(&place.bucket)
            .key(&self.key)
            .upload_id(&self.upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(piece));
        match call.send().await {
            Ok(sent) => Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag)
                .set_checksum_crc32(sent.checksum_crc32)
                .build()),
            Err(error) => Err(CallError::of("UploadPart", &place.name(&self.key), &error)),
        }
    }

    /// Makes the object of its parts.
    pub(super) async fn complete(
        &self,
        place: &Place,
        parts: Vec<CompletedPart>,
        condition: &Condition,
    ) -> Called<PutResult> {
        let call = place
            .client
            .complete_multipart_upload()
            .bucket(&place.bucket)
            .key(&self.key)
            .upload_id(&self.upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_if_none_match(condition.if_none_match())
            .set_if_match(condition.if_match());
        match call.send().await {
            Ok(done) => Ok(PutResult { e_tag: done.e_tag, version: done.version_id }),
            Err(error) => Err(CallError::of("CompleteMultipartUpload", &place.name(&self.key), &error)),
        }
    }

    /// Deletes the parts. If that fails they only cost money, until the bucket's lifecycle ends them.
    pub(super) async fn abort(&self, place: &Place) {
        let call = place.client.abort_multipart_upload().bucket(&place.bucket).key(&self.key).upload_id(&self.upload);
        if let Err(error) = call.send().await {
            let error = CallError::of("AbortMultipartUpload", &place.name(&self.key), &error);
            tracing::debug!(%error, "an upload stays unfinished");
        }
    }
}

/// An upload whose parts come one by one. S3 refuses parts of less than 5 MiB, but for the last.
#[derive(Debug)]
pub(super) struct PartedUpload {
    place: Arc<Place>,
    location: Path,
    mark: String,
    parts: Parts,
    next: i32,
    sent: Arc<Mutex<Vec<CompletedPart>>>,
}

impl PartedUpload {
    pub(super) async fn begin(place: Arc<Place>, location: Path) -> Result<Self> {
        let mark = new_mark();
        let begun = Parts::begin(&place, &place.key(&location), &mark).await;
        let parts = begun.map_err(|error| failed(error, &location))?;
        Ok(PartedUpload { place, location, mark, parts, next: 1, sent: Arc::default() })
    }
}

#[async_trait]
impl MultipartUpload for PartedUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let number = self.next;
        self.next += 1;
        let (place, parts) = (Arc::clone(&self.place), self.parts.clone());
        let (location, all) = (self.location.clone(), Arc::clone(&self.sent));
        Box::pin(async move {
            let sent = parts.send(&place, number, payload.into()).await.map_err(|error| failed(error, &location))?;
            all.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.next == 1 {
            // S3 makes no object of nothing, but one of an empty part.
            self.put_part(PutPayload::default()).await?;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if sent.len() + 1 != usize::try_from(self.next).unwrap_or_default() {
            return Err(generic(format!("`{}`: {} of {} parts were sent", self.location, sent.len(), self.next - 1)));
        }
        sent.sort_by_key(CompletedPart::part_number);
        match self.parts.complete(&self.place, sent, &Condition::Any).await {
            Ok(done) => Ok(done),
            Err(error) => decide(&self.place, &self.location, &self.mark, &Condition::Any, error).await,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.abort(&self.place).await;
        Ok(())
    }
}
