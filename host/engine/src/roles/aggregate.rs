//! Role aggregate: a version of Silver becomes a version of each Gold table, one partial result a bucket, merged in a tree.
//!
//! Does not decide which of two versions counts: `lake::gold` refuses the older.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::join_all;
use lake::TableError;
use lake::events::NewVersion;
use lake::failure::Failure;
use lake::gold::{PartialId, Partials, Published};
use lake::silver::{BucketFile, Snapshot};
use seams::plugin::FaultKind;
use seams::spans;

use super::breaker::Suspension;
use crate::progress::Progress;

mod associative;
mod fold;
mod role;
mod stop;
mod suspended;
mod table;
mod tree;

pub use associative::Tried;
pub(crate) use associative::try_on;
use fold::{Folded, Share};
pub use role::Aggregate;
use stop::Stop;
pub use suspended::told;
pub use table::GoldTable;
pub use tree::FAN_OUT;
use tree::{Node, Tree};

/// How far Gold is behind Silver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Tables made from an older version than the latest, or by another plugin, that are to be made.
    pub tables: usize,
    /// Tables that stay as they are because their plugin fails, by name, and why.
    pub suspended: BTreeMap<String, String>,
    /// Silver's latest version.
    pub silver_version: i64,
    /// Which table Silver is.
    pub silver_table: Option<String>,
    /// The Silver version up to which every table holds, except those whose plugin fails: nothing more comes of these by itself. Less than
    /// any version while Silver is being rebuilt.
    pub covered: i64,
}

/// What became of a table.
#[derive(Debug)]
pub enum Came {
    /// It is made.
    Made,
    /// It stays as it was: its plugin has failed before, and nothing has changed.
    Behind(Box<Suspension>),
}

/// Less than any version of Silver.
const NOTHING: i64 = -1;

impl Aggregate {
    /// Brings every Gold table to the latest Silver version, which is that of the events or a later one. A table that fails does not stop
    /// the others; the gravest failure is returned. A table whose plugin has failed before stays as it is.
    pub async fn versions(&self, events: &[NewVersion]) -> Result<(), Failure> {
        let failed = self.each(events).await?.into_iter().filter_map(|(_, came)| match came {
            Ok(Came::Made) => None,
            Ok(Came::Behind(note)) => Some(Failure::Plugin(suspended::told(&note))),
            Err(failure) => Some(failure),
        });
        failed.max_by_key(Failure::gravity).map_or(Ok(()), Err)
    }

    /// As [`versions`](Self::versions), but returns what became of each table.
    pub async fn each(&self, _events: &[NewVersion]) -> Result<Vec<(String, Result<Came, Failure>)>, Failure> {
        let snapshot = self.silver.snapshot().await?;
        spans::follow(snapshot.made_at);
        if snapshot.rebuilding {
            tracing::info!("silver is being rebuilt: gold stays as it is until then");
            return Ok(Vec::new());
        }
        // All tables at once and each to its end: one that fails holds up no other.
        let begun = join_all(self.tables.iter().map(|table| self.begin(table, &snapshot))).await;
        let shares = begun.iter().filter_map(|one| match one {
            Begun::Open(open) => Some(&open.share),
            Begun::Ended(_) => None,
        });
        fold::all(self, &snapshot, &shares.collect::<Vec<_>>()).await;
        let ends = begun.into_iter().map(|one| async {
            match one {
                Begun::Open(open) => self.end(*open, &snapshot).await,
                Begun::Ended(ended) => ended,
            }
        });
        let done = join_all(ends).await;
        Ok(self.tables.iter().map(|table| table.name.clone()).zip(done).collect())
    }

    /// The tables that were made from an older version of Silver than the latest, or by another plugin.
    pub async fn behind(&self) -> Result<Behind, Failure> {
        let snapshot = self.silver.snapshot().await?;
        let newest = snapshot.named();
        let covered = if snapshot.rebuilding { NOTHING } else { i64::MAX };
        let silver_table = newest.table.clone();
        let mut behind = Behind { silver_version: snapshot.version, silver_table, covered, ..Behind::default() };
        for table in &self.tables {
            // While Silver is being rebuilt, Gold is to stay as it is.
            if snapshot.rebuilding || table.is_made_from(&newest).await? {
                continue;
            }
            let note = self.failure(table).await?;
            if note.is_none() {
                let made_from = table.gold.made_from().await?.filter(|made_from| made_from.is_of(&newest));
                behind.covered = behind.covered.min(made_from.map_or(NOTHING, |made_from| made_from.number));
            }
            match note.filter(|note| !table.tried.is_due(note, &newest, table.gold.now())) {
                Some(note) => drop(behind.suspended.insert(table.name.clone(), suspended::told(&note))),
                None => behind.tables += 1,
            }
        }
        Ok(behind)
    }

