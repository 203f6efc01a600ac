//! The doubles do what a test believes of them: time in steps, faults by their seed, plugins by their bytes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use bytes::Bytes;
use pipeline::plan::Limits;
use seams::clock::Clock;
use seams::plugin::{Cleaned, ColumnType, Digest, Grants, Plugins, ScalarType, Step};
use seams::queue::{Queue, QueueError};
use serde_json::json;
use testkit::{
    ClosureAggregator, ClosureCleaner, ClosureEnricher, ClosurePlugins, Fate, Faults, Faulty, MemoryQueue,
    MemoryQueueOptions, SimClock, plugins, rows,
};

/// A task that sleeps again and again notes the time of each waking: time does not leap over it.
#[tokio::test]
async fn advancing_stops_at_every_sleeper() {
    let clock = SimClock::at("2026-03-29T00:00:00Z");
    let begin = clock.now();
    let own = Arc::clone(&clock);
    let ticker = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..5 {
            own.sleep(Duration::from_secs(60)).await;
            seen.push((own.now() - begin).num_seconds());
        }
        seen
    });
    clock.advance(Duration::from_secs(3600)).await;
    assert_eq!(ticker.await.unwrap(), [60, 120, 180, 240, 300]);
    assert_eq!(clock.now() - begin, chrono::TimeDelta::hours(1));
}

#[tokio::test]
async fn time_that_runs_freely_ends_any_sleep() {
    let clock = Arc::new(SimClock::default());
    let begin = clock.now();
    let run = clock.run_freely(Duration::from_millis(2));
    tokio::time::timeout(Duration::from_secs(20), clock.sleep(Duration::from_secs(86_400)))
        .await
        .expect("a day in milliseconds");
    assert_eq!(clock.now() - begin, chrono::TimeDelta::days(1));
    drop(run);
    let sleep = tokio::time::timeout(Duration::from_millis(50), clock.sleep(Duration::from_secs(1))).await;
    assert!(sleep.is_err(), "time ran on without its guard");
    assert_eq!(clock.sleepers(), 0, "a sleep that was given up still counts");
}

#[tokio::test]
async fn a_jump_backwards_wakes_nobody_and_is_seen() {
    let clock = Arc::new(SimClock::default());
    let own = Arc::clone(&clock);
    let sleeper = tokio::spawn(async move { own.sleep(Duration::from_secs(10)).await });
    clock.advance(Duration::from_secs(5)).await;
    clock.jump(clock.now() - chrono::TimeDelta::hours(1));
    clock.advance(Duration::from_secs(3600)).await;
    assert!(!sleeper.is_finished());
    clock.advance(Duration::from_secs(5)).await;
    sleeper.await.unwrap();
}

async fn outcomes(seed: u64) -> Vec<bool> {
    let queue = MemoryQueue::new(Arc::new(SimClock::default()), MemoryQueueOptions::default());
    let faults = Arc::new(Faults::seeded(seed, 0.2, 0.2));
    let faulty = Faulty::new(queue, Arc::clone(&faults));
    let mut outcomes = Vec::new();
    for _ in 0..200 {
        outcomes.push(faulty.send(vec![Bytes::from_static(b"x")]).await.is_ok());
    }
    let failed = u64::try_from(outcomes.iter().filter(|ok| !**ok).count()).unwrap();
    assert_eq!((faults.failed(), faults.calls()), (failed, 200));
    assert!((40..120).contains(&failed), "{failed} of 200 failed");
    faults.stop();
    assert!(faulty.depth().await.is_ok());
    outcomes
}

#[tokio::test]
async fn a_seed_repeats_its_faults() {
    assert_eq!(outcomes(7).await, outcomes(7).await);
    assert_ne!(outcomes(7).await, outcomes(8).await);
}

#[tokio::test]
async fn a_lost_reply_has_had_its_effect() {
    let queue = MemoryQueue::new(Arc::new(SimClock::default()), MemoryQueueOptions::default());
    let faults = Arc::new(Faults::script([Fate::FailBefore, Fate::FailAfter]));
    let faulty = Faulty::new(Arc::clone(&queue), faults);
    for expected in [0, 1, 2] {
        let sent = faulty.send(vec![Bytes::from_static(b"x")]).await;
        assert_eq!(matches!(sent, Err(QueueError::Backend(_))), expected < 2);
        assert_eq!(queue.depth().await.unwrap().ready, expected);
    }
}

