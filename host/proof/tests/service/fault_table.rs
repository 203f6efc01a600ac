//! The fault table, in process: each fault of the letter L under its number, by name.
//!
//! | | where else |
//! |---|---|
//! | F2 | here; files and folders that are not synced: `local/tests/store.rs` |
//! | F3 | here and `faults: random_faults…`; each call of a commit failing in turn: `lake_tables/faults.rs`; drawn: `tests/simulation` |
//! | F4 | here and `faults: deliveries_five_times…`; the queue's own contract: `testkit::conformance::queue`; drawn: `tests/simulation` |
//! | F7 | here and `outcomes: a_missing_secret…`, `a_rotated_secret…` |
//! | F8 | here and `outcomes: a_spent_quota…`, `bursts_of_errors…`, `a_redirect…`; gzip bombs, trickles, TLS and charsets on the wire: `testkit::conformance::http` and `local/tests/http.rs`; a quota of hours: `pauses` |
//! | F9 | here, `outcomes: what_is_no_message…`, `pauses: a_panic…` |
//! | F12 | here and `faults: lost_events…`; the order of versions: `lake_tables` |
//! | F13 | here |
//!
//! Does not kill processes (P) or need an account (A).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::drivers::service::Service;
use lake::bronze;
use lake::events::{NewObject, encode};
use lake::failure::Failure;
use lake::quarantine::{self, Refused};
use records::keys::Tick;
use seams::clock::Clock;
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use seams::queue::Queue;
use seams::secrets::SecretRef;
use seams::store::{ObjectStore, create, read, replace};
use serde_json::json;
use testkit::http::answer;
use testkit::{Chances, Faults, Faulty, ScriptedHttp, Trouble};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good, inject, orders};

fn sound() -> Arc<ScriptedHttp> {
    ScriptedHttp::new(|request, _| Ok(good(&request.url)))
}

pub(crate) fn shaken(world: &World, faults: &Arc<Faults>) -> World {
    let store = |inner: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> { Faulty::new(inner.clone(), faults.clone()) };
    let mut lake = world.lake.clone();
    (lake.bronze, lake.silver, lake.gold) = (store(&lake.bronze), store(&lake.silver), store(&lake.gold));
    World {
        clock: world.clock.clone(),
        lake,
        queues: world.queues.clone(),
        secrets: world.secrets.clone(),
        shaky_secrets: None,
        source: world.source.clone(),
    }
}

/// No room, no leave to write or no more files after some writes: the run pauses and says why, nothing is quarantined, nothing that
/// was acknowledged is lost, and when there is room again it goes on.
#[tokio::test(start_paused = true)]
async fn f2_a_full_or_read_only_disk_pauses_and_recovers() {
    for trouble in [Trouble::Full, Trouble::ReadOnly, Trouble::TooManyFiles] {
        let options = Options::default();
        let world = World::new(&options);
        let all = Chances { before: 1.0, ..Chances::default() };
        let faults = Arc::new(Faults::drawn(1, all).with_trouble(trouble));
        faults.stop();
        let service = Arc::new(shaken(&world, &faults).host(&options, sound()).await);
        service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
        faults.resume();
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (service, stop) = (service.clone(), stop.clone());
            async move { service.serve(&pipeline::role::Role::ALL, &stop).await }
        });
        world.clock.sleep(Duration::from_secs(1200)).await;
        let told = service.progress.waiting_for().unwrap_or_default();
        assert!(told.contains("store failed"), "{trouble:?}: {told}");
        let depth = world.queues.enrich.live.depth().await.unwrap();
        assert_eq!(depth.total(), 4, "{trouble:?}: acknowledged without an effect: {depth:?}");
        faults.stop();
        world.clock.sleep(Duration::from_secs(120)).await;
        stop.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(world.sums(&service).await, expected(10), "{trouble:?}");
        assert!(quarantine::ids(&world.lake).await.unwrap().is_empty(), "{trouble:?}");
    }
}

