//! The pipeline that these tests run: orders of a shop, each enriched by one call, summed by group.
//!
//! Does not assert anything.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::drivers::keeping::Keeping;
use engine::drivers::service::{Ended, Queues, Service};
use engine::progress::{Progress, Steps};
use engine::roles::aggregate::{Aggregate, GoldTable, Tried};
use engine::roles::breaker::Breaker;
use engine::roles::clean::Clean;
use engine::roles::enrich::Enrich;
use engine::roles::gateway::Gateway;
use engine::roles::ingest::{Ingest, ReadBy, SourcePlace};
use lake::Lake;
use lake::answers::Keeper;
use lake::failure::Failure;
use lake::generations::Generations;
use lake::gold::Gold;
use lake::silver::Silver;
use object_store::memory::InMemory;
use pipeline::plan::{Endpoint, Limits, Location, Percent, SecretRef, Source, SourceFormat, Template, TemplatePart};
use proof::remake::Workshop;
use proof::verify::{Report, verify};
use records::keys::Tick;
use seams::clock::Clock;
use seams::http::{Http, HttpAnswer};
use seams::plugin::{
    Cleaned, ColumnType, Descriptor, EndpointRequest, Fault, FaultKind, Note, Plugin, PluginStamp, Reject, RejectedBy,
    ScalarType, Step,
};
use seams::queue::{Queue, StageQueue};
use seams::secrets::Secrets;
use seams::store::{self, Path, Store};
use serde_json::{Value, json};
use testkit::plugins::{ClosureAggregator, ClosureCleaner, ClosureEnricher, ClosurePlugins, trap};
use testkit::queue::{MemoryQueue, MemoryQueueOptions};
use testkit::{LeapClock, MapSecrets, rows};
use tokio_util::sync::CancellationToken;
use url::Url;

/// The tick of most tests; the clock stands at it.
pub(crate) const TICK: &str = "20260101T030000Z";

/// What a test may change.
#[derive(Clone)]
pub(crate) struct Options {
    /// Records of the source: `id,group,n` and a line each.
    pub(crate) source: String,
    /// Records of a message.
    pub(crate) batch_size: usize,
    /// Buckets of Silver.
    pub(crate) buckets: u32,
    /// Messages under way at once.
    pub(crate) workers: usize,
    /// Version of the enrich plugin: another version has another digest. Version 2 makes a document of a bad answer,
    /// version 3 tames what a document asks the cleaner to do and refuses in other words.
    pub(crate) enrich_version: &'static str,
    /// Version of the clean plugin: another version has another digest. Version 2 forgives `reject`, version 3 also refuses `late`.
    pub(crate) clean_version: &'static str,
    /// Receives of a message before it is given up.
    pub(crate) max_receives: u32,
    /// The share of failures above which a stage is suspended.
    pub(crate) suspend_above: Percent,
    /// Whether there is another table, before the good one, whose plugin traps.
    pub(crate) broken_table: bool,
    /// How long a delivered message stays invisible.
    pub(crate) visibility: Duration,
    /// Whether the service is asked for an order with the source's `n` (`?v=N`): another `n` is another question.
    pub(crate) asks_for_n: bool,
    /// Whether a call of the cleaner (of several documents) or of the aggregator runs past its deadline.
    pub(crate) hiccup: Hiccup,
    /// Another clean plugin, whose rows have other columns.
    pub(crate) cleaner: Option<ClosureCleaner>,
    /// Other tables, by name.
    pub(crate) tables: Vec<(&'static str, ClosureAggregator)>,
}

/// Says of each call whether it is too slow.
pub(crate) type Hiccup = Arc<dyn Fn() -> bool + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Options {
            source: orders(10),
            batch_size: 3,
            buckets: 4,
            workers: 2,
            enrich_version: "1.0.0",
            clean_version: "1.0.0",
            max_receives: 10,
            suspend_above: Percent::SUSPEND_ABOVE,
            broken_table: false,
            visibility: Duration::from_secs(60),
            asks_for_n: false,
            hiccup: Arc::new(|| false),
            cleaner: None,
            tables: Vec::new(),
        }
    }
}

/// A source of `count` orders in three groups.
pub(crate) fn orders(count: usize) -> String {
    let mut text = "id,group,n\n".to_owned();
    for index in 0..count {
        text.push_str(&format!("o{index},g{},{index}\n", index % 3));
    }
    text
}

