//! A record that is erased is nowhere any more, and the lake still holds what it promises.
//!
//! Does not test the queue's file: `tests/e2e` does.

use engine::progress::Steps;
use engine::roles::breaker::{Sample, Suspension};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::plan::Percent;
use proof::forget::forget;
use records::keys::Key;
use seams::plugin::PluginStamp;
use seams::store::{self, Store};
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;

use super::world::{Options, TICK, World, good, inject, orders};

const NEXT: &str = "20260102T030000Z";

/// Objects in which a word occurs, also those whose content is compressed.
pub(crate) async fn holding(store: &Store, word: &str) -> Vec<String> {
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut found = Vec::new();
    for object in all {
        let bytes = store::read(&**store, &object.location).await.unwrap();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if object.location.as_ref().ends_with(".parquet") {
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
                text.push_str(&format!("{:?}", batch.unwrap()));
            }
        }
        if text.contains(word) {
            found.push(object.location.to_string());
        }
    }
    found
}

/// Leaves a suspension behind whose sample is that record.
async fn suspended_over(layer: &Store, key: &str) {
    let plugin = PluginStamp { name: "clean-orders".into(), version: "0.1.0".into(), digest: "sha256:00".into() };
    let sample = |key: &str| Sample {
        code: "R001".into(),
        reason: format!("{key} cannot be read"),
        input: "run=x/batch=1.jsonl:1".into(),
        key: Some(key.into()),
    };
    let suspension = Suspension {
        stage: "clean".into(),
        plugin,
        suspend_above: Percent::SUSPEND_ABOVE,
        records: 50,
        failed: 49,
        at: chrono::DateTime::UNIX_EPOCH,
        surroundings: None,
        behind: None,
        samples: vec![sample(key), sample("o5")],
    };
    let body = serde_json::to_vec(&suspension).unwrap();
    store::replace(&**layer, &store::Path::from("_suspended/x.json"), body.into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_erased_record_is_nowhere_and_the_lake_still_verifies() {
    let options = Options::default();
    let world = World::new(&options);
    // A group of its own shows whether Gold still holds it.
    let http = ScriptedHttp::new(|request, _| {
        let own = request.url.path().ends_with("o4");
        Ok(if own { answer(200, json!({"id": "o4", "group": "own", "n": 4}).to_string()) } else { good(&request.url) })
    });
    let service = world.host(&options, http).await;
    for tick in [TICK, NEXT] {
        world.once(&service, tick).await.unwrap();
    }
    assert!(world.sums(&service).await.contains_key("own"));
    suspended_over(&world.lake.silver, "o4").await;
    let key = Key::from_text("o4");
    let done = forget(&service, &key, &Steps::default()).await.unwrap();
    assert_eq!((done.lines.len(), done.snapshots, done.answers, done.rows, done.tables), (2, 2, 2, 1, 1));
    assert!(done.old_files > 0 && done.old_log_entries > 0 && done.shared_answers.is_empty(), "{done:?}");
    for layer in [&world.lake.bronze, &world.lake.silver, &world.lake.gold] {
        for word in ["o4", "own"] {
            assert_eq!(holding(layer, word).await, Vec::<String>::new(), "{word}");
        }
    }
    assert!(!world.sums(&service).await.contains_key("own"));
    let report = world.verify(&service).await;
    assert_eq!(report.findings, []);
    assert_eq!(json!(report.states), json!({"silver": 9, "superseded": 9, "skipped": 2}));
    // Nothing is left of it, and a host that starts now does nothing.
    assert!(forget(&service, &key, &Steps::default()).await.unwrap().is_nothing());
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.verify(&service).await.findings, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_not_erased() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    inject(&world.queues.clean.live, "{\"bronze\":\"x\"}").await;
    let refused = forget(&service, &Key::from_text("o4"), &Steps::default()).await.unwrap_err();
    assert!(refused.to_string().contains("queue of clean") && refused.to_string().contains("hint:"), "{refused}");
    assert_eq!(service.clean.silver.find("o4").await.unwrap().num_rows(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_another_record_was_made_from_stays_and_is_told() {
    let options = Options { source: "id,group,n\no1,g1,1\no2,g2,2\n".into(), ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    let line_of = |objects: &[store::Path]| objects[0].clone();
    let objects = lake::bronze::inventory(&world.lake, None).await.unwrap().objects;
    // As if both had been made from one answer.
    let path = line_of(&objects);
    let text = String::from_utf8(store::read(&*world.lake.bronze, &path).await.unwrap().to_vec()).unwrap();
    let answers: Vec<&str> =
        text.split("\"answers\":[\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let shared = text.replace(answers[1], answers[0]);
    store::replace(&*world.lake.bronze, &path, shared.into()).await.unwrap();
    let done = forget(&service, &Key::from_text("o1"), &Steps::default()).await.unwrap();
    assert_eq!(done.shared_answers.values().cloned().collect::<Vec<_>>(), [Key::from_text("o2")]);
    // The answer that no line names any more goes; the shared one stays, so the erasure is not complete.
    assert_eq!((done.answers, done.is_whole()), (1, false));
}

/// Everywhere in the lake where the word occurs.
async fn anywhere(world: &World, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for layer in [&world.lake.bronze, &world.lake.silver, &world.lake.gold] {
        found.extend(holding(layer, word).await);
    }
    found
}

/// A service whose answer about an order names it with a word that is nowhere else.
fn telling() -> std::sync::Arc<ScriptedHttp> {
    ScriptedHttp::new(|request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let n: i64 = id.trim_start_matches('o').parse().unwrap();
        Ok(answer(200, json!({ "id": id, "group": format!("secret-of-{id}"), "n": n }).to_string()))
    })
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_call_it_is_run_again_and_erases_all() {
    for nth in (1..1000).step_by(17) {
        let options = Options { source: orders(6), buckets: 2, ..Options::default() };
        let world = World::new(&options);
        let service = world.host(&options, telling()).await;
        for tick in [TICK, NEXT] {
            world.once(&service, tick).await.unwrap();
        }
        let before = std::iter::repeat_n(testkit::Fate::Pass, nth);
        // From one call on none gets through, as for a process that is killed there.
        let last = if nth.is_multiple_of(2) { testkit::Fate::FailAfter } else { testkit::Fate::FailBefore };
        let after = std::iter::repeat_n(testkit::Fate::FailBefore, 10_000);
        let faults = std::sync::Arc::new(testkit::Faults::script(before.chain([last]).chain(after)));
        let over = |inner: &Store| -> Store {
            testkit::Faulty::<dyn object_store::ObjectStore>::new(inner.clone(), faults.clone())
        };
        let (bronze, silver, gold) = (over(&world.lake.bronze), over(&world.lake.silver), over(&world.lake.gold));
        let lake = lake::Lake { bronze, silver, gold, ..world.lake.clone() };
        let shaken = World { lake, ..World::new(&options) };
        faults.stop();
        let dying = shaken.host(&options, telling()).await;
        faults.resume();
        let (key, steps) = (Key::from_text("o4"), Steps::default());
        let ended = forget(&dying, &key, &steps).await.is_ok();
        let again = world.host(&options, telling()).await;
        // If the command is run again, it asks whether the key is there.
        if proof::forget::is_there(&again, &key, &Steps::default()).await.unwrap() {
            assert!(forget(&again, &key, &Steps::default()).await.unwrap().is_whole());
        }
        assert_eq!(anywhere(&world, "secret-of-o4").await, Vec::<String>::new(), "call {nth}");
        assert_eq!(world.verify(&again).await.findings, [], "call {nth}");
        if ended {
            return;
        }
    }
    panic!("it never came to its end");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_writer_left_goes_with_the_record() {
    let options = Options { buckets: 1, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, telling()).await;
    world.once(&service, TICK).await.unwrap();
    // As if a clean and an aggregate host had died between a file and its commit.
    for (layer, folder, name) in [(&world.lake.silver, "_bucket=0", "0badc0de"), (&world.lake.gold, "sums", "0badc0de")]
    {
        let all: Vec<_> = layer.list(Some(&folder.into())).try_collect().await.unwrap();
        let file = all.into_iter().find(|object| object.location.as_ref().ends_with(".parquet")).unwrap().location;
        let bytes = store::read(&**layer, &file).await.unwrap();
        let digest = file.filename().unwrap().split('-').next().unwrap().to_owned();
        let left = store::Path::from(format!("{folder}/{digest}-{name}.parquet"));
        store::replace(&**layer, &left, bytes).await.unwrap();
    }
    let key = Key::from_text("o4");
    let done = forget(&service, &key, &Steps::default()).await.unwrap();
    assert_eq!((done.strays, done.is_whole()), (2, true), "{done:?}");
    assert_eq!(anywhere(&world, "secret-of-o4").await, Vec::<String>::new());
    assert_eq!(world.verify(&service).await.findings, []);
    // A row that is found in nothing but such a file is there, too.
    let stray = store::Path::from(format!("_bucket=0/{}-0badc0de.parquet", "0".repeat(64)));
    store::replace(&*world.lake.silver, &stray, bytes::Bytes::from_static(b"PAR1")).await.unwrap();
    assert!(proof::forget::is_there(&service, &key, &Steps::default()).await.unwrap());
    assert_eq!(forget(&service, &key, &Steps::default()).await.unwrap().strays, 1);
    assert!(!proof::forget::is_there(&service, &key, &Steps::default()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn answers_of_a_message_that_was_given_up_go_with_the_record() {
    let options = Options { source: orders(3), batch_size: 3, max_receives: 2, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        match id.as_str() {
            "o2" => Ok(answer(500, "down")),
            _ => Ok(answer(200, json!({ "id": id, "group": format!("secret-of-{id}"), "n": 1 }).to_string())),
        }
    });
    let service = world.host(&options, http).await;
    world.once(&service, TICK).await.unwrap();
    assert!(!anywhere(&world, "secret-of-o1").await.is_empty(), "its answer is kept");
    let done = forget(&service, &Key::from_text("o1"), &Steps::default()).await.unwrap();
    assert!(done.answers > 0 && done.is_whole(), "{done:?}");
    assert_eq!(anywhere(&world, "secret-of-o1").await, Vec::<String>::new());
    assert_eq!(anywhere(&world, "\"o1\"").await, Vec::<String>::new());
    assert_eq!(world.verify(&service).await.findings, []);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_left_the_pipeline_file_goes_whole_and_one_that_cannot_be_made_is_told() {
    use super::world::aggregator;
    let calm: super::world::Hiccup = std::sync::Arc::new(|| false);
    let both = vec![("old", aggregator(calm.clone())), ("sums", aggregator(calm.clone()))];
    let options = Options { tables: both, ..Options::default() };
    let world = World::new(&options);
    world.once(&world.host(&options, telling()).await, TICK).await.unwrap();
    let service = world.host(&Options { tables: Vec::new(), ..options.clone() }, telling()).await;
    assert_eq!(proof::forget::removed_tables(&service).await.unwrap(), ["old"]);
    let done = forget(&service, &Key::from_text("o4"), &Steps::default()).await.unwrap();
    assert_eq!((done.removed_tables.as_slice(), done.is_whole()), (&["old".to_owned()][..], true));
    assert_eq!(anywhere(&world, "secret-of-o4").await, Vec::<String>::new());
    assert!(proof::forget::removed_tables(&service).await.unwrap().is_empty());

    // A table whose plugin has begun to fail keeps its last version, and with it the record.
    let broken = world.host(&Options { broken_table: true, tables: Vec::new(), ..options.clone() }, telling()).await;
    world.once(&broken, NEXT).await.unwrap();
    let done = forget(&broken, &Key::from_text("o5"), &Steps::default()).await.unwrap();
    assert!(!done.is_whole() && done.remains[0].what == "gold table `broken`", "{done:?}");
    assert!(done.remains[0].until.contains("take `broken` out of the pipeline file"), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn notes_and_refusals_without_a_key_that_speak_of_the_record_go() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, telling()).await;
    world.once(&service, TICK).await.unwrap();
    inject(&world.queues.enrich.live, "{\"pipeline\":\"x\",\"entries\":[{\"key\":\"o4\",\"record\":{}}]}").await;
    world.once(&service, TICK).await.unwrap();
    let note =
        json!({ "stage": "clean", "happened": { "what": "refused", "reason": "it breaks on `o4`: secret-of-o4" } });
    let at = store::Path::from("_swaps/clean/00000000000000000001-note-x.json");
    store::replace(&*world.lake.bronze, &at, note.to_string().into()).await.unwrap();
    let refused = lake::quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.iter().filter(|one| one.key.is_none()).count(), 1, "{refused:?}");
    let done = forget(&service, &Key::from_text("o4"), &Steps::default()).await.unwrap();
    assert_eq!((done.refusals, done.notes), (1, 1));
    for word in ["secret-of-o4", "\"o4\"", "`o4`"] {
        assert_eq!(anywhere(&world, word).await, Vec::<String>::new(), "{word}");
    }
}
