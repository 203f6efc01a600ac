//! One corrected record among many: from its upsert to correct and exported Gold, against DuckDB computing the same from the same files.
//!
//! Timed on our side: one `Silver::upsert` and one `Aggregate::versions`, so two commits, the Parquet and the CSV export. Timed on DuckDB's side:
//! one `GROUP BY` over the Silver files on a warm connection that only ever did that, result in memory, nothing written and nothing corrected.
//! In turn, in one run, with and without fsync. The aggregator is a native closure.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use engine::progress::Progress;
use engine::roles::aggregate::{Aggregate, GoldTable, Tried};
use lake::Lake;
use lake::generations::Generations;
use lake::gold::Gold;
use lake::silver::{Silver, bucket_of};
use local::{DirStore, Durability, SystemClock};

use super::rows::{aggregator, amount, key, open, sums, versions};
use super::{Size, median, millis, timed};

/// Rows of a bucket: what README.md recommends.
const ROWS_A_BUCKET: u32 = 4000;
/// What a correction adds to a part's amount.
const CORRECTION: i64 = 1_000_000;
/// Rows of one upsert while the table is made.
const LOAD_AT_ONCE: usize = 200_000;

pub(crate) async fn measure(size: Size) {
    let (sizes, rounds): (&[u32], _) = match size {
        Size::Quick => (&[20_000], 3),
        Size::Usual => (&[1_000_000], 21),
        Size::Large => (&[1_000_000, 10_000_000], 21),
    };
    let mut before: Option<[f64; 2]> = None;
    for rows in sizes {
        let ours = one(*rows, rounds).await;
        if let Some(before) = before {
            let growth = [0, 1].map(|at| ours[at] / before[at]);
            println!("correction: ten times the rows cost {:.2}× with fsync, {:.2}× without", growth[0], growth[1]);
        }
        before = Some(ours);
    }
}

/// Milliseconds of a correction with fsync and without.
async fn one(rows: u32, rounds: u32) -> [f64; 2] {
    let buckets = (rows / ROWS_A_BUCKET).max(1);
    let place = tempfile::tempdir().unwrap();
    load(place.path(), rows, buckets).await;
    let [synced, unsynced] = [Durability::Synced, Durability::Unsynced].map(|sync| world(place.path(), buckets, sync));
    let worlds = [synced.await, unsynced.await];
    for aggregate in &worlds {
        aggregate.versions(&[]).await.unwrap();
    }
    reset_peak();
    let mut duck = Duck::start();
    let (mut ours, mut theirs) = ([Vec::new(), Vec::new()], Vec::new());
    let mut total: i64 = (0..rows).map(amount).sum();
    for round in 0..rounds {
        for (at, aggregate) in worlds.iter().enumerate() {
            // What the other one has corrected meanwhile is not this one's work.
            aggregate.versions(&[]).await.unwrap();
            let number = round * 2 + u32::try_from(at).unwrap() + 1;
            ours[at].push(correct(aggregate, (number * 7919) % rows, number).await);
            total += CORRECTION;
            assert_eq!(gold_total(aggregate).await, total);
            if let Some(duck) = &mut duck {
                let (took, found) = duck.query(&aggregate.silver, place.path()).await;
                assert_eq!(found, total);
                theirs.push(took);
            }
        }
    }
    let [synced, unsynced] = ours.map(median);
    println!(
        "correction: 1 of {rows} rows, {buckets} buckets: {synced:.1} ms with fsync, {unsynced:.1} ms without; {}",
        peak()
    );
    if !theirs.is_empty() {
        let duck = median(theirs);
        let (with, without) = (duck / synced, duck / unsynced);
        println!(
            "correction: DuckDB over the same files {duck:.1} ms: {with:.2}× of ours with fsync, {without:.2}× without"
        );
    }
    [synced, unsynced]
}

/// Makes a part worth more; milliseconds until Gold and its exports say so.
async fn correct(aggregate: &Aggregate, part: u32, generation: u32) -> f64 {
    let call = versions([(part, amount(part) + CORRECTION)].into_iter(), generation);
    let (took, ()) = timed(async {
        assert_eq!(aggregate.silver.upsert(&call).await.unwrap().written, 1);
        aggregate.versions(&[]).await.unwrap();
    })
    .await;
    millis(took)
}

