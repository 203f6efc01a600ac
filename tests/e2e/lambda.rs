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
mod support;

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_stub::{Fault, Rule};
use aws_emulator::Emulator;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use films::{Films, KEY, TICK};
use serde_json::{Value, json};
use support::{Ran, repository, run};

const GOLD: [&str; 3] = ["genres", "directors", "decades"];
const PATIENCE: Duration = Duration::from_secs(120);

fn script(emulator: &Emulator, args: &[&str]) -> Ran {
    let python = std::env::var_os("SLUICEBOX_TEST_PYTHON").expect(
        "SLUICEBOX_TEST_PYTHON names no Python with the packages of tests/e2e/requirements.txt; run: cargo xtask test",
    );
    let mut command = Command::new(python);
    command.arg(repository().join("tests/e2e/aws_account.py")).args(args).envs(emulator.environment());
    run(&mut command).exits(0)
}

type Event = (String, u64, String);

/// What the Runtime API of a function holds: the next event, and who wants to hear how it went.
#[derive(Clone)]
struct Api {
    events: Arc<tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Event>>>,
    answers: Arc<Mutex<mpsc::Sender<(String, Value)>>>,
}

async fn next(State(api): State<Api>) -> Response {
    let Some((id, deadline, event)) = api.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [("lambda-runtime-aws-request-id", id), ("lambda-runtime-deadline-ms", deadline.to_string())];
    (headers, event).into_response()
}

async fn told(State(api): State<Api>, Path((_, how)): Path<(String, String)>, body: String) -> StatusCode {
    let _ = api.answers.lock().unwrap().send((how, serde_json::from_str(&body).unwrap_or_default()));
    StatusCode::ACCEPTED
}

async fn not_begun(State(api): State<Api>, body: String) -> StatusCode {
    let _ = api.answers.lock().unwrap().send(("init".to_owned(), serde_json::from_str(&body).unwrap_or_default()));
    StatusCode::ACCEPTED
}

/// A function: the program, and the API that it asks for work.
struct Function {
    program: Child,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
    answers: mpsc::Receiver<(String, Value)>,
    invoked: usize,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Function {
    /// How an invocation with `time` to spend ends: `response` or `error`, and with what.
    fn invoke(&mut self, event: &Value, time: Duration) -> (String, Value) {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        self.invoked += 1;
        let id = format!("request-{}", self.invoked);
        self.events.send((id, u64::try_from(deadline.as_millis()).unwrap(), event.to_string())).unwrap();
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    /// The ids that a batch leaves undone.
    fn failures(&mut self, event: &Value, time: Duration) -> Vec<String> {
        let (how, answer) = self.invoke(event, time);
        assert_eq!(how, "response", "{answer}");
        let failures = answer["batchItemFailures"].as_array().expect("a list").iter();
        failures.map(|one| one["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }
}

/// The films' pipeline as a bundle, and the account that its target `aws` names.
struct Account {
    films: Films,
    emulator: Emulator,
    name: &'static str,
}

impl Account {
    fn new(name: &'static str, sets: &str) -> Self {
        let (films, emulator) = (Films::new(name), Emulator::shared(env!("CARGO_TARGET_TMPDIR")));
        let (url, stub) = (emulator.url(), films.stub.url());
        let places = ["bronze", "silver", "gold"].map(|layer| format!("lake.{layer} = \"s3://{name}/lake/{layer}\"\n"));
        let target = format!(
            "\n[target.aws]\n{}source.uri = \"s3://{name}/source/movies.csv\"\nqueue.url = \"{url}/000000000000/{name}\"\n\
             secrets.omdb_api_key = \"aws-secretsmanager:{name}#omdb\"\nendpoints.omdb.url = \"{stub}\"\n\
             endpoints.omdb.rate = \"5000/s\"\n{sets}",
            places.concat()
        );
        let file = films.path("pipeline.toml");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &target).unwrap();
        let account = Account { films, emulator, name };
        let source = account.films.path("data/movies.csv");
        script(&account.emulator, &["make", name, KEY, source.to_str().unwrap()]);
        account
    }

    fn function(&self, role: &str) -> Function {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (events, receiver) = tokio::sync::mpsc::unbounded_channel();
        let (sender, answers) = mpsc::channel();
        let api = Api { events: Arc::new(tokio::sync::Mutex::new(receiver)), answers: Arc::new(Mutex::new(sender)) };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{how}", post(told))
            .route("/2018-06-01/runtime/init/error", post(not_begun))
            .with_state(api);
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
        // One file for both, as Lambda has one log.
        let log = std::fs::File::create(self.films.path(&format!("{role}.log"))).unwrap();
        let program = support::command(&self.films.folder)
            .envs(self.emulator.environment())
            .env_remove("OMDB_API_KEY")
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("LAMBDA_TASK_ROOT", &self.films.folder)
            .env("SLUICEBOX_ROLE", role)
            .env("SLUICEBOX_TARGET", "aws")
            .env("SLUICEBOX_CACHE_DIR", cache)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Function { program, events, answers, invoked: 0, _runtime: runtime }
    }

    /// All that waits in a stage's queue, as SQS events of ten messages each.
    fn batches(&self, stage: &str) -> Vec<Value> {
        script(&self.emulator, &["receive", self.name, stage]).json().as_array().unwrap().clone()
    }

    fn keys(&self) -> Vec<String> {
        let state = script(&self.emulator, &["state", self.name]).json();
        state["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// The lines of metrics that a role has written, one an invocation.
    fn metrics(&self, role: &str) -> Vec<Value> {
        let log = self.log(role);
        let lines =
            log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        lines.filter(|line: &Value| line.get("_aws").is_some()).collect()
    }

    fn log(&self, role: &str) -> String {
        std::fs::read_to_string(self.films.path(&format!("{role}.log"))).unwrap()
    }
}

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

const MINUTE: Duration = Duration::from_secs(60);

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
