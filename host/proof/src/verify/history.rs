//! V5: along the versions that are still in the logs, no key's tick ever falls in Silver, and no Gold table goes back to an older
//! Silver version or an earlier generation of its plugin.
//!
//! Sees as far back as the retention reaches, and no further.

use std::collections::{BTreeMap, HashMap};

use lake::delta::{Commit, GENERATION, MADE_FROM};
use lake::failure::Failure;
use lake::gold::SILVER_TABLE;
use lake::silver::{FORGOTTEN, RETRACTED};
use records::keys::{Key, Tick};

use super::{Checker, Invariant};

/// The newest tick of each key in a file.
type Ticks = HashMap<Key, Tick>;

impl Checker<'_> {
    /// V5.
    pub(super) async fn history(&mut self) -> Result<(), Failure> {
        let silver = &self.service.clean.silver;
        let history = silver.history().await?;
        self.report.checked(Invariant::V5, history.len());
        self.steps.begin("reading versions of silver", history.len());
        self.falls("silver", &history, GENERATION, |commit| generation(commit).map(|now| (String::new(), now)));
        let mut files: BTreeMap<String, Ticks> = BTreeMap::new();
        for commit in &history {
            self.steps.step(1);
            let (mut after, mut whole) = (Ticks::new(), true);
            for path in &commit.added {
                // Only what is still there can be looked at: a vacuum may have deleted it.
                let ticks = match silver.ticks_in(path).await {
                    Ok(Some(ticks)) => ticks,
                    Err(error) if error.is_transient() => return Err(error.into()),
                    // A damaged one was reported, if any version still needs it.
                    Ok(None) | Err(_) => {
                        whole = false;
                        continue;
                    }
                };
                after.extend(ticks.clone());
                files.insert(path.clone(), ticks);
            }
            let before: Vec<Ticks> = commit.removed.iter().filter_map(|path| files.remove(path)).collect();
            // A missing file may have held what seems to be lost: an interrupted clean-up deletes files in any order.
            if !whole || may_go_back(commit) {
                continue;
            }
            for (key, tick) in before.iter().flatten() {
                let message = match after.get(key) {
                    Some(now) if now >= tick => continue,
                    Some(now) => {
                        format!("version {} has it as of {now}, the version before as of {tick}", commit.version)
                    }
                    None => format!("version {} has lost it", commit.version),
                };
                self.report.find(Invariant::V5, key, message);
            }
        }
        for table in &self.service.aggregate.tables {
            let history = table.gold.history().await?;
            self.report.checked(Invariant::V5, history.len());
            let name = format!("gold {}", table.name);
            self.falls(&name, &history, GENERATION, |commit| generation(commit).map(|now| (String::new(), now)));
            // Only within one Silver table: a table that was removed and made again counts its versions from the start.
            self.falls(&name, &history, MADE_FROM, |commit| {
                let table = commit.parameters.get(SILVER_TABLE).and_then(|table| table.as_str()).unwrap_or_default();
                commit.transactions.get(MADE_FROM).map(|number| (table.to_owned(), *number))
            });
        }
        Ok(())
    }

    /// A value that a table's commits hold under a name must not fall from one commit to the next of the same count.
    fn falls(&mut self, table: &str, history: &[Commit], name: &str, of: impl Fn(&Commit) -> Option<(String, i64)>) {
        let mut latest: BTreeMap<String, i64> = BTreeMap::new();
        for commit in history {
            let Some((counted, now)) = of(commit) else { continue };
            let latest = latest.entry(counted).or_insert(now);
            if now < *latest {
                let message = format!("version {} has `{name}` {now}, an earlier one has {latest}", commit.version);
                self.report.find(Invariant::V5, table, message);
            }
            *latest = now.max(*latest);
        }
    }
}

/// The generation of the plugin that made the commit.
fn generation(commit: &Commit) -> Option<i64> {
    commit.parameters.get(GENERATION).and_then(count).and_then(|number| i64::try_from(number).ok())
}

/// Whether a commit says itself that it took versions back.
fn may_go_back(commit: &Commit) -> bool {
    let says = |name: &str| commit.parameters.get(name).and_then(count).is_some_and(|count| count > 0);
    says(RETRACTED) || says(FORGOTTEN)
}

/// A number of `operationParameters`, which other engines write as text.
fn count(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
