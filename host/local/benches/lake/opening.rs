//! Opening a table with a long log against opening one with a short log: in turn, in one run.
//!
//! Timed: a new store over the folder, `Silver::open`, and the newest snapshot. Not timed: making the tables.

use std::path::Path;
use std::time::{Duration, SystemTime};

use local::{DirStore, Durability};

use super::rows::{open, versions};
use super::{Size, median, millis, timed};

const BUCKETS: u32 = 16;

pub(crate) async fn measure(size: Size) {
    // Both have ten commits since the table was made or last summed up.
    let (long, rounds) = if size == Size::Quick { (210, 5) } else { (10_010, 41) };
    let place = tempfile::tempdir().unwrap();
    let [short_log, long_log] = ["short", "long"].map(|name| place.path().join(name));
    fill(&short_log, 10).await;
    fill(&long_log, long).await;
    let (short, full) = compare(&short_log, &long_log, rounds).await;
    println!(
        "open: 10 commits {:.2} ms, {long} commits {:.2} ms: {:.2}×",
        millis(short),
        millis(full),
        ratio(full, short)
    );
    age(&long_log);
    let silver = open(&DirStore::open(&long_log).unwrap(), BUCKETS).await;
    silver.upsert(&versions([(0, -1)].into_iter(), 1_000_000 - 1)).await.unwrap();
    let (took, done) = timed(silver.tidy(Duration::from_secs(7 * 24 * 3600))).await;
    let done = done.unwrap();
    println!(
        "open: a week later, tidied up in {:.0} ms: {} log entries and {} files deleted",
        millis(took),
        done.log_entries,
        done.files
    );
    let (short, cut) = compare(&short_log, &long_log, rounds).await;
    println!(
        "open: 10 commits {:.2} ms, {long} commits and tidied up {:.2} ms: {:.2}×",
        millis(short),
        millis(cut),
        ratio(cut, short)
    );
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

async fn fill(folder: &Path, commits: u32) {
    let silver = open(&DirStore::open_with(folder, Durability::Unsynced).unwrap(), BUCKETS).await;
    for at in 0..commits {
        let part = at % 1000;
        silver.upsert(&versions([(part, i64::from(at))].into_iter(), at)).await.unwrap();
    }
}

async fn compare(short: &Path, long: &Path, rounds: usize) -> (Duration, Duration) {
    let mut taken = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        taken.0.push(look(short).await);
        taken.1.push(look(long).await);
    }
    (median(taken.0), median(taken.1))
}

async fn look(folder: &Path) -> Duration {
    let (took, snapshot) = timed(async {
        let silver = open(&DirStore::open(folder).unwrap(), BUCKETS).await;
        silver.snapshot().await.unwrap()
    })
    .await;
    assert!(snapshot.rows > 0);
    took
}

/// Makes every file of the table eight days old.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        }
    }
}
