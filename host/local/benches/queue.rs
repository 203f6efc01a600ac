//! What the SQLite queue settles in a second, each call durable when it returns: alone, and with many consumers at once.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{StreamExt, stream};
use local::{QueueOptions, SqliteQueue, SqliteQueues, SystemClock};
use seams::queue::{Delivery, Queue};

/// Messages of one measurement.
const MESSAGES: usize = 1000;

async fn fill(queue: &SqliteQueue) -> Vec<Delivery> {
    let body = Bytes::from(vec![b'x'; 1000]);
    queue.send(vec![body; MESSAGES]).await.unwrap();
    queue.receive(MESSAGES, Duration::ZERO).await.unwrap()
}

async fn settle(queue: &SqliteQueue, deliveries: &[Delivery], at_once: usize) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads a clock")]
    let begun = Instant::now();
    let acks = stream::iter(deliveries).map(|delivery| async { queue.ack(&delivery.receipt).await.unwrap() });
    acks.buffer_unordered(at_once).collect::<Vec<()>>().await;
    begun.elapsed()
}

fn queue(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let queues = runtime.block_on(SqliteQueues::open(file, Arc::new(SystemClock))).unwrap();
    let queue = queues.queue("work", QueueOptions::default());
    let mut group = criterion.benchmark_group("queue");
    group.sample_size(10).throughput(Throughput::Elements(MESSAGES as u64));
    for at_once in [1, 16, 128] {
        group.bench_function(format!("{MESSAGES} acks, {at_once} at once"), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let mut total = Duration::ZERO;
                    for _ in 0..times {
                        let deliveries = fill(&queue).await;
                        total += settle(&queue, &deliveries, at_once).await;
                    }
                    total
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queue);
criterion_main!(benches);