/// A sync that failed is fatal: the host stops, has acknowledged nothing, and its successor does the work.
#[tokio::test(start_paused = true)]
async fn f2_a_failed_sync_is_fatal_and_acknowledges_nothing() {
    let options = Options::default();
    let world = World::new(&options);
    let faults =
        Arc::new(Faults::drawn(1, Chances { after: 1.0, ..Chances::default() }).with_trouble(Trouble::NotDurable));
    faults.stop();
    let service = shaken(&world, &faults).host(&options, sound()).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    faults.resume();
    let stop = CancellationToken::new();
    let ended = service.serve(&pipeline::role::Role::ALL, &stop).await;
    assert!(matches!(&ended, Err(Failure::Fatal(why)) if why.contains("may not be on disk")), "{ended:?}");
    assert_eq!(world.queues.enrich.live.depth().await.unwrap().total(), 4);
    let next = world.host(&options, sound()).await;
    assert!(world.once(&next, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&next).await, expected(10));
}

/// A conflict that is reported as "already exists" though nothing does, bodies that break off, listings that lag.
#[tokio::test(start_paused = true)]
async fn f3_a_store_that_is_odd_makes_no_difference() {
    let mut injected = 0;
    for seed in 0..6 {
        let options = Options { max_receives: 1000, ..Options::default() };
        let world = World::new(&options);
        let faults = Arc::new(Faults::drawn(seed, Chances { odd: 0.15, ..Chances::default() }));
        faults.stop();
        let service = shaken(&world, &faults).host(&options, sound()).await;
        service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
        faults.resume();
        let _ = world.once(&service, TICK).await;
        injected += faults.failed();
        faults.stop();
        assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing(), "seed {seed}");
        assert_eq!(world.sums(&service).await, expected(10), "seed {seed}");
        assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 10, "seed {seed}");
        assert!(quarantine::ids(&world.lake).await.unwrap().is_empty(), "seed {seed}");
    }
    assert!(injected > 20, "{injected} faults in all");
}

/// Half of all queue calls are odd (doubles, visibility that is over at once, stale receipts) and the service takes longer than a
/// visibility lasts.
#[tokio::test(start_paused = true)]
async fn f4_an_odd_queue_and_slow_work_make_no_difference() {
    #[derive(Debug)]
    struct Slow(Arc<dyn Clock>, Arc<ScriptedHttp>);
    #[async_trait::async_trait]
    impl Http for Slow {
        async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
            self.0.sleep(Duration::from_secs(90)).await;
            self.1.send(request).await
        }
    }
    for seed in 0..3 {
        let options = Options { max_receives: 1000, workers: 4, batch_size: 1, ..Options::default() };
        let mut world = World::new(&options);
        let faults = Arc::new(Faults::drawn(seed, Chances { odd: 0.5, ..Chances::default() }));
        for stage in [&mut world.queues.enrich, &mut world.queues.clean, &mut world.queues.aggregate] {
            stage.live = Faulty::<dyn Queue>::new(stage.live.clone(), faults.clone());
        }
        let http = sound();
        let service = world.host(&options, Arc::new(Slow(world.clock.clone(), http.clone()))).await;
        service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
        let calm = faults.clone();
        let clock = world.clock.clone();
        tokio::spawn(async move {
            clock.sleep(Duration::from_secs(400)).await;
            calm.stop();
        });
        assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing(), "seed {seed}");
        assert!(faults.failed() > 20, "seed {seed}: {}", faults.failed());
        assert_eq!(world.sums(&service).await, expected(10), "seed {seed}");
        assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 10, "seed {seed}");
        assert_eq!(bronze::inventory(&world.lake, None).await.unwrap().objects.len(), 10, "seed {seed}");
        let most = 10 * (1 + options.workers);
        assert!(http.calls().len() <= most, "seed {seed}: {} calls, at most {most}", http.calls().len());
    }
}

