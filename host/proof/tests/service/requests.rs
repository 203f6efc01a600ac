//! What a record costs in requests to the lake, by role: four processes work as functions of Lambda do, each over stores that count.
//!
//! Does not measure time: counts are exact, and the same in each run. `cargo xtask requests` prints them.

use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Service;
use engine::drivers::serving::Serving;
use engine::progress::Steps;
use lake::Lake;
use pipeline::role::Role;
use proof::explain::explain;
use records::keys::{Key, Tick};
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use seams::queue::{Queue, StageQueue};
use testkit::queue::{MemoryQueue, MemoryQueueOptions};
use testkit::{Counting, Requests, ScriptedHttp, Verb};
use tokio_util::sync::CancellationToken;

use crate::world::{Hiccup, Options, TICK, World, aggregator, expected, good, orders};

/// Messages that a function of each stage is handed at once, as the generated stack has it.
const AT_ONCE: [(Role, usize); 3] = [(Role::Enrich, 10), (Role::Clean, 100), (Role::Aggregate, 100)];
/// Another tick of the same day, and one of the next.
const SAME_DAY: &str = "20260101T040000Z";
const NEXT_DAY: &str = "20260102T030000Z";

/// One process a role, each with its own view of the lake and of what it has asked.
struct Functions {
    world: World,
    roles: Vec<(Role, Arc<Service>, Requests)>,
    http: Arc<ScriptedHttp>,
    /// Records of a tick.
    records: usize,
}

/// A service that takes its time, as each does: so several records wait for it at once.
#[derive(Debug)]
struct Slow(Arc<ScriptedHttp>);

#[async_trait::async_trait]
impl Http for Slow {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.send(request).await
    }
}

/// Requests of one role: writes with listings, and reads.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    puts: f64,
    gets: f64,
}

impl Functions {
    async fn of(batch_size: usize, records: usize) -> Self {
        Functions::over(None, batch_size, records).await
    }

    /// Others over the same lake.
    async fn beside(world: &World, batch_size: usize, records: usize) -> Self {
        Functions::over(Some(&world.lake), batch_size, records).await
    }

    /// All requests so far.
    fn asked(&self) -> u64 {
        self.so_far().iter().map(|(puts, gets)| puts + gets).sum()
    }

    async fn over(lake: Option<&Lake>, batch_size: usize, records: usize) -> Self {
        let calm: Hiccup = Arc::new(|| false);
        let table = |name| (name, aggregator(calm.clone()));
        let tables = vec![table("sums"), table("totals"), table("more")];
        let (source, workers) = (orders(records), 4);
        let options = Options { source, batch_size, buckets: 16, workers, tables, ..Options::default() };
        let world = match lake {
            None => World::new(&options),
            Some(lake) => World { lake: lake.clone(), ..World::new(&options) },
        };
        let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
        let mut roles = Vec::new();
        for role in Role::ALL {
            let requests = Requests::default();
            let over = |store: &Arc<_>, layer| Counting::over(Arc::clone(store), layer, &requests);
            let lake = Lake {
                bronze: over(&world.lake.bronze, "bronze"),
                silver: over(&world.lake.silver, "silver"),
                gold: over(&world.lake.gold, "gold"),
                buckets: world.lake.buckets,
            };
            let (clock, queues) = (world.clock.clone(), world.queues.clone());
            let (secrets, source) = (world.secrets.clone(), world.source.clone());
            let own = World { clock, lake, queues, secrets, shaky_secrets: None, source };
            roles.push((role, Arc::new(own.host(&options, Arc::new(Slow(http.clone()))).await), requests));
        }
        Functions { world, roles, http, records }
    }

    fn service(&self, role: Role) -> &Arc<Service> {
        &self.roles.iter().find(|(one, ..)| *one == role).unwrap().1
    }

    /// Fires a tick, and works off what comes of it, an invocation after the other. A stage's function is handed as much as there can be, as that
    /// of a tick with many records is: the stage before it goes on until there is so much.
    async fn tick(&self, tick: &str) {
        self.service(Role::Ingest).ingest.fire(Tick::parse(tick).unwrap()).await.unwrap();
        let serving: Vec<_> =
            AT_ONCE.iter().map(|(role, _)| Serving::new(Service::clone(self.service(*role)))).collect();
        loop {
            let mut idle = true;
            for ((role, at_once), serving) in AT_ONCE.iter().zip(&serving) {
                while self.invoke(*role, *at_once, serving).await {
                    idle = false;
                    if *role != Role::Enrich || self.waiting(Role::Clean).await >= AT_ONCE[1].1 {
                        break;
                    }
                }
            }
            if idle {
                return;
            }
        }
    }

    fn queue(&self, role: Role) -> &Arc<dyn Queue> {
        let queues = &self.world.queues;
        match role {
            Role::Enrich => &queues.enrich.live,
            Role::Clean => &queues.clean.live,
            Role::Ingest | Role::Aggregate => &queues.aggregate.live,
        }
    }

    async fn waiting(&self, role: Role) -> usize {
        usize::try_from(self.queue(role).depth().await.unwrap().total()).unwrap()
    }