async fn gold_total(aggregate: &Aggregate) -> i64 {
    let gold = aggregate.tables[0].gold.current().await.unwrap().unwrap();
    arrow::compute::sum(gold.column_by_name("total").unwrap().as_primitive::<Int64Type>()).unwrap()
}

/// Fills Silver, each bucket once.
async fn load(folder: &Path, rows: u32, buckets: u32) {
    let silver = open(&DirStore::open_with(folder.join("silver"), Durability::Unsynced).unwrap(), buckets).await;
    let count = buckets.try_into().unwrap();
    let mut parts: Vec<(u32, u32)> = (0..rows).map(|part| (bucket_of(&key(part), count), part)).collect();
    parts.sort_unstable();
    for some in parts.chunks(LOAD_AT_ONCE) {
        silver.upsert(&versions(some.iter().map(|(_, part)| (*part, amount(*part))), 0)).await.unwrap();
    }
}

async fn world(folder: &Path, buckets: u32, durability: Durability) -> Aggregate {
    let layer = |name: &str| DirStore::open_with(folder.join(name), durability).unwrap();
    let lake = Lake {
        bronze: layer("bronze"),
        silver: layer("silver"),
        gold: layer("gold"),
        buckets: buckets.try_into().unwrap(),
    };
    let silver = open(&lake.silver, buckets).await;
    let gold = Gold::open(lake.gold.clone(), Arc::new(SystemClock), "sums", sums().output_schema()).await.unwrap();
    let table = GoldTable {
        name: "sums".into(),
        plugin: Arc::new(aggregator()),
        config: "{}".into(),
        gold,
        generations: Generations::of_aggregate(&lake, "sums"),
        generation: tokio::sync::OnceCell::new(),
        tried: Tried::default(),
    };
    let (concurrency, progress) = (NonZeroUsize::new(2).unwrap(), Arc::new(Progress::default()));
    Aggregate { lake, silver, tables: vec![table], concurrency, progress }
}

/// Resets the kernel's peak of this process's memory.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| text.trim().strip_suffix(" kB")).and_then(|text| text.trim().parse::<u64>().ok());
    kib.map_or_else(|| "peak memory unknown".to_owned(), |kib| format!("peak memory {} MiB", kib / 1024))
}

/// A Python with a warm DuckDB: a line of file names in, milliseconds and the grand total out.
struct Duck {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

const SCRIPT: &str = r#"
import json, sys, time, duckdb
connection = duckdb.connect()
connection.sql("select 1").fetchall()
for line in sys.stdin:
    files = json.loads(line)
    begun = time.perf_counter()
    rows = connection.execute("select grp, count(*), sum(amount) from read_parquet(?) group by grp order by grp", [files]).fetchall()
    took = time.perf_counter() - begun
    print(took * 1000, int(sum(row[2] for row in rows)), flush=True)
"#;

impl Duck {
    fn start() -> Option<Duck> {
        let Ok(python) = std::env::var("SLUICEBOX_TEST_PYTHON") else {
            println!("correction: `SLUICEBOX_TEST_PYTHON` names no Python with DuckDB, so there is no comparison");
            return None;
        };
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the Python starts");
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Duck { child, to, from })
    }

    async fn query(&mut self, silver: &Silver, folder: &Path) -> (f64, i64) {
        let snapshot = silver.snapshot().await.unwrap();
        let silver = folder.join("silver");
        let files: Vec<_> = snapshot.buckets.values().flatten().map(|file| silver.join(file.path())).collect();
        writeln!(self.to, "{}", serde_json::to_string(&files).unwrap()).unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let answer =
            line.trim().split_once(' ').and_then(|(took, total)| Some((took.parse().ok()?, total.parse().ok()?)));
        answer.unwrap_or_else(|| panic!("expected a time and a total from DuckDB, got `{}`", line.trim()))
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