/// What outlives a host: stores, queues, time.
pub(crate) struct World {
    pub(crate) clock: Arc<LeapClock>,
    pub(crate) lake: Lake,
    pub(crate) queues: Queues,
    pub(crate) secrets: Arc<MapSecrets>,
    /// Where hosts get secrets from, if not from there.
    pub(crate) shaky_secrets: Option<Arc<dyn Secrets>>,
    pub(crate) source: Store,
}

impl World {
    /// An empty lake and empty queues.
    pub(crate) fn new(options: &Options) -> Self {
        let clock = LeapClock::at("2026-01-01T03:00:00Z");
        let lake = Lake {
            bronze: Arc::new(InMemory::new()),
            silver: Arc::new(InMemory::new()),
            gold: Arc::new(InMemory::new()),
            buckets: NonZeroU32::new(options.buckets).unwrap(),
        };
        let queue = || {
            let base = MemoryQueueOptions { visibility: options.visibility, ..MemoryQueueOptions::default() };
            let dead = MemoryQueue::new(clock.clone(), base.clone());
            let max_receives = NonZeroU32::new(options.max_receives).unwrap();
            let with = MemoryQueueOptions { dead_letters: Some(dead.clone()), max_receives, ..base };
            StageQueue { live: MemoryQueue::new(clock.clone(), with), dead }
        };
        let queues = Queues { enrich: queue(), clean: queue(), aggregate: queue() };
        let secrets = MapSecrets::new([(SecretRef::Env("KEY".into()), "s3cret")]);
        World { clock, lake, queues, secrets, shaky_secrets: None, source: Arc::new(InMemory::new()) }
    }

    /// A host in this world.
    pub(crate) async fn host(&self, options: &Options, http: Arc<dyn Http>) -> Service {
        store::replace(&*self.source, &Path::from("orders.csv"), Bytes::from(options.source.clone())).await.unwrap();
        let progress = Arc::new(Progress::default());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let usual = || cleaner(options.clean_version, options.hiccup.clone());
        let cleaner = Arc::new(options.cleaner.clone().unwrap_or_else(usual));
        let enricher = Arc::new(enricher(options.enrich_version, options.asks_for_n));
        let breaker = |stage, layer: &Store, plugin: &dyn Plugin| {
            let plugin = (Some(PluginStamp::of(plugin)), "{}");
            Breaker::new(stage, layer.clone(), plugin, options.suspend_above, self.clock.clone())
        };
        let schema = cleaner.descriptor().output_schema();
        let silver = Silver::open(self.lake.silver.clone(), clock.clone(), schema, self.lake.buckets).await.unwrap();
        let mut tables = Vec::new();
        if options.broken_table {
            let broken = ClosureAggregator::new(
                sums_descriptor(),
                |_, _| Err(trap("no")),
                |_, _| Err(trap("no")),
                |_, _| Err(trap("no")),
            );
            tables.push(self.table("broken", broken).await);
        }
        if options.tables.is_empty() {
            tables.push(self.table("sums", aggregator(options.hiccup.clone())).await);
        }
        for (name, plugin) in &options.tables {
            tables.push(self.table(name, plugin.clone()).await);
        }
        let references = BTreeMap::from([("key".to_owned(), SecretRef::Env("KEY".into()))]);
        let endpoints = BTreeMap::from([("api".to_owned(), endpoint())]);
        let secrets = self.shaky_secrets.clone().unwrap_or_else(|| self.secrets.clone());
        let gateway = Gateway::new(&endpoints, &references, secrets, http, clock.clone(), progress.clone());
        let gateway = Arc::new(gateway);
        Service {
            pipeline: "orders".into(),
            schedule: None,
            enrich_workers: options.workers,
            max_receives: options.max_receives,
            ingest: Arc::new(Ingest {
                pipeline: "orders".into(),
                source: source(options.batch_size),
                place: SourcePlace::Object(self.source.clone(), Path::from("orders.csv")),
                reads: ReadBy::default(),
                lake: self.lake.clone(),
                queue: self.queues.enrich.live.clone(),
                clock: clock.clone(),
                progress: progress.clone(),
            }),
            enrich: Arc::new(Enrich {
                pipeline: "orders".into(),
                lake: self.lake.clone(),
                answers: Keeper::of(&self.lake, clock.clone()),
                config: "{}".into(),
                generation: tokio::sync::OnceCell::new(),
                gateway: gateway.clone(),
                queue: self.queues.clean.live.clone(),
                concurrency: NonZeroUsize::new(2).unwrap(),
                breaker: breaker("enrich", &self.lake.bronze, &*enricher).calling(gateway.clone()),
                plugin: Some(enricher),
                progress: progress.clone(),
            }),
            clean: Arc::new(Clean {
                lake: self.lake.clone(),
                breaker: breaker("clean", &self.lake.silver, &*cleaner),
                plugin: cleaner,
                config: "{}".into(),
                generation: tokio::sync::OnceCell::new(),
                silver: silver.clone(),
                queue: self.queues.aggregate.live.clone(),
                concurrency: NonZeroUsize::new(2).unwrap(),
                progress: progress.clone(),
            }),
            aggregate: Arc::new(Aggregate {
                lake: self.lake.clone(),
                silver,
                tables,
                concurrency: NonZeroUsize::MIN,
                progress: progress.clone(),
            }),
            queues: self.queues.clone(),
            keeping: Arc::new(Keeping::new(Duration::from_secs(7 * 24 * 3600))),
            clock,
            progress,
        }
    }

