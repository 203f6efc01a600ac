//! Kept answers, many in one object: each is stored before it is used, and the same request finds it again, in any
//! process. So is an answer that an earlier version of the program stored as an object of its own.
//!
//! Does not count other requests: `requests` does.

use std::sync::Arc;

use engine::progress::Steps;
use engine::replay::{self, Selection, Which};
use futures::TryStreamExt;
use lake::failure::Failure;
use lake::{answers, bronze};
use records::keys::Tick;
use seams::store::{ObjectStoreExt as _, Path, read, replace};
use serde_json::{Value, json};
use testkit::ScriptedHttp;
use testkit::http::answer;
use tokio::sync::Semaphore;

use crate::world::{Options, TICK, World, expected, good, orders};

const SAME_DAY: &str = "20260101T040000Z";

async fn objects(world: &World) -> Vec<String> {
    let listed: Vec<_> = world.lake.bronze.list(Some(&Path::from("_answers"))).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.location.to_string()).collect()
}

/// A service that fails for every order whose number is `bad`, and answers all others.
fn fails_for(bad: &'static str) -> Arc<ScriptedHttp> {
    ScriptedHttp::new(move |request, _| {
        let fails = request.url.path().ends_with(bad);
        Ok(if fails { answer(503, "busy") } else { good(&request.url) })
    })
}

