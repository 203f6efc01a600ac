//! Kept answers: what a service said to a request, so that a replay, a diff or a retry asks nobody.
//!
//! Answers that come at about the same time are one object, a pack. Earlier versions of the program have kept each in an object of its own,
//! which is read as before. Does not decide which answers are worth keeping: `roles::enrich` does.

use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use futures::TryStreamExt;
use records::keys::fingerprint;
use seams::http::HttpAnswer;
use seams::plugin::EndpointRequest;
use seams::store::{Path, delete_if_there, read_if_there, update};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

mod group;
mod index;
mod keeper;
mod pack;
mod past;
mod shelf;

pub use group::{Active, Origin};
pub use keeper::{Asked, Keeper};
pub use past::Past;

/// Where kept answers are, in Bronze.
const FOLDER: &str = "_answers";

/// Names the answer to one request on one day.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
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

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a number, which takes less room; none if the text is no id.
    fn number(&self) -> Option<u64> {
        u64::from_str_radix(&self.0, 16).ok().filter(|_| self.0.len() == 16)
    }
}

/// Where a kept answer is. In text, as `_meta.answers` has it, `PACK#ID`; or `ID` where it is an object of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnswerAt {
    pack: Option<Arc<str>>,
    id: AnswerId,
}

impl AnswerAt {
    /// A place as `_meta.answers` has it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.split_once('#') {
            Some((pack, id)) => AnswerAt { pack: Some(pack.into()), id: AnswerId(id.to_owned()) },
            None => AnswerAt { pack: None, id: AnswerId(text.to_owned()) },
        }
    }

    /// What the answer is kept under.
    #[must_use]
    pub fn id(&self) -> &AnswerId {
        &self.id
    }

    /// The object that holds it.
    fn path(&self) -> Path {
        match &self.pack {
            Some(pack) => pack::path_of(pack),
            None => Path::from(format!("{FOLDER}/{}.json", self.id.0)),
        }
    }
}

impl std::fmt::Display for AnswerAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pack {
            Some(pack) => write!(f, "{pack}#{}", self.id.0),
            None => f.write_str(&self.id.0),
        }
    }
}

/// A kept answer, as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

impl Kept {
    fn of(request: &EndpointRequest, answer: &HttpAnswer) -> Self {
        let text = std::str::from_utf8(&answer.body).ok().map(str::to_owned);
        let hex = text.is_none().then(|| hex::encode(&answer.body));
        Kept { request: request.clone(), status: answer.status, headers: answer.headers.clone(), text, hex }
    }

    /// What stands in the object at `path`, in JSON.
    fn parse(path: &impl std::fmt::Display, text: &[u8]) -> Result<Said, LakeError> {
        let kept: Kept = serde_json::from_slice(text).map_err(|error| LakeError::corrupt(path, error))?;
        let body = match (kept.text, kept.hex) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(digits)) => hex::decode(digits).map_err(|error| LakeError::corrupt(path, error))?.into(),
            _ => return Err(LakeError::corrupt(path, "expected one of `text` and `hex`")),
        };
        Ok((kept.request, HttpAnswer { status: kept.status, headers: kept.headers, body }))
    }
}

/// A request, and what was said to it.
pub type Said = (EndpointRequest, HttpAnswer);

/// The answer that is kept there and the request that it answers, if there is one.
///
/// # Errors
/// The store fails, or the answer cannot be read.
pub async fn kept_with_request(lake: &Lake, at: &AnswerAt) -> Result<Option<Said>, LakeError> {
    let path = at.path();
    let Some(bytes) = read_if_there(&*lake.bronze, &path).await? else { return Ok(None) };
    if at.pack.is_none() {
        return Kept::parse(&path, &bytes).map(Some);
    }
    let found = pack::read(&path, &bytes)?.into_iter().find(|(id, _)| *id == at.id);
    found.map(|(_, said)| said).transpose()
}

