//! The conformance suites over this crate's own doubles, and a proof that each suite can fail: wrong doubles that its clauses catch.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "suites/wrong.rs"]
mod wrong;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use seams::clock::Clock;
use seams::secrets::SecretRef;
use testkit::conformance::clock::ClockRig;
use testkit::conformance::queue::QueueRig;
use testkit::conformance::secrets::SecretsRig;
use testkit::conformance::simulated;
use testkit::conformance::store::StoreRig;
use testkit::{Faults, Faulty, MapSecrets, MemoryQueue, MemoryQueueOptions, SimClock};

fn clock_rig() -> ClockRig {
    let clock = Arc::new(SimClock::default());
    ClockRig { pass: simulated(&clock), clock, keep: Box::new(()) }
}

fn queue_rig() -> QueueRig {
    let clock = Arc::new(SimClock::default());
    let pass = simulated(&clock);
    let clock: Arc<dyn Clock> = clock;
    let options =
        MemoryQueueOptions { visibility: Duration::from_secs(30), max_message: 4096, ..MemoryQueueOptions::default() };
    let dead_letters = MemoryQueue::new(Arc::clone(&clock), options.clone());
    let max_receives = NonZeroU32::new(3).unwrap();
    let queue = MemoryQueue::new(
        clock,
        MemoryQueueOptions { max_receives, dead_letters: Some(dead_letters.clone()), ..options },
    );
    QueueRig {
        queue,
        dead_letters,
        max_receives: 3,
        max_message: 4096,
        finds_equals: true,
        tells_oldest: true,
        pass,
        keep: Box::new(()),
    }
}

fn store_rig() -> StoreRig {
    StoreRig { store: Arc::new(object_store::memory::InMemory::new()), keep: Box::new(()) }
}

fn secrets_rig() -> SecretsRig {
    let named = |name: &str| SecretRef::Env(name.into());
    let secrets = MapSecrets::new([(named("PRESENT"), "the-value")]);
    secrets.take_down(named("DOWN"));
    let rotated = Arc::clone(&secrets);
    SecretsRig {
        secrets,
        present: (named("PRESENT"), "the-value".into()),
        missing: named("MISSING"),
        unavailable: named("DOWN"),
        rotate: Box::new(move |value| rotated.set(SecretRef::Env("PRESENT".into()), value)),
        keep: Box::new(()),
    }
}

mod sim_clock {
    testkit::clock_conformance!(async || super::clock_rig());
}

mod memory_queue {
    testkit::queue_conformance!(async || super::queue_rig());
}

/// A schedule that injects nothing must change nothing.
mod faultless_queue {
    use super::*;

    testkit::queue_conformance!(async || {
        let rig = queue_rig();
        QueueRig { queue: Faulty::new(rig.queue, Arc::new(Faults::seeded(1, 0.0, 0.0))), ..rig }
    });
}

mod in_memory_store {
    testkit::store_conformance!(async || super::store_rig());
}

mod faultless_store {
    use super::*;

    testkit::store_conformance!(async || {
        let rig = store_rig();
        StoreRig { store: Faulty::new(rig.store, Arc::new(Faults::script([]))), ..rig }
    });
}

mod map_secrets {
    testkit::secrets_conformance!(async || super::secrets_rig());
}

/// A clause that no macro names would never run.
#[test]
fn every_clause_is_in_its_macro() {
    let suites = [
        include_str!("../src/conformance/clock.rs"),
        include_str!("../src/conformance/http.rs"),
        include_str!("../src/conformance/queue.rs"),
        include_str!("../src/conformance/secrets.rs"),
        include_str!("../src/conformance/store.rs"),
    ];
    for suite in suites {
        let (list, _) = suite.split_once("conformance_tests!").unwrap().1.split_once(");").unwrap();
        let listed: Vec<_> =
            list.split(';').nth(1).unwrap().split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let written: Vec<_> =
            suite.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next()).collect();
        assert!(written.len() >= 4);
        assert_eq!(listed, written);
    }
}
