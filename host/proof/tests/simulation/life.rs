//! One seed's life: hosts start, fire ticks, work and crash while everything around them fails; then a sound host cleans up.
//!
//! Does not judge what comes of it: `accounts` does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::drivers::service::Service;
use lake::Lake;
use pipeline::plan::Percent;
use pipeline::role::Role;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use records::keys::Tick;
use seams::clock::Clock;
use seams::http::{Http, HttpAnswer, HttpRequest};
use seams::queue::Queue;
use seams::secrets::Secrets;
use seams::store::ObjectStore;
use serde_json::json;
use testkit::http::answer;
use testkit::{Chances, Faults, Faulty, LeapClock, ScriptedHttp};
use tokio_util::sync::CancellationToken;

use crate::accounts;
use crate::scenario::{Nature, Scenario, TickPlan};
use crate::world::{Options, World};

/// How often a host of a tick dies: a start is what costs most, and what comes after it is what is tested.
const MOST_DEATHS: usize = 2;

/// What is counted over a life.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answers given by the service, by what was asked.
    pub(crate) answers: Mutex<BTreeMap<String, u64>>,
    /// Hosts that died.
    pub(crate) crashes: AtomicU64,
    /// Calls of stores and of the service that did not pass.
    pub(crate) call_faults: AtomicU64,
    /// Calls of queues that did not pass.
    pub(crate) queue_faults: AtomicU64,
}

/// Lives the life, and checks what has come of it.
pub(crate) async fn live(scenario: Scenario) {
    let real = std::time::Instant::now();
    let scenario = Arc::new(scenario);
    let tally = Arc::new(Tally::default());
    let first = options(&scenario, &scenario.ticks[0], || false);
    let world = Arc::new(World::new(&first));
    for plan in &scenario.ticks {
        set_source(&world, plan).await;
        let stop = CancellationToken::new();
        let mut hosts = tokio::task::JoinSet::new();
        for host in 0..scenario.hosts {
            let with = (Arc::clone(&world), Arc::clone(&scenario), Arc::clone(&tally));
            hosts.spawn(supervise(with, plan.clone(), host as u64, stop.clone()));
        }
        jump_about(&scenario, &world.clock, plan.lasts).await;
        stop.cancel();
        hosts.join_all().await;
    }
    let last = scenario.ticks.last().unwrap();
    let service = world.host(&options(&scenario, last, || false), service(&scenario, &tally)).await;
    // Every tick fires on a sound host in the end; those that had fired make nothing new.
    for plan in &scenario.ticks {
        set_source(&world, plan).await;
        fire(&service, &plan.tick, &world.clock).await;
    }
    let ended = world.once(&service, &last.tick).await.unwrap();
    assert!(ended.left.missing.is_nothing() && ended.left.waiting_for.is_none(), "{scenario:#?}\n{ended:?}");
    if std::env::var("SIMULATION_STORY").is_ok() {
        eprintln!("{tally:?}\n{scenario:?} real {:?} simulated {}", real.elapsed(), world.clock.now());
    }
    accounts::check(&scenario, &world, &service, &tally).await;
}

async fn set_source(world: &World, plan: &TickPlan) {
    seams::store::replace(&*world.source, &"orders.csv".into(), plan.source().into()).await.unwrap();
}

