//! What a queue in a file does beyond the queue's contract: restarts, several processes, a process that is killed.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use local::{QueueOptions, SqliteQueue, SqliteQueues, SystemClock};
use seams::queue::{Queue, QueueError};
use testkit::SimClock;

/// Where the child of the kill test finds its file.
const CHILD_FILE: &str = "SLUICEBOX_TEST_QUEUE";

async fn open(file: &Path) -> SqliteQueue {
    SqliteQueues::open(file, Arc::new(SystemClock)).await.unwrap().queue("work", QueueOptions::default())
}

#[tokio::test]
async fn messages_and_leases_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let queue = open(&file).await;
    queue.send(["a", "b", "c"].map(Bytes::from).into()).await.unwrap();
    let taken = queue.receive(1, Duration::ZERO).await.unwrap();
    drop(queue);
    let queue = open(&file).await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.in_flight), (2, 0, 1));
    queue.ack(&taken[0].receipt).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().total(), 2);
}

/// Two connections to one file stand for two processes: what one sends the other receives, soon, and neither gets it twice.
#[tokio::test]
async fn a_waiting_receive_sees_what_another_process_sends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let (here, there) = (open(&file).await, open(&file).await);
    let begun = Instant::now();
    let waiting = tokio::spawn(async move { there.receive(10, Duration::from_secs(20)).await.unwrap().len() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    here.send(vec![Bytes::from_static(b"x")]).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(here.receive(1, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_writers_share_a_file_without_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let queue = open(&file).await;
        writers.spawn(async move {
            let mut acked = 0;
            for _ in 0..25 {
                queue.send(vec![Bytes::from_static(b"x")]).await.unwrap();
                for delivery in queue.receive(2, Duration::ZERO).await.unwrap() {
                    queue.ack(&delivery.receipt).await.unwrap();
                    acked += 1;
                }
            }
            acked
        });
    }
    let acked: u64 = writers.join_all().await.into_iter().sum();
    let depth = open(&file).await.depth().await.unwrap();
    assert_eq!((depth.ready, depth.total()), (100 - acked, 100 - acked));
}

#[tokio::test]
async fn queues_of_one_file_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let queues = SqliteQueues::open(folder.path().join("queue.db"), Arc::new(SystemClock)).await.unwrap();
    let (one, other) = (queues.queue("one", QueueOptions::default()), queues.queue("other", QueueOptions::default()));
    one.send(vec![Bytes::from_static(b"x")]).await.unwrap();
    assert!(other.receive(1, Duration::ZERO).await.unwrap().is_empty());
    let taken = one.receive(1, Duration::ZERO).await.unwrap();
    assert!(matches!(other.ack(&taken[0].receipt).await, Err(QueueError::Expired)));
    one.ack(&taken[0].receipt).await.unwrap();
}

/// A lease and a delay last as long as they were to, whatever the clock shows; and no receipt is lost.
#[tokio::test]
async fn a_clock_set_back_by_an_hour_makes_no_message_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SimClock::at("2026-01-01T03:00:00Z");
    let queues = SqliteQueues::open(folder.path().join("queue.db"), clock.clone()).await.unwrap();
    let queue = queues.queue("work", QueueOptions::default());
    queue.send(["a", "b", "c"].map(Bytes::from).into()).await.unwrap();
    let taken = queue.receive(3, Duration::ZERO).await.unwrap();
    queue.release(&taken[1].receipt, Duration::from_secs(300)).await.unwrap();
    clock.jump("2026-01-01T02:00:00Z".parse().unwrap());
    assert!(queue.receive(3, Duration::ZERO).await.unwrap().is_empty());
    queue.extend(&taken[2].receipt, Duration::from_secs(120)).await.unwrap();
    clock.jump("2026-01-01T02:01:01Z".parse().unwrap());
    let again = queue.receive(3, Duration::ZERO).await.unwrap();
    assert_eq!((again.len(), again[0].body.as_ref()), (1, b"a".as_slice()), "its visibility of a minute is over");
    queue.ack(&again[0].receipt).await.unwrap();
    queue.ack(&taken[2].receipt).await.unwrap();
    clock.jump("2026-01-01T02:05:01Z".parse().unwrap());
    assert_eq!(queue.receive(3, Duration::ZERO).await.unwrap()[0].body.as_ref(), b"b");
}

