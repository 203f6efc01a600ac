//! One kept answer: the id that it is found by, and how it is written.
//!
//! Does not know in which object it is: `place` does.

use bytes::Bytes;
use chrono::NaiveDate;
use records::keys::fingerprint;
use seams::http::HttpAnswer;
use seams::plugin::EndpointRequest;
use serde::{Deserialize, Serialize};

use crate::LakeError;

/// Where kept answers are, in Bronze.
pub(super) const FOLDER: &str = "_answers";

/// Names the answer to one request on one day.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnswerId(pub(super) String);

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

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a number, which takes less room; none if the text is no id.
    pub(super) fn number(&self) -> Option<u64> {
        u64::from_str_radix(&self.0, 16).ok().filter(|_| self.0.len() == 16)
    }
}

/// A request, and what was said to it.
pub type Said = (EndpointRequest, HttpAnswer);

/// A kept answer, as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    request: EndpointRequest,
    status: u16,
    headers: Vec<(String, String)>,
    /// The body if it is UTF-8 text.
    text: Option<String>,
    /// Else its bytes, in hexadecimal.
    hex: Option<String>,
}

impl Kept {
    pub(super) fn of(request: &EndpointRequest, answer: &HttpAnswer) -> Self {
        let text = std::str::from_utf8(&answer.body).ok().map(str::to_owned);
        let hex = text.is_none().then(|| hex::encode(&answer.body));
        Kept { request: request.clone(), status: answer.status, headers: answer.headers.clone(), text, hex }
    }

    /// What stands in the object at `path`, in JSON.
    pub(super) fn parse(path: &impl std::fmt::Display, text: &[u8]) -> Result<Said, LakeError> {
        let kept: Kept = serde_json::from_slice(text).map_err(|error| LakeError::corrupt(path, error))?;
        let body = match (kept.text, kept.hex) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(digits)) => hex::decode(digits).map_err(|error| LakeError::corrupt(path, error))?.into(),
            _ => return Err(LakeError::corrupt(path, "expected one of `text` and `hex`")),
        };
        Ok((kept.request, HttpAnswer { status: kept.status, headers: kept.headers, body }))
    }
}
