//! A host that dies over any call that it makes to the lake while it replays or forgets: the next host that does it comes to the same end.
//!
//! Does not kill processes: `tests/e2e` does. Deaths while ticks run are `tests/simulation`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Service;
use engine::progress::Steps;
use engine::replay::{self, Selection, Which};
use lake::failure::Failure;
use lake::quarantine;
use proof::forget::forget;
use records::keys::Key;
use serde_json::json;
use testkit::http::answer;
use testkit::{Fate, Faults, ScriptedHttp};
use tokio_util::sync::CancellationToken;

use super::fault_table::shaken;
use super::forget::holding;
use super::world::{Options, TICK, World, orders};

const NEXT: &str = "20260102T030000Z";
/// Every so many calls one is died over.
const STEP: usize = 3;

/// Two orders of the second day are of a kind that a later cleaner refuses or a later enricher tames, and one is no document.
fn service() -> Arc<ScriptedHttp> {
    ScriptedHttp::new(|request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let what = match id.as_str() {
            "o0" => "late",
            "o1" => "reject",
            "o2" => return Ok(answer(200, "<html>")),
            _ => "",
        };
        Ok(answer(200, json!({ "id": id, "do": what, "group": format!("of {id}"), "n": 1 }).to_string()))
    })
}

fn options() -> Options {
    Options { source: orders(4), batch_size: 2, buckets: 2, workers: 1, ..Options::default() }
}

async fn two_days() -> World {
    let world = World::new(&options());
    let host = world.host(&options(), service()).await;
    for tick in [TICK, NEXT] {
        world.once(&host, tick).await.unwrap();
    }
    world
}

/// A host whose every call is counted, and which dies over the call with that number, if any; and how many calls it took to start it.
async fn host(world: &World, options: &Options, over: Option<u64>) -> (Service, Arc<Faults>, u64) {
    let faults = Faults::script([]);
    let faults = Arc::new(match over {
        Some(call) => faults.dying_at(call),
        None => faults,
    });
    let host = shaken(world, &faults).host(options, service()).await;
    let begun = faults.calls();
    (host, faults, begun)
}

async fn replayed(host: &Service, which: Which) -> Result<(), Failure> {
    let selection = Selection { which, ..Selection::default() };
    let planned = replay::plan(host, &selection, &Steps::default()).await?;
    replay::queue(host, &planned).await?;
    let left = host.work_off(Duration::from_secs(7200), &CancellationToken::new()).await?;
    assert!(left.is_nothing(), "{left:?}");
    Ok(())
}

/// The final state of a lake: states, refusals, Gold. A record may have been enriched again once more, so that one more line is superseded.
async fn account(world: &World, host: &Service, over: u64) -> (String, usize, BTreeMap<String, i64>) {
    let mut report = world.verify(host).await;
    assert_eq!(report.findings, [], "call {over}");
    report.states.remove("superseded");
    (json!(report.states).to_string(), quarantine::ids(&world.lake).await.unwrap().len(), world.sums(host).await)
}

async fn replay_dies_anywhere(changed: impl Fn() -> Options, which: Which) {
    let world = two_days().await;
    let (calm, faults, begun) = host(&world, &changed(), None).await;
    replayed(&calm, which.clone()).await.unwrap();
    let calls = faults.calls();
    let expected = account(&world, &calm, 0).await;
    for over in (begun + 1..=calls).step_by(STEP) {
        let world = two_days().await;
        let (dies, faults, _) = host(&world, &changed(), Some(over)).await;
        tokio::select! {
            done = replayed(&dies, which.clone()) => done.unwrap(),
            () = faults.death() => {}
        }
        drop(dies);
        let next = world.host(&changed(), service()).await;
        // Its queued work ends, and the rest is chosen again.
        let left = next.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
        assert!(left.is_nothing(), "call {over}: {left:?}");
        replayed(&next, which.clone()).await.unwrap();
        assert_eq!(account(&world, &next, over).await, expected, "call {over}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_by_a_stricter_cleaner_dies_anywhere() {
    replay_dies_anywhere(|| Options { clean_version: "3.0.0", ..options() }, Which::Stale).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_by_a_mended_enricher_dies_anywhere() {
    replay_dies_anywhere(|| Options { enrich_version: "3.0.0", ..options() }, Which::Stale).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_quarantine_dies_anywhere() {
    let mended = || Options { enrich_version: "2.0.0", clean_version: "2.0.0", ..options() };
    replay_dies_anywhere(mended, Which::Quarantined(None)).await;
}

#[tokio::test(start_paused = true)]
async fn an_erasure_is_cut_off_anywhere() {
    let key = Key::from_text("o3");
    let world = two_days().await;
    let (calm, faults, begun) = host(&world, &options(), None).await;
    forget(&calm, &key, &Steps::default()).await.unwrap();
    let calls = faults.calls();
    for over in (begun + 1..=calls).step_by(STEP) {
        let world = two_days().await;
        // A checkpoint is written by a thread of its own, which no death would end: instead the lake is gone from that call on.
        let passes = std::iter::repeat_n(Fate::Pass, usize::try_from(over).unwrap() - 1);
        let faults = Arc::new(Faults::script(passes.chain(std::iter::repeat_n(Fate::FailBefore, 1000))));
        let cut_off = shaken(&world, &faults).host(&options(), service()).await;
        let _ = forget(&cut_off, &key, &Steps::default()).await;
        assert!(faults.failed() > 0);
        drop(cut_off);
        let next = world.host(&options(), service()).await;
        next.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
        forget(&next, &key, &Steps::default()).await.unwrap();
        for layer in [&world.lake.bronze, &world.lake.silver, &world.lake.gold] {
            assert_eq!(holding(layer, "o3").await, Vec::<String>::new(), "call {over}");
        }
        assert_eq!(world.verify(&next).await.findings, [], "call {over}");
    }
}
