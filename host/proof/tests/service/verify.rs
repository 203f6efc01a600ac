//! Verification finds nothing in a good lake, and every way in which a lake can be damaged.
//!
//! Does not start a process: `tests/e2e` does.

use std::sync::Arc;

use bytes::Bytes;
use engine::drivers::service::Service;
use engine::progress::Steps;
use engine::replay::{self, Selection, Which};
use futures::TryStreamExt;
use proof::explain::explain;
use proof::verify::{Invariant, Report};
use records::keys::Key;
use seams::store::{self, ObjectStoreExt, Path, Store};
use serde_json::{Value, json};
use testkit::ScriptedHttp;
use testkit::http::answer;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, good, orders};

pub(crate) const NEXT: &str = "20260102T030000Z";

/// A service with records that are skipped, refused and broken, at both stages.
fn mixed() -> Arc<ScriptedHttp> {
    ScriptedHttp::new(|request, _| {
        Ok(match request.url.path().trim_start_matches("/orders/") {
            "o1" => answer(404, "none"),
            "o2" => answer(200, "<html>"),
            "o3" => answer(200, json!({ "do": "trap" }).to_string()),
            "o4" => answer(200, json!({ "do": "reject" }).to_string()),
            "o5" => answer(200, json!({ "do": "skip" }).to_string()),
            _ => good(&request.url),
        })
    })
}

/// A lake of two ticks with everything in it that a lake may have.
pub(crate) async fn lake() -> (World, Service) {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, mixed()).await;
    for tick in [TICK, NEXT] {
        assert!(world.once(&service, tick).await.unwrap().left.missing.is_nothing());
    }
    (world, service)
}