/// The place of secrets is down, or denies, for a quarter of an hour: a pause that says so, no receive beyond one, no quarantine.
#[tokio::test(start_paused = true)]
async fn f7_secrets_that_are_down_or_denied_pause_and_quarantine_nothing() {
    let key = || SecretRef::Env("KEY".into());
    for denied in [false, true] {
        let options = Options { batch_size: 1, workers: 4, max_receives: 3, ..Options::default() };
        let world = World::new(&options);
        if denied {
            world.secrets.deny(key())
        } else {
            world.secrets.take_down(key())
        }
        let http = sound();
        let service = world.host(&options, http.clone()).await;
        let (secrets, clock, progress) = (world.secrets.clone(), world.clock.clone(), service.progress.clone());
        let mended = tokio::spawn(async move {
            clock.sleep(Duration::from_secs(900)).await;
            secrets.set(key(), "found");
            progress.waiting_for()
        });
        assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
        let told = mended.await.unwrap().unwrap();
        assert!(told.contains("env:KEY"), "{told}");
        assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
        assert_eq!((world.sums(&service).await, http.calls().len()), (expected(10), 10));
    }
}

/// What a service says to one order of ten, and the fate of that order: its code in quarantine, or none.
#[tokio::test(start_paused = true)]
async fn f8_each_bad_answer_has_its_typed_outcome() {
    type Answer = fn() -> Result<HttpAnswer, HttpError>;
    let cases: [(&str, Answer, Option<&str>); 9] = [
        ("a key that is refused", || Ok(answer(401, "who are you")), Some("R001")),
        ("not found", || Ok(answer(404, "{\"Error\":\"no such order\"}")), None),
        ("html for JSON", || Ok(answer(200, "<html>hello</html>")), Some("R001")),
        ("truncated JSON", || Ok(answer(200, "{\"id\":\"o7\",\"gro")), Some("R001")),
        ("a wrong charset", || Ok(answer(200, vec![0xff, 0xfe, 0x7b, 0x00])), Some("R001")),
        ("a body without end", || Err(HttpError::TooLarge { limit: 1 << 20 }), Some("P165")),
        (
            "a redirect",
            || Ok(HttpAnswer { headers: vec![("location".into(), "http://x.example/".into())], ..answer(302, "") }),
            Some("P161"),
        ),
        ("a trickle", || Err(HttpError::Timeout(Duration::from_secs(5))), Some("R004")),
        ("errors for ever", || Ok(answer(502, "bad gateway")), Some("R004")),
    ];
    for (name, bad, code) in cases {
        let options = Options { batch_size: 1, max_receives: 3, ..Options::default() };
        let world = World::new(&options);
        let http = ScriptedHttp::new(
            move |request, _| if request.url.path().ends_with("/o7") { bad() } else { Ok(good(&request.url)) },
        );
        let service = world.host(&options, http).await;
        assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing(), "{name}");
        let refused = quarantine::all(&world.lake).await.unwrap();
        let told: Vec<_> = refused.iter().map(|one| (one.key.as_ref().unwrap().as_str(), one.code.as_str())).collect();
        assert_eq!(told, code.map(|code| ("o7", code)).into_iter().collect::<Vec<_>>(), "{name}: {refused:?}");
        assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 9, "{name}");
    }
}

/// An untrusted certificate is no record's fault: the stage rests and says so.
#[tokio::test(start_paused = true)]
async fn f8_a_failed_handshake_pauses_and_quarantines_nothing() {
    let options = Options::default();
    let world = World::new(&options);
    let bad = Arc::new(AtomicBool::new(true));
    let is_bad = bad.clone();
    let http = ScriptedHttp::new(move |request, _| match is_bad.load(Ordering::SeqCst) {
        true => Err(HttpError::Tls("the certificate is not trusted".into())),
        false => Ok(good(&request.url)),
    });
    let service = world.host(&options, http).await;
    let (clock, progress) = (world.clock.clone(), service.progress.clone());
    let mended = tokio::spawn(async move {
        clock.sleep(Duration::from_secs(1800)).await;
        bad.store(false, Ordering::SeqCst);
        progress.waiting_for()
    });
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert!(mended.await.unwrap().unwrap().contains("not trusted"));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(world.sums(&service).await, expected(10));
}

/// A service over whose answer to one order the host dies.
#[derive(Debug)]
struct Deadly {
    service: Arc<ScriptedHttp>,
    death: Notify,
}

#[async_trait::async_trait]
impl Http for Deadly {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        if request.url.path().ends_with("/o7") {
            self.death.notify_one();
            std::future::pending::<()>().await;
        }
        self.service.send(request).await
    }
}

