//! Writes: whole or in parts, plain or on a condition.
//!
//! Does not try again what the SDK has tried again.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{PutMode, PutResult, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use seams::backoff;

use super::condition::{Condition, PUT, decide, new_mark};
use super::failure::failed;
use super::place::Place;
use super::upload::Parts;
use crate::failure::CallError;

/// How often a write is tried that S3 refuses because of a concurrent write.
const TRIES: u32 = 6;

pub(super) async fn put(place: &Place, location: &Path, bytes: Bytes, mode: PutMode) -> Result<PutResult> {
    let condition = Condition::of(mode, location)?;
    let (key, mark) = (place.key(location), new_mark());
    let mut tried = 0;
    loop {
        tried += 1;
        let written = if bytes.len() > place.options.in_parts_above {
            in_parts(place, &key, &mark, &bytes, &condition).await
        } else {
            whole(place, &key, &mark, bytes.clone(), &condition).await
        };
        match written {
            Ok(result) => return Ok(result),
            Err(error) if error.status() == Some(409) && tried < TRIES => {
                let seed: [&[u8]; 2] = [mark.as_bytes(), &tried.to_be_bytes()];
                let delay = backoff::delay(Duration::from_millis(50), tried, Duration::from_secs(2), &seed);
                tracing::debug!(key, ?delay, "another write to the object is under way, trying again");
                tokio::time::sleep(delay).await;
            }
            Err(error) => return decide(place, location, &mark, &condition, error).await,
        }
    }
}

async fn whole(
    place: &Place,
    key: &str,
    mark: &str,
    bytes: Bytes,
    condition: &Condition,
) -> std::result::Result<PutResult, CallError> {
    let call = place
        .client
        .put_object()
        .bucket(&place.bucket)
        .key(key)
        .metadata(PUT, mark)
        .set_if_none_match(condition.if_none_match())
        .set_if_match(condition.if_match())
        .body(ByteStream::from(bytes));
    match call.send().await {
        Ok(done) => Ok(PutResult { e_tag: done.e_tag, version: done.version_id }),
        Err(error) => Err(CallError::of("PutObject", &place.name(key), &error)),
    }
}

async fn in_parts(
    place: &Place,
    key: &str,
    mark: &str,
    bytes: &Bytes,
    condition: &Condition,
) -> std::result::Result<PutResult, CallError> {
    let parts = Parts::begin(place, key, mark).await?;
    let done = match parts.send_all(place, bytes).await {
        Ok(sent) => parts.complete(place, sent, condition).await,
        Err(error) => Err(error),
    };
    if done.is_err() {
        parts.abort(place).await;
    }
    done
}

/// What the header of a copy holds unescaped.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// S3's own copy, in place of what may be there.
pub(super) async fn copy(place: &Place, from: &Path, to: &Path) -> Result<()> {
    let source = format!("{}/{}", place.bucket, utf8_percent_encode(&place.key(from), PLAIN));
    let key = place.key(to);
    let call = place.client.copy_object().bucket(&place.bucket).key(&key).copy_source(source);
    let copied = call.send().await;
    copied.map(drop).map_err(|error| failed(CallError::of("CopyObject", &place.name(&key), &error), from))
}