    async fn table(&self, name: &str, plugin: ClosureAggregator) -> GoldTable {
        let schema = plugin.descriptor().output_schema();
        let gold = Gold::open(self.lake.gold.clone(), self.clock.clone(), name, schema).await.unwrap();
        GoldTable {
            name: name.into(),
            plugin: Arc::new(plugin),
            config: "{}".into(),
            gold,
            generations: Generations::of_aggregate(&self.lake, name),
            generation: tokio::sync::OnceCell::new(),
            tried: Tried::default(),
        }
    }

    /// Fires a tick and works until it is done.
    pub(crate) async fn once(&self, service: &Service, tick: &str) -> Result<Ended, Failure> {
        let tick = Tick::parse(tick).unwrap();
        service.once(tick, Duration::from_secs(7200), &CancellationToken::new()).await
    }

    /// The plugins that make lakes here.
    pub(crate) async fn workshop(&self) -> Workshop {
        let plugins = ClosurePlugins::default();
        let calm: Hiccup = Arc::new(|| false);
        plugins.add_enricher(enricher("1.0.0", false));
        plugins.add_enricher(enricher("2.0.0", false));
        plugins.add_enricher(enricher("3.0.0", false));
        plugins.add_aggregator(aggregator(calm.clone()));
        for version in ["1.0.0", "2.0.0", "3.0.0"] {
            plugins.add_cleaner(cleaner(version, calm.clone()));
        }
        Workshop::open(&self.lake, Arc::new(plugins), Limits::default()).await.unwrap()
    }

    /// What a verification of the lake finds.
    pub(crate) async fn verify(&self, service: &Service) -> Report {
        verify(service, self.workshop().await, &Steps::default()).await.unwrap()
    }

    /// Gold: the sum of each group.
    pub(crate) async fn sums(&self, service: &Service) -> BTreeMap<String, i64> {
        use arrow::array::AsArray;
        let table = service.aggregate.tables[0].gold.current().await.unwrap().unwrap();
        let groups = table.column(0).as_string::<i32>();
        let sums = table.column(1).as_primitive::<arrow::datatypes::Int64Type>();
        groups.iter().zip(sums).map(|(group, sum)| (group.unwrap().to_owned(), sum.unwrap())).collect()
    }
}

/// The sums that `count` orders of [`orders`] come to.
pub(crate) fn expected(count: usize) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for index in 0..count {
        *sums.entry(format!("g{}", index % 3)).or_default() += i64::try_from(index).unwrap();
    }
    sums
}

/// What the service answers when all is well: the order's document.
pub(crate) fn good(url: &Url) -> HttpAnswer {
    let id = url.path().trim_start_matches("/orders/");
    let n: i64 = id.trim_start_matches('o').parse().unwrap_or(0);
    testkit::http::answer(200, json!({ "id": id, "group": format!("g{}", n % 3), "n": n }).to_string())
}

