//! The pipeline of this repository from its source to Gold, as its users run it: the program, the shipped components, a stand-in
//! for the API, and readers of other people's making.
//!
//! Does not test the plugins' rules or the engine's parts: their own tests do.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use films::{Films, KEY, NEXT_TICK, TICK, files};
use serde_json::{Value, json};
use support::{Ran, command, fresh_folder, repository, run, script, sluicebox};

/// What a script of this folder says.
fn python(name: &str, args: &[&Path]) -> Value {
    run(script(name).args(args)).exits(0).json()
}

#[test]
fn as_it_stands_it_makes_ten_rows_and_doing_it_again_changes_nothing() {
    let films = Films::new("films-as-it-stands");
    let first = films.sluicebox(&["run", "--once", "--json", "--tick", TICK]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(
        first["fired"],
        json!({"tick": "20261124T030000Z", "records": 10, "messages": 10, "queued": 10, "refused": 0})
    );
    assert_eq!(first["lake"]["silver"]["rows"], 10);
    assert_eq!(films.stub.stats().calls, 10);
    let before = files(&films.path("lake"));
    let second = films.sluicebox(&["run", "--once", "--json", "--tick", TICK]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(second["fired"]["queued"], 0);
    assert!(before == files(&films.path("lake")), "the second run changed the lake");
    assert_eq!(films.stub.stats().calls, 10);
}

#[test]
fn every_record_of_the_source_is_accounted_for_and_gold_is_what_duckdb_computes() {
    let films = Films::new("films-all");
    let summary = films.once(TICK, 3201, 100);
    let (silver, refused) = (&summary["lake"]["silver"], &summary["lake"]["quarantine"]);
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    // One record has no title, hence no key; the others pass the queue.
    assert_eq!((count(&summary["fired"]["records"]), count(&refused["ingest"])), (3200, 1));
    assert_eq!(count(&silver["seen"]), 3200);
    assert_eq!(count(&silver["rows"]) + count(&silver["skipped"]) + count(&silver["quarantined"]), 3200, "{silver}");
    assert_eq!(count(&refused["clean"]), count(&silver["quarantined"]));
    assert!((1..100).contains(&count(&refused["clean"])), "years after 2011 are refused, and nothing else: {refused}");

    let listed = sluicebox(&films.folder, &["quarantine", "ls", "--json"]).exits(0).json()["refused"].clone();
    assert_eq!(listed.as_array().unwrap().len() as u64, count(&refused["ingest"]) + count(&refused["clean"]));
    let (first, last) = (&listed[0], &listed.as_array().unwrap()[1]);
    assert_eq!((&first["stage"], &first["reason"]), (&json!("ingest"), &json!("key column `title` has no value")));
    let shown = sluicebox(&films.folder, &["quarantine", "show", last["id"].as_str().unwrap()]).exits(0).stdout;
    assert!(shown.contains("`max_year`") && shown.contains("clean-movies 0.1.0 sha256:"), "{shown}");
    let unknown = sluicebox(&films.folder, &["quarantine", "show", "q-nothing"]).exits(2).stderr;
    assert!(unknown.contains("quarantine ls"), "{unknown}");

    let (silver_path, gold_path) = (films.path("lake/silver"), films.path("lake/gold"));
    let report = python("gold_by_duckdb.py", &[&silver_path, &gold_path]);
    assert_eq!(report["silver_rows"], silver["rows"]);
    for (name, table) in report["tables"].as_object().unwrap() {
        assert_eq!(table["different"], json!([]), "{name}");
        assert_eq!(table["gold_rows"], table["duckdb_rows"], "{name}");
        assert!(count(&table["gold_rows"]) >= 9, "{name}: {table}");
    }
    let facts = python("read_lake.py", &[Path::new("facts"), &silver_path, &gold_path]);
    for reader in ["deltalake", "polars", "duckdb", "statistics"] {
        assert_eq!(facts["silver"]["rows"][reader], silver["rows"], "{reader}");
    }
    for name in ["genres", "directors", "decades"] {
        let gold = &facts["gold"][name];
        assert_eq!(
            (&gold["parquet_equals_table"], &gold["duckdb_equals_table"]),
            (&json!(true), &json!(true)),
            "{name}"
        );
        assert_eq!(gold["silver_version"], silver["version"], "{name}");
    }
}

#[test]
fn a_corrected_film_changes_gold_by_exactly_that_film() {
    let films = Films::new("films-corrected");
    films.once(TICK, 400, 50);
    let before = ["genres", "directors", "decades"].map(|table| films.gold(table));
    let calls = films.stub.stats().calls;
    // One of many films in each of its groups: 1,000 votes more, and a rating that moves a mean.
    let set = json!({"imdb_votes": "466000", "imdb_rating": "1.0"});
    films.stub.set_film("The Dark Knight", "2008", set.as_object().unwrap()).unwrap();
    let summary = films.once(NEXT_TICK, 400, 50);
    assert_eq!(films.stub.stats().calls - calls, 400, "another day asks again");
    assert_eq!(summary["lake"]["silver"]["seen"], 800);
    let silver = &summary["lake"]["silver"];
    assert_eq!(silver["standing"], silver["rows"], "{silver}");
    assert_eq!(silver["superseded"], silver["rows"], "each row has replaced its old self: {silver}");
    let after = ["genres", "directors", "decades"].map(|table| films.gold(table));
    let changed = |index: usize| -> Vec<(&Vec<String>, &Vec<String>)> {
        before[index].iter().zip(&after[index]).filter(|(old, new)| old != new).collect()
    };
    for (index, name, votes_column) in [(0, "Action", 4), (1, "Christopher Nolan", 3), (2, "2000", 3)] {
        assert_eq!(before[index].len(), after[index].len());
        let rows = changed(index);
        assert_eq!(rows.len(), 1, "only {name} changes: {rows:?}");
        let (old, new) = rows[0];
        assert!(old.contains(&name.to_owned()), "{old:?}");
        let votes = |row: &[String]| row[votes_column].parse::<i64>().unwrap();
        assert_eq!(votes(new) - votes(old), 1_000, "{old:?} {new:?}");
    }
}

#[test]
fn the_secret_is_in_the_requests_and_nowhere_else() {
    let films = Films::new("films-secret");
    let mut said = String::new();
    let mut keep = |ran: Ran| {
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
        ran.code
    };
    // Compiling the plugins at trace level would say nothing of a run, at great length: they are compiled before.
    films.sluicebox(&["check"]).exits(0);
    for format in ["human", "json"] {
        let tick = if format == "json" { NEXT_TICK } else { TICK };
        let args = ["--log-level", "trace", "--log-format", format, "run", "--once", "--tick", tick];
        assert_eq!(keep(films.sluicebox(&args)), 0);
    }
    // An error of the connection speaks of a URL with the key in it, if nobody takes care.
    films.stub.add_fault(
        serde_json::from_value(json!({"fault": {"kind": "reset"}, "next": 100})).expect("a rule of the stand-in"),
    );
    let late = "2026-11-26T03:00:00Z";
    let args = [
        "--log-level",
        "trace",
        "run",
        "--once",
        "--tick",
        late,
        "--patience",
        "1s",
        "--set",
        "endpoints.omdb.attempts=2",
    ];
    let mut hopeless = films.command(&args);
    hopeless.args(["--set", "queue.max_receives=1"]);
    keep(run(&mut hopeless));

    assert!(films.stub.stats().keys[KEY] >= 20, "the stand-in got it");
    assert_eq!(films.stub.stats().keys.len(), 1);
    assert!(said.len() > 10_000 && said.contains("TRACE"), "there is a log to look into");
    let encoded = "canary%2F7f3a9c5e%2B11d2";
    for (path, bytes) in files(&films.folder) {
        // Both forms are ASCII, which survives a lossy reading of anything.
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(KEY) && !text.contains(encoded), "the secret is in {}", path.display());
    }
    assert!(!said.contains(KEY) && !said.contains(encoded), "the secret was said");
}

#[test]
fn a_spent_quota_pauses_the_run_and_quarantines_nothing() {
    let films = Films::new("films-quota");
    films.stub.set_quota(Some(100));
    let args = ["run", "--once", "--json", "--tick", TICK, "--patience", "1s"];
    let size = ["--set", "source.top_n=200", "--set", "source.batch_size=10"];
    let blocked = run(films.command(&args).args(size)).exits(1).json()["pipelines"][0].clone();
    assert_eq!(blocked["lake"]["quarantine"], json!({}));
    assert!(blocked["waiting_for"].as_str().is_some_and(|reason| !reason.is_empty()), "{blocked}");
    assert!(blocked["missing"]["messages"].as_u64() > Some(0));
    films.stub.set_quota(None);
    let done = run(films.command(&args).args(size)).exits(0).json()["pipelines"][0].clone();
    assert_eq!(done["lake"]["silver"]["seen"], 200);
    assert_eq!(done["lake"]["quarantine"].get("enrich"), None, "{done}");
    let answered = films.stub.stats().by_status["200"];
    assert_eq!(answered, 200, "what was answered before is not asked again");
}

#[test]
fn a_key_that_is_refused_suspends_the_stage_and_the_run_says_what_to_do() {
    let films = Films::new("films-suspended");
    let size = ["--set", "source.top_n=200", "--set", "source.batch_size=5"];
    let args = ["run", "--once", "--tick", TICK];
    let wrong = |args: &[&str]| run(films.command(args).args(size).env("OMDB_API_KEY", "not-the-key"));
    let said = wrong(&args).exits(1).stdout;
    assert!(said.contains("stage `enrich` is suspended") && said.contains("allowed are 20%"), "{said}");
    assert!(said.contains("hint: nothing of that is in quarantine") && said.contains("_suspended/"), "{said}");
    let asked = films.stub.stats().calls;
    assert!(asked < 150, "{asked} calls for a key that is refused");
    let shown = films.sluicebox(&["status"]).exits(0).stdout;
    assert!(shown.contains("stage `enrich` is suspended since") && shown.contains("R001"), "{shown}");
    // Another process with the same plugin and configuration does not find it out again.
    wrong(&args).exits(1);
    assert_eq!(films.stub.stats().calls, asked);

    let kept = files(&films.path("lake/bronze/_suspended"));
    assert_eq!(kept.len(), 1);
    std::fs::remove_file(&kept[0].0).unwrap();
    let done = run(films.command(&args).args(size).arg("--json")).exits(0).json()["pipelines"][0].clone();
    assert_eq!((&done["suspended"], &done["lake"]["silver"]["seen"]), (&json!({}), &json!(200)));
    let status = films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(status["silver"]["watermark"]["done"], 200);
    assert_eq!(status["silver"]["watermark"]["up_to"], "20261124T030000Z");
    assert_eq!((&status["suspended"], &status["queues"]["enrich"]["oldest"]), (&json!({}), &Value::Null));
}

#[test]
fn a_stop_in_the_middle_drains_and_the_next_run_goes_on() {
    let films = Films::new("films-stopped");
    let args = ["run", "--once", "--tick", TICK, "--set", "source.top_n=60", "--set", "source.batch_size=1"];
    let mut slow = films.command(&args);
    slow.args(["--set", "endpoints.omdb.rate=\"20/s\""]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = slow.spawn().unwrap();
    while films.stub.stats().calls < 5 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("nothing is lost"), "{stderr}");
    let asked = films.stub.stats().calls;
    assert!(asked < 60, "it was stopped in the middle");
    let rest = films.sluicebox(&args).exits(0);
    assert!(rest.stdout.contains("60 records") && !rest.stdout.contains("not done"), "{}", rest.stdout);
    assert_eq!(films.stub.stats().calls, 60, "each film was asked for once");
}

/// What must be equal however a lake came about: Gold, and how many rows and refusals there are.
fn result(films: &Films) -> (Vec<Vec<Vec<String>>>, Value) {
    let status = films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
    let counts =
        json!({ "silver": status["silver"]["rows"], "quarantine": status["quarantine"], "queues": status["queues"] });
    (["genres", "directors", "decades"].map(|table| films.gold(table)).to_vec(), counts)
}

const SHAKEN: [&str; 6] =
    ["--set", "source.top_n=150", "--set", "source.batch_size=5", "--set", "queue.visibility_timeout=\"1s\""];

#[test]
fn killed_at_many_moments_nothing_is_lost_and_nothing_doubled() {
    let calm = Films::new("films-calm");
    let args = [&["run", "--once", "--tick", TICK], SHAKEN.as_slice()].concat();
    calm.sluicebox(&args).exits(0);
    let killed = Films::new("films-killed");
    // So that the moments fall into the run, and not into the compilation of the plugins.
    killed.sluicebox(&["check"]).exits(0);
    let mut alive_when_killed = 0;
    for moment in [90, 130, 170, 210, 250, 300, 360, 420, 500, 600] {
        let mut child = killed.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(moment));
        alive_when_killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(alive_when_killed >= 3, "the moments are too late on this machine to show anything");
    killed.sluicebox(&args).exits(0);
    assert_eq!(result(&killed), result(&calm));
}

#[test]
fn three_processes_share_one_lake_and_one_queue() {
    let calm = Films::new("films-alone");
    let args = [&["run", "--once", "--tick", TICK], SHAKEN.as_slice()].concat();
    calm.sluicebox(&args).exits(0);
    let shared = Films::new("films-shared");
    shared.sluicebox(&["check"]).exits(0);
    let start = |_| shared.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running: Vec<_> = (0..3).map(start).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    assert_eq!(result(&shared), result(&calm));
}

#[test]
fn every_shipped_plugin_passes_its_golden_cases() {
    let cache = fresh_folder("films-golden-cases");
    let tested =
        run(command(&repository()).args(["plugin", "test", "--json", "--cache-dir"]).arg(&cache)).exits(0).json();
    for (plugin, _) in artifacts::PLUGINS {
        let cases = tested["plugins"].as_array().unwrap().iter().find(|one| one["plugin"] == *plugin);
        assert!(cases.is_some_and(|one| !one["cases"].as_array().unwrap().is_empty()), "{plugin}: {tested}");
    }
}

#[test]
fn several_pipelines_run_in_one_process() {
    let films = Films::new("films-several");
    let text = std::fs::read_to_string(films.path("pipeline.toml")).unwrap();
    let other = text.replace("name = \"movies\"", "name = \"others\"").replace("\"lake/", "\"other-lake/");
    std::fs::write(films.path("other.toml"), other.replace("top_n = 10", "top_n = 7")).unwrap();
    let ran =
        films.sluicebox(&["run", "--once", "--json", "--tick", TICK, "pipeline.toml", "other.toml"]).exits(0).json();
    let rows: Vec<_> =
        ran["pipelines"].as_array().unwrap().iter().map(|one| one["lake"]["silver"]["rows"].clone()).collect();
    assert_eq!(rows, [10, 7]);
    assert!(films.path("lake/gold/genres.csv").is_file() && films.path("other-lake/gold/genres.csv").is_file());
}

#[test]
fn a_served_pipeline_fires_what_it_missed_and_stops_in_good_order() {
    let films = Films::new("films-served");
    films.once("2026-01-01T00:00:00Z", 10, 1);
    let mut serving = films.command(&["run", "--set", "schedule.cron=\"0 * * * *\""]);
    let child = serving.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let ticks = || std::fs::read_dir(films.path("lake/bronze")).unwrap().flatten().map(|entry| entry.file_name());
    let fired = || ticks().filter(|name| name.to_string_lossy().starts_with("run=")).count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while fired() < 2 {
        assert!(std::time::Instant::now() < deadline, "the missed tick is not fired");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{log}");
    assert!(log.contains("serving `movies`") && log.contains("stopping"), "{log}");
}
