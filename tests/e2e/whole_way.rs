//! The pipeline of this repository from its source to Gold, as its users run it: the program, the shipped components, a stand-in
//! for the API, and other programs' readers.
//!
//! Does not test the plugins' rules or the engine's parts: their own tests do.

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

use std::path::Path;
use std::process::{Command, Stdio};

use api_stub::{Encoding, Fault, Place, Rule};
use films::{Films, KEY, NEXT_TICK, TICK, files};
use serde_json::{Value, json};
use serve::Served;
use support::{Ran, command, fresh_folder, repository, run, script, sluicebox};

/// The output of a script of this folder.
fn python(name: &str, args: &[&Path]) -> Value {
    run(script(name).args(args)).exits(0).json()
}

/// What a verification of the lake finds.
fn verify(films: &Films) -> Value {
    films.sluicebox(&["verify", "--json"]).exits(0).json()["pipelines"][0].clone()
}

#[test]
fn as_it_stands_it_makes_ten_rows_and_doing_it_again_changes_nothing() {
    let films = Films::new("films-as-it-stands");
    let first = films.sluicebox(&["run", "--once", "--json", "--tick", TICK]).exits(0).json()["pipelines"][0].clone();
    let expected = json!({
        "tick": "20261124T030000Z", "records": 10, "messages": 10, "queued": 10, "refused": 0, "total": 3201,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&first["fired"][name], value, "{name}");
    }
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
    // Without care, an error of the connection shows a URL with the key in it.
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
    assert!(said.contains("hint: nothing of that is in quarantine"), "{said}");
    assert!(said.contains("`sluicebox resume enrich`") && !said.contains("delete"), "{said}");
    let asked = films.stub.stats().calls;
    assert!(asked < 150, "{asked} calls for a key that is refused");
    let shown = films.sluicebox(&["status"]).exits(0).stdout;
    assert!(shown.contains("stage `enrich` is suspended since") && shown.contains("R001"), "{shown}");
    assert!(shown.contains("`sluicebox resume enrich`"), "{shown}");
    // Another process with the same plugin and configuration knows it already.
    wrong(&args).exits(1);
    assert_eq!(films.stub.stats().calls, asked);

    // The right key lifts the suspension. What the wrong one cost before is in quarantine, too much for a run that counts as good.
    let done = run(films.command(&args).args(size).arg("--json")).exits(1).json()["pipelines"][0].clone();
    assert_eq!((&done["suspended"], &done["lake"]["silver"]["seen"]), (&json!({}), &json!(200)));
    let refused = done["quarantine"]["quarantined"].as_u64().unwrap();
    assert!((45..100).contains(&refused), "{refused}: what was in hand before 50 were judged");
    // Not counting what the years are wrong of.
    let by_key = done["lake"]["quarantine"]["enrich"].as_u64().unwrap();
    let counted = json!({"quarantined": refused, "of": 200, "at_most": "20%", "exceeded": true});
    assert_eq!(done["quarantine"], counted, "{done}");
    let said = run(films.command(&args).args(size)).exits(1).stdout;
    assert!(said.contains(&format!("{refused} of the tick's 200 records are in quarantine (")), "{said}");
    for (most, code) in [(refused.to_string(), 0), ((refused - 1).to_string(), 1), ("22%".to_owned(), 1)] {
        run(films.command(&args).args(size).args(["--max-quarantined", &most])).exits(code);
    }
    run(films.command(&args).args(size).args(["--set", "quarantine.at_most=\"50%\""])).exits(0);
    // The answers were not kept: nothing can be made of them without asking again, and that is said.
    let asked = films.stub.stats().calls;
    for dry in [&["--dry-run"][..], &[]] {
        let said = films.sluicebox(&[&["quarantine", "replay"], dry].concat()).exits(1).stdout;
        assert!(said.contains(&format!("{by_key} refused records cannot be made again from what is kept")), "{said}");
        assert!(said.contains("hint: `sluicebox quarantine replay --fetch`"), "{said}");
    }
    assert_eq!(films.stub.stats().calls, asked);
    films.sluicebox(&["quarantine", "replay", "--fetch"]).exits(0);
    assert_eq!(films.stub.stats().calls, asked + by_key);
    let gone = films.sluicebox(&["replay", "--key", "The Dark Knigt/2008"]).exits(2).stderr;
    assert!(gone.contains("did you mean `The Dark Knight/2008`?"), "{gone}");
    let never = films.sluicebox(&["replay", "--run", "20200101T000000Z"]).exits(2).stderr;
    assert!(never.contains("its latest tick is `20261124T030000Z`"), "{never}");
    run(films.command(&args).args(size)).exits(0);
    let status = films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
    assert_eq!(status["silver"]["watermark"]["done"], 200);
    assert_eq!(status["silver"]["watermark"]["up_to"], "20261124T030000Z");
    assert_eq!((&status["suspended"], &status["queues"]["enrich"]["oldest"]), (&json!({}), &Value::Null));
}

