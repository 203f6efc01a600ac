//! A store that fails before or after the effect: a writer recognises its own commit, and nothing is done twice.
//!
//! Does not kill processes.

use std::sync::Arc;

use futures::future::try_join_all;
use lake::TableError;
use lake::gold::{Gold, Published};
use lake::silver::{Silver, Upserted, Versions};
use object_store::ObjectStore;
use seams::store::Store;
use testkit::{Fate, Faults, Faulty};

use super::model::Model;
use super::support::{Doc, buckets, clock, content, doc, memory, open, schema, versions};

/// What a consumer does: the same call again, until it goes through.
async fn until_done(silver: &Silver, call: &Versions) -> Upserted {
    loop {
        match silver.upsert(call).await {
            Ok(done) => return done,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

/// Fails each of the calls of an upsert in turn, before and after its effect: one commit comes out of it, every time.
#[tokio::test(flavor = "multi_thread")]
async fn one_failed_call_anywhere_makes_one_commit() {
    for fate in [Fate::FailBefore, Fate::FailAfter] {
        for at in 0..40 {
            let store = memory();
            let (first, second) = (doc("a", 1, 0), doc("a", 2, 0));
            open(&store, 1).await.upsert(&versions([&first])).await.unwrap();
            let script = std::iter::repeat_n(Fate::Pass, at).chain([fate]);
            let faults = Arc::new(Faults::script(script));
            let silver = Silver::open(
                Faulty::<dyn ObjectStore>::new(Arc::clone(&store), Arc::clone(&faults)),
                clock(),
                schema(),
                buckets(1),
            )
            .await;
            let Ok(silver) = silver else {
                continue; // The fault hit the opening, which changes nothing.
            };
            let done = until_done(&silver, &versions([&second])).await;
            assert_eq!(done.version, 2, "{fate:?} at call {at}");
            let silver = open(&store, 1).await;
            assert_eq!(silver.snapshot().await.unwrap().version, 2, "{fate:?} at call {at}");
            assert_eq!(content(&silver).await, Model::of([&second]).content(1));
        }
    }
}

/// Only the commit's own reply is lost: the call that made the commit must report it, without a second call.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_was_lost_is_known_again() {
    let mut recognised = 0;
    for at in 0..40 {
        let store = memory();
        open(&store, 1).await;
        let faults = Arc::new(Faults::script(std::iter::repeat_n(Fate::Pass, at).chain([Fate::FailAfter])));
        let faulty = Faulty::<dyn ObjectStore>::new(Arc::clone(&store), Arc::clone(&faults));
        let Ok(silver) = Silver::open(faulty, clock(), schema(), buckets(1)).await else { continue };
        if faults.failed() > 0 {
            continue;
        }
        let outcome = silver.upsert(&versions(&[doc("a", 1, 0)])).await;
        let committed = open(&store, 1).await.snapshot().await.unwrap().version == 1;
        if faults.failed() == 1 && committed {
            let done = outcome.unwrap();
            assert_eq!((done.version, done.committed, done.written), (1, true, 1));
            recognised += 1;
        }
    }
    assert!(recognised > 0, "no fault hit the commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_on_a_failing_store_lose_nothing() {
    let store = memory();
    open(&store, 4).await;
    let faults = Arc::new(Faults::seeded(20_260_301, 0.06, 0.06));
    let work: Vec<Vec<Doc>> = (0..4)
        .map(|w| (0..10).map(|at| Doc { line: w, ..doc(&format!("k{}", at % 6), 1 + at, 0) }).collect())
        .collect();
    // Each opens its table before the faults begin: opening reads the whole log, and at such odds the read of a long log hardly ever
    // succeeds.
    faults.stop();
    let faulty = || -> Store { Faulty::<dyn ObjectStore>::new(Arc::clone(&store), Arc::clone(&faults)) };
    let tables =
        try_join_all((0..work.len()).map(|_| Silver::open(faulty(), clock(), schema(), buckets(4)))).await.unwrap();
    faults.resume();
    let writers = tables.into_iter().zip(work.clone()).map(|(silver, docs)| {
        tokio::spawn(async move {
            for doc in &docs {
                until_done(&silver, &versions([doc])).await;
            }
        })
    });
    try_join_all(writers).await.unwrap();
    assert!(faults.failed() > 20, "the store failed {} times", faults.failed());
    assert_eq!(content(&open(&store, 4).await).await, Model::of(work.iter().flatten()).content(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn gold_is_published_once_however_the_store_fails() {
    for at in 0..40 {
        let store = memory();
        let rows = versions(&[doc("a", 1, 0)]).rows;
        Gold::open(Arc::clone(&store), clock(), "sums", schema()).await.unwrap();
        let faults = Arc::new(Faults::script(std::iter::repeat_n(Fate::Pass, at).chain([Fate::FailAfter])));
        let faulty = Faulty::<dyn ObjectStore>::new(Arc::clone(&store), Arc::clone(&faults));
        let Ok(gold) = Gold::open(faulty, clock(), "sums", schema()).await else { continue };
        loop {
            match gold.publish(&rows, 3, 1).await {
                Ok(published) => {
                    break assert!(matches!(published, Published::Committed { version: 1 } | Published::Unchanged));
                }
                Err(error) => assert!(matches!(error, TableError::Store { .. }), "{error}"),
            }
        }
        gold.export().await.ok();
        faults.stop();
        assert_eq!(gold.publish(&rows, 3, 1).await.unwrap(), Published::Unchanged);
        assert_eq!(gold.current().await.unwrap().unwrap(), rows);
    }
}