/// Starts hosts until one lives to the end; returns how many died.
async fn deaths(world: &World, options: &Options) -> usize {
    let deadly = Arc::new(Deadly { service: sound(), death: Notify::new() });
    for died in 0..10 {
        let service: Service = world.host(options, deadly.clone()).await;
        let (tick, stop) = (Tick::parse(TICK).unwrap(), CancellationToken::new());
        tokio::select! {
            ended = service.once(tick, Duration::from_secs(7200), &stop) => {
                assert!(ended.unwrap().left.missing.is_nothing());
                return died;
            }
            () = deadly.death.notified() => {}
        }
    }
    panic!("every host dies of it");
}

/// A record over which each host dies, bodies of a megabyte and unknown fields: quarantined after
/// `max_receives` tries and one alone, others flow.
#[tokio::test(start_paused = true)]
async fn f9_poison_is_quarantined_after_a_last_try_alone_and_the_others_flow() {
    let options = Options { batch_size: 1, workers: 4, max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    let megabyte = "x".repeat((1 << 20) - 100);
    inject(&world.queues.enrich.live, &megabyte).await;
    inject(&world.queues.enrich.live, "{\"inline\":{\"pipeline\":\"orders\",\"extra\":1}}").await;
    // Three times with others, once alone: those that only stood beside it are not refused for that.
    assert_eq!(deaths(&world, &options).await, 4, "hosts that died of it");
    let refused = quarantine::all(&world.lake).await.unwrap();
    let of_record: Vec<&Refused> = refused.iter().filter(|one| one.key.is_some()).collect();
    assert_eq!(of_record.len(), 1, "{of_record:?}");
    assert_eq!((of_record[0].key.as_ref().unwrap().as_str(), of_record[0].code.as_str()), ("o7", "R004"));
    assert!(of_record[0].reason.contains("the host died"), "{}", of_record[0].reason);
    assert_eq!(refused.iter().filter(|one| one.code == "R005").count(), 2, "the megabyte and the unknown field");
    let service = world.host(&options, sound()).await;
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 9);
}

/// An object over which the clean stage panics: its documents are quarantined with a reason that names the bug, others flow.
#[tokio::test(start_paused = true)]
async fn f9_an_object_that_breaks_the_host_is_quarantined_at_the_clean_stage() {
    let options = Options { batch_size: 1, max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        // The double of a cleaner reads only objects: this is the panic of a host that trusted its input.
        let bug = request.url.path().ends_with("/o7");
        Ok(if bug { answer(200, json!({ "do": "panic" }).to_string()) } else { good(&request.url) })
    });
    let service = world.host(&options, http).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((refused[0].key.as_ref().unwrap().as_str(), refused[0].stage.name()), ("o7", "clean"));
    assert!(refused[0].reason.contains("host bug"), "{}", refused[0].reason);
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 9);
}

/// Every event of the first tick comes again after the second tick's corrections: they stay superseded.
#[tokio::test(start_paused = true)]
async fn f12_an_event_that_comes_again_after_a_newer_version_changes_nothing() {
    let old = Options { asks_for_n: true, ..Options::default() };
    let new = Options { source: orders(10).replace(",7\n", ",700\n"), asks_for_n: true, ..Options::default() };
    let world = World::new(&old);
    let http = ScriptedHttp::new(|request, _| {
        let id: i64 = request.url.path().trim_start_matches("/orders/o").parse().unwrap();
        let n: i64 = request.url.query_pairs().next().unwrap().1.parse().unwrap();
        Ok(answer(200, json!({ "group": format!("g{}", id % 3), "n": n }).to_string()))
    });
    let first = world.host(&old, http.clone()).await;
    world.once(&first, TICK).await.unwrap();
    let second = world.host(&new, http.clone()).await;
    world.once(&second, "20260102T030000Z").await.unwrap();
    let corrected = world.sums(&second).await;
    assert_eq!(corrected["g1"], expected(10)["g1"] + 693);
    let objects = bronze::inventory(&world.lake, Some(Tick::parse(TICK).unwrap())).await.unwrap().objects;
    for object in &objects {
        // As if it had never been seen: the stage does all of it again.
        let receipt = format!("_receipts/{object}.json").into();
        seams::store::ObjectStoreExt::delete(&*world.lake.silver, &receipt).await.unwrap();
    }
    let events = objects.iter().map(|object| encode(&NewObject::whole(object))).collect();
    world.queues.clean.live.send(events).await.unwrap();
    assert!(world.once(&second, "20260102T030000Z").await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&second).await, corrected);
}