#[test]
fn a_suspension_that_nothing_lifts_is_lifted_by_hand_also_beside_a_server() {
    let films = Films::new("films-resumed");
    let refuse = json!({"fault": {"kind": "status", "status": 403}});
    films.stub.add_fault(serde_json::from_value(refuse).unwrap());
    let size = ["--set", "source.top_n=100", "--set", "source.batch_size=50", "--set", "swap.watch=false"];
    let said = run(films.command(&["run", "--once", "--tick", TICK]).args(size)).exits(1).stdout;
    assert!(said.contains("`sluicebox resume enrich`"), "{said}");
    let mut served = Served::start({
        let mut command = films.command(&["run", "--log-level", "info,engine=debug"]);
        command.args(size);
        command
    });
    served.wait(0, "the suspension", |line| line.message().starts_with("suspended"));
    let asked = films.stub.stats().calls;
    films.stub.clear_faults();
    for (wrong, hint) in [
        (&["enrih"][..], "did you mean `enrich`?"),
        (&["aggregate", "genre"], "did you mean `aggregate genres`?"),
        (&["clean"], "`sluicebox resume enrich`"),
    ] {
        let told = films.sluicebox(&[&["resume"], wrong].concat());
        assert!(told.code > 0 && told.stderr.contains(hint), "{told:?}");
    }
    assert_eq!(films.stub.stats().calls, asked);
    let lifted = films.sluicebox(&["resume", "enrich"]).exits(0).stdout;
    assert!(lifted.contains("stage `enrich` was suspended since") && lifted.contains("hint: "), "{lifted}");
    served.wait(0, "the stage going on", |line| line.message().starts_with("the suspension is lifted"));
    served.wait(0, "gold", |line| line.message() == "aggregated");
    served.stop();
    let nothing = films.sluicebox(&["resume", "--all"]).exits(1).stderr;
    assert!(nothing.contains("no stage is suspended"), "{nothing}");
    run(films.command(&["run", "--once", "--tick", TICK]).args(size)).exits(0);
}

#[test]
fn an_outage_pauses_the_run_costs_few_calls_and_the_next_run_goes_on() {
    let films = Films::new("films-outage");
    let size = ["--set", "source.top_n=120"];
    let args = ["run", "--once", "--tick", TICK, "--patience", "5s"];
    for fault in [json!({"kind": "status", "status": 503}), json!({"kind": "reset"})] {
        films.stub.clear_faults();
        films.stub.zero_stats();
        films.stub.add_fault(serde_json::from_value(json!({ "fault": fault })).unwrap());
        let begun = std::time::Instant::now();
        let said = run(films.command(&args).args(size)).exits(1);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(films.stub.stats().calls < 30, "{} calls", films.stub.stats().calls);
        assert!(said.stdout.contains("endpoint `omdb` is down since 20"), "{}", said.stdout);
        assert!(said.stdout.contains("not done: 120 records in 120 messages"), "{}", said.stdout);
        assert!(said.stdout.contains("it goes on where this one stopped"), "{}", said.stdout);
        assert_eq!(said.stderr.matches("the service is down").count(), 1, "{}", said.stderr);
        let listed = films.sluicebox(&["quarantine", "ls", "--json"]).exits(0).json();
        assert_eq!(listed["refused"], json!([]));
    }
    // No server listens at all.
    let none = ["--set", "endpoints.omdb.url=\"http://127.0.0.1:9/\""];
    let refused = run(films.command(&args).args(size).args(none).arg("--json")).exits(1).json()["pipelines"][0].clone();
    assert_eq!((&refused["missing"]["records"], &refused["lake"]["quarantine"]), (&json!(120), &json!({})));
    assert!(refused["outages"]["omdb"]["error"].as_str().unwrap().contains("cannot connect"), "{refused}");
    assert!(refused["requests"].as_u64().unwrap() < 30, "{refused}");
    films.stub.clear_faults();
    let done = run(films.command(&args).args(size).arg("--json")).exits(0).json()["pipelines"][0].clone();
    assert_eq!((&done["outages"], &done["lake"]["silver"]["seen"]), (&json!({}), &json!(120)));
}

