//! A service that is down: the stage rests, asks rarely, quarantines nothing, says so, and goes on by itself.
//!
//! Does not test what one bad answer does to its record: `outcomes` and `fault_table` do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use engine::drivers::service::{Ended, Service};
use lake::quarantine;
use pipeline::role::Role;
use records::keys::Tick;
use seams::clock::Clock;
use seams::http::{HttpAnswer, HttpError};
use testkit::ScriptedHttp;
use testkit::http::answer;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good, orders};

type Answer = fn() -> Result<HttpAnswer, HttpError>;

/// The ways of being down.
const OUTAGES: [(&str, Answer); 6] = [
    ("503", || Ok(answer(503, "down"))),
    ("500", || Ok(answer(500, "oops"))),
    ("429 without a pause", || Ok(answer(429, "busy"))),
    ("refused", || Err(HttpError::Connect("connection refused".into()))),
    ("time-outs", || Err(HttpError::Timeout(Duration::from_secs(5)))),
    ("reset", || Err(HttpError::Broken("connection reset".into()))),
];

/// A service that is down while `down` is true.
fn service(down: &Arc<AtomicBool>, how: Answer) -> Arc<ScriptedHttp> {
    let down = Arc::clone(down);
    ScriptedHttp::new(move |request, _| if down.load(Ordering::SeqCst) { how() } else { Ok(good(&request.url)) })
}