fn source(batch_size: usize) -> Source {
    Source {
        location: Location::Local("orders.csv".into()),
        format: SourceFormat::Csv,
        records: None,
        key: vec!["id".into()],
        optional: Vec::new(),
        order_by: None,
        top_n: NonZeroUsize::new(1_000_000).unwrap(),
        batch_size: NonZeroUsize::new(batch_size).unwrap(),
        dialect: Default::default(),
        suspend_above: Percent::SUSPEND_ABOVE,
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        url: Url::parse("https://shop.example/orders").unwrap(),
        query: vec![("key".into(), Template(vec![TemplatePart::Secret("key".into())]))],
        headers: Vec::new(),
        rate: None,
        timeout: Duration::from_secs(5),
        attempts: NonZeroU32::new(3).unwrap(),
        max_body: 1 << 20,
    }
}

pub(crate) fn enricher(version: &'static str, asks_for_n: bool) -> ClosureEnricher {
    ClosureEnricher::new(rows::descriptor("enrich-orders", version), move |_, entry, answers| {
        let entry: Value = serde_json::from_str(entry).unwrap();
        let id = entry["id"].as_str().unwrap().to_owned();
        let Some(answer) = answers.first() else {
            let n = entry["n"].as_str().unwrap_or_default().to_owned();
            let query = if asks_for_n { vec![("v".to_owned(), n)] } else { Vec::new() };
            let request = EndpointRequest { endpoint: "api".into(), path: id, query, headers: Vec::new() };
            return Ok(Step::Fetch(vec![request]));
        };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(match (answer.status, body.as_str()) {
            (401, "quota") => Step::BackOff { pause: Duration::from_secs(60), reason: "quota is spent".into() },
            (401, _) => Step::Reject("the key is refused".into()),
            // What says nothing of the order, and the plugin makes something of it all the same.
            (403, _) => Step::Done(json!({ "id": id, "group": "sealed", "n": 0 }).to_string()),
            (404, _) => Step::Skip("no such order".into()),
            // A real plugin's document is validated by the runtime.
            (200, text) if serde_json::from_str::<serde_json::Map<String, Value>>(text).is_ok() => {
                let tame = if version.starts_with('3') { "asked" } else { "do" };
                Step::Done(body.replace("\"do\":", &format!("\"{tame}\":")))
            }
            (200, text) if version.starts_with('2') => {
                Step::Done(json!({ "id": id, "group": "g9", "n": text.len() }).to_string())
            }
            _ if version.starts_with('3') => Step::Reject(format!("no document at all: {body}")),
            _ => Step::Reject(format!("not a document: {body}")),
        })
    })
}

pub(crate) fn clean_descriptor(version: &str) -> Descriptor {
    let column = |name: &str, scalar| rows::output(name, ColumnType::Scalar(scalar));
    Descriptor {
        output: vec![column("group", ScalarType::Utf8), column("n", ScalarType::Int64)],
        ..rows::descriptor("clean-orders", version)
    }
}

/// Rows of `group` and `n`; a document with a `do` does that instead. Version 2 forgives `reject`.
pub(crate) fn cleaner(version: &'static str, hiccup: Hiccup) -> ClosureCleaner {
    let descriptor = clean_descriptor(version);
    ClosureCleaner::new(descriptor.clone(), move |_, documents| {
        if documents.len() > 1 && hiccup() { Err(too_slow()) } else { clean(&descriptor, version, documents) }
    })
}

fn too_slow() -> Fault {
    Fault { kind: FaultKind::Deadline, code: "P104", ..trap("past its deadline") }
}

pub(crate) fn clean(descriptor: &Descriptor, version: &str, documents: &[Bytes]) -> Result<Cleaned, Fault> {
    let (mut made, mut row_of, mut rejects, mut skips) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, document) in documents.iter().enumerate() {
        let document: Value = serde_json::from_slice(document).unwrap();
        match document["do"].as_str() {
            Some("trap") => return Err(trap("unreachable")),
            Some("panic") => panic!("a bug of the host"),
            Some("reject") if version.starts_with('1') => {
                rejects.push(Reject { index, reason: "cannot read it".into(), by: RejectedBy::Plugin });
            }
            Some("late") if version.starts_with('3') => {
                rejects.push(Reject { index, reason: "too late".into(), by: RejectedBy::Plugin });
            }
            Some("skip") => skips.push(Note { index, reason: "not wanted".into() }),
            Some("twice") => {
                made.extend([document.clone(), document]);
                row_of.extend([index, index]);
            }
            _ => {
                made.push(document);
                row_of.push(index);
            }
        }
    }
    Ok(Cleaned { rows: rows::batch(descriptor, &made), row_of, rejects, skips })
}