async fn fire(service: &Service, tick: &str, clock: &Arc<LeapClock>) {
    let tick = Tick::parse(tick).unwrap();
    while service.ingest.fire(tick).await.is_err() {
        clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Lets `span` pass, and the clock jump back and forth meanwhile.
async fn jump_about(scenario: &Scenario, clock: &LeapClock, span: Duration) {
    let mut dice = StdRng::seed_from_u64(scenario.seed ^ 0xC10C);
    for step in 0..4 {
        tokio::time::sleep(span / 4).await;
        if let Some(far) = scenario.jumps.filter(|_| step == 1 || dice.random_range(0..3) == 0) {
            clock.jump(if dice.random() { far } else { -far });
        }
    }
}

fn options(scenario: &Scenario, plan: &TickPlan, hiccup: impl Fn() -> bool + Send + Sync + 'static) -> Options {
    Options {
        source: plan.source(),
        batch_size: scenario.batch_size,
        buckets: scenario.buckets,
        workers: scenario.workers,
        // What is tested is that nothing is lost, so nothing is given up.
        max_receives: 10_000,
        suspend_above: Percent::WHOLE,
        visibility: scenario.visibility,
        asks_for_n: true,
        hiccup: Arc::new(hiccup),
        ..Options::default()
    }
}

/// Runs one host of a tick, and the next one in its place when it dies.
async fn supervise(
    (world, scenario, tally): (Arc<World>, Arc<Scenario>, Arc<Tally>),
    plan: TickPlan,
    host: u64,
    stop: CancellationToken,
) {
    let mut dice = StdRng::seed_from_u64(scenario.seed ^ (host + 1) << 32);
    let mut deaths = 0;
    while !stop.is_cancelled() {
        let mortal = scenario.dies_within.filter(|_| deaths < MOST_DEATHS);
        let last_call = mortal.map(|within| dice.random_range(1..=within));
        let shaken = Shaken::new(&scenario, dice.random(), last_call, &world.clock);
        let seed: u64 = dice.random();
        let slow_calls = Mutex::new(StdRng::seed_from_u64(seed));
        let hiccups = scenario.hiccups;
        let options = options(&scenario, &plan, move || slow_calls.lock().unwrap().random_bool(hiccups));
        let http: Arc<dyn Http> = Faulty::new(service(&scenario, &tally) as Arc<dyn Http>, shaken.http.clone());
        let service = shaken.view(&world).host(&options, http).await;
        shaken.resume();
        let (clock, tick, inner) = (world.clock.clone(), plan.tick.clone(), stop.clone());
        let mut life = tokio::task::JoinSet::new();
        life.spawn(async move {
            fire(&service, &tick, &clock).await;
            service.serve(&Role::ALL, &inner).await
        });
        let died = tokio::select! {
            () = shaken.store.death() => true,
            Some(ended) = life.join_next() => ended.unwrap().is_err(),
            // Some hosts are stopped in good order at the end of a tick, others vanish.
            () = stopped(&stop, dice.random()) => false,
        };
        life.shutdown().await;
        deaths += usize::from(died);
        tally.crashes.fetch_add(u64::from(died), Ordering::SeqCst);
        tally.call_faults.fetch_add(shaken.store.failed() + shaken.http.failed(), Ordering::SeqCst);
        tally.queue_faults.fetch_add(shaken.queue.failed(), Ordering::SeqCst);
        if died {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(dice.random_range(0..5))) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Returns some time after the stop: at once, or when a host in good order has drained long since.
async fn stopped(stop: &CancellationToken, at_once: bool) {
    stop.cancelled().await;
    if !at_once {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

/// The faults around one host.
struct Shaken {
    store: Arc<Faults>,
    queue: Arc<Faults>,
    http: Arc<Faults>,
    secrets: Arc<Faults>,
}

impl Shaken {
    /// Faults that are not there yet: a host that cannot even open its tables is not what is tested here.
    fn new(scenario: &Scenario, seed: u64, last_call: Option<u64>, clock: &Arc<LeapClock>) -> Self {
        let faults = |number: u64, chances: Chances| {
            let faults = Faults::drawn(seed.wrapping_add(number), chances);
            if scenario.slow.is_zero() { faults } else { faults.slow(clock.clone(), scenario.slow) }
        };
        let mut store = faults(0, scenario.store);
        if let Some(call) = last_call {
            store = store.dying_at(call);
        }
        let shaken = Shaken {
            store: Arc::new(store),
            queue: Arc::new(faults(1, scenario.queue)),
            http: Arc::new(faults(2, scenario.http)),
            secrets: Arc::new(faults(3, scenario.secrets)),
        };
        shaken.each(Faults::stop);
        shaken
    }

    fn each(&self, change: impl Fn(&Faults)) {
        [&self.store, &self.queue, &self.http, &self.secrets].into_iter().for_each(|faults| change(faults));
    }

    fn resume(&self) {
        self.each(Faults::resume);
    }

    /// The world as this host sees it.
    fn view(&self, world: &World) -> World {
        let store =
            |inner: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> { Faulty::new(inner.clone(), self.store.clone()) };
        let queue = |inner: &Arc<dyn Queue>| -> Arc<dyn Queue> { Faulty::new(inner.clone(), self.queue.clone()) };
        let mut queues = world.queues.clone();
        for stage in [&mut queues.enrich, &mut queues.clean, &mut queues.aggregate] {
            stage.live = queue(&stage.live);
            stage.dead = queue(&stage.dead);
        }
        let secrets: Arc<dyn Secrets> = Faulty::new(world.secrets.clone() as Arc<dyn Secrets>, self.secrets.clone());
        World {
            clock: world.clock.clone(),
            lake: Lake {
                bronze: store(&world.lake.bronze),
                silver: store(&world.lake.silver),
                gold: store(&world.lake.gold),
                buckets: world.lake.buckets,
            },
            queues,
            secrets: world.secrets.clone(),
            shaky_secrets: Some(secrets),
            source: world.source.clone(),
        }
    }
}

/// The service that all hosts ask.
fn service(scenario: &Arc<Scenario>, tally: &Arc<Tally>) -> Arc<ScriptedHttp> {
    let (scenario, tally) = (Arc::clone(scenario), Arc::clone(tally));
    ScriptedHttp::new(move |request, _| Ok(answer_to(request, &scenario, &tally)))
}

fn answer_to(request: &HttpRequest, scenario: &Scenario, tally: &Tally) -> HttpAnswer {
    let id: u32 = request.url.path().trim_start_matches("/orders/o").parse().unwrap();
    let n: i64 = request.url.query_pairs().find(|(name, _)| name == "v").unwrap().1.parse().unwrap();
    *tally.answers.lock().unwrap().entry(request.url.to_string()).or_default() += 1;
    let document = |what: Option<&str>| {
        answer(200, json!({ "do": what, "id": id, "group": format!("g{}", id % 3), "n": n }).to_string())
    };
    match scenario.natures[&id] {
        Nature::Good => document(None),
        Nature::Unknown => answer(404, "none"),
        Nature::Html => answer(200, "<html>"),
        Nature::Rejected => document(Some("reject")),
        Nature::Traps => document(Some("trap")),
        Nature::Skipped => document(Some("skip")),
    }
}