async fn once(service: &Service, patience: Duration) -> Ended {
    service.once(Tick::parse(TICK).unwrap(), patience, &CancellationToken::new()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_few_requests_ends_the_run_within_its_patience_and_quarantines_nothing() {
    for (name, how) in OUTAGES {
        let options = Options { source: orders(120), batch_size: 1, workers: 8, ..Options::default() };
        let world = World::new(&options);
        let down = Arc::new(AtomicBool::new(true));
        let http = service(&down, how);
        let host = world.host(&options, http.clone()).await;
        let begun = world.clock.now();
        let ended = once(&host, Duration::from_secs(30)).await;
        assert!(world.clock.now() - begun < TimeDelta::seconds(45), "{name}: {}", world.clock.now() - begun);
        assert!(http.calls().len() < 30, "{name}: {} requests", http.calls().len());
        assert!(quarantine::ids(&world.lake).await.unwrap().is_empty(), "{name}");
        assert_eq!((ended.left.missing.records, ended.left.outages.len()), (120, 1), "{name}: {ended:?}");
        let why = ended.left.waiting_for.unwrap();
        assert!(why.contains("endpoint `api` is down since 2026-01-01T03:00:") && why.contains("last error"), "{why}");

        // The next run goes on where this one stopped.
        down.store(false, Ordering::SeqCst);
        let next = world.host(&options, http.clone()).await;
        let ended = once(&next, Duration::from_secs(30)).await;
        assert!(ended.left.is_nothing() && ended.fired.queued == 0, "{name}: {ended:?}");
        assert_eq!(world.sums(&next).await, expected(120), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_served_pipeline_outlives_an_outage_of_hours_asks_rarely_and_goes_on_by_itself() {
    let options = Options { source: orders(120), batch_size: 1, workers: 8, max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    let up_again = Arc::new(AtomicBool::new(false));
    let mended = up_again.clone();
    let http = ScriptedHttp::new(move |request, calls| {
        Ok(if calls < 20 || mended.load(Ordering::SeqCst) { good(&request.url) } else { answer(503, "down") })
    });
    let host = Arc::new(world.host(&options, http.clone()).await);
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (host, stop) = (host.clone(), stop.clone());
        async move { host.serve(&Role::ALL, &stop).await }
    });
    host.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    world.clock.sleep(Duration::from_secs(60)).await;
    let before = http.calls().len();
    world.clock.sleep(Duration::from_secs(4 * 3600)).await;
    let outage = host.progress.outages();
    assert_eq!(outage["api"].error, "it answered 503");
    let probes = http.calls().len() - before;
    assert!((200..260).contains(&probes), "{probes} requests in four hours: one a minute");
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    up_again.store(true, Ordering::SeqCst);
    world.clock.sleep(Duration::from_secs(180)).await;
    assert!(host.progress.outages().is_empty() && host.progress.waiting_for().is_none());
    stop.cancel();
    serving.await.unwrap().unwrap();
    assert_eq!(world.sums(&host).await, expected(120));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_records_that_nobody_answers_are_no_outage_once_something_was_answered() {
    let bad = |id: &str| ["o3", "o50", "o51", "o52", "o117", "o118", "o119"].contains(&id);
    let options = Options { source: orders(120), batch_size: 1, workers: 8, max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(move |request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        Ok(if bad(&id) { answer(500, "broken") } else { good(&request.url) })
    });
    let host = world.host(&options, http.clone()).await;
    let ended = once(&host, Duration::from_secs(7200)).await;
    assert!(ended.left.is_nothing(), "{ended:?}");
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.len(), 7);
    assert!(refused.iter().all(|one| one.code == "R004" && one.reason.contains("answered 500")), "{refused:?}");
    assert!(http.calls().len() < 113 + 7 * 3 * 3 + 60, "{} requests", http.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_in_the_lake_what_tells_an_outage_from_records_that_nobody_answers() {
    let options = Options { source: orders(40), batch_size: 1, workers: 2, max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    let first = world.host(&options, service(&Arc::default(), OUTAGES[0].1)).await;
    assert!(once(&first, Duration::from_secs(60)).await.left.is_nothing());
    // The next day the service answers for none of the records, but it is up.
    let http = ScriptedHttp::new(|request, _| {
        let is_known = request.url.path().trim_start_matches("/orders/o").parse::<u32>().is_ok_and(|n| n < 40);
        Ok(if is_known { good(&request.url) } else { answer(500, "broken") })
    });
    let source: String = "id,group,n\n".to_owned() + &(40..46).map(|n| format!("o{n},g1,{n}\n")).collect::<String>();
    let options = Options { source, ..options };
    let second = world.host(&options, http).await;
    let ended = world.once(&second, "20260102T030000Z").await.unwrap();
    assert!(ended.left.is_nothing(), "{ended:?}");
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.iter().filter(|one| one.code == "R004").count(), 6, "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stumbles_again_and_again_loses_no_record() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let http = ScriptedHttp::new(move |request, _| {
        // Twenty good answers, then ten bad ones.
        let at = counted.fetch_add(1, Ordering::SeqCst) % 30;
        Ok(if at < 20 { good(&request.url) } else { answer(502, "bad gateway") })
    });
    let options = Options { source: orders(300), batch_size: 1, workers: 8, max_receives: 5, ..Options::default() };
    let world = World::new(&options);
    let host = world.host(&options, http).await;
    assert!(once(&host, Duration::from_secs(7200)).await.left.is_nothing());
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(world.sums(&host).await, expected(300));
    assert!(calls.load(Ordering::SeqCst) < 600);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_told_with_its_target_and_without_secrets() {
    for (location, shown) in [
        ("https://new.example/v2/orders/o0?page=1", "`https://new.example/v2/orders/o0?page=1`"),
        ("/elsewhere", "`https://shop.example/elsewhere`"),
        ("https://new.example/?key=s3cret&page=1", "`https://new.example/?key=[redacted]&page=1`"),
        ("https://joe:pw@new.example/", "`https://[redacted]@new.example/`"),
        ("", "`https://shop.example/orders/o0?key=[redacted]`"),
        ("http://[", "`http://[`"),
    ] {
        let options = Options { source: orders(1), ..Options::default() };
        let world = World::new(&options);
        let http = ScriptedHttp::new(move |_, _| {
            Ok(HttpAnswer { headers: vec![("location".into(), location.into())], ..answer(302, "") })
        });
        let host = world.host(&options, http).await;
        assert!(once(&host, Duration::from_secs(60)).await.left.is_nothing());
        let refused = quarantine::all(&world.lake).await.unwrap();
        let reason = &refused[0].reason;
        assert!(reason.contains(&format!("redirects (302) to {shown}")), "{location}: {reason}");
        assert!(reason.contains("hint: ") && reason.contains("[endpoints.api]"), "{reason}");
        assert!(!reason.contains("s3cret"), "{reason}");
    }
}
