//! What the host refuses by itself: plugins that do not fit, fields that are not there, records without a key of their own. Each is reported
//! with its code, and `explain-error` knows every one.
//!
//! Does not run plugins that misbehave: `hostile.rs` does.

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

use std::collections::BTreeMap;

use films::{Films, TICK};
use serde_json::Value;
use serve::Served;
use support::sluicebox;

/// Without aggregates, so that any cleaner's columns do; a few titles, the first of them twice.
fn short(name: &str) -> Films {
    let films = Films::new(name);
    let pipeline = films.path("pipeline.toml");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let start = text.find("[[aggregate]]").unwrap();
    let end = text.find("[lake]").unwrap();
    std::fs::write(&pipeline, format!("{}{}", &text[..start], &text[end..])).unwrap();
    let data = films.path("data/movies.csv");
    let text = std::fs::read_to_string(&data).unwrap();
    let lines: Vec<&str> = text.lines().take(10).collect();
    std::fs::write(&data, format!("{}\n{}\n", lines.join("\n"), lines[1])).unwrap();
    std::fs::copy(artifacts::misbehave(), films.path("plugins/numbers.wasm")).unwrap();
    films
}

const NUMBERS: &str = "clean.plugin=\"plugins/numbers.wasm\"";

#[test]
fn plugins_that_do_not_fit_are_told_by_code() {
    let films = Films::new("refusals-fit");
    let pin = format!("clean.sha256=\"{}\"", "0".repeat(64));
    let pinned = films.sluicebox(&["check", "--set", &pin]).exits(2).stderr;
    assert!(pinned.contains("[P016]") && pinned.contains("pinned is sha256:0000"), "{pinned}");
    std::fs::copy(artifacts::misbehave(), films.path("plugins/numbers.wasm")).unwrap();
    let sets = ["--set", NUMBERS, "--set", "clean.config={}"];
    let breach = films.sluicebox(&[&["check"], &sets[..]].concat()).exits(2).stderr;
    assert!(breach.contains("[P040]") && breach.contains("reads column"), "{breach}");
}

#[test]
fn fields_and_keys_that_are_not_there_are_told_by_code() {
    let films = short("refusals-records");
    let sets = ["--set", NUMBERS, "--set", "clean.config={}", "--set", "source.top_n=20"];
    let said = films.sluicebox(&[&["run", "--once", "--tick", TICK], &sets[..]].concat()).exits(1).stdout;
    assert!(said.contains("too many refused: 10 of the tick's 10 records"), "{said}");
    let listed = films.sluicebox(&["quarantine", "ls", "--json"]).exits(0).json();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for one in listed["refused"].as_array().unwrap() {
        *codes.entry(one["code"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(codes, BTreeMap::from([("R002", 9), ("R003", 1)]), "{listed}");
}

/// Each thing that is searched for in a log has one name, in every line.
#[test]
fn the_log_says_of_a_refusal_whose_work_it_was() {
    let films = short("refusals-logged");
    let sets = ["--set", NUMBERS, "--set", "clean.config={}", "--set", "source.top_n=20"];
    let args =
        [&["run", "--once", "--tick", TICK, "--log-format", "json", "--log-level", "info,engine=debug"], &sets[..]]
            .concat();
    let log = films.sluicebox(&args).exits(1).stderr;
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let refused: Vec<&Value> = lines.iter().filter(|line| line["message"] == "refused").collect();
    assert_eq!(refused.len(), 10, "{log}");
    for line in refused {
        let by_source = line["code"] == "R003";
        assert_eq!(text(line, "role"), if by_source { "ingest" } else { "clean" }, "{line}");
        assert_eq!((text(line, "pipeline"), text(line, "run")), ("movies".into(), "20261124T030000Z".into()), "{line}");
        assert!(!text(line, "key").is_empty(), "{line}");
        if !by_source {
            assert!(text(line, "batch").starts_with("run=20261124T030000Z/batch=0000"), "{line}");
            let plugin = text(line, "plugin");
            let (_, digits) = plugin.split_once('@').unwrap_or_else(|| panic!("{line}"));
            assert!(digits.len() == 12 && text(line, "level") == "INFO", "{line}");
        }
    }
    let names = ["tick fired", "cleaned"].map(|message| lines.iter().find(|line| line["message"] == message).unwrap());
    assert_eq!(names.map(|line| text(line, "role")), ["ingest", "clean"]);
    assert!(names.iter().all(|line| line["run"] == "20261124T030000Z" && line["pipeline"] == "movies"), "{names:?}");
    assert!(!log.contains("trace."), "{log}");
}

#[test]
fn a_cleaner_whose_columns_do_not_fit_the_table_is_not_let_in() {
    let films = short("refusals-columns");
    films.once(TICK, 5, 5);
    let mut served = Served::start(films.command(&["run", "--set", "swap.rehearse=0"]));
    served.wait(0, "the start", |line| line.text().contains("serving"));
    let path = films.path("plugins/clean-movies/clean-movies.wasm");
    let pipeline = films.path("pipeline.toml");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, text.replace("max_year = 2011", "")).unwrap();
    std::fs::copy(artifacts::misbehave(), path.with_extension("next")).unwrap();
    std::fs::rename(path.with_extension("next"), &path).unwrap();
    let (line, _) =
        served.wait(0, "the refusal", |line| line.message().starts_with("not let in") && line.text().contains("P041"));
    assert!(line.text().contains("replay --rebuild"), "{}", line.text());
    assert!(served.stop() >= 0);
}

#[test]
fn every_code_is_explained() {
    let folder = support::fresh_folder("refusals-codes");
    let all = sluicebox(&folder, &["explain-error", "--json"]).exits(0).json();
    let codes = all["codes"].as_array().unwrap();
    assert!(codes.len() > 60, "{}", codes.len());
    let shown = sluicebox(&folder, &["explain-error", "p104"]).exits(0).stdout;
    assert!(shown.starts_with("P104  the plugin ran past its deadline") && shown.contains("next  "), "{shown}");
    let none = sluicebox(&folder, &["explain-error", "P1044"]).exits(2).stderr;
    assert!(none.contains("there is no code `P1044`") && none.contains("P104"), "{none}");
}
