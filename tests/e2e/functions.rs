//! Functions of a pipeline as Lambda runs them: the real program before a Runtime API of this process, in an account of the emulator.
//!
//! Does the work of AWS between them only when it is told to.

#![allow(dead_code, reason = "each program uses a part")]

use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_emulator::Emulator;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::films::{Buckets, Films, KEY};
use crate::support::{self, Ran, compiled_plugins, run};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn script(emulator: &Emulator, args: &[&str]) -> Ran {
    run(support::script("aws_account.py").args(args).envs(emulator.environment())).exits(0)
}

type Event = (String, u64, String);

/// The news of an object of S3 as SQS hands it over, sent by one of the three ways that there are: by S3 itself, through a topic of SNS,
/// through EventBridge.
pub(crate) fn notified(number: usize, bucket: &str, key: &str) -> Value {
    let encoded = key.replace('=', "%3D");
    let direct = json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": {"key": encoded}}}]});
    let body = match number % 3 {
        0 => direct,
        1 => {
            json!({"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:000000000000:lake", "Message": direct.to_string()})
        }
        _ => json!({"version": "0", "detail-type": "Object Created", "source": "aws.s3",
            "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}),
    };
    message(number, &body.to_string())
}

pub(crate) fn message(number: usize, body: &str) -> Value {
    json!({"messageId": format!("m-{number}"), "receiptHandle": "", "body": body, "eventSource": "aws:sqs"})
}

/// What the Runtime API of a function holds: the next event, and the caller that waits for its result.
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
pub(crate) struct Function {
    program: Child,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
    pub(crate) answers: mpsc::Receiver<(String, Value)>,
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
    /// The end of an invocation with that much `time`: `response` or `error`, and its content.
    pub(crate) fn invoke(&mut self, event: &Value, time: Duration) -> (String, Value) {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        self.invoked += 1;
        let id = format!("request-{}", self.invoked);
        self.events.send((id, u64::try_from(deadline.as_millis()).unwrap(), event.to_string())).unwrap();
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    /// The process's peak of memory, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line of it");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    }

    /// The ids that a batch leaves undone.
    pub(crate) fn failures(&mut self, event: &Value, time: Duration) -> Vec<String> {
        let (how, answer) = self.invoke(event, time);
        assert_eq!(how, "response", "{answer}");
        let failures = answer["batchItemFailures"].as_array().expect("a list").iter();
        failures.map(|one| one["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }
}

/// The films' pipeline as a bundle, and the account that its target `aws` names.
pub(crate) struct Account {
    pub(crate) films: Films,
    pub(crate) emulator: Emulator,
    pub(crate) name: &'static str,
}

impl Account {
    pub(crate) fn new(name: &'static str, sets: &str) -> Self {
        let (films, emulator) = (Films::new(name), Emulator::shared(env!("CARGO_TARGET_TMPDIR")));
        let endpoint = format!("endpoints.omdb.url = \"{}\"\nendpoints.omdb.rate = \"5000/s\"\n", films.stub.url());
        films.add_aws(name, Buckets::One, &emulator.queue_url(name), &(endpoint + sets));
        let account = Account { films, emulator, name };
        let source = account.films.path("data/movies.csv");
        script(&account.emulator, &["make", name, KEY, source.to_str().unwrap()]);
        account
    }

    pub(crate) fn function(&self, role: &str) -> Function {
        self.start(role, self.program())
    }

    /// The program as it is built, in the folder of the pipeline.
    pub(crate) fn program(&self) -> Command {
        let mut program = support::command(&self.films.folder);
        let cache = compiled_plugins();
        program.env("LAMBDA_TASK_ROOT", &self.films.folder).env("SLUICEBOX_CACHE_DIR", cache);
        program.env("SLUICEBOX_TARGET", "aws").env_remove("OMDB_API_KEY");
        program
    }

    /// The event of a stage's function for objects whose keys begin so.
    pub(crate) fn notified(&self, prefix: &str) -> Vec<Value> {
        let keys = self.keys().into_iter().filter(|key| key.starts_with(prefix));
        keys.enumerate().map(|(number, key)| notified(number, self.name, &key)).collect()
    }

    pub(crate) fn start(&self, role: &str, mut program: Command) -> Function {
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
        // One file for both, as Lambda has one log.
        let log = std::fs::File::create(self.films.path(&format!("{role}.log"))).unwrap();
        let program = program
            .envs(self.emulator.environment())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("SLUICEBOX_ROLE", role)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Function { program, events, answers, invoked: 0, _runtime: runtime }
    }

    /// All that waits in a stage's queue, as SQS events of ten messages each.
    pub(crate) fn batches(&self, stage: &str) -> Vec<Value> {
        script(&self.emulator, &["receive", self.name, stage]).json().as_array().unwrap().clone()
    }

    /// Asserts that Gold is what a laptop makes of the same tick.
    pub(crate) fn has_the_gold_of_a_laptop(&self, top_n: u32, batch_size: u32) {
        let there = |file: &str| script(&self.emulator, &["object", self.name, &format!("lake/gold/{file}")]).stdout;
        self.films.once_gives_the_gold(top_n, batch_size, there);
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let state = script(&self.emulator, &["state", self.name]).json();
        state["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// The lines of metrics that a role has written, one an invocation.
    pub(crate) fn metrics(&self, role: &str) -> Vec<Value> {
        let log = self.log(role);
        let lines =
            log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        lines.filter(|line: &Value| line.get("_aws").is_some()).collect()
    }

    pub(crate) fn log(&self, role: &str) -> String {
        std::fs::read_to_string(self.films.path(&format!("{role}.log"))).unwrap()
    }
}
