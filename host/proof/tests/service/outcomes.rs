//! Every record ends in one place, whatever its service and its plugins do.
//!
//! Does not inject faults of the host's own parts: `faults` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lake::events::NewObject;
use lake::{quarantine, receipts};
use proof::status::status;
use seams::http::HttpAnswer;
use seams::plugin::{Cleaned, EndpointRequest, Step};
use seams::store::Path;
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;
use testkit::plugins::{ClosureCleaner, ClosureEnricher};
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, clean, clean_descriptor, expected, good, inject, orders};

/// A service that answers one order differently.
fn except(id: &'static str, other: impl Fn() -> HttpAnswer + Send + Sync + 'static) -> Arc<ScriptedHttp> {
    ScriptedHttp::new(move |request, _| Ok(if request.url.path().ends_with(id) { other() } else { good(&request.url) }))
}

#[tokio::test(start_paused = true)]
async fn all_is_well_and_the_same_tick_again_changes_nothing() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let service = world.host(&options, http.clone()).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(ended.left.missing.is_nothing(), "{ended:?}");
    assert_eq!((ended.fired.records, ended.fired.messages), (10, 4));
    assert_eq!(world.sums(&service).await, expected(10));
    let before = service.clean.silver.snapshot().await.unwrap().version;
    let again = world.once(&service, TICK).await.unwrap();
    assert_eq!(again.fired.queued, 0);
    assert_eq!(service.clean.silver.snapshot().await.unwrap().version, before);
    assert_eq!(http.calls().len(), 10);
    assert_eq!(http.calls()[0].url.query(), Some("key=s3cret"));
}

#[tokio::test(start_paused = true)]
async fn a_skip_a_refusal_and_a_trap_cost_their_own_record_only() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        Ok(match request.url.path().trim_start_matches("/orders/") {
            "o1" => answer(404, "none"),
            "o2" => answer(200, "<html>"),
            "o3" => answer(200, json!({ "do": "trap" }).to_string()),
            "o4" => answer(200, json!({ "do": "reject" }).to_string()),
            "o5" => answer(200, json!({ "do": "skip" }).to_string()),
            _ => good(&request.url),
        })
    });
    let service = world.host(&options, http).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let status = status(&service).await.unwrap();
    assert_eq!((status.silver.rows, status.silver.skipped, status.silver.quarantined), (5, 2, 3));
    let silver = status.silver;
    assert_eq!(silver.seen, silver.standing + silver.superseded + silver.skipped + silver.quarantined);
    let refused = quarantine::all(&world.lake).await.unwrap();
    let mut told: Vec<(&str, &str, &str)> =
        refused.iter().map(|one| (one.key.as_ref().unwrap().as_str(), one.stage.name(), one.code.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [("o2", "enrich", "R001"), ("o3", "clean", "P101"), ("o4", "clean", "R001")]);
    assert_eq!(world.sums(&service).await["g0"], 6 + 9);
}

#[tokio::test(start_paused = true)]
async fn a_spent_quota_pauses_without_quarantine_and_its_answer_is_not_kept() {
    let options = Options { workers: 1, ..Options::default() };
    let world = World::new(&options);
    let http =
        ScriptedHttp::new(|request, calls| Ok(if calls == 4 { answer(401, "quota") } else { good(&request.url) }));
    let service = world.host(&options, http.clone()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(http.calls().len(), 11, "only the refused call is made again");
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_pauses_and_is_found_when_it_is_there() {
    let options = Options::default();
    let world = World::new(&options);
    let key = seams::secrets::SecretRef::Env("KEY".into());
    world.secrets.remove(&key);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let service = world.host(&options, http.clone()).await;
    let (secrets, progress) = (world.secrets.clone(), service.progress.clone());
    tokio::spawn(async move {
        while progress.waiting_for().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        secrets.set(key, "found");
    });
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(http.calls().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_is_read_anew_once_and_a_bad_one_is_a_refusal_that_says_so() {
    let options = Options { source: super::world::orders(3), workers: 1, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        Ok(if request.url.query() == Some("key=new") { good(&request.url) } else { answer(401, "who are you") })
    });
    world.secrets.set(seams::secrets::SecretRef::Env("KEY".into()), "old");
    let service = world.host(&options, http.clone()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|one| one.reason == "the key is refused"), "{refused:?}");
    assert_eq!(http.calls().len(), 3, "an unchanged secret is no reason to ask again");
}

#[tokio::test(start_paused = true)]
async fn bursts_of_errors_are_waited_out() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, calls| {
        Ok(match calls {
            0 => answer(503, "busy"),
            3 => HttpAnswer { headers: vec![("retry-after".into(), "5".into())], ..answer(429, "slow down") },
            6 => HttpAnswer { headers: vec![("retry-after".into(), "120".into())], ..answer(429, "much later") },
            8 => return Err(seams::http::HttpError::Broken("reset".into())),
            _ => good(&request.url),
        })
    });
    let service = world.host(&options, http).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_broken_for_one_record_costs_its_message_in_the_end() {
    let options = Options { batch_size: 1, max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, except("o7", || answer(500, "broken"))).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].code.as_str(), refused[0].key.as_ref().unwrap().as_str()), ("R004", "o7"));
    assert!(refused[0].reason.contains("tried 3 times") && refused[0].reason.contains("500"), "{}", refused[0].reason);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let options = Options::default();
    let world = World::new(&options);
    let to_metadata =
        || HttpAnswer { headers: vec![("location".into(), "http://169.254.169.254/latest".into())], ..answer(302, "") };
    let http = except("o7", to_metadata);
    let service = world.host(&options, http.clone()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused[0].code, "P161");
    assert!(refused[0].reason.contains("169.254.169.254"), "{}", refused[0].reason);
    assert!(http.calls().iter().all(|call| call.url.host_str() == Some("shop.example")));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_quarantined_and_the_others_flow() {
    let options = Options { max_receives: 3, ..Options::default() };
    let world = World::new(&options);
    for body in ["not json", "{}", "{\"inline\":{\"pipeline\":\"orders\"}}", "{\"stored\":\"run=x/nowhere\"}"] {
        inject(&world.queues.enrich.live, body).await;
    }
    inject(&world.queues.clean.live, "[]").await;
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert!(refused.iter().filter(|one| one.code == "R005").count() >= 3, "{refused:?}");
    assert!(refused.iter().any(|one| one.record.text("message").as_deref() == Some("not json")));
}

