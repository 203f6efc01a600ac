//! What a serving process reports over HTTP, to probes and to scrapers of metrics.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it opens connections itself, and what goes wrong ends it"
)]

mod films;
mod serve;
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use films::Films;
use serve::Served;
use support::get;

/// Every series with its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(' '));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn probes_and_metrics_are_answered_while_it_serves() {
    let films = Films::new("monitored");
    let sets = ["--set", "schedule.cron=\"* * * * *\"", "--set", "source.top_n=5"];
    let mut served = Served::start(films.command(&[&["run", "--listen", "127.0.0.1:0"][..], &sets].concat()));
    let (line, _) = served.wait(0, "the address", |line| line.message().starts_with("answering /livez"));
    let address = line.fields["address"].as_str().unwrap().to_owned();
    // It lives from the start, and is ready once its plugins are compiled and its tables open.
    assert_eq!(get(&address, "/livez"), (200, "alive\n".to_owned()));
    assert!([200, 503].contains(&get(&address, "/readyz").0));
    let (_, at) = served.wait(0, "a tick", |line| line.message() == "tick fired");
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".to_owned()));
    served.wait(at, "Gold", |line| line.message() == "tick done");

    // Gold may have come of some of them while others are on their way.
    let until = Instant::now() + Duration::from_secs(60);
    let written = "sluicebox_silver_rows_written_total{pipeline=\"movies\"}";
    let text = loop {
        let (status, text) = get(&address, "/metrics");
        assert_eq!(status, 200, "{text}");
        if series(&text).get(written).is_some_and(|rows| *rows >= 5.0) || Instant::now() > until {
            break text;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(text.ends_with("# EOF\n"), "{text}");
    let found = series(&text);
    let at_least = |name: &str, least: f64| {
        let value = found.get(name).unwrap_or_else(|| panic!("no series `{name}` in\n{text}"));
        assert!(*value >= least, "{name} is {value}");
    };
    for name in ["records_taken", "records_enriched", "records_cleaned", "silver_rows_written", "http_requests"] {
        at_least(&format!("sluicebox_{name}_total{{pipeline=\"movies\"}}"), 5.0);
    }
    for stage in ["enrich", "clean", "aggregate"] {
        at_least(&format!("sluicebox_stage_suspended{{pipeline=\"movies\",stage=\"{stage}\"}}"), 0.0);
        at_least(&format!("sluicebox_queue_messages{{pipeline=\"movies\",stage=\"{stage}\",state=\"dead\"}}"), 0.0);
        for outcome in ["done", "transient", "pause", "plugin", "bug", "fatal", "given_up"] {
            let labels = format!("pipeline=\"movies\",stage=\"{stage}\",outcome=\"{outcome}\"");
            at_least(
                &format!("sluicebox_deliveries_total{{{labels}}}"),
                f64::from(u8::from(outcome == "done" && stage != "aggregate")),
            );
        }
    }
    assert!(!text.contains(films::KEY), "the secret is in the metrics");
    let health = support::sluicebox(&films.folder, &["health", "--listen", &address]).exits(0);
    assert_eq!(health.stdout, "ready\n");
    assert_eq!(get(&address, "/elsewhere").0, 404);
    assert!(served.stop() >= 0);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let films = Films::new("monitored-taken");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failed = films.sluicebox(&["run", "--listen", &address]);
    assert!(failed.code != 0 && failed.stderr.contains(&format!("cannot listen at `{address}`")), "{}", failed.stderr);
    // A server listens and says nothing; then no server listens.
    let asked = support::sluicebox(&films.folder, &["health", "--listen", &address, "--patience", "300ms"]).exits(3);
    assert!(asked.stderr.contains(&format!("nobody answers at `{address}`")), "{}", asked.stderr);
    drop(taken);
    let asked = support::sluicebox(&films.folder, &["health", "--listen", &address, "--json"]).exits(3);
    assert!(asked.json()["error"]["hint"].as_str().unwrap().contains("run --listen"), "{}", asked.stdout);
}
