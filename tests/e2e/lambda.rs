//! The functions of a pipeline, each the real program before a Runtime API of this test, in an account of the emulator. The test does
//! what AWS does between them: it fires the schedule, polls the queues, and hands on what S3 tells.
//!
//! Does not test Lambda itself.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod functions;
mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use api_stub::{Fault, Rule};
use films::{KEY, TICK};
use functions::{Account, MINUTE, PATIENCE, script};
use serde_json::{Value, json};
use support::run;

const GOLD: [&str; 3] = ["genres", "directors", "decades"];
/// A notification of S3 for an object, as SQS hands it over.
fn notified(number: usize, bucket: &str, key: &str) -> Value {
    let key = key.replace('=', "%3D");
    let body = json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": {"key": key}}}]});
    message(number, &body.to_string())
}

fn message(number: usize, body: &str) -> Value {
    json!({"messageId": format!("m-{number}"), "receiptHandle": "", "body": body, "eventSource": "aws:sqs"})
}

#[test]
fn four_functions_make_the_gold_of_a_laptop_and_every_message_is_answered() {
    let sets = "source.top_n = 40\nsource.batch_size = 4\nclean.plugin = \"s3://films-in-lambda/plugins/clean.wasm\"\n";
    let account = Account::new("films-in-lambda", sets);
    let component = account.films.path("plugins/clean-movies/clean-movies.wasm");
    script(&account.emulator, &["put", account.name, "plugins/clean.wasm", component.to_str().unwrap()]);
    let mut ingest = account.function("ingest");
    let (how, fired) = ingest.invoke(&json!({"time": TICK}), MINUTE);
    assert_eq!((how.as_str(), &fired["messages"]), ("response", &json!(10)), "{fired}\n{}", account.log("ingest"));
    assert_eq!(ingest.invoke(&json!({"time": "soon"}), MINUTE).0, "error");
    let metrics = account.metrics("ingest");
    assert_eq!(metrics.iter().map(|one| &one["RecordsTaken"]).collect::<Vec<_>>(), [&json!(40), &json!(0)]);
    assert_eq!(metrics.iter().map(|one| &one["ColdStart"]).collect::<Vec<_>>(), [&json!(1), &json!(0)]);

    let mut enrich = account.function("enrich");
    let batches = account.batches("enrich");
    assert_eq!(batches.iter().map(|batch| batch["Records"].as_array().unwrap().len()).sum::<usize>(), 10);
    for batch in &batches {
        assert_eq!(enrich.failures(batch, MINUTE), [""; 0], "{}", account.log("enrich"));
    }
    // Handed over twice, as SQS may: nobody is asked again.
    let calls = account.films.stub.stats().calls;
    assert_eq!(enrich.failures(&batches[0], MINUTE), [""; 0]);
    assert_eq!(account.films.stub.stats().calls, calls);
    let metrics = account.metrics("enrich");
    assert_eq!(metrics.len(), batches.len() + 1);
    let sum = |name: &str| metrics.iter().map(|one| one[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("HttpRequests"), sum("DeliveriesDone"), sum("DeliveriesTransient")), (calls, 20, 0));
    for one in &metrics {
        let directive = &one["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            (&directive["Namespace"], &directive["Dimensions"]),
            (&json!("Sluicebox"), &json!([["Pipeline", "Role"]]))
        );
        assert_eq!((&one["Pipeline"], &one["Role"]), (&json!("movies"), &json!("enrich")));
        let declared = directive["Metrics"].as_array().unwrap();
        assert!(declared.iter().all(|metric| one[metric["Name"].as_str().unwrap()].is_number()), "{one}");
        assert!(one["Duration"].as_f64().unwrap() > 0.0 && one["_aws"]["Timestamp"].is_u64(), "{one}");
    }
    assert!(!account.log("enrich").contains(KEY));

    let keys = account.keys();
    let bronze: Vec<&String> = keys.iter().filter(|key| key.starts_with("lake/bronze/")).collect();
    assert_eq!(bronze.iter().filter(|key| key.contains("/batch=")).count(), 10);
    let mut records: Vec<Value> =
        bronze.iter().enumerate().map(|(number, key)| notified(number, account.name, key)).collect();
    records.push(message(998, r#"{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "films-in-lambda"}"#));
    records.push(notified(999, "another-bucket", "lake/bronze/run=x/batch=1.jsonl"));
    let mut clean = account.function("clean");
    assert_eq!(clean.failures(&json!({"Records": records}), MINUTE), [""; 0], "{}", account.log("clean"));

    let keys = account.keys();
    let silver = keys.iter().filter(|key| key.starts_with("lake/silver/"));
    let records: Vec<Value> = silver.enumerate().map(|(number, key)| notified(number, account.name, key)).collect();
    let mut aggregate = account.function("aggregate");
    assert_eq!(aggregate.failures(&json!({"Records": records}), MINUTE), [""; 0], "{}", account.log("aggregate"));

    account.films.once(TICK, 40, 4);
    for table in GOLD {
        let there = script(&account.emulator, &["object", account.name, &format!("lake/gold/{table}.csv")]).stdout;
        let here = std::fs::read_to_string(account.films.path(&format!("lake/gold/{table}.csv"))).unwrap();
        assert!(there.lines().count() > 4 && there == here, "{table}: {there}\n{here}");
    }
}

#[test]
fn three_that_fail_of_ten_are_named_and_what_is_not_begun_in_time_too() {
    let account = Account::new("films-that-fail", "source.top_n = 20\nsource.batch_size = 1\n");
    let mut ingest = account.function("ingest");
    ingest.invoke(&json!({"scheduled-time": TICK}), MINUTE);
    let batches = account.batches("enrich");
    let (first, second) = (&batches[0], &batches[1]);
    let mut enrich = account.function("enrich");

    let mut bad = Vec::new();
    for record in &first["Records"].as_array().unwrap()[2..5] {
        let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        let title = title_of(&body).expect("a title");
        let fault = Fault::Status { status: 503, retry_after: None };
        account.films.stub.add_fault(Rule { fault, next: None, every: None, title: Some(title) });
        bad.push(record["messageId"].as_str().unwrap().to_owned());
    }
    assert_eq!(enrich.failures(first, MINUTE), bad, "{}", account.log("enrich"));
    let log = account.log("enrich");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<&Value> = lines.iter().filter(|line| line["message"] == "failed, will be tried again").collect();
    assert_eq!(failed.len(), 3, "{log}");
    for line in failed {
        assert_eq!(
            (&line["request"], &line["role"], &line["pipeline"]),
            (&json!("request-1"), &json!("enrich"), &json!("movies"))
        );
        assert!(line["batch"].as_str().unwrap().contains("/batch=") && line["run"] == "20261124T030000Z", "{line}");
    }
    let metrics = &account.metrics("enrich")[0];
    assert_eq!((&metrics["DeliveriesDone"], &metrics["DeliveriesTransient"]), (&json!(7), &json!(3)), "{metrics}");
    account.films.stub.clear_faults();

    // All answers late: what does not come in time is told in time.
    let before = objects(&account);
    let ids: Vec<&str> =
        second["Records"].as_array().unwrap().iter().map(|one| one["messageId"].as_str().unwrap()).collect();
    for record in &second["Records"].as_array().unwrap()[6..] {
        let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        let title = title_of(&body).expect("a title");
        let fault = Fault::Delay { ms: 9000 };
        account.films.stub.add_fault(Rule { fault, next: None, every: None, title: Some(title) });
    }
    let begun = std::time::Instant::now();
    let late = enrich.failures(second, Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(late, ids[6..], "{}", account.log("enrich"));
    assert_eq!(objects(&account).difference(&before).count(), 6);
    account.films.stub.clear_faults();
    // The warm function goes on, and does what is left.
    assert_eq!(enrich.failures(second, MINUTE), [""; 0]);
}

fn title_of(body: &Value) -> Option<String> {
    match body {
        Value::Object(map) => match map.iter().find(|(name, _)| name.eq_ignore_ascii_case("title")) {
            Some((_, Value::String(title))) => Some(title.clone()),
            _ => map.values().find_map(title_of),
        },
        Value::Array(list) => list.iter().find_map(title_of),
        _ => None,
    }
}

fn objects(account: &Account) -> BTreeSet<String> {
    account.keys().into_iter().filter(|key| key.contains("/batch=")).collect()
}

#[test]
fn what_cannot_start_says_so_to_lambda() {
    let account =
        Account::new("films-that-cannot-start", "clean.plugin = \"s3://films-that-cannot-start/none.wasm\"\n");
    let clean = account.function("clean");
    let (how, told) = clean.answers.recv_timeout(PATIENCE).unwrap();
    let text = told["errorMessage"].as_str().unwrap_or_default().to_owned();
    assert!(how == "init" && text.contains("s3://films-that-cannot-start/none.wasm"), "{how} {told}");
}

#[test]
fn a_bundle_has_all_that_a_function_needs_and_compiles_nothing() {
    let account = Account::new("films-in-a-bundle", "source.top_n = 3\nsource.batch_size = 1\n");
    let bundle = account.films.path("films.zip");
    let made = account.films.folder.join("made");
    let make = |to: &std::path::Path| {
        let args = ["deploy", "bundle", "--target", "aws", "--json", "--output", to.to_str().unwrap()];
        run(support::command(&account.films.folder).args(args)).exits(0).json()
    };
    let told = make(&bundle);
    assert_eq!(told["bytes"], std::fs::metadata(&bundle).unwrap().len(), "{told}");
    zip::ZipArchive::new(std::fs::File::open(&bundle).unwrap()).unwrap().extract(&made).unwrap();
    let compiled = |below: &std::path::Path| {
        let code = films::files(&below.join("cache/code"));
        code.into_iter().filter(|(path, _)| path.extension().is_none()).count()
    };
    // The enricher, the cleaner and three aggregators.
    assert_eq!(compiled(&made), 5);

    // Where nothing but `bootstrap` and what lies beside it is there.
    let mut program = Command::new(made.join("bootstrap"));
    program.env_clear().env("LAMBDA_TASK_ROOT", &made);
    let mut ingest = account.start("ingest", program);
    let (how, fired) = ingest.invoke(&json!({"time": TICK}), MINUTE);
    assert_eq!((how.as_str(), &fired["messages"]), ("response", &json!(3)), "{fired}\n{}", account.log("ingest"));
    assert_eq!(compiled(&made), 5);
}