/// The objects that hold answers, sorted.
///
/// # Errors
/// The store fails.
pub async fn objects(lake: &Lake) -> Result<Vec<Path>, LakeError> {
    let listed = lake.bronze.list(Some(&Path::from(FOLDER))).map_ok(|object| object.location);
    let mut objects: Vec<Path> =
        listed.try_filter(|path| std::future::ready(holds_answers(path))).try_collect().await?;
    objects.sort();
    Ok(objects)
}

/// Whether an object holds answers, and not what is known of others.
fn holds_answers(path: &Path) -> bool {
    pack::name_of(path).is_some() || own(path).is_some()
}

/// The answer that is an object of its own.
fn own(path: &Path) -> Option<AnswerAt> {
    let id = AnswerId(path.filename()?.strip_suffix(".json")?.to_owned());
    (path.parts().count() == 2 && id.number().is_some()).then_some(AnswerAt { pack: None, id })
}

/// What an object holds, each answer with its place; one that cannot be read is an error of its own. Nothing, if the object is gone.
///
/// # Errors
/// The store fails, or the object is no pack.
pub async fn in_object(lake: &Lake, path: &Path) -> Result<Vec<(AnswerAt, Result<Said, LakeError>)>, LakeError> {
    let Some(bytes) = read_if_there(&*lake.bronze, path).await? else { return Ok(Vec::new()) };
    if let Some(at) = own(path) {
        return Ok(vec![(at, Kept::parse(path, &bytes))]);
    }
    let Some(name) = pack::name_of(path) else { return Ok(Vec::new()) };
    let at = |id| AnswerAt { pack: Some(Arc::clone(&name)), id };
    Ok(pack::read(path, &bytes)?.into_iter().map(|(id, said)| (at(id), said)).collect())
}

/// A few kept answers with their requests, whichever are listed first. One that cannot be read is left out: who reads it for what it says
/// tells of it.
///
/// # Errors
/// The store fails.
pub async fn some(lake: &Lake, most: usize) -> Result<Vec<Said>, LakeError> {
    let mut some = Vec::new();
    let mut listing = lake.bronze.list(Some(&Path::from(FOLDER)));
    while some.len() < most
        && let Some(object) = listing.try_next().await?
    {
        match in_object(lake, &object.location).await {
            Ok(found) => some.extend(found.into_iter().filter_map(|(_, said)| said.ok())),
            Err(LakeError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(some)
}

/// Takes those answers out of an object that are not to stay; how many those are. An object that holds none any more goes.
///
/// # Errors
/// The store fails, or the object is no pack.
pub async fn retain(
    lake: &Lake,
    path: &Path,
    stays: impl Fn(&AnswerAt) -> bool + Send + Sync,
) -> Result<usize, LakeError> {
    if let Some(at) = own(path) {
        if stays(&at) {
            return Ok(0);
        }
        delete_if_there(&*lake.bronze, path).await?;
        return Ok(1);
    }
    let Some(name) = pack::name_of(path) else { return Ok(0) };
    let (mut gone, mut left) = (0, 0);
    let change = |there: Option<Bytes>| -> Result<Option<Bytes>, LakeError> {
        (gone, left) = (0, 0);
        let Some(bytes) = there else { return Ok(None) };
        let (kept, went) =
            pack::without(path, &bytes, |id| stays(&AnswerAt { pack: Some(Arc::clone(&name)), id: id.clone() }))?;
        (gone, left) = (went, kept.as_ref().map_or(0, |_| 1));
        Ok(kept.filter(|_| went > 0))
    };
    update(&*lake.bronze, path, change).await?;
    if gone > 0 && left == 0 {
        delete_if_there(&*lake.bronze, path).await?;
    }
    Ok(gone)
}

/// Deletes what says which answers are where: it is made again when it is missed.
///
/// # Errors
/// The store fails.
pub async fn drop_indexes(lake: &Lake) -> Result<(), LakeError> {
    let listed: Vec<_> = lake.bronze.list(Some(&Path::from(FOLDER))).try_collect().await?;
    for path in listed.into_iter().map(|object| object.location).filter(index::is_index) {
        delete_if_there(&*lake.bronze, &path).await?;
    }
    Ok(())
}