#[tokio::test(start_paused = true)]
async fn a_new_clean_plugin_makes_the_next_versions_and_the_later_generation_counts() {
    let options = Options::default();
    let world = World::new(&options);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let http = ScriptedHttp::new(move |request, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let refuse = request.url.path().ends_with("o4");
        Ok(if refuse {
            answer(200, json!({ "do": "reject", "group": "g1", "n": 4 }).to_string())
        } else {
            good(&request.url)
        })
    });
    let old = world.host(&options, http.clone()).await;
    world.once(&old, TICK).await.unwrap();
    assert_eq!(old.clean.silver.snapshot().await.unwrap().rows, 9);
    let fixed = Options { clean_version: "2.0.0", ..Options::default() };
    let new = world.host(&fixed, http).await;
    assert_eq!(new.clean.generation().await.unwrap().number, 2);
    let objects = receipts::objects(&world.lake).await.unwrap();
    let events: Vec<_> = objects.iter().map(|object| NewObject::whole(&Path::from(object.as_str()))).collect();
    new.clean.objects(&events).await.unwrap();
    world.once(&new, TICK).await.unwrap();
    assert_eq!(world.sums(&new).await, expected(10));
    assert_eq!(calls.load(Ordering::SeqCst), 10, "Bronze is enough: nobody is asked again");
    // The old host comes back with its older generation: what it does again cannot win.
    old.clean.objects(&events).await.unwrap();
    assert_eq!(new.clean.silver.snapshot().await.unwrap().rows, 10);
}

#[tokio::test(start_paused = true)]
async fn of_two_workers_at_one_message_the_slower_leaves_no_refusal() {
    let options = Options { batch_size: 1, source: orders(1), ..Options::default() };
    let world = World::new(&options);
    let fast = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    // The first worker's key is refused, and before it has said so the second one has brought the message to its end.
    let tick = records::keys::Tick::parse(TICK).unwrap();
    fast.ingest.fire(tick).await.unwrap();
    let inventory = lake::bronze::inventory(&world.lake, None).await.unwrap();
    let message = lake::bronze::snapshots(&world.lake, &inventory).await.unwrap().remove(0);
    let (again, other) = (message.clone(), fast.enrich.clone());
    let http = Arc::new(Meanwhile(tokio::sync::Mutex::new(Some(Box::pin(async move {
        other.message(&again, false, &tokio::sync::Semaphore::new(2)).await.unwrap()
    })))));
    let slow = world.host(&options, http).await;
    slow.enrich.message(&message, false, &tokio::sync::Semaphore::new(2)).await.unwrap();
    fast.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    let report = world.verify(&fast).await;
    assert_eq!((report.findings, json!(report.states)), (Vec::new(), json!({"silver": 1})));
    assert_eq!(quarantine::ids(&world.lake).await.unwrap(), Vec::<String>::new());
}