fn sums_descriptor() -> Descriptor {
    let column = |name: &str, scalar| rows::output(name, ColumnType::Scalar(scalar));
    let input = |name: &str, scalar| rows::input(name, ColumnType::Scalar(scalar));
    Descriptor {
        input: vec![input("group", ScalarType::Utf8), input("n", ScalarType::Int64)],
        output: vec![column("group", ScalarType::Utf8), column("sum", ScalarType::Int64)],
        ..rows::descriptor("sum-orders", "1.0.0")
    }
}

pub(crate) fn aggregator(hiccup: Hiccup) -> ClosureAggregator {
    use arrow::array::AsArray;
    let fold = move |_: &str, batches: &[arrow::array::RecordBatch]| {
        if hiccup() {
            return Err(too_slow());
        }
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for batch in batches {
            let groups = batch.column_by_name("group").unwrap().as_string::<i32>();
            let values = batch.column_by_name("n").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
            for (group, value) in groups.iter().zip(values) {
                *sums.entry(group.unwrap().to_owned()).or_default() += value.unwrap();
            }
        }
        Ok(Bytes::from(serde_json::to_vec(&sums).unwrap()))
    };
    let merged = |partials: &[Bytes]| {
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for partial in partials {
            for (group, sum) in serde_json::from_slice::<BTreeMap<String, i64>>(partial).unwrap() {
                *sums.entry(group).or_default() += sum;
            }
        }
        sums
    };
    let merge = move |_: &str, partials: &[Bytes]| Ok(Bytes::from(serde_json::to_vec(&merged(partials)).unwrap()));
    let finish = move |_: &str, partials: &[Bytes]| {
        let sums = merged(partials);
        let table: Vec<Value> = sums.into_iter().map(|(group, sum)| json!({ "group": group, "sum": sum })).collect();
        Ok(rows::batch(&sums_descriptor(), &table))
    };
    ClosureAggregator::new(sums_descriptor(), fold, merge, finish)
}

/// Sends a body to a queue, as a stranger would.
pub(crate) async fn inject(queue: &Arc<dyn Queue>, body: &str) {
    queue.send(vec![Bytes::from(body.to_owned())]).await.unwrap();
}

/// Changes the rows of Silver's first bucket and commits them, like a stranger who may write to the table and knows its format.
pub(crate) async fn tamper(service: &Service, change: impl Fn(&mut Vec<Value>)) {
    use seams::store::replace;
    use sha2::Digest as _;
    let silver = &service.clean.silver;
    let store = &service.clean.lake.silver;
    let snapshot = silver.snapshot().await.unwrap();
    let (bucket, files) = snapshot.buckets.iter().next().unwrap();
    let batches = silver.read(&snapshot, *bucket, None).await.unwrap();
    let mut text = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let mut rows: Vec<Value> =
        text.split(|byte| *byte == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    change(&mut rows);
    let mut decoder = arrow::json::ReaderBuilder::new(snapshot.schema()).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    let batch = decoder.flush().unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, snapshot.schema(), None).unwrap();
    batch.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    let path = format!("_bucket={bucket}/{}-0badc0de.parquet", hex::encode(sha2::Sha256::digest(&bytes)));
    let partition = json!({ "_bucket": bucket.to_string() });
    let stats = json!({ "numRecords": rows.len() }).to_string();
    let add = json!({ "add": { "path": path, "partitionValues": partition, "size": bytes.len(), "modificationTime": 0, "dataChange": true, "stats": stats } });
    let remove = json!({ "remove": { "path": files[0].path(), "dataChange": true, "deletionTimestamp": 0, "partitionValues": partition } });
    replace(&**store, &Path::from(path.as_str()), bytes.into()).await.unwrap();
    let log = format!("_delta_log/{:020}.json", snapshot.version + 1);
    replace(&**store, &Path::from(log), format!("{remove}\n{add}\n").into()).await.unwrap();
}
