//! The functions of a pipeline, each the real program before a Runtime API of this test, in an account of the emulator. The test does
//! what AWS does between them: it fires the schedule, polls the queues, and passes on S3's events.
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
use functions::{Account, MINUTE, PATIENCE, message, notified, script};
use serde_json::{Value, json};
use support::run;

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
    // A value of zero is no metric: each one costs money.
    assert_eq!(metrics.iter().map(|one| &one["RecordsTaken"]).collect::<Vec<_>>(), [&json!(40), &Value::Null]);
    assert_eq!(metrics.iter().map(|one| &one["ColdStart"]).collect::<Vec<_>>(), [&json!(1), &Value::Null]);

    let mut enrich = account.function("enrich");
    let batches = account.batches("enrich");
    assert_eq!(batches.iter().map(|batch| batch["Records"].as_array().unwrap().len()).sum::<usize>(), 10);
    for batch in &batches {
        assert_eq!(enrich.failures(batch, MINUTE), [""; 0], "{}", account.log("enrich"));
    }
    // Delivered twice, as SQS may: no service is asked again.
    let calls = account.films.stub.stats().calls;
    assert_eq!(enrich.failures(&batches[0], MINUTE), [""; 0]);
    assert_eq!(account.films.stub.stats().calls, calls);
    let metrics = account.metrics("enrich");
    assert_eq!(metrics.len(), batches.len() + 1);
    let sum = |name: &str| metrics.iter().map(|one| one[name].as_u64().unwrap_or_default()).sum::<u64>();
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

    let records = account.notified("lake/silver/");
    let mut aggregate = account.function("aggregate");
    assert_eq!(aggregate.failures(&json!({"Records": records}), MINUTE), [""; 0], "{}", account.log("aggregate"));
    account.has_the_gold_of_a_laptop(40, 4);
}

