//! Taking a tick back: the rows that it brought go out of the table.
//!
//! Does not bring back what stood before: the caller has noted the keys, and the sweep offers their older versions again.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{AsArray, BooleanArray};
use deltalake_core::kernel::Action;
use records::keys::{Key, Tick};

use super::{KEY, REDO_AT_MOST, RETRACTED, SOURCE, Silver, TableError, bucket};
use crate::delta::{Draft, Outcome};

impl Silver {
    /// The keys whose rows come from that tick.
    pub async fn keys_of(&self, tick: Tick) -> Result<BTreeSet<Key>, TableError> {
        let snapshot = self.snapshot().await?;
        let from = folder(tick);
        let mut found = BTreeSet::new();
        for bucket in snapshot.buckets.keys() {
            for batch in self.read(&snapshot, *bucket, Some(&[KEY, SOURCE])).await? {
                let (keys, sources) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                let own =
                    keys.iter().zip(sources).filter(|(_, source)| source.is_some_and(|one| one.starts_with(&from)));
                found.extend(own.filter_map(|(key, _)| key).map(Key::from_text));
            }
        }
        Ok(found)
    }

    /// Removes the rows of that tick from the table, and returns how many.
    pub async fn take_back(&self, tick: Tick) -> Result<usize, TableError> {
        let from = folder(tick);
        let mut base = self.table.refresh().await?;
        for _ in 0..REDO_AT_MOST {
            let buckets: BTreeSet<u32> = base.files.values().filter_map(|file| super::bucket_in(file)).collect();
            let (mut all, mut taken) = (Vec::new(), 0);
            for bucket in buckets {
                let others = |sources: &arrow::array::StringArray| -> BooleanArray {
                    sources.iter().map(|source| Some(source.is_none_or(|one| !one.starts_with(&from)))).collect()
                };
                let (work, count) = bucket::only(&self.table, &base, bucket, SOURCE, others).await?;
                if count > 0 {
                    taken += count;
                    all.push(work);
                }
            }
            if taken == 0 {
                return Ok(0);
            }
            let now = self.table.now();
            let removes = all.iter().flat_map(|work| work.replaces.iter().map(|old| Action::Remove(old.remove(now))));
            let mut actions: Vec<Action> = removes.collect();
            actions.extend(all.iter().filter_map(bucket::add).map(Action::Add));
            let parameters = HashMap::from([(RETRACTED.to_owned(), taken.into())]);
            let draft = Draft { operation: "DELETE", parameters, actions };
            let holds = |state: &super::TableState| all.iter().all(|work| work.still_fits(state));
            match self.table.commit(&base, &draft, holds).await? {
                Outcome::Committed(_) => return Ok(taken),
                Outcome::Overtaken(state) => base = state,
            }
        }
        Err(TableError::Conflict { table: self.table.name().to_owned(), attempts: REDO_AT_MOST })
    }
}

/// The prefix of the sources of a tick's rows.
fn folder(tick: Tick) -> String {
    format!("run={tick}/")
}
