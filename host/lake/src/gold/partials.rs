//! Partial results, and a pack: one object with those of all buckets.
//!
//! Does not know what is in them, or what is in the store: `packs` does. A partial result's id names all that it was folded from, and a
//! pack's name its digest, so neither can pass for another.
//!
//! A pack is `_partials/NAME/VERSION-DIGEST.pack`: a line of JSON with ids and lengths, then the partial results one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use object_store::path::Path;
use records::keys::sha256;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The name of the format in the first line of a pack.
const FORM: &str = "sluicebox partials 2";

/// Partial results by id.
pub type Partials = BTreeMap<PartialId, Bytes>;

/// Names all that a partial result was made from. Small, since each update of a table looks for as many as there are buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialId(u128);

impl PartialId {
    /// The first half of the SHA-256 of `parts`, each preceded by its length so that no two lists of parts are alike.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        PartialId(hash.finalize().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }

    /// As bytes, to make another id of it.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl std::fmt::Display for PartialId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<PartialId> for String {
    fn from(id: PartialId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PartialId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(PartialId)
    }
}

/// What this process knows of a table's partial results.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) partials: Arc<Partials>,
    /// The pack that was read or written last.
    pub(super) pack: Option<Path>,
    /// How many of the partial results are in no pack.
    pub(super) unwritten: usize,
    /// The version of Silver that they belong to, if this process has made them.
    pub(super) version: Option<i64>,
    /// The packs that are there, as far as this process knows; none if it has not looked.
    pub(super) packs: Option<Vec<Path>>,
}

/// Shared by the clones of one `Gold`.
pub(super) type Shared = Arc<Mutex<Kept>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    form: String,
    partials: Vec<(PartialId, usize)>,
}

pub(super) fn is_pack(path: &Path) -> bool {
    path.as_ref().ends_with(".pack")
}

pub(super) fn pack(partials: &Partials) -> Result<Bytes, serde_json::Error> {
    let lengths = partials.iter().map(|(id, partial)| (*id, partial.len())).collect();
    let mut bytes = serde_json::to_vec(&Header { form: FORM.to_owned(), partials: lengths })?;
    bytes.push(b'\n');
    partials.values().for_each(|partial| bytes.extend_from_slice(partial));
    Ok(bytes.into())
}

/// The partial results in a pack, or what is wrong with it.
pub(super) fn unpack(path: &Path, bytes: &Bytes) -> Result<Partials, String> {
    let name = path.filename().unwrap_or_default();
    let promised = name.strip_suffix(".pack").and_then(|name| name.split_once('-')).map(|(_, digest)| digest);
    let promised = promised.ok_or("its name is not `VERSION-DIGEST.pack`")?;
    let found = sha256(bytes);
    if found != promised {
        return Err(format!("its digest is {found}"));
    }
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
    let header = bytes.get(..line).unwrap_or_default();
    let header: Header = serde_json::from_slice(header).map_err(|error| format!("its first line: {error}"))?;
    if header.form != FORM {
        return Err(format!("expected `{FORM}`, got `{}`", header.form));
    }
    let mut rest = bytes.slice(line + 1..);
    let mut partials = Partials::new();
    for (id, length) in header.partials {
        if length > rest.len() {
            return Err(format!("partial result `{id}` is cut off"));
        }
        partials.insert(id, rest.split_to(length));
    }
    Ok(partials)
}