#[test]
fn a_pipeline_file_in_s3_is_taken_up_and_a_plugin_that_does_worse_is_taken_back() {
    let account = Account::new("films-taken-back", "source.top_n = 200\nsource.batch_size = 10\nswap.rehearse = 0\n");
    let file = account.films.path("pipeline.toml");
    let sound = std::fs::read_to_string(&file).unwrap();
    let publish = || {
        script(&account.emulator, &["put", account.name, "pipeline.toml", file.to_str().unwrap()]);
    };
    publish();
    let function = |role: &str| {
        let mut program = account.program();
        program.env("SLUICEBOX_PIPELINE", format!("s3://{}/pipeline.toml", account.name));
        account.start(role, program)
    };
    function("ingest").invoke(&json!({"time": TICK}), MINUTE);
    let mut enrich = function("enrich");
    for batch in account.batches("enrich") {
        assert_eq!(enrich.failures(&batch, MINUTE), [""; 0], "{}", account.log("enrich"));
    }
    let mut records = account.notified("lake/bronze/run=");
    records.retain(|record| record["body"].as_str().unwrap().contains("/batch%3D"));
    let (first, rest) = records.split_at(5);
    let (few, rest) = rest.split_at(3);
    let mut clean = function("clean");
    assert_eq!(clean.failures(&json!({"Records": first}), MINUTE), [""; 0], "{}", account.log("clean"));

    let worse = sound.replace("max_year = 2011", "max_year = 1800");
    assert_ne!(sound, worse);
    std::fs::write(&file, &worse).unwrap();
    publish();
    // It looks every three seconds.
    std::thread::sleep(Duration::from_millis(3100));
    // Thirty records are too few to judge a plugin.
    assert_eq!(clean.failures(&json!({"Records": few}), MINUTE), [""; 0], "{}", account.log("clean"));
    let refused = || account.keys().iter().filter(|key| key.starts_with("lake/bronze/_quarantine/")).count();
    assert!(refused() >= 30, "{}", account.log("clean"));
    let mut left = rest.to_vec();
    for _ in 0..5 {
        let failed = clean.failures(&json!({"Records": left}), MINUTE);
        left.retain(|record| failed.iter().any(|id| record["messageId"] == *id));
        if left.is_empty() {
            break;
        }
    }
    let log = account.log("clean");
    assert!(left.is_empty() && log.contains("another plugin serves"), "{log}");
    assert!(log.contains("the new plugin is worse, the one before it serves again"), "{log}");

    // What it has refused is queued again. A function that starts only now does not let it serve, either.
    let again = account.batches("clean");
    assert!(!again.is_empty(), "{log}");
    drop(clean);
    let mut clean = function("clean");
    for batch in again {
        assert_eq!(clean.failures(&batch, MINUTE), [""; 0], "{}", account.log("clean"));
    }
    // The one that the plugin before refuses as well: of 2039.
    assert_eq!(refused(), 1);
    let mut aggregate = function("aggregate");
    let records = account.notified("lake/silver/_delta_log/");
    assert_eq!(aggregate.failures(&json!({"Records": records}), MINUTE), [""; 0], "{}", account.log("aggregate"));
    std::fs::write(&file, &sound).unwrap();
    account.has_the_gold_of_a_laptop(200, 10);
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

    // All answers are late: what does not come in time is reported in time.
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

/// A lake of earlier versions, which closed no ticks. A snapshot in it would not fit into memory if it were read whole.
fn fill_with_ticks(lake: &std::path::Path, ticks: u32) {
    use std::io::Write as _;
    const MESSAGES: u32 = 300;
    const RECORDS: u32 = 1000;
    for day in 1..=ticks {
        let tick = format!("202601{day:02}T030000Z");
        let (bronze, receipts) = (format!("bronze/run={tick}"), format!("silver/_receipts/run={tick}"));
        let (bronze, receipts) = (lake.join(bronze), lake.join(receipts));
        std::fs::create_dir_all(&bronze).unwrap();
        std::fs::create_dir_all(&receipts).unwrap();
        let mut snapshot = std::io::BufWriter::new(std::fs::File::create(bronze.join("_snapshot-old.jsonl")).unwrap());
        for batch in 0..MESSAGES {
            let id = format!("{:016x}", day * MESSAGES + batch);
            let entry = |at: u32| {
                let key = format!("Film {at} of {batch}/19{:02}", at % 100);
                json!({"key": key, "record": {"Film": key, "Year": "1999", "Genre": "Drama", "Studio": "Another One", "Score": "70"}})
            };
            let entries: Vec<Value> = (0..RECORDS).map(entry).collect();
            let message = json!({"pipeline": "movies", "tick": tick, "batch": batch, "id": id, "entries": entries});
            writeln!(snapshot, "{message}").unwrap();
            let object = format!("batch={batch:05}-{id}.jsonl");
            std::fs::write(bronze.join(&object), "{}\n").unwrap();
            let receipt = json!({"object": format!("run={tick}/{object}"), "generation": 1, "silver_version": 0, "lines": RECORDS,
                "cleaned": RECORDS, "skipped": [], "quarantined": []});
            std::fs::write(receipts.join(format!("{object}.json")), receipt.to_string()).unwrap();
        }
    }
}

/// The operating system gives it no more memory, as on Lambda.
#[test]
fn ingest_within_512_mib_fires_its_tick_over_a_lake_that_would_not_fit_into_it() {
    const LIMIT: u64 = 512 << 20;
    let account = Account::new("films-of-long-ago", "");
    let file = account.films.path("pipeline.toml");
    let source = account.films.path("data/movies.csv");
    let here = format!("[target.here]\nsource.uri = \"{}\"\n", source.display());
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &here).unwrap();
    let ticks = std::env::var("OLD_TICKS").ok().and_then(|ticks| ticks.parse().ok()).unwrap_or(3);
    fill_with_ticks(&account.films.path("lake"), ticks);
    let program = account.program();
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--data={LIMIT}")).arg(program.get_program()).arg("lambda");
    limited.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("SLUICEBOX_TARGET", "here");
    limited.current_dir(&account.films.folder).env("OMDB_API_KEY", KEY);
    let mut ingest = account.start("ingest", limited);
    let (how, fired) = ingest.invoke(&json!({"time": TICK}), PATIENCE);
    assert_eq!(how, "response", "{fired}\n{}", account.log("ingest"));
    assert!(fired["records"].as_u64() > Some(0), "{fired}");
    assert!(!account.log("ingest").contains("sweep failed"), "{}", account.log("ingest"));
    println!("{ticks} ticks of 300,000 records: {} MiB", ingest.peak_memory());
    // All of it was looked at and found whole. It is not closed, for Gold has nothing of it.
    let open = std::fs::read_dir(account.films.path("lake/bronze/_open")).unwrap();
    let names: Vec<String> = open.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("202601")).count(), ticks as usize, "{names:?}");
    let known = std::fs::read_to_string(account.films.path("lake/bronze/_sweep.json")).unwrap();
    let known: Value = serde_json::from_str(&known).unwrap();
    assert!(known["marked"] == true && known["next"].is_null(), "{known}");
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
        let code = films::files(below).into_iter().map(|(path, _)| path);
        code.filter(|path| path.extension().is_none() && path.to_str().unwrap().contains("/cache/code/")).collect()
    };
    // The enricher, the cleaner and three aggregators.
    let shipped: Vec<std::path::PathBuf> = compiled(&made);
    assert_eq!(shipped.len(), 5);

    // Where nothing but `bootstrap` and what lies beside it is there.
    let scratch = account.films.path("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let digest = told["compiled_digest"].as_str().unwrap().to_owned();
    let start = |role: &str| {
        let mut program = Command::new(made.join("bootstrap"));
        program.env_clear().env("LAMBDA_TASK_ROOT", &made).env("SLUICEBOX_TARGET", "aws").env("TMPDIR", &scratch);
        program.env("SLUICEBOX_BUNDLE", &digest);
        account.start(role, program)
    };
    let (how, fired) = start("ingest").invoke(&json!({"time": TICK}), MINUTE);
    assert_eq!((how.as_str(), &fired["messages"]), ("response", &json!(3)), "{fired}\n{}", account.log("ingest"));
    let mut enrich = start("enrich");
    for batch in account.batches("enrich") {
        assert_eq!(enrich.failures(&batch, MINUTE), [""; 0], "{}", account.log("enrich"));
    }
    // What it runs is what was shipped, and nothing else.
    assert_eq!(compiled(&scratch), Vec::<std::path::PathBuf>::new());
    assert_eq!(compiled(&made), shipped);
    drop(enrich);

    // A bundle whose compiled code was changed: that code is not run, but compiled again. `clean` is as good a function as any.
    for path in &shipped {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let mut clean = start("clean");
    let mut objects = account.notified("lake/bronze/run=");
    objects.retain(|record| record["body"].as_str().unwrap().contains("/batch%3D"));
    assert_eq!(clean.failures(&json!({ "Records": objects }), MINUTE), [""; 0], "{}", account.log("clean"));
    let log = account.log("clean");
    assert!(log.contains("a file that came with the program is not the one of its list"), "{log}");
    assert!(!compiled(&scratch).is_empty());
    drop(clean);

    // A list that was changed together with the files does not have the digest that the function was given.
    let list = made.join("cache/digests.json");
    std::fs::write(&list, std::fs::read_to_string(&list).unwrap() + " ").unwrap();
    let (how, told) = start("ingest").invoke(&json!({"time": TICK}), MINUTE);
    assert_eq!(how.as_str(), "response", "{told}");
    assert!(account.log("ingest").contains("what is compiled there is not used: its `digests.json` has the digest"));
}
