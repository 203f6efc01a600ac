//! Erasing a key: its rows go out of the table, and everything that was once in it goes with its past.
//!
//! Does not know why.

use std::collections::{BTreeSet, HashMap};

use arrow::array::AsArray;
use deltalake_core::kernel::Action;
use records::keys::{Key, Tick, ordered};
use seams::store::Path;

use super::{FORGOTTEN, KEY, ORD, REDO_AT_MOST, Silver, TableError, bucket, bucket_of};
use crate::delta::{Draft, Outcome, Tidied};

impl Silver {
    /// Removes the rows of a key from the table, and returns how many.
    pub async fn erase(&self, key: &str) -> Result<usize, TableError> {
        let bucket = bucket_of(key, self.buckets);
        let mut base = self.table.refresh().await?;
        for _ in 0..REDO_AT_MOST {
            let (work, erased) = bucket::without(&self.table, &base, bucket, key).await?;
            if erased == 0 {
                return Ok(0);
            }
            let now = self.table.now();
            let mut actions: Vec<Action> = work.replaces.iter().map(|old| Action::Remove(old.remove(now))).collect();
            actions.extend(bucket::add(&work).map(Action::Add));
            let parameters = HashMap::from([(FORGOTTEN.to_owned(), erased.into())]);
            let draft = Draft { operation: "DELETE", parameters, actions };
            match self.table.commit(&base, &draft, |state| work.still_fits(state)).await? {
                Outcome::Committed(_) => return Ok(erased),
                Outcome::Overtaken(state) => base = state,
            }
        }
        Err(TableError::Conflict { table: self.table.name().to_owned(), attempts: REDO_AT_MOST })
    }

    /// Deletes every file that only versions before the newest name, and the log's entries before it.
    pub async fn drop_past(&self) -> Result<Tidied, TableError> {
        self.table.drop_past().await
    }

    /// Files that no version names and that hold a row of that key, or cannot be read.
    pub async fn strays_with(&self, key: &str) -> Result<Vec<Path>, TableError> {
        let mut found = Vec::new();
        for path in self.table.unnamed().await? {
            let holds = match bucket::read_file(&self.table, path.as_ref(), &[KEY]).await {
                Ok(batches) => batches.iter().flatten().any(|batch| {
                    let keys = batch.column(0).as_string::<i32>();
                    keys.iter().flatten().any(|one| one == key)
                }),
                Err(error) if error.is_transient() => return Err(error),
                // A file that no version names and that cannot be read is of no use.
                Err(_) => true,
            };
            if holds {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Deletes the files of [`Silver::strays_with`], and returns how many. No writer may be about to commit one.
    pub async fn erase_strays(&self, key: &str) -> Result<usize, TableError> {
        let strays = self.strays_with(key).await?;
        self.table.delete_unnamed(&strays).await
    }

    /// Keys that an old version's file holds, with the newest tick of each; none if the file is gone.
    pub async fn ticks_in(&self, path: &str) -> Result<Option<HashMap<Key, Tick>>, TableError> {
        let Some(batches) = bucket::read_file(&self.table, path, &[KEY, ORD]).await? else {
            return Ok(None);
        };
        let mut ticks = HashMap::new();
        let mut unreadable = BTreeSet::new();
        for batch in &batches {
            let (keys, ords) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            for (key, ord) in keys.iter().zip(ords).filter_map(|(key, ord)| key.zip(ord)) {
                match ordered(ord) {
                    Some((tick, _, _)) => drop(ticks.insert(Key::from_text(key), tick)),
                    None => drop(unreadable.insert(key)),
                }
            }
        }
        match unreadable.first() {
            None => Ok(Some(ticks)),
            Some(key) => Err(TableError::corrupt(self.table.name(), format!("the order of `{key}` cannot be read"))),
        }
    }
}
