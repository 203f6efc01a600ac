//! Services that ask for a pause of a day: it is bounded and reported, and a stop, the patience, another version or an operator ends it.
//!
//! Does not test what a pause costs: `proof/tests/service/pauses.rs` does.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod serve;
mod support;
mod table;

use std::time::{Duration, Instant};

use films::{Films, TICK};
use serde_json::{Value, json};
use serve::Served;
use table::{HOLDS, told};

fn asks_for_a_day(films: &Films, status: u16) {
    let fault = json!({ "fault": { "kind": "status", "status": status, "retry_after": "86400" } });
    films.stub.clear_faults();
    films.stub.add_fault(serde_json::from_value(fault).unwrap());
}

fn waiting(films: &Films) -> Vec<Value> {
    let status = films.sluicebox(&["status", "--json"]).exits(0).json();
    status["pipelines"][0]["waiting"].as_array().unwrap().clone()
}

#[test]
fn f46_a_pause_of_a_day_is_bounded_shown_and_ended_by_a_stop_a_person_or_another_version() {
    let films = Films::new("waits-a-day");
    let sets = ["--set", "schedule.cron=\"* * * * *\"", "--set", "source.top_n=6", "--set", "source.batch_size=2"];
    asks_for_a_day(&films, 429);
    let mut served = Served::start(films.command(&[&["run"][..], &sets].concat()));
    let (line, at) = served.wait(0, "the pause", |line| line.message() == "paused");
    let text = line.text();
    assert!(text.contains("asks for a pause of 86400 s, it is asked again after 3600 s"), "{text}");
    assert!(text.contains("\"until\""), "{text}");
    // Shown by a command in another process.
    let begun = Instant::now();
    let wait = loop {
        if let Some(wait) = waiting(&films).pop() {
            break wait;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "status shows no wait");
        std::thread::sleep(Duration::from_millis(300));
    };
    assert_eq!(wait["stage"], "enrich");
    let shown = films.sluicebox(&["status"]).exits(0).stdout;
    assert!(shown.contains("stage `enrich` waits since") && shown.contains("sluicebox resume enrich"), "{shown}");
    // Reported once, however often it is checked.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(served.lines().iter().filter(|line| line.message() == "paused").count(), 1);

    // An operator lets it go on: it tries, and waits again because the service still says so.
    let ended = films.sluicebox(&["resume", "enrich"]).exits(0).stdout;
    assert!(ended.contains("ended: stage `enrich` waited"), "{ended}");
    let (_, at) = served.wait(at, "the try", |line| line.message() == "told to go on, tried again");

    // Another version is a reason to try again.
    let path = films.path("plugins/enrich-omdb/enrich-omdb.wasm");
    let good = std::fs::read(&path).unwrap();
    support::publish(&path, &support::another(&good, 1));
    served.wait(at, "the switch", |line| line.message() == "another plugin serves");
    served.wait(at, "the try", |line| line.message() == "another version serves, tried again");

    // A stop does not wait.
    let begun = Instant::now();
    assert!(served.stop() >= 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(waiting(&films).is_empty(), "who has stopped waits for nothing");
    told(
        "F46 a service asks for a day",
        1,
        "an hour at most, shown by status; a person, another version and a stop end it",
        HOLDS,
    );
}

#[test]
fn f47_retry_after_a_day_on_500_is_not_slept_through_with_work_in_hand() {
    let films = Films::new("waits-in-hand");
    // One request alone: nothing says that the service is down, and each try is that request's.
    asks_for_a_day(&films, 500);
    let args = ["run", "--set", "schedule.cron=\"* * * * *\"", "--set", "source.top_n=1"];
    let mut served = Served::start(films.command(&args));
    served.wait(0, "a tick", |line| line.message() == "tick fired");
    let begun = Instant::now();
    while films.stub.stats().calls == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody asks");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    assert!(served.stop() >= 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    told("F47 Retry-After: 86400 on 500", 1, "not slept through with work in hand: SIGTERM is obeyed", HOLDS);
}

#[test]
fn f48_patience_ends_a_pause_of_a_day() {
    let films = Films::new("waits-patience");
    for status in [429, 503, 500] {
        asks_for_a_day(&films, status);
        let begun = Instant::now();
        let args = ["run", "--once", "--tick", TICK, "--patience", "2s", "--set", "source.top_n=8"];
        let ran = films.sluicebox(&args).exits(1);
        assert!(begun.elapsed() < Duration::from_secs(40), "{status}: {:?}\n{}", begun.elapsed(), ran.stderr);
        assert!(ran.stdout.contains("86400") || ran.stdout.contains("is down"), "{status}: {}", ran.stdout);
    }
    films.stub.clear_faults();
    films.once(TICK, 8, 4);
    films.sluicebox(&["verify"]).exits(0);
    told("F48 a day's pause and 2 s of patience", 3, "the run ends, the next goes on", HOLDS);
}
