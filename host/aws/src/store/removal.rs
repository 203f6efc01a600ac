//! Removal of objects, up to a thousand with one call.
//!
//! Does not say whether an object was there: S3 does not, either.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{Error, Result};
use seams::backoff;

use super::failure::{failed, generic};
use super::place::Place;
use crate::failure::CallError;

/// As many as S3 takes with one call.
const MOST: usize = 1000;
/// Calls under way at once.
const AT_ONCE: usize = 4;
/// How often a removal is tried that failed for a passing reason.
const TRIES: u32 = 4;

/// Each path again once its object is gone, in their order.
pub(super) fn remove(
    place: Arc<Place>,
    locations: BoxStream<'static, Result<Path>>,
) -> BoxStream<'static, Result<Path>> {
    locations
        .ready_chunks(MOST)
        .map(move |chunk| {
            let place = Arc::clone(&place);
            async move { stream::iter(remove_chunk(&place, chunk).await) }
        })
        .buffered(AT_ONCE)
        .flatten()
        .boxed()
}

async fn remove_chunk(place: &Place, chunk: Vec<Result<Path>>) -> Vec<Result<Path>> {
    let mut left: Vec<Path> = chunk.iter().filter_map(|location| location.as_ref().ok()).cloned().collect();
    let mut errors: HashMap<Path, Error> = HashMap::new();
    for tried in 0..TRIES {
        if left.is_empty() {
            break;
        }
        if tried > 0 {
            let delay = backoff::delay(Duration::from_millis(200), tried, Duration::from_secs(5), &[b"remove"]);
            tokio::time::sleep(delay).await;
        }
        let failures = remove_once(place, &left).await;
        left.clear();
        for (location, error, passing) in failures {
            if passing && tried + 1 < TRIES {
                left.push(location);
            } else {
                errors.insert(location, error);
            }
        }
    }
    let told = |location: Result<Path>| location.and_then(|there| errors.remove(&there).map_or(Ok(there), Err));
    chunk.into_iter().map(told).collect()
}

/// The objects that could not be removed, why, and whether that may pass.
async fn remove_once(place: &Place, locations: &[Path]) -> Vec<(Path, Error, bool)> {
    let keys: HashMap<String, &Path> = locations.iter().map(|location| (place.key(location), location)).collect();
    let objects = keys.keys().map(|key| ObjectIdentifier::builder().key(key).build());
    let delete = objects
        .collect::<std::result::Result<Vec<_>, _>>()
        .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
    let whole = |text: &str| -> Vec<(Path, Error, bool)> {
        locations.iter().map(|location| (location.clone(), generic(text.to_owned()), false)).collect()
    };
    let delete = match delete {
        Ok(delete) => delete,
        Err(error) => return whole(&error.to_string()),
    };
    match place.client.delete_objects().bucket(&place.bucket).delete(delete).send().await {
        // The SDK has tried it several times by now.
        Err(error) => whole(&CallError::of("DeleteObjects", &place.name(""), &error).to_string()),
        Ok(done) => {
            let mut failures = Vec::new();
            for error in done.errors() {
                let Some(location) = error.key().and_then(|key| keys.get(key)) else { continue };
                if error.code() == Some("NoSuchKey") {
                    continue;
                }
                let passing = matches!(error.code(), Some("InternalError" | "SlowDown" | "ServiceUnavailable"));
                let name = place.name(&place.key(location));
                let part = CallError::part("DeleteObjects", &name, error.code(), error.message());
                failures.push(((*location).clone(), failed(part, location), passing));
            }
            failures
        }
    }
}