/// The tables as the first version made them, with one message that waits and one in flight.
#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(
        "CREATE TABLE messages (
             id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, visible_at INTEGER NOT NULL,
             receives INTEGER NOT NULL DEFAULT 0, receipt TEXT, body BLOB NOT NULL
         ) STRICT;
         CREATE INDEX by_visibility ON messages (queue, visible_at, id, receipt);
         INSERT INTO messages (queue, visible_at, body) VALUES ('work', 1700000000000000, x'61');
         INSERT INTO messages (queue, visible_at, receives, receipt, body)
             VALUES ('work', 1700000001000000, 1, '2-abc', x'62');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let queue = open(&file).await;
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.total(), depth.oldest.unwrap().timestamp()), (2, 1_700_000_000));
    }
    let queue = open(&file).await;
    assert_eq!(queue.send_missing(["a", "b", "c"].map(Bytes::from).into()).await.unwrap(), 1);
    let bodies: Vec<_> = queue.receive(9, Duration::ZERO).await.unwrap().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, ["a", "b", "c"]);
}

/// The tables as the second version made them: what it had sent is found by its body.
#[tokio::test]
async fn a_file_of_the_second_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(
        "CREATE TABLE messages (
             id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, visible_at INTEGER NOT NULL,
             receives INTEGER NOT NULL DEFAULT 0, receipt TEXT, body BLOB NOT NULL, sent_at INTEGER NOT NULL DEFAULT 0
         ) STRICT;
         CREATE INDEX by_visibility ON messages (queue, visible_at, id, receipt);
         INSERT INTO messages (queue, visible_at, sent_at, body) VALUES ('work', 1700000000000000, 1700000000000000, x'61');
         PRAGMA user_version = 2;",
    )
    .unwrap();
    drop(old);
    for expected in [1, 0] {
        let queue = open(&file).await;
        let sent = queue.send_missing(["a", "b"].map(Bytes::from).into()).await.unwrap();
        let depth = queue.depth().await.unwrap();
        assert_eq!((sent, depth.total(), depth.oldest.unwrap().timestamp()), (expected, 2, 1_700_000_000));
    }
}

#[tokio::test]
async fn what_is_no_queue_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are notes, not a database; ".repeat(100)).unwrap();
    let newer = folder.path().join("newer.db");
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for (file, expected) in [(text, "notes.txt"), (newer, "version 99"), (folder.path().into(), "cannot open")] {
        let error = SqliteQueues::open(file, Arc::new(SystemClock)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// The process that `a_killed_process_loses_nothing_that_it_was_told` kills, and nothing otherwise: prints `sent N` and
/// `acked N` on its output after the call has returned, until it is killed.
#[tokio::test]
async fn child() {
    let Ok(file) = std::env::var(CHILD_FILE) else { return };
    let queue = open(Path::new(&file)).await;
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{line}").and_then(|()| out.flush()).expect("somebody who reads");
    };
    for number in 0_u32.. {
        queue.send(vec![Bytes::from(number.to_string())]).await.unwrap();
        say(format!("sent {number}"));
        if number % 3 == 0 {
            let delivery = queue.receive(1, Duration::ZERO).await.unwrap().remove(0);
            queue.ack(&delivery.receipt).await.unwrap();
            say(format!("acked {}", String::from_utf8_lossy(&delivery.body)));
        }
    }
}

/// kill -9 at ten different moments, each time in the same file: all that was said to be sent and not acknowledged is there,
/// nothing acknowledged is.
#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10_usize {
        let file = folder.path().join(format!("queue-{round}.db"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut sent, mut acked) = (BTreeSet::new(), BTreeSet::new());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: String| match line.split_once(' ') {
            Some(("sent", number)) => sent.insert(number.to_string()),
            Some(("acked", number)) => acked.insert(number.to_string()),
            _ => false,
        };
        let seen = lines.by_ref().map(Result::unwrap).filter(|line| note(line.clone())).take(5 + 7 * round).count();
        assert_eq!(seen, 5 + 7 * round, "the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(|line| {
            note(line);
        });
        let queue = open(&file).await;
        let mut left: BTreeSet<_> = BTreeSet::new();
        // What was in flight at the kill is invisible still; its number is at most one.
        let depth = queue.depth().await.unwrap();
        for delivery in queue.receive(10_000, Duration::ZERO).await.unwrap() {
            left.insert(String::from_utf8_lossy(&delivery.body).into_owned());
        }
        assert!(left.is_disjoint(&acked), "acknowledged messages came back");
        let missing = sent.difference(&left).filter(|number| !acked.contains(*number)).count();
        assert!(missing <= 1, "{missing} messages are lost, {depth:?}");
        assert!(depth.in_flight <= 1, "{depth:?}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_messages_that_are_gone_after_a_scrub() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.sqlite");
    let queues = SqliteQueues::open(&path, Arc::new(SystemClock)).await.unwrap();
    let queue = queues.queue("a", QueueOptions::default());
    for word in ["remembered", "forgotten"] {
        queue.send(vec![Bytes::from(word.repeat(200))]).await.unwrap();
    }
    for delivery in queue.receive(2, Duration::ZERO).await.unwrap() {
        if delivery.body.starts_with(b"forgotten") {
            queue.ack(&delivery.receipt).await.unwrap();
        }
    }
    let holds = |word: &str| {
        let files =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| String::from_utf8_lossy(&bytes).contains(word))
    };
    assert!(holds("forgotten"), "an acknowledged message's bytes stay in the file");
    queues.scrub().await.unwrap();
    assert!(!holds("forgotten") && holds("remembered"));
}

