//! The columns of a source at a tick: compared with what is read of them, and remembered for the ticks to come.
//!
//! Does not judge a column that is missing: `contract::columns` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use lake::failure::Failure;
use lake::{Lake, LakeError};
use pipeline::plan::Source;
use records::keys::Tick;
use seams::store::{Path, read_if_there, update};
use serde::{Deserialize, Serialize};

use crate::contract::columns::{Missing, Reader, Weight, missing};

/// Beside Bronze: the columns that ticks of this lake had.
const KEPT: &str = "_columns.json";

/// The reader of the source's records, which changes when another plugin serves. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ReadBy(Arc<Mutex<Reader>>);

impl ReadBy {
    /// These columns are read.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        ReadBy(Arc::new(Mutex::new(reader)))
    }

    /// From now on these columns are read.
    pub fn set(&self, reader: Reader) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    fn get(&self) -> Reader {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Each with the first tick that had it.
    columns: BTreeMap<String, Tick>,
}

/// The columns that earlier ticks had.
///
/// # Errors
/// The store fails.
pub async fn earlier(lake: &Lake) -> Result<BTreeSet<String>, LakeError> {
    let body = read_if_there(&*lake.bronze, &Path::from(KEPT)).await?;
    Ok(body.map(|body| parse(&body)).unwrap_or_default().columns.into_keys().collect())
}

/// A file that cannot be read counts as empty: it is a memory, and no record depends on it.
fn parse(body: &[u8]) -> Kept {
    serde_json::from_slice(body).unwrap_or_else(|error| {
        tracing::warn!(object = KEPT, %error, "cannot be read, the columns of earlier ticks are not known");
        Kept::default()
    })
}

/// Remembers the columns of a tick, if there are new ones.
pub(super) async fn remember(lake: &Lake, tick: Tick, found: &[String]) -> Result<(), LakeError> {
    let path = Path::from(KEPT);
    let known = earlier(lake).await?;
    if found.iter().all(|column| known.contains(column)) {
        return Ok(());
    }
    update(&*lake.bronze, &path, |there| {
        let mut kept = there.map(|body| parse(&body)).unwrap_or_default();
        for column in found {
            kept.columns.entry(column.clone()).or_insert(tick);
        }
        let body = serde_json::to_vec_pretty(&kept).map_err(|error| LakeError::corrupt(&path, error))?;
        Ok::<_, LakeError>(Some(body.into()))
    })
    .await
}

/// The columns that are missed and may be.
///
/// # Errors
/// `Failure::Fatal` with every column that may not.
pub(super) async fn hold(
    source: &Source,
    found: &[String],
    reads: &ReadBy,
    lake: &Lake,
) -> Result<Vec<Missing>, Failure> {
    let reader = reads.get();
    let all = missing(source, found, &reader, &BTreeSet::new());
    if all.is_empty() {
        return Ok(all);
    }
    let (errors, warnings): (Vec<_>, Vec<_>) =
        missing(source, found, &reader, &earlier(lake).await?).into_iter().partition(|one| one.weight == Weight::Error);
    if errors.is_empty() {
        return Ok(warnings);
    }
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(Failure::Fatal(told.join("\n")))
}