    /// Finds out what is to be made of a table: nothing, if its plugin is known to fail.
    async fn begin<'a>(&'a self, table: &'a GoldTable, snapshot: &Snapshot) -> Begun<'a> {
        let note = match self.failure(table).await {
            Ok(note) => note,
            Err(error) => return Begun::Ended(Err(error.into())),
        };
        if let Some(note) = &note
            && !table.tried.begin(note, &snapshot.named(), table.gold.now())
        {
            return Begun::Ended(Ok(Came::Behind(Box::new(note.clone()))));
        }
        let columns = table.plugin.descriptor().input.iter().map(|field| field.name.as_str()).collect();
        let (kept, missing) = match self.kept(table, snapshot, &columns).await {
            Ok(kept) => (Some(kept.0), Ok(kept.1)),
            Err(stop) => (None, Err(stop)),
        };
        Begun::Open(Box::new(Open { note, kept, share: Share::of(table, columns, missing) }))
    }

    /// Makes a table from its partial results.
    async fn end(&self, open: Open<'_>, snapshot: &Snapshot) -> Result<Came, Failure> {
        let Open { note, kept, share } = open;
        let table = share.table;
        let made = match (kept, share.ended()) {
            (Some(kept), Ok(folded)) => self.table(table, snapshot, kept, folded).await,
            (_, Err(stop)) => Err(stop),
            (None, Ok(_)) => Err(Failure::Bug("a table without partial results".to_owned()).into()),
        };
        let too_slow = matches!(&made, Err(Stop::Fault(fault)) if fault.kind == FaultKind::Deadline);
        table.tried.ended(too_slow);
        match made.map_err(|stop| table.failure_of(stop)) {
            Err(Failure::Plugin(reason)) => {
                table.tried.failed();
                let note = self.note_failure(table, &reason, snapshot.named(), too_slow).await;
                Err(Failure::Plugin(match note {
                    Ok(note) => suspended::told(&note),
                    Err(error) => {
                        tracing::warn!(table = table.name, %error, "cannot note in gold that the plugin of the table has failed");
                        format!("table `{}`: {reason}", table.name)
                    }
                }))
            }
            Err(failure) => Err(failure),
            Ok(()) => {
                if note.is_some() {
                    self.forget_failure(table).await?;
                }
                Ok(Came::Made)
            }
        }
    }

    /// Equal content is not committed again, so doing this for a version that is there already costs no more than finding that out.
    async fn table(&self, table: &GoldTable, snapshot: &Snapshot, kept: Kept, folded: Folded) -> Result<(), Stop> {
        let made = self.made(table, kept, folded).await?;
        table.tried.on(&*table.plugin, &made.of_buckets).await?;
        let finish = spans::call(&*table.plugin, "finish", made.top.len());
        let rows = spans::called(finish, table.plugin.finish(&made.top)).await?;
        let generation = table.generation(&self.lake).await?.number;
        let (published, other_silver) = self.publish(table, &rows, snapshot, generation).await?;
        if matches!(published, Published::Committed { .. }) {
            Progress::add(&self.progress.published, 1);
        }
        let (folded, merged) = (made.folded, made.merged);
        tracing::debug!(
            table = table.name,
            rows = rows.num_rows(),
            silver_version = snapshot.version,
            folded,
            merged,
            ?published,
            "aggregated"
        );
        table.gold.export().await?;
        if other_silver {
            // Packs are found by Silver's number, and those of the other table may have greater ones.
            table.gold.drop_partials().await?;
            let all = made.all.len();
            table.gold.keep_partials(snapshot.version, made.all, all).await;
        } else {
            table.gold.keep_partials(snapshot.version, made.all, folded).await;
        }
        Ok(())
    }

