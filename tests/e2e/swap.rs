//! Plugins that are replaced while a process serves the pipeline: good ones take over, others are not let in, and no record pays for
//! either.
//!
//! Does not test what a switch is: the engine's own tests do.

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

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use films::{Films, GOLD};
use serde_json::Value;
use serve::{Line, Served};
use support::{another, minutes_ago, publish, sluicebox};
use table::{HOLDS, told, whole};

const PLUGIN: &str = "plugins/clean-movies/clean-movies.wasm";

/// `run` of a pipeline that ticks each minute and catches up with those since `last`, so that there is work for a while.
fn served(films: &Films, sets: &[&str]) -> Served {
    let mut args = vec![
        "run",
        "--log-level",
        "info,engine=debug",
        "--set",
        "schedule.cron=\"* * * * *\"",
        "--set",
        "schedule.missed=\"all\"",
    ];
    for set in sets {
        args.extend(["--set", set]);
    }
    let mut served = Served::start(films.command(&args));
    served.wait(0, "the first tick", |line| line.message() == "tick fired");
    served
}

fn drained(films: &Films) -> Value {
    let begun = Instant::now();
    loop {
        let ran = films.sluicebox(&["status", "--json"]);
        // Exit code 3 while the published file is no plugin: the rest is shown.
        assert!([0, 3].contains(&ran.code), "{ran:?}");
        let status = ran.json()["pipelines"][0].clone();
        let queues = status["queues"].as_object().unwrap();
        let waiting = |queue: &Value| ["ready", "delayed", "in_flight", "dead"].iter().any(|kind| queue[kind] != 0);
        // A tick may fire, and bring new objects, between the look at the queues and that at the lake.
        if !queues.values().any(waiting) && status["silver"]["unseen_objects"] == 0 {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(240), "{status}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn events(films: &Films, stage: &str) -> Vec<Value> {
    let history = films.sluicebox(&["plugin", "history", "--json"]).exits(0).json();
    let found = history["stages"].as_array().unwrap().iter().find(|one| one["stage"] == stage).unwrap();
    found["events"].as_array().unwrap().clone()
}

fn generations(films: &Films, stage: &str) -> Vec<Value> {
    let history = films.sluicebox(&["plugin", "history", "--json"]).exits(0).json();
    let found = history["stages"].as_array().unwrap().iter().find(|one| one["stage"] == stage).unwrap();
    found["generations"].as_array().unwrap().clone()
}

fn digest(bytes: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("sluicebox-digest-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let output = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    format!("sha256:{}", String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap())
}

/// The mistakes of a publisher, in turn.
fn garbage(good: &[u8], number: usize) -> (&'static str, Vec<u8>) {
    match number % 4 {
        0 => ("P011", b"not WebAssembly at all".to_vec()),
        1 => ("P011", good[..good.len() / 2].to_vec()),
        2 => ("P010", b"\0asm\x01\0\0\0".to_vec()),
        _ => (
            "P022",
            std::fs::read(artifacts::PLUGINS.iter().find(|(name, _)| *name == "aggregate-genres").unwrap().1).unwrap(),
        ),
    }
}

fn percentile(mut spans: Vec<Duration>, of_a_hundred: usize) -> Duration {
    if spans.is_empty() {
        return Duration::ZERO;
    }
    spans.sort();
    spans[(spans.len() * of_a_hundred / 100).min(spans.len() - 1)]
}

fn took(line: &Line) -> Option<Duration> {
    let of_clean = line.message() == "batch done" && line.text().contains("\"clean\"");
    let took = line.fields["took_ms"].as_f64().or(line.fields["fields"]["took_ms"].as_f64());
    took.filter(|_| of_clean).map(|took| Duration::from_secs_f64(took / 1000.0))
}

#[test]
fn f10_swapped_under_load_nothing_is_lost_and_garbage_never_serves() {
    let (swaps, minutes) = if whole() { (100, 1400) } else { (20, 400) };
    let films = Films::new("swaps-under-load");
    let first = minutes_ago(minutes);
    films.once(&first, 40, 4);
    let path = films.path(PLUGIN);
    let good = std::fs::read(&path).unwrap();
    let mut ours = BTreeSet::from([digest(&good)]);
    let log = ["source.top_n=40", "source.batch_size=4", "swap.rehearse=20"];
    let mut served = served(&films, &log);
    // A calm stretch first, to compare the others with.
    let (_, mut at) = served.wait(0, "work", |line| line.message() == "cleaned");
    std::thread::sleep(Duration::from_secs(2));
    let calm: Vec<Duration> = served.lines().iter().filter_map(took).collect();
    let (mut cached, mut compiled, mut output, mut promoted) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for number in 1..=swaps {
        let begun = Instant::now();
        if number % 10 == 0 {
            let (code, bytes) = garbage(&good, number / 10);
            publish(&path, &bytes);
            let (line, next) = served.wait(at, "the refusal", |line| line.message().starts_with("not let in"));
            assert!(line.text().contains(code), "{}", line.text());
            at = next;
            continue;
        }
        // Each other time one that was there before, whose compiled code is kept.
        let variant = if number % 2 == 0 { number } else { number % 4 };
        let bytes = another(&good, variant);
        let fresh = ours.insert(digest(&bytes));
        publish(&path, &bytes);
        let (line, next) = served.wait(at, "the switch", |line| line.message() == "another plugin serves");
        at = next;
        promoted += 1;
        if fresh {
            compiled.push(line.at - begun)
        } else {
            cached.push(line.at - begun)
        }
        // When all the work is done there is none until the next minute's tick.
        let version = format!("\"version\":{promoted},");
        let by_it = |line: &Line| took(line).is_some() && line.text().contains(&version);
        output.extend(served.look(at, Duration::from_secs(5), by_it).map(|(line, _)| line.at - begun));
    }
    let loaded: Vec<Duration> = served.lines().iter().filter_map(took).skip(calm.len()).collect();
    let status = drained(&films);
    assert_eq!(status["silver"]["unseen_objects"], 0, "{status}");
    assert!(served.stop() >= 0);
    films.sluicebox(&["verify"]).exits(0);

    let serving: BTreeSet<String> =
        generations(&films, "clean").iter().map(|one| one["plugin"]["digest"].as_str().unwrap().to_owned()).collect();
    assert!(serving.is_subset(&ours), "garbage has made something");
    assert!(output.len() > swaps / 3, "only {} swaps were under load", output.len());
    assert!(serving.len() > swaps / 6, "only {} versions have made something", serving.len());
    let history = events(&films, "clean");
    let count = |what: &str| history.iter().filter(|event| event["happened"]["what"] == what).count();
    assert_eq!((count("promoted"), count("refused")), (swaps - swaps / 10, swaps / 10));
    let figures = format!(
        "nothing lost or doubled, garbage refused; serves {:.0?} after its file is there (compiled again: {:.0?}), its first batch is \
         done after {:.0?}, medians; \
         p99 of a clean batch {:.0?} calm, {:.0?} while swapping",
        percentile(cached, 50),
        percentile(compiled, 50),
        percentile(output, 50),
        percentile(calm, 99),
        percentile(loaded, 99),
    );
    told("F10 swapped under load", swaps, &figures, HOLDS);
}

#[test]
fn a_plugin_that_does_worse_is_not_let_in_and_one_that_gets_in_is_taken_back() {
    let calm = Films::new("swaps-calm");
    calm.once(films::TICK, 200, 10);
    let films = Films::new("swaps-worse");
    films.once(&minutes_ago(40), 200, 10);
    let pipeline = films.path("pipeline.toml");
    let sound = std::fs::read_to_string(&pipeline).unwrap();
    let worse = sound.replace("max_year = 2011", "max_year = 1800");
    assert_ne!(sound, worse);

    // Tried on what is in Bronze it fails, and never serves.
    let mut served = self::served(&films, &["source.top_n=200", "source.batch_size=10"]);
    std::fs::write(&pipeline, "not = [toml").unwrap();
    let (line, at) = served.wait(0, "the refusal", |line| line.message().starts_with("not let in"));
    assert!(line.text().contains("pipeline"), "{}", line.text());
    std::fs::write(&pipeline, &worse).unwrap();
    let (line, _) = served.wait(at, "the refusal", |line| line.message().starts_with("not let in"));
    assert!(line.text().contains("P145"), "{}", line.text());
    let shown = films.sluicebox(&["status"]).exits(0).stdout;
    assert!(shown.contains("was not let in [P145]: it fails on more than 20%"), "{shown}");
    std::fs::write(&pipeline, &sound).unwrap();
    assert!(served.stop() >= 0);
    let waits =
        films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0]["queues"]["enrich"]["ready"].as_u64();
    assert!(waits > Some(0), "no work is left to see the way back with");

    // Not tried it gets in, and does not stay.
    let mut served = self::served(&films, &["source.top_n=200", "source.batch_size=10", "swap.rehearse=0"]);
    let from = served.lines().len();
    std::fs::write(&pipeline, &worse).unwrap();
    served.wait(from, "the switch", |line| line.message() == "another plugin serves");
    let (line, _) = served.wait(from, "the way back", |line| line.message().starts_with("the new plugin is worse"));
    assert!(line.text().contains("clean-movies"), "{}", line.text());
    // What waits is cleaned by the one before.
    let from = served.lines().len();
    served.wait(from, "work", |line| line.message() == "cleaned");
    drained(&films);
    assert!(served.stop() >= 0);
    std::fs::write(&pipeline, &sound).unwrap();
    films.sluicebox(&["verify"]).exits(0);
    for table in GOLD {
        assert_eq!(films.gold(table), calm.gold(table), "{table}");
    }
}

#[test]
fn a_canary_and_a_shadow_are_compared_on_what_comes_in_before_they_serve() {
    let films = Films::new("swaps-compared");
    films.once(&minutes_ago(400), 40, 4);
    let (plugin, pipeline) = (films.path(PLUGIN), films.path("pipeline.toml"));
    let good = std::fs::read(&plugin).unwrap();
    let sound = std::fs::read_to_string(&pipeline).unwrap();
    let worse = sound.replace("max_year = 2011", "max_year = 1800");
    let work = ["source.top_n=40", "source.batch_size=4", "swap.rehearse=0", "swap.compare=60"];

    // Half of what comes in is enough to tell that it is no worse; what it makes meanwhile is thrown away.
    let mut served = self::served(&films, &[&work[..], &["swap.canary=\"50%\""]].concat());
    publish(&plugin, &another(&good, 1));
    let (compared, at) = served.wait(0, "the comparison", |line| line.message() == "compared before it may serve");
    assert!(compared.text().contains("50%") && compared.text().contains("60 inputs"), "{}", compared.text());
    let (switched, _) = served.wait(at, "the switch", |line| line.message() == "another plugin serves");
    let summary = switched.text();
    let counted = summary.split_once("\"0 of ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(counted.is_some_and(|inputs| inputs >= 60), "{summary}");
    assert!(served.stop() >= 0);
    let happened = |event: &Value| event["happened"]["what"].as_str().unwrap().to_owned();
    let told: Vec<String> = events(&films, "clean").iter().map(happened).collect();
    assert_eq!(told, ["compared", "promoted"]);

    // All of it is looked at, and what fails never serves: Gold is as if it had never been published.
    let mut served = self::served(&films, &[&work[..], &["swap.shadow=true"]].concat());
    std::fs::write(&pipeline, &worse).unwrap();
    let (_, at) = served.wait(0, "the comparison", |line| line.message() == "compared before it may serve");
    let (line, _) = served.wait(at, "the refusal", |line| line.message().starts_with("not let in"));
    assert!(line.text().contains("P145"), "{}", line.text());
    std::fs::write(&pipeline, &sound).unwrap();
    drained(&films);
    assert!(served.stop() >= 0);
    let told: Vec<String> = events(&films, "clean").iter().map(happened).collect();
    assert_eq!(told[told.len() - 2..], ["compared", "refused"]);
    films.sluicebox(&["verify"]).exits(0);
    assert_eq!(generations(&films, "clean").len(), 2, "the refused one has made nothing");
}

#[test]
fn a_person_takes_a_plugin_back_and_signatures_are_asked_for() {
    let films = Films::new("swaps-by-hand");
    let path = films.path(PLUGIN);
    let good = std::fs::read(&path).unwrap();
    films.once(films::TICK, 20, 10);
    let nothing = films.sluicebox(&["plugin", "rollback", "clean"]).exits(2).stderr;
    assert!(nothing.contains("no other plugin has served `clean` before"), "{nothing}");
    publish(&path, &another(&good, 1));
    films.once(films::NEXT_TICK, 20, 10);
    assert_eq!(generations(&films, "clean").len(), 2);
    let unknown = films.sluicebox(&["plugin", "rollback", "genre"]).exits(2).stderr;
    assert!(unknown.contains("no stage `genre`") && unknown.contains("aggregate genres"), "{unknown}");
    let done = films.sluicebox(&["plugin", "rollback", "clean", "--reason", "too slow"]).exits(0).stdout;
    assert!(done.contains("generation 1"), "{done}");
    let status = films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(status["plugins"]["clean"]["digest"], digest(&good).as_str());
    let shown = films.sluicebox(&["plugin", "history"]).exits(0).stdout;
    assert!(shown.contains("was taken back by hand") && shown.contains("too slow"), "{shown}");
    films.sluicebox(&["plugin", "rollback", "clean", "--undo"]).exits(0);
    let status = films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(status["plugins"]["clean"]["digest"], digest(&another(&good, 1)).as_str());
    films.sluicebox(&["plugin", "rollback", "clean", "--undo"]).exits(2);
    films.sluicebox(&["verify"]).exits(0);

    publish(&path, &good);
    let plugin = |args: &[&str]| sluicebox(&films.folder, &[&["plugin"], args].concat());
    let made = plugin(&["keygen", "release.pem", "--json"]).exits(0).json();
    let public = made["public_key"].as_str().unwrap().to_owned();
    let trust = format!("signatures.trusted_keys=[\"{public}\"]");
    let unsigned = films.sluicebox(&["check", "--set", &trust]).exits(2).stderr;
    assert!(unsigned.contains("P017") && unsigned.contains("cannot read the signature"), "{unsigned}");
    for (name, _) in artifacts::PLUGINS {
        let component = format!("plugins/{name}/{name}.wasm");
        plugin(&["sign", &component, "--key", "release.pem"]).exits(0);
    }
    films.sluicebox(&["check", "--set", &trust]).exits(0);
    let told = plugin(&["verify", PLUGIN, "--key", &public]).exits(0).stdout;
    assert!(told.contains(&public), "{told}");
    publish(&path, &another(&good, 2));
    let wrong = films.sluicebox(&["check", "--set", &trust]).exits(2).stderr;
    assert!(wrong.contains("P017") && wrong.contains("is not by a trusted key"), "{wrong}");
    plugin(&["verify", PLUGIN, "--key", &public]).exits(1);
    plugin(&["keygen", "release.pem"]).exits(1);
}
