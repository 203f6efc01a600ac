//! A record that is erased is nowhere any more, and the lake still holds what it promises.
//!
//! Does not test the queue's file: `tests/e2e` does.

use engine::forget::forget;
use engine::lake::bronze::PluginStamp;
use engine::lake::keys::Key;
use engine::pipeline::plan::Percent;
use engine::progress::Steps;
use engine::roles::breaker::{Sample, Suspension};
use engine::seams::store::{self, Store};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;

use super::world::{Options, TICK, World, good, inject};

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
        samples: vec![sample(key), sample("o5")],
    };
    let body = serde_json::to_vec(&suspension).unwrap();
    store::replace(&**layer, &store::Path::from("_suspended/x.json"), body.into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_erased_record_is_nowhere_and_the_lake_still_verifies() {
    let options = Options::default();
    let world = World::new(&options);
    // A group of its own tells whether Gold still knows of it.
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
    let objects = engine::lake::bronze::inventory(&world.lake, None).await.unwrap().objects;
    // As if both had been made from one answer.
    let path = line_of(&objects);
    let text = String::from_utf8(store::read(&*world.lake.bronze, &path).await.unwrap().to_vec()).unwrap();
    let answers: Vec<&str> =
        text.split("\"answers\":[\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let shared = text.replace(answers[1], answers[0]);
    store::replace(&*world.lake.bronze, &path, shared.into()).await.unwrap();
    let done = forget(&service, &Key::from_text("o1"), &Steps::default()).await.unwrap();
    assert_eq!(done.shared_answers.into_values().collect::<Vec<_>>(), [Key::from_text("o2")]);
    assert_eq!(done.answers, 0);
}
