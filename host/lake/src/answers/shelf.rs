//! Packs that were read lately: neighbours find their answers in the same ones.
//!
//! Does not notice when a pack changes: its owner decides how long that does not matter.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seams::store::read_if_there;
use tokio::sync::OnceCell;

use super::kept::{AnswerId, Said};
use super::objects::kept_with_request;
use super::pack;
use super::place::AnswerAt;
use crate::{Lake, LakeError};

/// The most packs that are held, each of some MiB.
const MOST: usize = 8;

/// What a pack holds: the answers, or why one cannot be read.
type Answers = Vec<(AnswerId, Result<Said, String>)>;

/// A pack's name, and what it holds once it was read.
type Held = (Arc<str>, Arc<OnceCell<Answers>>);

/// Packs that were read lately, by name.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<VecDeque<Held>>);

impl Shelf {
    /// The answer that is kept there and the request that it answers, if there is one.
    ///
    /// # Errors
    /// The store fails, or the answer cannot be read.
    pub(super) async fn read(&self, lake: &Lake, at: &AnswerAt) -> Result<Option<Said>, LakeError> {
        let Some(name) = &at.pack else { return kept_with_request(lake, at).await };
        let cell = self.cell(name);
        let answers = cell.get_or_try_init(|| all(lake, name)).await?;
        match answers.iter().find(|(id, _)| *id == at.id) {
            None => Ok(None),
            Some((_, Ok(said))) => Ok(Some(said.clone())),
            Some((_, Err(reason))) => Err(LakeError::corrupt(at.path(), reason)),
        }
    }

    /// Drops a pack that changes.
    pub(super) fn drop_pack(&self, name: &str) {
        self.held().retain(|(one, _)| **one != *name);
    }

    /// Drops all packs.
    pub(super) fn clear(&self) {
        self.held().clear();
    }

    /// The cell of a pack: the pack is read once, however many tasks ask for it meanwhile.
    fn cell(&self, name: &Arc<str>) -> Arc<OnceCell<Answers>> {
        let mut held = self.held();
        if let Some((_, cell)) = held.iter().find(|(one, _)| one == name) {
            return Arc::clone(cell);
        }
        let cell = Arc::default();
        held.push_back((Arc::clone(name), Arc::clone(&cell)));
        if held.len() > MOST {
            held.pop_front();
        }
        cell
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn all(lake: &Lake, name: &str) -> Result<Answers, LakeError> {
    let path = pack::path_of(name);
    let Some(bytes) = read_if_there(&*lake.bronze, &path).await? else { return Ok(Answers::new()) };
    let reason = |error: LakeError| match error {
        LakeError::Corrupt { reason, .. } => reason,
        other => other.to_string(),
    };
    Ok(pack::read(&path, &bytes)?.into_iter().map(|(id, said)| (id, said.map_err(reason))).collect())
}