fn grants(config: &str) -> Grants {
    Grants { config: config.into(), limits: Limits::default() }
}

#[tokio::test]
async fn closures_load_by_their_bytes_and_get_their_configuration() {
    let known = ClosurePlugins::default();
    let component = known
        .add_enricher(ClosureEnricher::new(rows::descriptor("echo", "1.2.3"), |config, entry, answers| {
            Ok(Step::Done(format!("{config} {entry} {}", answers.len())))
        }));
    let plugin = known.enricher(component.clone(), &grants(r#"{"a":1}"#)).await.unwrap();
    assert_eq!(plugin.enrich("{}", &[]).await.unwrap(), Step::Done(r#"{"a":1} {} 0"#.into()));
    assert_eq!(plugin.digest(), &Digest::of(&component));
    assert_eq!(plugin.digest(), &Digest::of(&plugins::component("echo", "1.2.3")));
    assert_eq!(known.cleaner(component, &grants("{}")).await.unwrap_err().code, "P022");
    assert_eq!(known.enricher(plugins::component("echo", "1.2.4"), &grants("{}")).await.unwrap_err().code, "P011");
}

#[tokio::test]
async fn closures_clean_and_aggregate_rows_written_as_json() {
    let mut about = rows::descriptor("clean", "1.0.0");
    about.output = vec![
        rows::output("n", ColumnType::Scalar(ScalarType::Int64)),
        rows::output("tags", ColumnType::List(ScalarType::Utf8)),
        rows::output("day", ColumnType::Scalar(ScalarType::Date32)),
        rows::output("at", ColumnType::Scalar(ScalarType::Timestamp)),
        rows::output("raw", ColumnType::Scalar(ScalarType::Json)),
    ];
    let shape = about.clone();
    let cleaner = ClosureCleaner::new(about, move |_, documents| {
        let parsed: Vec<_> = documents.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
        Ok(Cleaned {
            rows: rows::batch(&shape, &parsed),
            row_of: (0..parsed.len()).collect(),
            rejects: vec![],
            skips: vec![],
        })
    });
    let documents =
        [json!({"n": 2, "tags": ["a", "b"], "day": 1, "at": 5, "raw": [1]}), json!({"n": 40, "tags": null})];
    let documents: Vec<_> = documents.iter().map(|document| Bytes::from(document.to_string())).collect();
    let cleaned = seams::plugin::Cleaner::clean(&cleaner, &documents).await.unwrap();
    assert_eq!(cleaned.rows.num_rows(), 2);
    assert_eq!(cleaned.rows.column_by_name("tags").unwrap().null_count(), 1);
    assert_eq!(cleaned.rows.column_by_name("raw").unwrap().as_string::<i32>().value(0), "[1]");

    let mut about = rows::descriptor("sum", "1.0.0");
    about.output = vec![rows::output("sum", ColumnType::Scalar(ScalarType::Int64))];
    let shape = about.clone();
    let number = |bytes: &Bytes| std::str::from_utf8(bytes).unwrap().parse::<i64>().unwrap();
    let sum = ClosureAggregator::new(
        about,
        |_, batches| {
            let of = |batch: &RecordBatch| {
                let column = batch.column_by_name("n").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
                column.iter().flatten().sum::<i64>()
            };
            Ok(batches.iter().map(of).sum::<i64>().to_string().into())
        },
        move |_, partials| Ok(partials.iter().map(number).sum::<i64>().to_string().into()),
        move |_, partials| Ok(rows::batch(&shape, &[json!({"sum": partials.iter().map(number).sum::<i64>()})])),
    );
    use seams::plugin::Aggregator;
    let partial = sum.fold(&[cleaned.rows]).await.unwrap();
    let both = sum.merge(&[partial.clone(), partial.clone()]).await.unwrap();
    assert_eq!(both, "84");
    let table = sum.finish(&[partial.clone(), partial]).await.unwrap();
    assert_eq!(table.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 84);
}
