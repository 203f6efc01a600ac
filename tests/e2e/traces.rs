//! A run and the collector that its traces are sent to: one trace from the source to Gold, and what is in none.
//!
//! Does not test a collector.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it opens connections itself, and what goes wrong ends it"
)]

mod films;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use api_stub::{Fault, Rule};
use films::{Films, KEY, TICK};
use serde_json::Value;
use support::run;

/// Takes what it is sent.
struct Collector {
    url: String,
    /// The heads and bodies of all requests.
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let into = Arc::clone(&taken);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, into) = (connection.unwrap(), Arc::clone(&into));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&connection);
                    loop {
                        let (mut head, mut length) = (String::new(), 0);
                        loop {
                            let mut line = String::new();
                            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                                return;
                            }
                            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                                length = value.trim().parse().unwrap();
                            }
                            if line.trim().is_empty() {
                                break;
                            }
                            head.push_str(&line);
                        }
                        let mut body = vec![0; length];
                        reader.read_exact(&mut body).unwrap();
                        into.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
                        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                        (&connection).write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        Collector { url, taken }
    }

    fn taken(&self) -> Vec<(String, String)> {
        self.taken.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let documents = self.taken().into_iter().map(|(_, body)| serde_json::from_str::<Value>(&body).unwrap());
        let spans = documents.flat_map(|document| {
            let resource = &document["resourceSpans"][0];
            assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "sluicebox");
            resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        });
        spans.map(Span).collect()
    }
}

/// A span of a document.
#[derive(Debug)]
struct Span(Value);

impl Span {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> String {
        let all = self.0["attributes"].as_array().unwrap();
        let value = all.iter().find(|one| one["key"] == name).map(|one| &one["value"]);
        let text = |value: &Value| value["stringValue"].as_str().or(value["intValue"].as_str()).map(str::to_owned);
        value.and_then(text).unwrap_or_default()
    }
}

#[test]
fn one_trace_reaches_from_the_source_to_gold_and_holds_no_secret_and_no_key() {
    let (films, collector) = (Films::new("traced"), Collector::start());
    films.stub.add_fault(Rule::next(Fault::Status { status: 503, retry_after: None }, 1));
    let sets = ["--set", "source.top_n=12", "--set", "source.batch_size=4"];
    let mut command = films.command(&[&["run", "--once", "--tick", TICK], &sets[..]].concat());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url).env("OTEL_EXPORTER_OTLP_HEADERS", "x-token=t%20ken");
    run(&mut command).exits(0);

    let (spans, taken) = (collector.spans(), collector.taken());
    assert!(taken.iter().all(|(head, _)| head.starts_with("POST /v1/traces ") && head.contains("x-token: t ken")));
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.text("traceId")).collect();
    assert_eq!(traces.len(), 1, "{traces:?}");
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.text("spanId"), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "two spans of one id");
    let named = |name: &str| spans.iter().filter(|span| span.text("name") == name).collect::<Vec<_>>();
    let above = |span: &Span| by_id.get(span.text("parentSpanId")).map(|parent| parent.text("name").to_owned());

    // Every span but the first has its parent in the trace.
    let roots: Vec<&str> = spans.iter().filter(|span| above(span).is_none()).map(|span| span.text("name")).collect();
    assert_eq!(roots, ["ingest"], "{spans:#?}");
    assert_eq!((named("enrich").len(), named("clean").len()), (3, 3));
    let parents = |name: &str| named(name).iter().map(|span| above(span).unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(parents("enrich"), BTreeSet::from(["ingest".to_owned()]));
    for span in named("clean") {
        let parent = by_id[span.text("parentSpanId")];
        assert_eq!((parent.text("name"), parent.attribute("batch")), ("enrich", span.attribute("batch")));
    }
    let aggregates: Vec<&Span> = spans.iter().filter(|span| span.text("name").starts_with("aggregate")).collect();
    assert!(!aggregates.is_empty() && aggregates.iter().all(|span| above(span).unwrap().starts_with("clean")));

    // Each call and each request is a child of its delivery.
    assert_eq!(parents("plugin enrich"), BTreeSet::from(["enrich".to_owned()]));
    assert!(parents("plugin clean").iter().all(|name| name.starts_with("clean")));
    assert!(parents("plugin finish").iter().all(|name| name.starts_with("aggregate")));
    let requests = named("GET");
    assert_eq!(
        (requests.len() as u64, parents("GET")),
        (films.stub.stats().calls, BTreeSet::from(["enrich".to_owned()]))
    );
    assert!(requests.iter().all(|span| span.attribute("server.address") == "127.0.0.1" && span.0["kind"] == 3));
    let refused: Vec<_> = requests.iter().filter(|span| span.0["status"]["code"] == 2).collect();
    assert!(refused.len() == 1 && refused[0].attribute("http.response.status_code") == "503", "{refused:?}");
    for span in named("enrich") {
        let fields = ["pipeline", "role", "run", "outcome"].map(|name| span.attribute(name));
        assert_eq!(fields, ["movies", "enrich", "20261124T030000Z", "done"]);
        assert!(span.attribute("plugin").starts_with("enrich-omdb@") && span.attribute("batch").starts_with("run="));
        let [begun, ended] =
            ["startTimeUnixNano", "endTimeUnixNano"].map(|name| span.text(name).parse::<u128>().unwrap());
        assert!(begun < ended);
    }

    let sent: String = taken.into_iter().map(|(_, body)| body).collect();
    let hidden = ["apikey", KEY, "canary", "\"key\":\"key\"", "http://", "?"];
    assert_eq!(hidden.map(|hidden| sent.contains(hidden)), [false; 6]);
    let is_object = |path: &std::path::Path| path.to_string_lossy().contains("/batch=");
    let objects = films::files(&films.path("lake/bronze")).into_iter().filter(|(path, _)| is_object(path));
    let text: String = objects.map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let keys: Vec<String> = lines.map(|line| line["_meta"]["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 12);
    assert!(keys.iter().all(|key| !sent.contains(key)), "{keys:?}");
}

#[test]
fn a_collector_that_is_away_costs_nothing_but_a_warning() {
    let films = Films::new("traced-away");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = films.command(&["run", "--once", "--tick", TICK, "--set", "source.top_n=4"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{closed}"));
    let ran = run(&mut command).exits(0);
    assert_eq!(ran.stderr.matches("spans could not be sent").count(), 1, "{}", ran.stderr);

    let mut command = films.command(&["status"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    let ran = run(&mut command).exits(2);
    assert!(ran.stderr.contains("`OTEL_EXPORTER_OTLP_ENDPOINT` is no URL"), "{}", ran.stderr);
}
