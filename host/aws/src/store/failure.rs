//! What a failed call to S3 means to the caller of an object store.
//!
//! Does not try anything again.

use object_store::Error;
use object_store::path::Path;

use crate::failure::CallError;

/// An error without a class of its own.
pub(super) fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "S3", source: source.into() }
}

/// What a failed call means for an object. A missing bucket is no missing object: a caller that confused them would take the lake for empty.
pub(super) fn failed(error: CallError, location: &Path) -> Error {
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