#[tokio::test]
async fn a_queue_that_is_only_looked_at_is_counted_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.sqlite");
    let clock: Arc<dyn seams::clock::Clock> = Arc::new(SystemClock);
    let view = local::QueueView::of(&path, "work", Arc::clone(&clock));
    assert_eq!(view.depth().await.unwrap().total(), 0, "what is not there holds nothing");
    assert!(!path.exists());

    let file = SqliteQueues::open(&path, Arc::clone(&clock)).await.unwrap();
    file.queue("work", QueueOptions::default()).send(vec!["a".into(), "b".into()]).await.unwrap();
    assert_eq!(view.depth().await.unwrap().ready, 2);
    assert!(view.receive(1, Duration::ZERO).await.is_err());

    let broken = folder.path().join("broken.sqlite");
    std::fs::write(&broken, "no database".repeat(100)).unwrap();
    let error = local::QueueView::of(&broken, "work", clock).depth().await.unwrap_err().to_string();
    assert!(error.contains("broken.sqlite") && error.contains("as a queue"), "{error}");
}

#[tokio::test]
async fn a_queue_file_that_was_deleted_or_replaced_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state/queue.db");
    let queue = open(&file).await;
    queue.send(vec![Bytes::from_static(b"lost")]).await.unwrap();
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    assert_eq!(queue.depth().await.unwrap().total(), 0);
    queue.send(vec![Bytes::from_static(b"kept")]).await.unwrap();
    // What another process sees is what is there.
    let other = open(&file).await;
    let seen = other.receive(1, Duration::ZERO).await.unwrap();
    assert_eq!(seen[0].body, "kept");
    std::fs::remove_file(&file).unwrap();
    let third = open(&file).await;
    third.send(vec![Bytes::from_static(b"new")]).await.unwrap();
    assert_eq!(queue.receive(1, Duration::ZERO).await.unwrap()[0].body, "new");
}

#[tokio::test]
async fn messages_of_another_lake_are_kept_and_not_received() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteQueues::open(folder.path().join("queue.db"), Arc::new(SystemClock)).await.unwrap();
    let queue = |lake| file.queue(&SqliteQueues::name_of("enrich", lake), QueueOptions::default());
    file.queue("enrich", QueueOptions::default()).send(vec![Bytes::from_static(b"early")]).await.unwrap();
    assert_eq!(file.adopt("a").await.unwrap(), 1);
    queue("a").send(vec![Bytes::from_static(b"of a")]).await.unwrap();
    assert!(queue("b").receive(9, Duration::ZERO).await.unwrap().is_empty());
    queue("b").send(vec![Bytes::from_static(b"of b")]).await.unwrap();
    assert_eq!((file.kept("b", false).await.unwrap(), file.kept("b", true).await.unwrap().0), ((2, 9), 1));
    assert_eq!(queue("a").receive(9, Duration::ZERO).await.unwrap().len(), 2);
    assert_eq!(file.discard("b", false).await.unwrap(), 2);
    assert_eq!(queue("b").receive(9, Duration::ZERO).await.unwrap().len(), 1);
}

/// SQLite does not wait for other processes while it makes a new file shareable.
#[test]
fn a_new_queue_file_is_opened_by_many_at_once() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.db");
        let together = std::sync::Barrier::new(8);
        let open = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            together.wait();
            runtime.block_on(SqliteQueues::open(&file, Arc::new(SystemClock))).map(drop)
        };
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(opened.iter().all(Result::is_ok), "round {round}: {opened:?}");
    }
}