/// Spaces, `+`, `%`, quotes, slashes and letters of everywhere: one key from the source to Silver, decoded once.
#[tokio::test(start_paused = true)]
async fn f12_keys_of_any_letters_are_decoded_once() {
    let keys = ["a b", "a+b", "a%20b", "a%2Bb", "ü/ç", "日本", "{x}", "😀"];
    let mut source = "id,group,n\n".to_owned();
    keys.iter().for_each(|key| source.push_str(&format!("{key},g0,1\n")));
    let options = Options { source, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|_, _| Ok(answer(200, json!({ "group": "g0", "n": 1 }).to_string())));
    let service = world.host(&options, http.clone()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(quarantine::all(&world.lake).await.unwrap(), []);
    let inventory = bronze::inventory(&world.lake, None).await.unwrap();
    for message in bronze::snapshots(&world.lake, &inventory).await.unwrap() {
        for entry in &message.entries {
            assert_eq!(service.clean.silver.find(entry.key.as_str()).await.unwrap().num_rows(), 1, "{}", entry.key);
        }
    }
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, keys.len() as u64);
    let mut asked: Vec<_> =
        http.calls().iter().map(|call| call.url.path().trim_start_matches("/orders/").to_owned()).collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), keys.len(), "{asked:?}");
}

/// An object of no bytes cannot come from us: its neighbours are cleaned, the run says that one object is not, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn f13_an_empty_object_fails_alone() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, sound()).await;
    let path = "run=20251231T030000Z/batch=00000-0000.jsonl".into();
    create(&*world.lake.bronze, &path, bytes::Bytes::new()).await.unwrap();
    world.queues.clean.live.send(vec![encode(&NewObject::whole(&path))]).await.unwrap();
    let ended = world.once(&service, TICK).await;
    let Err(Failure::Lake { reason: why, .. }) = &ended else { panic!("{ended:?}") };
    assert!(why.contains(path.as_ref()) && why.contains("expected at least one line"), "{why}");
    seams::store::ObjectStoreExt::delete(&*world.lake.bronze, &path).await.unwrap();
    for event in world.queues.clean.live.receive(100, Duration::ZERO).await.unwrap() {
        if String::from_utf8_lossy(&event.body).contains("20251231") {
            world.queues.clean.live.ack(&event.receipt).await.unwrap();
        }
    }
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
}

/// One line of four megabytes, and five thousand lines in one object: both are cleaned, in calls of bounded size.
#[tokio::test(start_paused = true)]
async fn f13_a_very_long_line_and_very_many_lines_are_cleaned() {
    let options = Options { source: orders(5_000), batch_size: 5_000, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, sound()).await;
    // What enrich would have made, without five thousand calls.
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let inventory = bronze::inventory(&world.lake, None).await.unwrap();
    let message = bronze::snapshots(&world.lake, &inventory).await.unwrap().remove(0);
    let mut object = Vec::new();
    for (entry, n) in message.entries.iter().zip(0..) {
        let long = if n == 7 { "y".repeat(4 << 20) } else { String::new() };
        let document = json!({ "group": format!("g{}", n % 3), "n": n, "text": long }).to_string();
        let meta = bronze::Meta {
            key: entry.key.clone(),
            seq: message.tick,
            outcome: bronze::Outcome::Document,
            record: entry.record.clone(),
            answers: Vec::new(),
            unkept: Vec::new(),
            plugin: None,
            generation: 0,
        };
        object.extend(bronze::line(Some(&document), &meta));
    }
    replace(&*world.lake.bronze, &message.object(), object.into()).await.unwrap();
    assert!(read(&*world.lake.bronze, &message.object()).await.unwrap().len() > 4 << 20);
    world.queues.clean.live.send(vec![encode(&NewObject::whole(&message.object()))]).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 5_000);
    assert_eq!(world.sums(&service).await, expected(5_000));
}