#[tokio::test(start_paused = true)]
async fn a_good_lake_is_clean_and_everything_was_looked_at() {
    let (world, service) = lake().await;
    let report = world.verify(&service).await;
    assert_eq!(report.findings, []);
    assert_eq!(json!(report.states), json!({"silver": 5, "superseded": 5, "skipped": 4, "quarantined": 6}));
    // What pins and signatures cover, only the pipeline's file can tell: `e2e/publisher.rs` does.
    for (invariant, checked) in report.checked.iter().filter(|(invariant, _)| **invariant != Invariant::V10) {
        assert!(*checked > 0, "{invariant:?} was held against nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lake_whose_first_tick_could_not_be_read_owes_nothing() {
    let options = Options { source: "id,group,n\no1,\"g1,1\n".to_owned(), ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, mixed()).await;
    let failed = world.once(&service, TICK).await.map(drop).unwrap_err().to_string();
    assert!(failed.contains("line 2, column 4"), "{failed}");
    assert_eq!(world.verify(&service).await.findings, []);
}

/// A damage, and the promise that it breaks.
struct Damage {
    name: &'static str,
    breaks: Invariant,
}

pub(crate) async fn objects(store: &Store, part: &str) -> Vec<Path> {
    let all: Vec<_> = store.list(None).map_ok(|object| object.location).try_collect().await.unwrap();
    let mut found: Vec<Path> = all.into_iter().filter(|path| path.as_ref().contains(part)).collect();
    found.sort();
    assert!(!found.is_empty(), "there is no `{part}`");
    found
}

pub(crate) async fn edit(store: &Store, part: &str, change: impl Fn(String) -> String) {
    let path = objects(store, part).await.remove(0);
    let text = String::from_utf8(store::read(&**store, &path).await.unwrap().to_vec()).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "{path} is as before");
    store::replace(&**store, &path, Bytes::from(changed)).await.unwrap();
}

pub(crate) async fn delete(store: &Store, part: &str) {
    store.delete(&objects(store, part).await.remove(0)).await.unwrap();
}

async fn copy(store: &Store, part: &str, to: impl Fn(&str) -> String) {
    let path = objects(store, part).await.remove(0);
    let bytes = store::read(&**store, &path).await.unwrap();
    store::replace(&**store, &Path::from(to(path.as_ref())), bytes).await.unwrap();
}

pub(crate) fn edit_json(text: &str, change: impl Fn(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    value.to_string()
}

/// The first line that is a document, with something done to it; the others as they are.
fn first_document(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut done = false;
    let mut one = |line: &str| {
        let hit = !done && line.contains("\"outcome\":\"document\"") && !line.contains("\"do\"");
        done |= hit;
        if hit { change(line) } else { line.to_owned() }
    };
    let lines: Vec<String> = text.lines().map(&mut one).collect();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Rewrites the live Silver file of some bucket through the engine's own table, as a stranger with write access would.
async fn damage(world: &World, service: &Service, name: &str) {
    let lake = &world.lake;
    let (bronze, silver, gold) = (&lake.bronze, &lake.silver, &lake.gold);
    match name {
        "a line of bronze is deleted" => {
            edit(bronze, &format!("run={NEXT}/batch=00002"), |text| {
                text.lines().skip(1).map(|line| format!("{line}\n")).collect()
            })
            .await;
        }
        "a line of bronze is doubled" => {
            edit(bronze, &format!("run={NEXT}/batch=00002"), |text| {
                format!("{}\n{text}", text.lines().next().unwrap())
            })
            .await;
        }
        "an object of bronze is deleted" => delete(bronze, &format!("run={NEXT}/batch=00002")).await,
        "an object of bronze is copied under another name" => {
            copy(bronze, &format!("run={NEXT}/batch=00002"), |path| path.replace("batch=00002", "batch=00009")).await;
        }
        "one figure of a document is edited" => {
            edit(bronze, &format!("run={NEXT}/batch=00002"), |text| {
                first_document(&text, |line| line.replacen("\"n\":", "\"n\":1", 1))
            })
            .await;
        }
        "the tick of a skipped line is edited" => {
            edit(bronze, &format!("run={NEXT}/batch=00000"), |text| {
                let line = |line: &str| match line.contains("\"outcome\":\"skipped\"") {
                    true => format!("{}\n", line.replace(NEXT, "20260103T030000Z")),
                    false => format!("{line}\n"),
                };
                text.lines().map(line).collect()
            })
            .await;
        }
        "the plugin of a line is edited" => {
            edit(bronze, &format!("run={NEXT}/batch=00002"), |text| {
                first_document(&text, |line| line.replacen("\"version\":\"1.0.0\"", "\"version\":\"1.0.1\"", 1))
            })
            .await;
        }
        "the record of a line is edited" => {
            edit(bronze, &format!("run={NEXT}/batch=00002"), |text| {
                first_document(&text, |line| line.replacen("\"record\":{\"id\":\"o", "\"record\":{\"id\":\"x", 1))
            })
            .await;
        }
        "an object of bronze is cut" => {
            edit(bronze, &format!("run={NEXT}/batch=00002"), |text| text[..text.len() - 9].to_owned()).await;
        }
        "the snapshot of a tick is deleted" => delete(bronze, &format!("run={NEXT}/_snapshot")).await,
        "a kept answer is deleted" => delete(bronze, "_answers/20").await,
        "the body of a kept answer is edited" => {
            let mut done = false;
            for path in objects(bronze, "_answers/").await {
                let text = String::from_utf8(store::read(&**bronze, &path).await.unwrap().to_vec()).unwrap();
                if !done && text.contains("\\\"n\\\":6") {
                    done = true;
                    let edited = text.replace("\\\"n\\\":6", "\\\"n\\\":7");
                    store::replace(&**bronze, &path, edited.into()).await.unwrap();
                }
            }
            assert!(done);
        }
        "the request of a kept answer is edited" => {
            edit(bronze, "_answers/20", |text| {
                let elsewhere = |line: &str| edit_json(line, |kept| kept["request"]["path"] = json!("elsewhere"));
                let lines = text.lines().enumerate();
                lines.map(|(at, line)| if at == 1 { elsewhere(line) } else { line.to_owned() } + "\n").collect()
            })
            .await;
        }
        "a refusal is deleted" => delete(bronze, "_quarantine/").await,
        "the reason of a refusal is edited" => {
            for path in objects(bronze, "_quarantine/").await {
                let text = String::from_utf8(store::read(&**bronze, &path).await.unwrap().to_vec()).unwrap();
                let edited = edit_json(&text, |refused| refused["reason"] = json!("another"));
                store::replace(&**bronze, &path, edited.into()).await.unwrap();
            }
        }
        "the record of a refusal is edited" => {
            edit(bronze, "_quarantine/", |text| edit_json(&text, |refused| refused["record"]["id"] = json!("x"))).await;
        }
        "the component of a plugin is edited" => edit(bronze, "_plugins/", |text| format!("{text}!")).await,
        "the component of a plugin is deleted" => {
            for path in objects(bronze, "_plugins/").await {
                bronze.delete(&path).await.unwrap();
            }
        }
        "the history of the clean plugin is edited" => {
            edit(silver, "_generations/", |text| {
                edit_json(&text, |generation| generation["plugin"]["digest"] = json!("sha256:00"))
            })
            .await;
        }
        "a receipt is deleted" => delete(silver, "_receipts/").await,
        "a receipt counts otherwise" => {
            edit(silver, "_receipts/", |text| edit_json(&text, |receipt| receipt["cleaned"] = json!(0))).await;
        }
        "a receipt names a row a skip" => {
            edit(silver, &format!("_receipts/run={NEXT}/batch=00002"), |text| {
                edit_json(&text, |receipt| {
                    receipt["skipped"] = json!([{"line": 1, "reason": "not wanted"}]);
                    receipt["cleaned"] = json!(2);
                })
            })
            .await;
        }
        "a file of silver is deleted" => delete_live(service, silver).await,
        "a file of silver is another" => {
            let path = live(service).await;
            store::replace(&**silver, &path, Bytes::from_static(b"PAR1")).await.unwrap();
        }
        "a row of silver is edited" => rewrite(service, |row| row["n"] = json!(1000)).await,
        "a row of silver is deleted" => rewrite(service, |row| *row = Value::Null).await,
        "a row of silver is doubled under another source" => double(service).await,
        "a row of silver comes from nowhere" => {
            rewrite(service, |row| row["_source"] = json!("run=x/batch=1.jsonl:1")).await
        }
        "gold is edited" => {
            let table = &service.aggregate.tables[0];
            let rows = table.gold.current().await.unwrap().unwrap();
            let version = table.gold.silver_version().await.unwrap().unwrap();
            table.gold.publish(&rows.slice(0, 1), version, 1).await.unwrap();
            table.gold.export().await.unwrap();
        }
        "the csv of gold is edited" => edit(gold, "sums.csv", |text| text.replace("g0", "g9")).await,
        "a file of gold is deleted" => {
            let all = objects(gold, "sums/").await;
            let files: Vec<&Path> = all.iter().filter(|path| path.as_ref().ends_with(".parquet")).collect();
            for file in files {
                gold.delete(file).await.unwrap();
            }
        }
        "a secret is written into a document" => {
            store::replace(&**bronze, &Path::from("run=x/note.txt"), Bytes::from_static(b"it is s3cret%21"))
                .await
                .unwrap();
        }
        "a message waits in a queue" => super::world::inject(&world.queues.clean.live, "{\"bronze\":\"x\"}").await,
        other => panic!("no such damage: {other}"),
    }
}

/// A live file of Silver that holds rows of plain orders.
async fn live(service: &Service) -> Path {
    let snapshot = service.clean.silver.snapshot().await.unwrap();
    Path::from(snapshot.buckets.values().next().unwrap()[0].path())
}

async fn delete_live(service: &Service, silver: &Store) {
    silver.delete(&live(service).await).await.unwrap();
}

/// Commits other rows in the place of the first one, as the newest version of it.
async fn rewrite(service: &Service, change: impl Fn(&mut Value)) {
    super::world::tamper(service, |rows| {
        change(&mut rows[0]);
        rows.retain(|row| !row.is_null());
    })
    .await;
}

async fn double(service: &Service) {
    super::world::tamper(service, |rows| {
        let mut twin = rows[0].clone();
        twin["_source"] = json!("run=x/batch=1.jsonl:1");
        rows.push(twin);
    })
    .await;
}

const DAMAGES: [Damage; 33] = {
    use Invariant::{V1, V2, V3, V4, V6, V7, V8, V9};
    const fn damage(name: &'static str, breaks: Invariant) -> Damage {
        Damage { name, breaks }
    }
    [
        damage("a line of bronze is deleted", V1),
        damage("a line of bronze is doubled", V1),
        damage("an object of bronze is deleted", V9),
        damage("an object of bronze is copied under another name", V2),
        damage("one figure of a document is edited", V3),
        damage("the tick of a skipped line is edited", V3),
        damage("the plugin of a line is edited", V3),
        damage("the record of a line is edited", V2),
        damage("an object of bronze is cut", V6),
        damage("the snapshot of a tick is deleted", V1),
        damage("a kept answer is deleted", V6),
        damage("the body of a kept answer is edited", V3),
        damage("the request of a kept answer is edited", V8),
        damage("a refusal is deleted", V1),
        damage("the reason of a refusal is edited", V3),
        damage("the record of a refusal is edited", V6),
        damage("the component of a plugin is edited", V6),
        damage("the component of a plugin is deleted", V6),
        damage("the history of the clean plugin is edited", V6),
        damage("a receipt is deleted", V9),
        damage("a receipt counts otherwise", V6),
        damage("a receipt names a row a skip", V3),
        damage("a file of silver is deleted", V6),
        damage("a file of silver is another", V6),
        damage("a row of silver is edited", V4),
        damage("a row of silver is deleted", V1),
        damage("a row of silver is doubled under another source", V2),
        damage("a row of silver comes from nowhere", V1),
        damage("gold is edited", V4),
        damage("the csv of gold is edited", V6),
        damage("a file of gold is deleted", V6),
        damage("a secret is written into a document", V7),
        damage("a message waits in a queue", V9),
    ]
};

#[tokio::test(start_paused = true)]
async fn every_damage_is_found_and_told_with_its_place() {
    let mut missed = Vec::new();
    for Damage { name, breaks } in DAMAGES {
        let (world, service) = lake().await;
        damage(&world, &service, name).await;
        let report: Report = world.verify(&service).await;
        let told = report.findings.iter().find(|finding| finding.invariant == breaks);
        match told {
            Some(finding) => assert!(!finding.at.is_empty() && !finding.message.is_empty(), "{name}: {finding:?}"),
            None => missed.push(format!("{name}: {:?}", report.findings)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[tokio::test(start_paused = true)]
async fn files_of_dead_writers_are_noted_and_break_nothing() {
    let (world, service) = lake().await;
    let stray = Path::from("_bucket=0/0123-cafe.parquet");
    store::replace(&*world.lake.silver, &stray, Bytes::from_static(b"PAR1")).await.unwrap();
    // The store in memory dates its objects by this machine's clock.
    world.clock.jump(chrono::TimeDelta::days(100_000));
    let report = world.verify(&service).await;
    assert_eq!(report.findings, []);
    assert!(report.notes.iter().any(|note| note.contains("0123-cafe")), "{:?}", report.notes);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_for_a_fault_of_the_moment_is_no_contradiction_when_it_is_cleaned_well_now() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    let object = objects(&world.lake.bronze, "batch=00000").await.remove(0);
    // As if it had never been cleaned, and killed its host whenever it was.
    world.lake.silver.delete(&Path::from(format!("_receipts/{object}.json"))).await.unwrap();
    for key in ["o0", "o1", "o2"] {
        service.clean.silver.erase(key).await.unwrap();
    }
    let event = lake::events::NewObject::whole(&object);
    service.clean.give_up(&event, "it never came to an end").await.unwrap();
    service.work_off(std::time::Duration::from_secs(60), &CancellationToken::new()).await.unwrap();
    let report = world.verify(&service).await;
    assert_eq!((report.findings, json!(report.states)), (Vec::new(), json!({"silver": 7, "quarantined": 3})));
}

#[tokio::test(start_paused = true)]
async fn documents_of_several_rows_are_found_whole_in_a_large_bucket() {
    // A file is read in batches of 1024 rows: behind an odd number of rows, some document lies across two of them.
    let options = Options { source: orders(600), batch_size: 200, buckets: 1, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let what = if id == "o0" { "once" } else { "twice" };
        Ok(answer(200, json!({ "id": id, "do": what, "group": "g0", "n": 1 }).to_string()))
    });
    let service = world.host(&options, http).await;
    world.once(&service, TICK).await.unwrap();
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 1199);
    assert_eq!(world.verify(&service).await.findings, []);
}

#[tokio::test(start_paused = true)]
async fn an_old_version_s_file_that_is_gone_is_no_fall() {
    let options = Options { buckets: 1, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    for tick in [TICK, NEXT, "20260103T030000Z"] {
        world.once(&service, tick).await.unwrap();
    }
    // A clean-up that died after it had taken a later one of the old files, and not the one before it.
    let history = service.clean.silver.history().await.unwrap();
    let old = history.iter().rev().nth(1).unwrap().added.first().unwrap().clone();
    world.lake.silver.delete(&Path::from(old)).await.unwrap();
    assert_eq!(world.verify(&service).await.findings, []);
}

/// The cleaner of the lake, which never comes to an end: for each call that a test counts, a deadline.
fn looping(calls: &Arc<std::sync::atomic::AtomicUsize>) -> testkit::ClosureCleaner {
    use seams::plugin::{Fault, FaultKind, Plugin};
    let calls = calls.clone();
    let usual = super::world::cleaner("1.0.0", Arc::new(|| false));
    testkit::ClosureCleaner::new(usual.descriptor().clone(), move |_, _| {
        calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err(Fault { kind: FaultKind::Deadline, code: "P104", ..testkit::plugins::trap("past its deadline") })
    })
}

async fn workshop_with(world: &World, cleaner: testkit::ClosureCleaner) -> proof::remake::Workshop {
    let plugins = testkit::ClosurePlugins::default();
    plugins.add_enricher(super::world::enricher("1.0.0", false));
    plugins.add_aggregator(super::world::aggregator(Arc::new(|| false)));
    plugins.add_cleaner(cleaner);
    let limits = pipeline::plan::Limits::default();
    proof::remake::Workshop::open(&world.lake, Arc::new(plugins), limits).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cleaner_that_loops_in_a_verification_is_named_and_not_asked_for_ever() {
    let options = Options { source: orders(400), batch_size: 100, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    let calls = Arc::default();
    let workshop = workshop_with(&world, looping(&calls)).await;
    let report = proof::verify::verify(&service, workshop, &Steps::default()).await.unwrap();
    let calls = calls.load(std::sync::atomic::Ordering::SeqCst);
    assert!(calls <= 7, "{calls} deadlines for four objects");
    let told = report.findings.iter().find(|one| one.message.contains("is not asked any more")).unwrap();
    assert!(told.message.contains("clean-orders 1.0.0") && told.message.contains(".jsonl:"), "{told:?}");
    assert!(report.broken.keys().all(|broken| [Invariant::V3, Invariant::V6].contains(broken)), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_at_a_deadline_is_told_and_not_tried_again() {
    let options = Options { source: orders(6), ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let calls = Arc::default();
    // All run past their deadline, and are too few to suspend the stage.
    let service = world.host(&Options { cleaner: Some(looping(&calls)), ..options.clone() }, http).await;
    world.once(&service, TICK).await.unwrap();
    let before = calls.load(std::sync::atomic::Ordering::SeqCst);
    let workshop = workshop_with(&world, looping(&calls)).await;
    let report = proof::verify::verify(&service, workshop, &Steps::default()).await.unwrap();
    assert_eq!((report.findings, calls.load(std::sync::atomic::Ordering::SeqCst)), (Vec::new(), before));
    let note = report.notes.iter().find(|note| note.contains("P104")).unwrap();
    assert!(
        note.starts_with("6 record versions") && note.contains("clean-orders 1.0.0") && note.contains("`o"),
        "{note}"
    );
}

/// A service that forbids one order, and a plugin that makes a document of that answer. The answer is not kept, as it may differ
/// tomorrow, so the document cannot be made again. That is reported, and is no damage.
#[tokio::test(start_paused = true)]
async fn what_was_made_from_an_answer_that_is_not_kept_is_no_damage() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        let sealed = request.url.path() == "/orders/o4";
        Ok(if sealed { answer(403, "no") } else { good(&request.url) })
    });
    let service = world.host(&options, http.clone()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    assert_eq!(world.sums(&service).await["sealed"], 0);
    let report = world.verify(&service).await;
    assert_eq!(report.findings, []);
    let told = "1 of the record versions cannot be made again: an answer of the service was not kept (status 403)";
    assert_eq!(report.notes, [told]);

    let workshop = world.workshop().await;
    let explained =
        explain(&service, &workshop, &Key::from_text("o4"), false, &Steps::default()).await.unwrap().unwrap();
    assert!(explained.is_proved(), "nothing differs");
    let row = explained.row.unwrap();
    assert_eq!((row.document.agrees, row.cleaned.agrees, row.answers.len()), (None, Some(true), 0));
    assert!(row.document.because.unwrap().ends_with("an answer of the service was not kept (status 403)"));

    // A replay without the service leaves it as it is, one with it asks.
    let later = Options { enrich_version: "3.0.0", ..options };
    let service = world.host(&later, http.clone()).await;
    for (fetch, asked) in [(false, 10), (true, 11)] {
        let selection = Selection { which: Which::Stale, fetch, ..Selection::default() };
        let planned = replay::plan(&service, &selection, &Steps::default()).await.unwrap();
        replay::queue(&service, &planned).await.unwrap();
        service.work_off(std::time::Duration::from_secs(60), &CancellationToken::new()).await.unwrap();
        assert_eq!((http.calls().len(), world.sums(&service).await["sealed"]), (asked, 0));
        assert_eq!(world.verify(&service).await.findings, []);
    }
}
