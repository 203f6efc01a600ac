//! What must be true of a lake when the faults have stopped: the invariants V1, V2, V8 and V9, and Gold.
//!
//! Does not repair or re-run anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use engine::drivers::service::Service;
use lake::bronze::{self, Outcome};
use lake::{quarantine, receipts};
use seams::store::{Path, read};

use crate::life::Tally;
use crate::scenario::{Scenario, TickPlan};
use crate::world::World;

/// Checks everything.
pub(crate) async fn check(scenario: &Scenario, world: &World, service: &Service, tally: &Tally) {
    let lines = conservation(scenario, world).await;
    accounting(world, &lines).await;
    silver(scenario, service, &lines).await;
    refusals(scenario, world).await;
    assert_eq!(world.sums(service).await, scenario.sums(), "Gold differs\n{scenario:#?}");
    let report = world.verify(service).await;
    assert!(report.is_clean(), "{:#?}\n{scenario:#?}", report.findings);
    for (stage, queue) in world.queues.all() {
        let (live, dead) = (queue.live.depth().await.unwrap(), queue.dead.depth().await.unwrap());
        assert_eq!((live.total(), dead.total()), (0, 0), "V9: queue `{stage}` is not empty\n{scenario:#?}");
    }
    calls(scenario, tally);
}

/// The lines of each Bronze object.
type Lines = BTreeMap<Path, Vec<bronze::Line>>;

/// V1, first half: every record version of every snapshot has exactly one line of Bronze. V2: a message has one object.
async fn conservation(scenario: &Scenario, world: &World) -> Lines {
    let inventory = bronze::inventory(&world.lake, None).await.unwrap();
    let messages = bronze::snapshots(&world.lake, &inventory).await.unwrap();
    let mut taken: Vec<(String, String)> = Vec::new();
    let mut lines = Lines::new();
    for message in &messages {
        let path = message.object();
        let object = read(&*world.lake.bronze, &path).await.unwrap();
        let of_object = bronze::lines(&path, &object).unwrap();
        let keys: Vec<_> = of_object.iter().map(|line| (&line.meta.key, line.meta.seq)).collect();
        let expected: Vec<_> = message.entries.iter().map(|entry| (&entry.key, message.tick)).collect();
        assert_eq!(keys, expected, "V1: `{path}` does not hold its message\n{scenario:#?}");
        taken.extend(message.entries.iter().map(|entry| (entry.key.to_string(), message.tick.to_string())));
        lines.insert(path, of_object);
    }
    let objects: BTreeSet<_> = inventory.objects.into_iter().collect();
    assert_eq!(objects, lines.keys().cloned().collect(), "V2: objects of no message, or of one twice\n{scenario:#?}");
    let of = |plan: &TickPlan| -> Vec<(String, String)> {
        plan.orders.keys().map(|id| (format!("o{id}"), plan.tick.clone())).collect()
    };
    let mut wanted: Vec<_> = scenario.ticks.iter().flat_map(of).collect();
    wanted.sort();
    taken.sort();
    assert_eq!(taken, wanted, "V1: not every record version was taken once\n{scenario:#?}");
    lines
}

/// V1, second half: each line is cleaned, skipped or quarantined, and no two of them.
async fn accounting(world: &World, lines: &Lines) {
    let receipts = receipts::all(&world.lake).await.unwrap();
    assert_eq!(receipts.len(), lines.len(), "V1: objects without a receipt");
    for receipt in receipts {
        let of_object = &lines[&Path::from(receipt.object.as_str())];
        let told = receipt.cleaned + receipt.skipped.len() + receipt.quarantined.len();
        assert_eq!((told, receipt.lines), (of_object.len(), of_object.len()), "V1: {receipt:?}");
    }
}

/// Silver holds of every key the last version, once, from the line that says so. V2: no key twice.
async fn silver(scenario: &Scenario, service: &Service, lines: &Lines) {
    let table = &service.clean.silver;
    let snapshot = table.snapshot().await.unwrap();
    let mut rows = BTreeMap::new();
    for bucket in snapshot.buckets.keys() {
        for batch in table.read(&snapshot, *bucket, Some(&["_key", "_source", "n"])).await.unwrap() {
            let (keys, sources) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            let values = batch.column(2).as_primitive::<Int64Type>();
            for ((key, source), n) in keys.iter().zip(sources).zip(values) {
                let before = rows.insert(key.unwrap().to_owned(), (source.unwrap().to_owned(), n.unwrap()));
                assert!(before.is_none(), "V2: key {key:?} stands twice in Silver\n{scenario:#?}");
            }
        }
    }
    let last = scenario.last_versions();
    assert_eq!(rows.len(), last.len(), "Silver has other keys than expected\n{scenario:#?}");
    for (id, (tick, n)) in last {
        let (source, value) = &rows[&format!("o{id}")];
        let (path, number) = source.rsplit_once(':').unwrap();
        let line = &lines[&Path::from(path)][number.parse::<usize>().unwrap() - 1];
        assert_eq!((line.meta.key.as_str(), line.meta.seq.to_string()), (format!("o{id}").as_str(), tick.to_owned()));
        assert_eq!((*value, &line.meta.outcome), (n, &Outcome::Document), "o{id}\n{scenario:#?}");
    }
}

/// Nothing is quarantined but what a plugin refuses of itself.
async fn refusals(scenario: &Scenario, world: &World) {
    let refused = quarantine::all(&world.lake).await.unwrap();
    let told: Vec<_> = refused.iter().map(|one| (one.key.as_ref().unwrap().to_string(), one.seq.to_string())).collect();
    let distinct: BTreeSet<_> = told.iter().cloned().collect();
    assert_eq!(distinct.len(), told.len(), "refused twice: {told:?}\n{scenario:#?}");
    assert_eq!(distinct, scenario.refused(), "{refused:#?}\n{scenario:#?}");
}

/// V8: an answer is asked for once, and once more for each crash, racing worker and answer that could not be kept.
fn calls(scenario: &Scenario, tally: &Tally) {
    let racing = (scenario.hosts * scenario.workers) as u64;
    let faults = tally.call_faults.load(Ordering::SeqCst);
    let days = scenario.ticks.len() as u64;
    let most = days * (1 + tally.crashes.load(Ordering::SeqCst) + racing + faults);
    for (asked, times) in &*tally.answers.lock().unwrap() {
        assert!(*times <= most, "V8: `{asked}` was asked for {times} times, at most {most}\n{scenario:#?}");
    }
    let calm = faults == 0 && tally.queue_faults.load(Ordering::SeqCst) == 0 && scenario.hosts == 1;
    if calm && scenario.jumps.is_none() && scenario.http == testkit::Chances::default() {
        assert!(tally.answers.lock().unwrap().values().all(|times| *times <= days), "V8: asked again for no reason");
    }
}