    /// Hands a role's function some of its messages; whether there were any.
    async fn invoke(&self, role: Role, at_once: usize, serving: &Arc<Serving>) -> bool {
        let live = self.queue(role);
        let some = live.receive(at_once, Duration::ZERO).await.unwrap();
        let queue = || MemoryQueue::new(self.world.clock.clone(), MemoryQueueOptions::default());
        let (feed, stop) = (StageQueue { live: queue(), dead: queue() }, CancellationToken::new());
        feed.live.send(some.iter().map(|one| one.body.clone()).collect()).await.unwrap();
        let settled = async {
            while feed.live.depth().await.unwrap().total() > 0 {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            stop.cancel();
        };
        if !some.is_empty() {
            let (done, ()) = tokio::join!(serving.work_off(role, feed.clone(), &stop), settled);
            done.unwrap();
        }
        for one in &some {
            live.ack(&one.receipt).await.unwrap();
        }
        !some.is_empty()
    }

    /// What each role has asked since `before`, a record.
    fn costs(&self, before: &[(u64, u64)]) -> Vec<(Role, Cost)> {
        let one = |((role, _, requests), (puts, gets)): (&(Role, _, Requests), &(u64, u64))| {
            let a_record = |now: u64, then: u64| (now - then) as f64 / self.records as f64;
            let now = requests.of(Verb::Put) + requests.of(Verb::List);
            (*role, Cost { puts: a_record(now, *puts), gets: a_record(requests.of(Verb::Get), *gets) })
        };
        self.roles.iter().zip(before).map(one).collect()
    }

    fn so_far(&self) -> Vec<(u64, u64)> {
        let one = |(_, _, requests): &(Role, _, Requests)| {
            (requests.of(Verb::Put) + requests.of(Verb::List), requests.of(Verb::Get))
        };
        self.roles.iter().map(one).collect()
    }

    /// Fires a tick and prints what each role has asked for each record; what all of them have.
    async fn told(&self, tick: &str, what: &str) -> Cost {
        let before = self.so_far();
        self.tick(tick).await;
        let mut all = Cost::default();
        println!("{what}");
        for (role, cost) in self.costs(&before) {
            println!("  {:<10} PUT+LIST {:>7.4}   GET {:>7.4}", role.name(), cost.puts, cost.gets);
            all = Cost { puts: all.puts + cost.puts, gets: all.gets + cost.gets };
        }
        println!("  {:<10} PUT+LIST {:>7.4}   GET {:>7.4}", "all", all.puts, all.gets);
        all
    }

    /// Where each role's requests went.
    fn places(&self) {
        for (role, _, requests) in &self.roles {
            let all: Vec<String> =
                requests.all().iter().map(|((verb, place), count)| format!("{verb:?} {place} {count}")).collect();
            println!("  {:<10} {}", role.name(), all.join(", "));
        }
    }
}

/// What a record may cost at a batch size, at most: writes with listings, and reads.
async fn costs_at_most(batch_size: usize, records: usize, (puts, gets): (f64, f64)) {
    let functions = Functions::of(batch_size, records).await;
    let all = functions.told(TICK, &format!("batch_size {batch_size}, the first tick")).await;
    functions.places();
    assert_eq!(functions.world.sums(functions.service(Role::Aggregate)).await, expected(records));
    assert_eq!(functions.http.calls().len(), records);
    let again = functions.told(SAME_DAY, &format!("batch_size {batch_size}, the same day, nothing new")).await;
    // Whatever was asked on the same day is not asked again.
    assert_eq!(functions.http.calls().len(), records);
    let next = functions.told(NEXT_DAY, &format!("batch_size {batch_size}, the next day")).await;
    assert_eq!(functions.http.calls().len(), 2 * records);
    // Where each record is a message, what was asked before is read for each of them as well, ten to a request, and looked up once.
    let looked_up = if batch_size == 1 { 0.3 } else { 0.0 };
    let ticks =
        [("the first tick", all, gets), ("the same day", again, gets + looked_up), ("the next day", next, gets)];
    for (what, cost, gets) in ticks {
        assert!(cost.puts <= puts && cost.gets <= gets, "{what}: {cost:?}, at most {puts} and {gets}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_alone_in_its_message_costs_few_requests() {
    costs_at_most(1, 500, (2.5, 4.0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_among_twenty_costs_few_requests() {
    costs_at_most(20, 1_000, (0.4, 0.8)).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_among_a_hundred_costs_few_requests() {
    costs_at_most(100, 2_000, (0.2, 0.4)).await;
}

/// A row names its line, so a lake with many more objects is asked no more.
#[tokio::test(start_paused = true)]
async fn a_row_is_explained_with_as_many_requests_whatever_the_lake_holds() {
    let mut asked = Vec::new();
    for records in [40, 160] {
        let functions = Functions::of(1, records).await;
        functions.tick(TICK).await;
        // A process that looks, and has seen nothing of the work.
        let looks = Functions::beside(&functions.world, 1, records).await;
        let (service, workshop) = (looks.service(Role::Ingest), looks.world.workshop().await);
        let before = looks.asked();
        let key = Key::from_text("o7");
        let explained = explain(service, &workshop, &key, false, &Steps::default()).await.unwrap().unwrap();
        asked.push(looks.asked() - before);
        assert!(!explained.searched && explained.is_proved() && explained.versions.len() == 1);
        let searched = explain(service, &workshop, &key, true, &Steps::default()).await.unwrap().unwrap();
        assert!(searched.searched && searched.versions.len() == 1 && looks.asked() - before > records as u64);
    }
    assert!(asked[0] == asked[1] && asked[0] < 60, "{asked:?}");
}