/// A service that refuses the key, after something else was done.
struct Meanwhile(tokio::sync::Mutex<Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[async_trait::async_trait]
impl seams::http::Http for Meanwhile {
    async fn send(&self, _: seams::http::HttpRequest) -> Result<seams::http::HttpAnswer, seams::http::HttpError> {
        if let Some(other) = self.0.lock().await.take() {
            other.await;
        }
        Ok(answer(401, "who are you"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_asks_for_too_much_is_refused_before_any_request() {
    let options = Options { source: orders(1), ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let service = world.host(&options, http.clone()).await;
    let greedy = ClosureEnricher::new(testkit::rows::descriptor("greedy", "1.0.0"), |_, _, _| {
        let request = EndpointRequest { endpoint: "api".into(), path: "o0".into(), query: vec![], headers: vec![] };
        Ok(Step::Fetch(vec![request; 10_000]))
    });
    let enrich = service.enrich.with(Some(Arc::new(greedy)), "{}".into(), service.enrich.breaker.fresh());
    let service = engine::drivers::service::Service { enrich: Arc::new(enrich), ..service };
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.iter().map(|one| one.code.as_str()).collect::<Vec<_>>(), ["P163"]);
    assert!(http.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_rows_of_each_document_are_committed_in_parts_and_again_change_nothing() {
    const EACH: usize = 60_000;
    let options = Options { batch_size: 10, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let service = world.host(&options, http).await;
    let descriptor = clean_descriptor("1.0.0");
    let many = ClosureCleaner::new(descriptor.clone(), move |_, documents| {
        let one = clean(&descriptor, "1", documents)?;
        let rows = u32::try_from(one.rows.num_rows()).unwrap();
        let places: Vec<u32> = (0..rows).flat_map(|row| std::iter::repeat_n(row, EACH)).collect();
        let row_of = places.iter().map(|row| one.row_of[*row as usize]).collect();
        let rows = arrow::compute::take_record_batch(&one.rows, &arrow::array::UInt32Array::from(places)).unwrap();
        Ok(Cleaned { rows, row_of, ..one })
    });
    let clean = &service.clean;
    let clean = clean.with(Arc::new(many), "{}".into(), clean.breaker.fresh(), clean.silver.clone());
    let service = engine::drivers::service::Service { clean: Arc::new(clean), ..service };
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let found = status(&service).await.unwrap();
    assert_eq!((found.silver.rows, found.silver.quarantined), (10 * EACH as u64, 0));
    let objects: Vec<NewObject> = lake::bronze::inventory(&world.lake, None)
        .await
        .unwrap()
        .objects
        .iter()
        .map(|path| NewObject { bronze: path.to_string(), lines: Vec::new(), again: true })
        .collect();
    let before = service.clean.silver.snapshot().await.unwrap().version;
    assert!(service.clean.objects(&objects).await.unwrap().is_empty());
    assert_eq!(service.clean.silver.snapshot().await.unwrap().version, before);
}

#[tokio::test(start_paused = true)]
async fn headers_and_paths_that_no_plugin_may_set_cost_their_own_record_only() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let service = world.host(&options, http.clone()).await;
    let hostile = ClosureEnricher::new(testkit::rows::descriptor("hostile", "1.0.0"), |_, entry, answers| {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        let id = entry["id"].as_str().unwrap();
        if let Some(answer) = answers.first() {
            return Ok(Step::Done(String::from_utf8(answer.body.to_vec()).unwrap()));
        }
        let named = |name: &str| vec![(name.to_owned(), "x".to_owned())];
        let (mut path, mut query, mut headers) = (format!("orders/{id}"), Vec::new(), Vec::new());
        match id {
            "o0" => headers = vec![("accept".to_owned(), "a".to_owned()); 40_000],
            "o1" => headers = named("x-http-method-override"),
            "o2" => headers = named("x-forwarded-for"),
            "o3" => path = "..;/admin".to_owned(),
            "o4" => path = "orders/%252e%252e/admin".to_owned(),
            "o5" => query = named("KEY"),
            _ => {}
        }
        Ok(Step::Fetch(vec![EndpointRequest { endpoint: "api".into(), path, query, headers }]))
    });
    let enrich = service.enrich.with(Some(Arc::new(hostile)), "{}".into(), service.enrich.breaker.fresh());
    let service = engine::drivers::service::Service { enrich: Arc::new(enrich), ..service };
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let mut refused: Vec<(String, String)> = quarantine::all(&world.lake)
        .await
        .unwrap()
        .into_iter()
        .map(|one| (one.key.unwrap().to_string(), one.code))
        .collect();
    refused.sort();
    let codes: Vec<&str> = refused.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(codes, ["P162", "P162", "P162", "P160", "P160", "P164"], "{refused:?}");
    assert_eq!(http.calls().len(), 4, "the others are asked for, and nothing of these");
}
