//! The condition of a write, the mark by which an object names its put, and which write has won if that is unclear.
//!
//! Does not write.

use object_store::path::Path;
use object_store::{Error, PutMode, PutResult, Result};

use super::failure::failed;
use super::place::Place;
use crate::failure::CallError;

/// The metadata key that names the put that made an object.
pub(super) const PUT: &str = "sluicebox-put";

/// What must hold for a write to happen.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// Anything.
    Any,
    /// There is no object.
    Absent,
    /// The object is the one with this tag.
    Unchanged(String),
}

impl Condition {
    /// The condition of a mode.
    pub(super) fn of(mode: PutMode, location: &Path) -> Result<Self> {
        match mode {
            PutMode::Overwrite => Ok(Condition::Any),
            PutMode::Create => Ok(Condition::Absent),
            PutMode::Update(version) => version.e_tag.map(Condition::Unchanged).ok_or_else(|| Error::Precondition {
                path: location.to_string(),
                source: "an update needs the tag of what is there".into(),
            }),
        }
    }

    /// The header `If-None-Match`.
    pub(super) fn if_none_match(&self) -> Option<String> {
        matches!(self, Condition::Absent).then(|| "*".to_owned())
    }

    /// The header `If-Match`.
    pub(super) fn if_match(&self) -> Option<String> {
        match self {
            Condition::Unchanged(tag) => Some(tag.clone()),
            Condition::Any | Condition::Absent => None,
        }
    }
}

/// A name that no other put has.
pub(super) fn new_mark() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The outcome of a write that failed. The object there says whether it is the write's own.
pub(super) async fn decide(
    place: &Place,
    location: &Path,
    mark: &str,
    condition: &Condition,
    error: CallError,
) -> Result<PutResult> {
    let refused = error.status() == Some(412);
    // An upload that S3 no longer knows has been completed, perhaps by the call before, whose reply was lost.
    let open = refused || error.may_have_happened() || error.code() == Some("NoSuchUpload");
    if open && let Some(own) = own(place, location, mark).await? {
        tracing::debug!(%location, %error, "the write had succeeded, only its reply was lost");
        return Ok(own);
    }
    match condition {
        Condition::Absent if refused => Err(Error::AlreadyExists { path: location.to_string(), source: error.into() }),
        _ => Err(failed(error, location)),
    }
}

/// The object there, if the put of that mark has made it.
async fn own(place: &Place, location: &Path, mark: &str) -> Result<Option<PutResult>> {
    let key = place.key(location);
    match place.client.head_object().bucket(&place.bucket).key(&key).send().await {
        Ok(there) => {
            let marked = there.metadata().and_then(|metadata| metadata.get(PUT)).is_some_and(|it| it == mark);
            Ok(marked.then_some(PutResult { e_tag: there.e_tag, version: there.version_id }))
        }
        Err(error) => {
            let error = failed(CallError::of("HeadObject", &place.name(&key), &error), location);
            if matches!(error, Error::NotFound { .. }) { Ok(None) } else { Err(error) }
        }
    }
}
