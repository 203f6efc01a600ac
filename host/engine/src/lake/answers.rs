//! Kept answers: what a service said to a request, so that a replay, a diff or a retry asks nobody.
//!
//! Does not decide which answers are worth keeping: `roles::enrich` does.

use bytes::Bytes;
use chrono::NaiveDate;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::keys::fingerprint;
use super::{Lake, LakeError};
use crate::seams::http::HttpAnswer;
use crate::seams::plugin::EndpointRequest;
use crate::seams::store::{Created, Path, create, delete_if_there, read_if_there};

/// Names the answer to one request on one day.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnswerId(String);

impl AnswerId {
    /// The id for `request` (with the endpoint's fixed parameters in it, secrets by name only) on `day`.
    ///
    /// The order of query parameters and headers makes no difference.
    #[must_use]
    pub fn of(request: &EndpointRequest, day: NaiveDate) -> Self {
        let mut canonical = request.clone();
        canonical.query.sort();
        canonical.headers.sort();
        let text = serde_json::to_vec(&canonical).unwrap_or_default();
        AnswerId(fingerprint(&[&text, day.to_string().as_bytes()]))
    }

    /// An id as `_meta.answers` has it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        AnswerId(text.to_owned())
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn path(&self) -> Path {
        Path::from(format!("_answers/{}.json", self.0))
    }
}

/// The object of a kept answer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    request: EndpointRequest,
    status: u16,
    headers: Vec<(String, String)>,
    /// The body if it is UTF-8 text.
    text: Option<String>,
    /// Else its bytes, in hexadecimal.
    hex: Option<String>,
}

/// The answer kept under `id`, if there is one.
pub async fn kept(lake: &Lake, id: &AnswerId) -> Result<Option<HttpAnswer>, LakeError> {
    Ok(kept_with_request(lake, id).await?.map(|(_, answer)| answer))
}

/// The answer kept under `id` and the request that it answers, if there is one.
pub async fn kept_with_request(lake: &Lake, id: &AnswerId) -> Result<Option<(EndpointRequest, HttpAnswer)>, LakeError> {
    let path = id.path();
    read_if_there(&*lake.bronze, &path).await?.map(|bytes| parse(&path, &bytes)).transpose()
}

/// Ids of all kept answers, sorted.
pub async fn ids(lake: &Lake) -> Result<Vec<AnswerId>, LakeError> {
    let mut ids = Vec::new();
    let mut listing = lake.bronze.list(Some(&Path::from("_answers")));
    while let Some(object) = listing.try_next().await? {
        let name = object.location.filename().and_then(|name| name.strip_suffix(".json"));
        ids.extend(name.map(AnswerId::from_text));
    }
    ids.sort();
    Ok(ids)
}

/// Ids of a few kept answers, whichever are listed first.
pub async fn some_ids(lake: &Lake, most: usize) -> Result<Vec<AnswerId>, LakeError> {
    let mut ids = Vec::new();
    let mut listing = lake.bronze.list(Some(&Path::from("_answers")));
    while let Some(object) = listing.try_next().await? {
        let name = object.location.filename().and_then(|name| name.strip_suffix(".json"));
        ids.extend(name.map(AnswerId::from_text));
        if ids.len() >= most {
            break;
        }
    }
    Ok(ids)
}

/// Keeps `answer`. Of two that race the first counts, and both callers get it.
pub async fn keep(
    lake: &Lake,
    id: &AnswerId,
    request: &EndpointRequest,
    answer: HttpAnswer,
) -> Result<HttpAnswer, LakeError> {
    let path = id.path();
    let text = std::str::from_utf8(&answer.body).ok().map(str::to_owned);
    let hex = text.is_none().then(|| hex::encode(&answer.body));
    let kept = Kept { request: request.clone(), status: answer.status, headers: answer.headers.clone(), text, hex };
    let body = serde_json::to_vec(&kept).map_err(|error| LakeError::corrupt(&path, error))?;
    match create(&*lake.bronze, &path, body.into()).await? {
        Created::New => Ok(answer),
        Created::Existing(bytes) => Ok(parse(&path, &bytes)?.1),
    }
}

/// Forgets an answer that turned out to be none: a service that says "too many requests" with status 200.
pub async fn forget(lake: &Lake, id: &AnswerId) -> Result<(), LakeError> {
    Ok(delete_if_there(&*lake.bronze, &id.path()).await?)
}

fn parse(path: &Path, bytes: &Bytes) -> Result<(EndpointRequest, HttpAnswer), LakeError> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, error))?;
    let body = match (kept.text, kept.hex) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(digits)) => hex::decode(digits).map_err(|error| LakeError::corrupt(path, error))?.into(),
        _ => return Err(LakeError::corrupt(path, "expected one of `text` and `hex`")),
    };
    Ok((kept.request, HttpAnswer { status: kept.status, headers: kept.headers, body }))
}
