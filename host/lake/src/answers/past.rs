//! Kept answers of lines that are in Bronze. If the pack that a line names was deleted, and the service was asked again, the answer is in
//! another pack of its day.
//!
//! Does not notice when a pack changes: its owner decides how long that does not matter.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono::NaiveDate;
use records::keys::Tick;
use tokio::sync::Mutex;

use super::index::{self, Index};
use super::kept::Said;
use super::place::AnswerAt;
use super::shelf::Shelf;
use crate::{Lake, LakeError};

/// Answers of the past, as far as they were read.
#[derive(Debug, Default)]
pub struct Past {
    shelf: Shelf,
    /// Which answers are where, of days that lack a pack.
    days: Mutex<BTreeMap<NaiveDate, Index>>,
}

impl Past {
    /// The answer that a line of `tick` names and the request that it answers, if it is kept.
    ///
    /// # Errors
    /// The store fails, or the answer cannot be read.
    pub async fn read(&self, lake: &Lake, tick: Tick, at: &AnswerAt) -> Result<Option<Said>, LakeError> {
        if let Some(said) = self.shelf.read(lake, at).await? {
            return Ok(Some(said));
        }
        let mut days = self.days.lock().await;
        let day = match days.entry(tick.day()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut whole = Index::default();
                whole.extend(&index::of_day(lake, tick).await?);
                unknown.insert(whole)
            }
        };
        let Some(pack) = day.pack_of(&at.id) else { return Ok(None) };
        drop(days);
        self.shelf.read(lake, &AnswerAt { pack: Some(pack), id: at.id.clone() }).await
    }
}