#[test]
fn a_secret_that_the_service_echoes_is_in_no_byte_of_lake_log_queue_or_output() {
    let films = Films::new("films-echo");
    films.sluicebox(&["check"]).exits(0);
    for encoding in Encoding::ALL {
        for place in Place::ALL {
            films.stub.add_fault(Rule::next(Fault::Echo { encoding, place }, 1));
        }
    }
    let mut said = String::new();
    let mut keep = |ran: Ran| {
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
        ran.stdout
    };
    let size = ["--set", "source.top_n=100", "--max-quarantined", "100%", "--log-level", "trace"];
    keep(run(films.command(&["run", "--once", "--tick", TICK]).args(size)).exits(0));
    let listed = keep(films.sluicebox(&["quarantine", "ls", "--json"]).exits(0));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let refused = listed["refused"].as_array().unwrap();
    let told = |code: &str| refused.iter().filter(|one| one["code"] == code).count();
    assert_eq!((told("R001"), told("P161")), (8, 8), "{listed}");
    for one in refused {
        assert!(one["reason"].as_str().unwrap().contains("[redacted]"), "{one}");
        keep(films.sluicebox(&["quarantine", "show", one["id"].as_str().unwrap()]).exits(0));
    }
    keep(films.sluicebox(&["status", "--log-level", "trace"]).exits(0));
    assert_eq!(verify(&films)["findings"], json!([]));
    let mut forms: Vec<String> = Encoding::ALL.iter().map(|encoding| encoding.of(KEY)).collect();
    // What is before the key in a group of Base64 may stay.
    forms.extend(Encoding::ALL.iter().map(|encoding| encoding.of(&KEY[..KEY.len() - 3])));
    for (path, bytes) in files(&films.folder) {
        let text = String::from_utf8_lossy(&bytes);
        for form in &forms {
            assert!(!text.contains(form), "`{form}` is in {}", path.display());
        }
    }
    for form in &forms {
        assert!(!said.contains(form), "`{form}` was said");
    }
    let answers = files(&films.path("lake/bronze/_answers"));
    let lines = answers.iter().flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n'));
    let redacted = lines.filter(|line| String::from_utf8_lossy(line).contains("[redacted]")).count();
    assert_eq!(redacted, 16, "what was echoed was cleaned before it was kept");
}

/// Serves `body` to every GET of a path that ends with `data.csv`, and a redirect there to all else.
fn source_server(body: &'static str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned();
            let path = line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
            let answer = if path.ends_with("data.csv") {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
            } else {
                let query = line.split([' ', '?']).nth(2).unwrap_or_default();
                let to = format!("/v2/data.csv?{query}");
                format!("HTTP/1.1 301 Moved\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_token_in_the_sources_url_is_in_no_byte_of_lake_log_queue_or_output() {
    let films = Films::new("films-source-token");
    films.sluicebox(&["check"]).exits(0);
    let url = source_server("title,year,imdb_votes\nAlien,1979,3\nAliens,1986,2\n,1990,1\n");
    let token = "tok-5a6b/7c8d9e";
    let mut said = String::new();
    let mut keep = |ran: Ran| {
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
        ran
    };
    let from = |path: &str| format!("source.uri=\"{url}/{path}?page=1&X-Amz-Signature=tok-5a6b%2F7c8d9e\"");
    let (good, moved) = (from("data.csv"), from("old/data"));
    let (good, moved) = (good.as_str(), moved.as_str());
    let once = ["run", "--once", "--tick", TICK, "--max-quarantined", "100%", "--log-level", "trace", "--json"];
    let done = keep(run(films.command(&once).args(["--set", good])).exits(0)).json();
    assert_eq!(done["pipelines"][0]["fired"]["refused"], 1);
    let listed = keep(run(&mut films.command(&["quarantine", "ls", "--json", "--set", good])).exits(0)).json();
    let input = listed["refused"][0]["input"].as_str().unwrap();
    assert!(input.contains("page=1") && input.contains("X-Amz-Signature=[redacted]"), "{input}");
    keep(run(&mut films.command(&["check", "--json", "--set", good])));
    keep(run(&mut films.command(&["status", "--json", "--set", good])));
    keep(run(&mut films.command(&["doctor", "--set", good])));
    // A redirect, no server, an unknown format: each names the place, and no token.
    let later = ["run", "--once", "--tick", NEXT_TICK, "--log-level", "trace"];
    let csv = ["--set", "source.format=\"csv\""];
    let redirected = keep(run(films.command(&later).args(["--set", moved]).args(csv)));
    assert!(redirected.code > 0 && redirected.stderr.contains("redirects (301) to `"), "{}", redirected.stderr);
    assert!(redirected.stderr.contains("/v2/data.csv?page=1&X-Amz-Signature=[redacted]"), "{}", redirected.stderr);
    let nobody = "source.uri=\"http://127.0.0.1:9/data.csv?token=tok-5a6b%2F7c8d9e\"";
    keep(run(films.command(&later).args(["--set", nobody])));
    let unknown = keep(run(films.command(&later).args(["--set", moved])).exits(2));
    assert!(unknown.stderr.contains("C033"), "{}", unknown.stderr);
    let forms = [token, "tok-5a6b%2F7c8d9e", "tok-5a6b%2f7c8d9e"];
    for (path, bytes) in files(&films.folder) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(forms.iter().all(|form| !text.contains(form)), "the token is in {}", path.display());
    }
    for form in forms {
        let around = said.find(form).map(|at| &said[at.saturating_sub(200)..at]);
        assert_eq!(around, None, "`{form}` was said");
    }
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