async fn messages(world: &World, tick: &str) -> Vec<bronze::Message> {
    let inventory = bronze::inventory(&world.lake, Tick::parse(tick)).await.unwrap();
    bronze::snapshots(&world.lake, &inventory).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_s_answers_are_one_object_and_name_their_place() {
    let options = Options { source: orders(40), batch_size: 40, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    let packs: Vec<String> = objects(&world).await.into_iter().filter(|path| path.ends_with(".jsonl")).collect();
    assert_eq!(packs.len(), 1, "{packs:?}");
    let held = answers::in_object(&world.lake, &Path::from(packs[0].as_str())).await.unwrap();
    assert_eq!(held.len(), 40);
    let object = bronze::inventory(&world.lake, None).await.unwrap().objects.remove(0);
    let lines = bronze::lines(&object, &read(&*world.lake.bronze, &object).await.unwrap()).unwrap();
    for line in lines {
        let at = answers::AnswerAt::from_text(&line.meta.answers[0]);
        let (request, _) = answers::kept_with_request(&world.lake, &at).await.unwrap().unwrap();
        assert_eq!(request.path, line.meta.key.as_str());
    }
    assert_eq!(world.verify(&service).await.findings, []);
}

/// After a message failed, another process requests only what had no answer.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_elsewhere_asks_only_what_had_no_answer() {
    let options = Options { source: orders(20), batch_size: 20, ..Options::default() };
    let world = World::new(&options);
    let first = world.host(&options, fails_for("o13")).await;
    first.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let message = messages(&world, TICK).await.remove(0);
    let stage = Semaphore::new(4);
    let failed = first.enrich.message(&message, false, &stage).await.unwrap_err();
    assert!(matches!(failed, Failure::Transient(_) | Failure::Pause { .. }), "{failed}");
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let second = world.host(&options, http.clone()).await;
    second.enrich.message(&message, true, &stage).await.unwrap();
    let asked: Vec<String> = http.calls().iter().map(|call| call.url.path().to_owned()).collect();
    assert_eq!(asked, ["/orders/o13"]);
}

/// Another tick of the same day, in processes that have seen nothing of the first, makes no request; and processes after the first need not
/// look at every pack.
#[tokio::test(start_paused = true)]
async fn another_tick_of_the_day_asks_nobody() {
    let options = Options { source: orders(60), batch_size: 3, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    let http = ScriptedHttp::new(|_, _| panic!("nobody is asked"));
    // Another order of the records: no message is like one of the first tick.
    let mut lines: Vec<String> = options.source.lines().map(str::to_owned).collect();
    lines[1..].reverse();
    let options = Options { source: lines.join("\n") + "\n", batch_size: 7, ..options };
    let other = world.host(&options, http).await;
    world.once(&other, SAME_DAY).await.unwrap();
    assert_eq!(world.sums(&other).await, expected(60));
    assert_eq!(world.verify(&other).await.findings, []);
    let earlier = objects(&world).await.into_iter().filter(|path| path.ends_with("earlier.txt")).count();
    assert_eq!(earlier, 1);
}

/// A lake of an earlier version: each answer is an object of its own, named by a line with its id alone.
async fn unpacked(world: &World) {
    for path in objects(world).await {
        let object = Path::from(path.as_str());
        for (at, said) in answers::in_object(&world.lake, &object).await.unwrap() {
            let (request, answer) = said.unwrap();
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            let kept: Value = json!({
                "request": request, "status": answer.status, "headers": answer.headers, "text": text, "hex": null
            });
            let own = Path::from(format!("_answers/{}.json", at.id().as_str()));
            replace(&*world.lake.bronze, &own, kept.to_string().into()).await.unwrap();
        }
        world.lake.bronze.delete(&object).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_an_earlier_version_are_found_by_the_same_day_and_by_a_replay() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    // Enriched by an earlier version, and not cleaned yet: what is cleaned has a digest of its lines.
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let stage = Semaphore::new(2);
    for message in messages(&world, TICK).await {
        service.enrich.message(&message, false, &stage).await.unwrap();
    }
    unpacked(&world).await;
    for object in bronze::inventory(&world.lake, None).await.unwrap().objects {
        let text = String::from_utf8(read(&*world.lake.bronze, &object).await.unwrap().to_vec()).unwrap();
        let ids: Vec<String> = text.split('#').skip(1).map(|rest| rest[..16].to_owned()).collect();
        let places = text.split("\"answers\":[\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let old = places.zip(&ids).fold(text.clone(), |text, (place, id)| text.replace(place, id));
        replace(&*world.lake.bronze, &object, old.into()).await.unwrap();
    }
    let later = Options { enrich_version: "3.0.0", ..options.clone() };
    let nobody = world.host(&later, ScriptedHttp::new(|_, _| panic!("nobody is asked"))).await;
    nobody.work_off(std::time::Duration::from_secs(60), &tokio_util::sync::CancellationToken::new()).await.unwrap();
    assert_eq!(world.sums(&nobody).await, expected(10));
    world.once(&nobody, SAME_DAY).await.unwrap();
    let selection = Selection { which: Which::Stale, ..Selection::default() };
    let planned = replay::plan(&nobody, &selection, &Steps::default()).await.unwrap();
    assert_eq!((planned.enrich.values().map(Vec::len).sum::<usize>(), planned.looked_at), (10, 20));
    replay::queue(&nobody, &planned).await.unwrap();
    nobody.work_off(std::time::Duration::from_secs(60), &tokio_util::sync::CancellationToken::new()).await.unwrap();
    assert_eq!(world.verify(&nobody).await.findings, []);
}

/// What says "not now" with status 200 is taken out of its object again: the next try asks.
#[tokio::test(start_paused = true)]
async fn what_turns_out_to_be_no_answer_is_taken_out_again() {
    use seams::plugin::{EndpointRequest, Step};
    use testkit::ClosureEnricher;
    let options = Options { source: orders(4), batch_size: 4, ..Options::default() };
    let world = World::new(&options);
    let mut service = world
        .host(
            &options,
            ScriptedHttp::new(|_, calls| {
                Ok(if calls < 2 {
                    answer(200, "not now")
                } else {
                    answer(200, json!({"group": "g", "n": 1}).to_string())
                })
            }),
        )
        .await;
    let plugin = ClosureEnricher::new(testkit::rows::descriptor("patient", "1.0.0"), |_, entry, answers| {
        let entry: Value = serde_json::from_str(entry).unwrap();
        let path = entry["id"].as_str().unwrap().to_owned();
        Ok(match answers.first().map(|answer| String::from_utf8_lossy(&answer.body).into_owned()) {
            None => Step::Fetch(vec![EndpointRequest { endpoint: "api".into(), path, query: vec![], headers: vec![] }]),
            Some(text) if text == "not now" => {
                Step::BackOff { pause: std::time::Duration::from_secs(5), reason: "not now".into() }
            }
            Some(text) => Step::Done(text),
        })
    });
    let breaker = service.enrich.breaker.fresh();
    service.enrich = Arc::new(service.enrich.with(Some(Arc::new(plugin)), "{}".into(), breaker));
    world.once(&service, TICK).await.unwrap();
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 4);
    for path in objects(&world).await {
        let bytes = read(&*world.lake.bronze, &Path::from(path.as_str())).await.unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("not now"), "{path}");
    }
}
