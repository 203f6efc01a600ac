//! What users do to prove their own lake: verify it, explain a row, mend a plugin and replay, erase a record; and what they see when
//! an intruder has tampered with it.
//!
//! Does not list every way to damage a lake: the engine's own tests do.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod support;

use films::{Films, NEXT_TICK, TICK, files};
use serde_json::{Value, json};
use support::run;

/// Of so many of the best known titles 50 are later than [`BUG`] and rightly in the list, fewer than one in five; [`STRAYS`] are not.
const TITLES: u32 = 503;
/// The year that a bug takes for the last one of the list.
const BUG: &str = "clean.config.max_year=2007";
/// Titles whose year was misread: they are refused with and without the bug.
const STRAYS: u64 = 3;

fn gold(films: &Films) -> Vec<Vec<Vec<String>>> {
    ["genres", "directors", "decades"].map(|table| films.gold(table)).to_vec()
}

fn verify(films: &Films, code: i32) -> Value {
    films.sluicebox(&["verify", "--json"]).exits(code).json()["pipelines"][0].clone()
}

#[test]
fn a_row_is_explained_by_running_again_and_a_changed_byte_is_told() {
    let films = Films::new("films-explained");
    films.once(TICK, 40, 10);
    let report = verify(&films, 0);
    assert_eq!((&report["findings"], &report["notes"]), (&json!([]), &json!([])));
    assert_eq!(report["states"], json!({"silver": 40}));
    for promise in ["V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9"] {
        assert!(report["checked"][promise].as_u64() > Some(0), "{promise}: {report}");
    }

    let explained = films.sluicebox(&["explain", "The Dark Knight/2008", "--json"]).exits(0).json();
    let row = &explained["row"];
    assert_eq!((&row["document"]["agrees"], &row["cleaned"]["agrees"]), (&json!(true), &json!(true)));
    assert_eq!(row["cleaned_by"]["plugin"]["name"], "clean-movies");
    assert!(row["enriched_by"]["plugin"]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(row["answers"][0]["request"]["endpoint"], "omdb");
    let fed: Vec<&str> = row["feeds"].as_array().unwrap().iter().map(|fed| fed["table"].as_str().unwrap()).collect();
    assert!(["genres", "directors", "decades"].iter().all(|table| fed.contains(table)), "{fed:?}");
    let shown = films.sluicebox(&["explain", "The Dark Knight/2008"]).exits(0).stdout;
    assert!(shown.contains("every byte agrees") && shown.contains("feeds gold genres: genre Action"), "{shown}");
    let near = films.sluicebox(&["explain", "dark knight"]).exits(2).stderr;
    assert!(near.contains("did you mean `The Dark Knight/2008`?"), "{near}");

    let (object, line) = row["source"].as_str().unwrap().rsplit_once(':').unwrap();
    let path = films.path("lake/bronze").join(object);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited: Vec<String> = text
        .lines()
        .zip(1..)
        .map(|(text, number)| if number.to_string() == line { text.replacen("Nolan", "Molan", 1) } else { text.into() })
        .collect();
    std::fs::write(&path, edited.join("\n") + "\n").unwrap();
    let told = films.sluicebox(&["explain", "The Dark Knight/2008"]).exits(1).stdout;
    assert!(told.contains("Molan") && told.contains("Nolan") && told.contains("from byte"), "{told}");
    let report = verify(&films, 1);
    let found = report["findings"].as_array().unwrap();
    let v3 = found.iter().find(|finding| finding["invariant"] == "V3").unwrap();
    assert!(v3["at"].as_str().unwrap().starts_with("The Dark Knight/2008 ("), "{v3}");
    assert!(found.iter().any(|finding| finding["invariant"] == "V4" && finding["at"] == "The Dark Knight/2008"));
    let shown = films.sluicebox(&["verify"]).exits(1).stdout;
    assert!(shown.contains("do not hold"), "{shown}");
}

#[test]
fn a_bug_that_refuses_fifty_titles_is_mended_without_a_call() {
    let calm = Films::new("films-never-wrong");
    calm.once(TICK, TITLES, 20);
    let films = Films::new("films-mended");
    let size = [format!("source.top_n={TITLES}"), "source.batch_size=20".to_owned()];
    let wrong = ["run", "--once", "--json", "--tick", TICK, "--set", &size[0], "--set", &size[1], "--set", BUG];
    let summary = films.sluicebox(&wrong).exits(0).json()["pipelines"][0].clone();
    assert_eq!(summary["lake"]["quarantine"]["clean"], 50 + STRAYS);
    assert_ne!(gold(&films), gold(&calm));
    let listed = films.sluicebox(&["quarantine", "ls", "--json"]).exits(0).json();
    let mended = |one: &&Value| one["key"].as_str().is_some_and(|key| key.ends_with("/2008"));
    let id = listed["refused"].as_array().unwrap().iter().find(mended).unwrap()["id"].as_str().unwrap();
    let shown = films.sluicebox(&["quarantine", "show", id]).exits(0).stdout;
    assert!(shown.contains(&format!("sluicebox quarantine replay {id}")), "{shown}");

    let calls = films.stub.stats().calls;
    let planned = films.sluicebox(&["quarantine", "replay", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(planned["pipelines"][0]["records"], 50 + STRAYS);
    let one = films.sluicebox(&["quarantine", "replay", id, "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!((&one["records"], &one["rows_changed"]), (&json!(1), &json!(1)));
    let rest = films.sluicebox(&["quarantine", "replay", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!((&rest["records"], &rest["rows_changed"]), (&json!(49 + STRAYS), &json!(49)));
    assert_eq!(rest["requests"], 0);
    assert_eq!(films.stub.stats().calls, calls, "nobody was asked");
    assert_eq!(gold(&films), gold(&calm), "as if it had never happened");
    let left = films.sluicebox(&["quarantine", "ls", "--json"]).exits(0).json()["refused"].clone();
    assert_eq!(left.as_array().unwrap().len() as u64, STRAYS);
    assert_eq!(verify(&films, 0)["findings"], json!([]));

    // The others are of the earlier configuration still: made again they come out equal, and nothing is written for it.
    let before = films.once(TICK, TITLES, 20)["lake"]["silver"]["version"].clone();
    let stale = films.sluicebox(&["replay", "--stale", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(
        (&stale["records"], &stale["rows_changed"], &stale["gold_changed"]),
        (&json!(u64::from(TITLES) - 50 - STRAYS), &json!(0), &json!(0))
    );
    assert_eq!(films.once(TICK, TITLES, 20)["lake"]["silver"]["version"], before);
    assert_eq!(films.sluicebox(&["replay", "--stale", "--json"]).exits(0).json()["pipelines"][0]["records"], 0);
    assert_eq!(verify(&films, 0)["findings"], json!([]));
}

#[test]
fn a_stricter_plugin_takes_its_rows_back() {
    let films = Films::new("films-stricter");
    films.once(TICK, TITLES, 20);
    let before = verify(&films, 0)["states"]["silver"].as_u64().unwrap();
    let strict =
        films.sluicebox(&["replay", "--stale", "--set", BUG, "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(strict["rows_changed"], 50);
    let report = run(films.command(&["verify", "--json"]).args(["--set", BUG])).exits(0).json()["pipelines"][0].clone();
    assert_eq!(report["states"]["silver"].as_u64(), Some(before - 50));
    let never = Films::new("films-always-strict");
    let size = [format!("source.top_n={TITLES}"), "source.batch_size=20".to_owned()];
    never.sluicebox(&["run", "--once", "--tick", TICK, "--set", &size[0], "--set", &size[1], "--set", BUG]).exits(0);
    assert_eq!(gold(&films), gold(&never));
}

#[test]
fn a_run_that_leaves_a_replay_queued_is_not_done() {
    let films = Films::new("films-left");
    films.once(TICK, 12, 3);
    // Another component of the enrich stage, and no answers: a replay has to ask, and no service answers.
    let plugin = films.path("plugins/enrich-omdb/enrich-omdb.wasm");
    let mut component = std::fs::read(&plugin).unwrap();
    component.extend([0, 2, 1, b'x']);
    std::fs::write(&plugin, component).unwrap();
    std::fs::remove_dir_all(films.path("lake/bronze/_answers")).unwrap();
    films.stub.set_quota(Some(0));
    let patience = ["--patience", "0s"];
    run(films.command(&["replay", "--stale", "--fetch"]).args(patience)).exits(1);
    let size = ["--set", "source.top_n=12", "--set", "source.batch_size=3"];
    let left = run(films.command(&["run", "--once", "--tick", TICK]).args(size).args(patience)).exits(1).stdout;
    assert!(left.contains("not done") && left.contains("4 messages still queued"), "{left}");
    films.stub.set_quota(None);
    let done = films.once(TICK, 12, 3);
    assert_eq!((&done["queued"], &done["waiting_for"]), (&json!(0), &Value::Null));
    assert_eq!(verify(&films, 0)["states"], json!({"silver": 12}));
}

#[test]
fn an_erased_title_is_nowhere_in_the_project_but_in_its_source() {
    let films = Films::new("films-forgotten");
    for tick in [TICK, NEXT_TICK] {
        films.once(tick, 60, 7);
    }
    let records = films.sluicebox(&["records", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(records["states"], json!({"silver": 60, "superseded": 60}));
    let listed = films.sluicebox(&["records", "--state", "superseded", "--run", "20261124T030000Z", "--limit", "3"]);
    let listed = listed.exits(0).stdout;
    assert!(listed.contains("60 record versions: 60 superseded") && listed.contains("57 more"), "{listed}");
    let title = "Inglourious Basterds";
    let refused = films.sluicebox(&["forget", &format!("{title}/2009")]).exits(2).stderr;
    assert!(refused.contains("--yes"), "{refused}");
    let done = films.sluicebox(&["forget", &format!("{title}/2009"), "--yes", "--json"]).exits(0).json();
    assert_eq!(done["lines"].as_array().unwrap().len(), 2);
    assert_eq!((&done["answers"], &done["rows"], &done["shared_answers"]), (&json!(2), &json!(1), &json!({})));
    for folder in ["lake", ".sluicebox"] {
        for (path, bytes) in files(&films.path(folder)) {
            assert!(!String::from_utf8_lossy(&bytes).contains(title), "it is in {}", path.display());
        }
    }
    let report = verify(&films, 0);
    assert_eq!(report["findings"], json!([]));
    let gone = films.sluicebox(&["explain", &format!("{title}/2009")]).exits(2).stderr;
    assert!(gone.contains("holds no record"), "{gone}");
}
