//! Many ticks, one after the other: each costs what the first ones cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use engine::drivers::sweep::sweep;
use lake::{bronze, closed, open};
use proof::status::status;
use records::keys::Tick;
use seams::clock::Clock;
use testkit::{Asked, Counting, Dated, Requests, ScriptedHttp, Verb};

use crate::world::{Options, World, good, orders};

/// How many hourly ticks go by before a table deletes its first files: the usual `retention` is seven days.
const WEEK: usize = 7 * 24;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Makes the stores of a world count.
pub(crate) fn counted(world: &mut World) -> Requests {
    let (lake, requests) = (&mut world.lake, Requests::default());
    for (layer, store) in [("bronze", &mut lake.bronze), ("silver", &mut lake.silver), ("gold", &mut lake.gold)] {
        // With ages of the simulated clock: what is older than the retention is tidied up.
        *store = Counting::over(Dated::over(Arc::clone(store), world.clock.clone()), layer, &requests);
    }
    requests
}

/// The most memory that this process had since the last call of this, in KiB, and what it has now; nothing where the system does not tell.
fn peak() -> (u64, u64) {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = told.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
    };
    let found = (of("VmHWM:"), of("VmRSS:"));
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    found
}

/// What a tick or a sweep has asked for, and the most memory that it took beyond what was there.
#[derive(Clone, Copy, Debug)]
struct Cost {
    asked: Asked,
    kib: u64,
}

/// How often each was asked for since `before`.
fn since(before: &BTreeMap<(Verb, String), u64>, now: BTreeMap<(Verb, String), u64>) -> BTreeMap<(Verb, String), u64> {
    let more = |(what, count): ((Verb, String), u64)| (count - before.get(&what).copied().unwrap_or(0), what);
    now.into_iter().map(more).filter(|(count, _)| *count > 0).map(|(count, what)| (what, count)).collect()
}

/// What one of the ticks has cost on average, of the part at `part`. One tick says little: a log of up to a hundred entries is read with
/// its checkpoint.
fn mean(ticks: &[[Cost; 3]], part: usize) -> Asked {
    let of = |figure: fn(&Asked) -> u64| {
        ticks.iter().map(|tick| figure(&tick[part].asked)).sum::<u64>() / ticks.len() as u64
    };
    Asked {
        requests: of(|one| one.requests),
        deletions: of(|one| one.deletions),
        lists: of(|one| one.lists),
        read: of(|one| one.read),
    }
}

/// What was spent on `work`.
async fn cost<T>(counts: &Requests, work: impl Future<Output = T>) -> (T, Cost) {
    let (before, (_, had)) = (counts.asked(), {
        peak();
        peak()
    });
    let done = work.await;
    (done, Cost { asked: counts.asked().since(&before), kib: peak().0.saturating_sub(had) })
}

#[tokio::test(start_paused = true)]
async fn a_tick_and_a_sweep_cost_the_same_however_many_ticks_there_were() {
    let (ticks, records) = (number("GROWTH_TICKS", 60), number("GROWTH_RECORDS", 20));
    assert!(ticks <= WEEK || ticks >= 2 * WEEK, "GROWTH_TICKS: between {WEEK} and {} nothing is steady", 2 * WEEK);
    // Firing, sweeping while a tick is open, and sweeping when none is: by tick.
    let mut curve: Vec<[Cost; 3]> = Vec::new();
    // What each sweep of an open tick has asked for, by kind and place.
    let mut places: Vec<BTreeMap<(Verb, String), u64>> = Vec::new();
    let options = Options { source: orders(records), batch_size: 10, workers: 4, ..Options::default() };
    let mut world = World::new(&options);
    let counts = counted(&mut world);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    for _ in 0..ticks {
        world.clock.jump(TimeDelta::hours(1));
        let tick = Tick::at(world.clock.now());
        let (fired, fire) = cost(&counts, service.ingest.fire(tick)).await;
        assert_eq!(fired.unwrap().records, records);
        let before = counts.all();
        let (missing, while_open) = cost(&counts, sweep(&service, true)).await;
        places.push(since(&before, counts.all()));
        assert_eq!(missing.unwrap().records, records);
        assert!(world.once(&service, &tick.to_string()).await.unwrap().left.is_nothing());
        let (missing, idle) = cost(&counts, sweep(&service, true)).await;
        assert!(missing.unwrap().is_nothing());
        curve.push([fire, while_open, idle]);
    }
    for (at, costs) in curve.iter().enumerate().filter(|(at, _)| at % (ticks / 10).max(1) == 0 || at + 1 == ticks) {
        let told = costs.map(|one| {
            format!(
                "{:4} requests {:4} deletions {:8} B {:6} KiB",
                one.asked.requests, one.asked.deletions, one.asked.read, one.kib
            )
        });
        println!("tick {at:5}: fire {} | sweep, open {} | sweep, idle {}", told[0], told[1], told[2]);
    }
    // From the first week on, each tick also deletes what a tick has left a week earlier: a steady state of its own.
    let span = (ticks / 6).max(1);
    let from = if ticks > WEEK { WEEK + span } else { ticks / 4 };
    println!("sweep, open, first: {:?}", places[from]);
    println!("sweep, open, last:  {:?}", places[ticks - 1]);
    let (early, late) = (&curve[from..from + span], &curve[ticks - span..]);
    for (at, what) in ["fire", "sweep of an open tick", "sweep"].into_iter().enumerate() {
        let (early, late) = (mean(early, at), mean(late, at));
        println!("{what}: {early:?}, then {late:?}");
        assert!(late.requests <= early.requests + 12, "{what}: {early:?}, then {late:?}");
        assert!(late.lists <= early.lists + 2, "{what}: {early:?}, then {late:?}");
        assert!(late.read <= early.read * 2 + (64 << 10), "{what}: {early:?}, then {late:?}");
    }
    assert!(open::ticks(&world.lake).await.unwrap().is_empty(), "all of them are closed");
    let sums: closed::Sums = closed::days(&world.lake).await.unwrap().into_values().sum();
    assert_eq!((sums.ticks, sums.records, sums.lines), (ticks, ticks * records, ticks * records));
    assert_eq!(bronze::ticks(&world.lake).await.unwrap().len(), ticks);
    let (told, cost) = cost(&counts, status(&service)).await;
    let told = told.unwrap();
    println!("status: {} requests, {} B", cost.asked.requests, cost.asked.read);
    assert_eq!(
        (told.bronze.records, told.silver.seen, told.bronze.watermark.done),
        (ticks * records, ticks * records, ticks * records)
    );
    assert_eq!((told.silver.standing, told.silver.superseded), (records, (ticks - 1) * records));
    assert!(cost.asked.requests < 120, "{cost:?}");
}