    /// Publishes a table's rows. Returns also whether the rows before came from another Silver table.
    async fn publish(
        &self,
        table: &GoldTable,
        rows: &RecordBatch,
        snapshot: &Snapshot,
        generation: u32,
    ) -> Result<(Published, bool), Stop> {
        let made_from = table.gold.made_from().await?;
        let newest = self.silver.snapshot().await?.named();
        let other = made_from.is_some_and(|made_from| !made_from.is_of(&newest));
        if newest.table.as_ref() != Some(&snapshot.table) {
            let why = "silver was removed and made again while the table was made";
            return Err(Failure::Transient(format!("table `{}`: {why}", table.name)).into());
        }
        if other {
            tracing::warn!(table = table.name, "it was made from a silver table that is gone, and is replaced");
        }
        let silver = snapshot.named();
        let published = match other {
            true => table.gold.publish_over(rows, silver, generation).await,
            false => table.gold.publish(rows, silver, generation).await,
        };
        match published {
            // Rows that no table can hold are the plugin's fault, and cost its table alone.
            Err(error @ (TableError::Input { .. } | TableError::Schema { .. })) => {
                Err(Failure::Plugin(format!("plugin failed [P171]: {error}")).into())
            }
            published => Ok((published?, other)),
        }
    }

    /// The partial results that are kept of a version's buckets and their groups, and the buckets that have none.
    async fn kept(
        &self,
        table: &GoldTable,
        snapshot: &Snapshot,
        columns: &Vec<&str>,
    ) -> Result<(Kept, BTreeMap<u32, usize>), Stop> {
        self.silver.has_columns(snapshot, columns)?;
        let namer = Namer::of(table.plugin.digest().as_str(), &table.config);
        let buckets: Vec<Node> =
            snapshot.buckets.iter().map(|(bucket, files)| Node { place: *bucket, id: namer.name(files) }).collect();
        let tree = Tree::over(&buckets);
        let ids: Vec<PartialId> = buckets.iter().map(|bucket| bucket.id).chain(tree.groups()).collect();
        let mut of_buckets = table.gold.partials(&ids).await?;
        let groups = of_buckets.split_off(buckets.len());
        let places = buckets.iter().zip(&of_buckets).enumerate();
        let missing = places.filter_map(|(at, (bucket, kept))| kept.is_none().then_some((bucket.place, at))).collect();
        Ok((Kept { tree, ids, of_buckets, groups }, missing))
    }

    /// The partial results of a table, when its buckets are folded.
    async fn made(&self, table: &GoldTable, kept: Kept, folded: Folded) -> Result<Made, Stop> {
        let Kept { tree, ids, mut of_buckets, groups } = kept;
        let count = folded.len();
        for (at, partial) in folded {
            of_buckets.get_mut(at).map(|place| place.replace(partial));
        }
        let of_buckets: Vec<Bytes> = of_buckets.into_iter().flatten().collect();
        let grown = tree.grow(&*table.plugin, &of_buckets, groups, self.concurrency).await?;
        let all = ids.into_iter().zip(of_buckets.iter().chain(&grown.groups).cloned()).collect();
        Ok(Made { folded: count, merged: grown.merged, top: grown.top, of_buckets, all })
    }
}

/// What is to be made of a table.
enum Begun<'a> {
    /// Nothing more.
    Ended(Result<Came, Failure>),
    /// What its buckets come to.
    Open(Box<Open<'a>>),
}

/// A table that is being made.
struct Open<'a> {
    /// The note that its plugin has failed before.
    note: Option<Suspension>,
    /// What is known of it without its plugin; none if that could not be found out.
    kept: Option<Kept>,
    share: Share<'a>,
}

/// The partial results that are there before anything is folded.
struct Kept {
    tree: Tree,
    ids: Vec<PartialId>,
    /// One a bucket, in their order.
    of_buckets: Vec<Option<Bytes>>,
    groups: Vec<Option<Bytes>>,
}

/// The partial results that a table is made of.
struct Made {
    /// One a bucket, in their order.
    of_buckets: Vec<Bytes>,
    /// What is finished.
    top: Vec<Bytes>,
    /// All of them, and those of the groups between.
    all: Partials,
    /// How many buckets were folded for it.
    folded: usize,
    /// How many groups were merged for it.
    merged: usize,
}

/// Names the partial results of a plugin with a configuration.
struct Namer(PartialId);

impl Namer {
    fn of(digest: &str, config: &str) -> Self {
        Namer(PartialId::of(&[digest.as_bytes(), config.as_bytes()]))
    }

    /// Names all that the partial result of a bucket depends on.
    fn name(&self, files: &[BucketFile]) -> PartialId {
        let contents = files.iter().map(|file| file.content().as_bytes());
        PartialId::of(&std::iter::once(self.0.bytes().as_slice()).chain(contents).collect::<Vec<_>>())
    }
}

/// The name of a bucket's partial result by the plugin of that digest and configuration.
pub fn partial_of(digest: &str, config: &str, files: &[BucketFile]) -> PartialId {
    Namer::of(digest, config).name(files)
}
