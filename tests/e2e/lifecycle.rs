//! Ticks, lakes and queues as users treat them: a lake deleted by hand, a server beside a rebuild, a tick in the future, a record that is
//! to stay forgotten, a second run on the same day. After each step the command of the printed hint is run, and works.
//!
//! Does not test the engine's part of it: `proof/tests/service/lifecycle.rs` does.

// A test fails by panicking, and brings about what it looks at.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod films;
mod serve;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serve::Served;
use support::{Ran, command, compiled_plugins, fresh_folder, run};

const TICK: &str = "2026-11-20T03:00:00Z";

/// A project without a service: documents in a file, cleaned by a shipped plugin.
struct Project {
    folder: PathBuf,
}

impl Project {
    fn new(name: &str, titles: usize) -> Self {
        let project = Project { folder: fresh_folder(name) };
        std::fs::create_dir_all(project.path("data")).unwrap();
        project.write_titles(titles, 1990);
        project.write_pipeline(name, "");
        for (plugin, component) in [("clean", artifacts::clean_movies()), ("genres", artifacts::aggregate_genres())] {
            project.publish(plugin, &component);
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write_titles(&self, titles: usize, year: u32) {
        let line = |number: usize| {
            let genre = if number.is_multiple_of(2) { "Drama" } else { "Comedy" };
            json!({ "Title": format!("Film {number}"), "Year": year.to_string(), "Genre": genre, "Type": "movie",
                    "Response": "True", "n": number })
            .to_string()
        };
        let text: String = (0..titles).map(|number| format!("{}\n", line(number))).collect();
        std::fs::write(self.path("data/titles.jsonl"), text).unwrap();
    }

    fn write_pipeline(&self, name: &str, more: &str) {
        let text = format!(
            "[pipeline]\nname = \"{name}\"\n\n[schedule]\ncron = \"0 3 * * *\"\n\n[source]\nuri = \"data/titles.jsonl\"\nkey = [\"Title\"]\n{more}\n\
             [clean]\nplugin = \"plugins/clean.wasm\"\n\n[[aggregate]]\nname = \"genres\"\nplugin = \"plugins/genres.wasm\"\n"
        );
        std::fs::write(self.path("pipeline.toml"), text).unwrap();
    }

    /// Puts a component in its place as publishers do: at once.
    fn publish(&self, plugin: &str, component: &Path) {
        let path = self.path(&format!("plugins/{plugin}.wasm"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(component, path.with_extension("next")).unwrap();
        std::fs::rename(path.with_extension("next"), &path).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.folder);
        command.args(args);
        // Compiled once for all tests: what they run is the same few components.
        command.arg("--cache-dir").arg(compiled_plugins());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    fn once(&self, more: &[&str]) -> Value {
        let args = [&["run", "--once", "--json"], more].concat();
        self.run(&args).exits(0).json()["pipelines"][0].clone()
    }

    fn status(&self) -> Value {
        self.run(&["status", "--json"]).exits(0).json()["pipelines"][0].clone()
    }

    /// A server that fires each minute.
    fn served(&self) -> Served {
        let mut served = Served::start(self.command(&["run", "--set", "schedule.cron=\"* * * * *\""]));
        served.wait(0, "the start", |line| line.text().contains("serving"));
        served
    }

    fn gold(&self) -> String {
        std::fs::read_to_string(self.path("lake/gold/genres.csv")).unwrap_or_default()
    }
}

/// Waits until `wanted` holds.
#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !wanted() {
        assert!(begun.elapsed() < Duration::from_secs(120), "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_second_run_of_a_day_says_that_the_source_was_not_read_again_and_its_hint_reads_it() {
    let project = Project::new("lifecycle-second-run", 12);
    let first = project.run(&["run", "--once"]).exits(0).stdout;
    assert!(first.contains("10 of 12 records (`top_n` is not set: 10)"), "{first}");
    let second = project.run(&["run", "--once"]).exits(0).stdout;
    assert!(second.contains("this tick ran already") && second.contains("it has not changed since"), "{second}");
    project.write_titles(12, 1991);
    let edited = project.run(&["run", "--once"]).exits(0).stdout;
    assert!(edited.contains("has changed since, and was NOT read again"), "{edited}");
    assert!(edited.contains("hint: `sluicebox run --once --tick now` reads it again"), "{edited}");
    let told = project.once(&[]);
    assert_eq!(told["fired"]["already"]["source"], "changed");
    let now = project.run(&["run", "--once", "--tick", "now"]).exits(0).stdout;
    assert!(!now.contains("ran already"), "{now}");
    let row = project.run(&["explain", "Film 1", "--json"]).exits(0).stdout;
    assert!(row.contains("1991"), "{row}");
    // An older instant: the command says what holds.
    let older = project.run(&["run", "--once", "--tick", TICK]).exits(0).stdout;
    assert!(older.contains("later than this one"), "{older}");
    project.write_pipeline("lifecycle-second-run", "top_n = \"all\"\nbatch_size = 5\n");
    let all = project.run(&["run", "--once", "--tick", "now"]).exits(0).stdout;
    assert!(all.contains("12 records in 3 messages"), "{all}");
    let check = project.run(&["check", "--set", "source.top_n=3"]).exits(0).stdout;
    assert!(!check.contains("`top_n` is not set"), "{check}");
}

#[test]
fn a_lake_deleted_by_hand_is_begun_anew_at_once() {
    let project = Project::new("lifecycle-deleted-lake", 6);
    let fired = project.once(&[]);
    assert_eq!(fired["lake"]["silver"]["rows"], 6);
    std::fs::remove_dir_all(project.path("lake")).unwrap();
    let again = project.once(&[]);
    assert_eq!((&again["lake"]["silver"]["rows"], &again["fired"]["queued"]), (&json!(6), &json!(6)));
    project.run(&["verify"]).exits(0);
}

/// Without the secret nothing is enriched, and all messages stay queued.
#[test]
fn messages_of_a_lake_that_is_gone_are_set_aside_until_it_is_back_or_they_are_deleted() {
    let films = films::Films::new("lifecycle-set-aside");
    let once = ["run", "--once", "--tick", TICK, "--patience", "1s"];
    run(films.command(&once).env_remove("OMDB_API_KEY")).exits(1);
    std::fs::rename(films.path("lake"), films.path("old-lake")).unwrap();
    let ran = films.sluicebox(&once).exits(0);
    assert!(ran.stderr.contains("holds 10 messages of a lake that was here before"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`sluicebox reset --set-aside`"), "{}", ran.stderr);
    films.sluicebox(&["verify"]).exits(0);
    // The old lake is put back, and goes on where it stopped.
    std::fs::rename(films.path("lake"), films.path("new-lake")).unwrap();
    std::fs::rename(films.path("old-lake"), films.path("lake")).unwrap();
    let status = films.sluicebox(&["status", "--json"]).exits(0).json();
    assert_eq!(status["pipelines"][0]["queues"]["enrich"]["ready"], 10, "{status}");
    std::fs::rename(films.path("lake"), films.path("old-lake")).unwrap();
    std::fs::rename(films.path("new-lake"), films.path("lake")).unwrap();
    films.sluicebox(&["reset", "--set-aside", "--yes"]).exits(0);
    let quiet = films.sluicebox(&once).exits(0);
    assert!(!quiet.stderr.contains("was here before"), "{}", quiet.stderr);
}

#[test]
fn a_layer_that_was_deleted_alone_is_made_again_or_said_to_be_missing() {
    let project = Project::new("lifecycle-deleted-layer", 8);
    project.once(&[]);
    let gold = project.gold();
    for layer in ["gold", "silver"] {
        std::fs::remove_dir_all(project.path("lake").join(layer)).unwrap();
        project.once(&[]);
        assert_eq!(project.gold(), gold, "{layer}");
        project.run(&["verify"]).exits(0);
    }
    std::fs::remove_dir_all(project.path("lake/silver/_delta_log")).unwrap();
    project.once(&[]);
    assert_eq!(project.gold(), gold);
    project.run(&["verify"]).exits(0);
    std::fs::remove_dir_all(project.path("lake/bronze")).unwrap();
    let refused = project.run(&["run", "--once"]).exits(1).stderr;
    assert!(refused.contains("layer `silver`") && refused.contains("sluicebox reset"), "{refused}");
    project.run(&["reset", "--yes"]).exits(0);
    project.once(&[]);
    assert_eq!(project.gold(), gold);
    // The state is deleted, the lake stays.
    std::fs::remove_dir_all(project.path(".sluicebox")).unwrap();
    project.once(&[]);
    project.run(&["verify"]).exits(0);
}

#[test]
fn two_pipelines_do_not_share_a_lake_and_a_renamed_one_is_told_whose_it_is() {
    let project = Project::new("lifecycle-renamed", 4);
    project.once(&[]);
    project.write_pipeline("another", "");
    let refused = project.run(&["run", "--once"]).exits(1).stderr;
    assert!(refused.contains("belongs to pipeline `lifecycle-renamed`"), "{refused}");
    assert!(refused.contains("name = \"lifecycle-renamed\""), "{refused}");
    project.run(&["reset", "--yes"]).exits(1);
    assert_eq!(project.gold().lines().count(), 3);
    project.write_pipeline("lifecycle-renamed", "");
    project.once(&[]);
    project.run(&["verify"]).exits(0);
}

#[test]
fn a_reset_says_what_it_deletes_and_deletes_nothing_else() {
    let project = Project::new("lifecycle-reset", 6);
    project.once(&[]);
    std::fs::write(project.path("lake/bronze/notes.txt"), "mine").unwrap();
    std::fs::create_dir_all(project.path("elsewhere")).unwrap();
    std::fs::write(project.path("elsewhere/_delta_log"), "mine").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(project.path("elsewhere"), project.path("lake/silver/_bucket=99")).unwrap();
    let asked = project.run(&["reset"]).exits(2).stderr;
    assert!(asked.contains("bronze") && asked.contains("notes.txt") && asked.contains("--yes"), "{asked}");
    let dry = project.run(&["reset", "--dry-run"]).exits(0).stderr;
    assert!(dry.contains("nothing was deleted"), "{dry}");
    assert!(project.path("lake/gold/genres.csv").is_file());
    let served = project.served();
    let busy = project.run(&["reset", "--yes"]).exits(3).stderr;
    assert!(busy.contains("another process works on"), "{busy}");
    served.stop();
    project.run(&["reset", "--yes"]).exits(0);
    assert!(!project.path("lake/gold").exists());
    assert_eq!(std::fs::read_to_string(project.path("lake/bronze/notes.txt")).unwrap(), "mine");
    assert!(project.path("elsewhere/_delta_log").is_file());
    project.once(&[]);
    project.run(&["verify"]).exits(0);
}

#[test]
fn a_tick_in_the_future_is_refused_and_one_that_is_there_can_be_taken_back() {
    let project = Project::new("lifecycle-future", 6);
    project.once(&[]);
    let before = project.gold();
    let future = ["run", "--once", "--tick", "2099-01-01T03:00:00Z"];
    let refused = project.run(&future).exits(2).stderr;
    assert!(refused.contains("is in the future") && refused.contains("--allow-future"), "{refused}");
    project.write_titles(7, 2005);
    project.run(&[&future[..], &["--allow-future"]].concat()).exits(0);
    assert_ne!(project.gold(), before);
    let hint = "sluicebox reset --run 20990101T030000Z";
    let status = project.run(&["status"]).exits(0).stdout;
    assert!(status.contains(hint), "{status}");
    let doctor = project.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains(hint), "{doctor:?}");
    assert!(project.run(&["verify"]).exits(0).stdout.contains(hint));
    project.write_titles(6, 1990);
    assert!(project.run(&["run", "--once", "--tick", "now"]).exits(0).stderr.contains(hint));
    let asked = project.run(&["reset", "--run", "20990101T030000Z"]).exits(2).stderr;
    assert!(asked.contains("7 records"), "{asked}");
    project.run(&["reset", "--run", "20990101T030000Z", "--yes"]).exits(0);
    project.run(&["verify"]).exits(0);
    project.once(&["--tick", "now"]);
    assert_eq!(project.gold(), before);
    assert!(!project.run(&["status"]).exits(0).stdout.contains("still to come"));
    let gone = project.run(&["reset", "--run", "20990101T030000Z", "--yes"]).exits(1).stderr;
    assert!(gone.contains("holds nothing of tick"), "{gone}");
}

#[test]
fn a_record_is_forgotten_for_good_and_a_key_that_is_nowhere_is_an_error() {
    let project = Project::new("lifecycle-forget", 6);
    project.once(&[]);
    for wrong in ["Flim 3", "film 3", "Nobody"] {
        let unknown = project.run(&["forget", wrong, "--yes"]).exits(1).stderr;
        assert!(unknown.contains("holds no record") && unknown.contains("hint:"), "{unknown}");
        assert_eq!(unknown.contains("did you mean `Film 3`"), wrong != "Nobody", "{unknown}");
    }
    let done = project.run(&["forget", "Film 3", "--yes"]).exits(0).stdout;
    assert!(done.contains("--keep-out"), "{done}");
    // The hint works although the key is nowhere by now.
    project.run(&["forget", "Film 3", "--yes", "--keep-out"]).exits(0);
    let ran = project.run(&["run", "--once", "--tick", "now"]).exits(0).stdout;
    assert!(ran.contains("1 record was left out: their keys stay forgotten"), "{ran}");
    assert!(project.run(&["verify"]).exits(0).stdout.contains("stay so"));
    let list = project.run(&["forget", "--list"]).exits(0).stdout;
    assert!(list.contains("1 key stays forgotten") && !list.contains("Film 3"), "{list}");
    project.run(&["forget", "--allow", "Film 4"]).exits(1);
    project.run(&["forget", "--allow", "Film 3"]).exits(0);
    std::thread::sleep(Duration::from_millis(1100));
    project.once(&["--tick", "now"]);
    project.run(&["explain", "Film 3"]).exits(0);
}

#[test]
fn a_server_takes_the_refused_plugin_after_the_rebuild_that_it_asked_for() {
    let project = Project::new("lifecycle-rebuild", 6);
    let text = std::fs::read_to_string(project.path("pipeline.toml")).unwrap();
    let without = text.split("[[aggregate]]").next().unwrap().to_owned();
    std::fs::write(project.path("pipeline.toml"), without).unwrap();
    project.once(&[]);
    let mut served =
        Served::start(project.command(&["run", "--set", "swap.rehearse=0", "--set", "schedule.cron=\"* * * * *\""]));
    served.wait(0, "the start", |line| line.text().contains("serving"));
    project.publish("clean", &artifacts::misbehave());
    let (line, from) =
        served.wait(0, "the refusal", |line| line.message().starts_with("not let in") && line.text().contains("P041"));
    assert!(line.text().contains("replay --rebuild"), "{}", line.text());
    // The hint, beside the server.
    project.run(&["replay", "--rebuild"]).exits(0);
    served.wait(from, "the new plugin", |line| line.message() == "another plugin serves");
    // The next tick goes through it.
    let (_, from) = served.wait(from, "a tick", |line| line.message() == "tick fired");
    served.wait(from, "its rows", |line| line.message() == "tick done");
    let code = served.stop();
    assert_eq!(code, 130);
    project.once(&[]);
    assert_eq!(project.status()["silver"]["rows"], 6);
    project.run(&["verify"]).exits(0);
}

#[test]
fn a_server_outlives_what_others_delete_and_move() {
    let project = Project::new("lifecycle-outlives", 6);
    project.once(&[]);
    let mut served = project.served();
    let (_, from) = served.wait(0, "a tick", |line| line.message() == "tick fired");
    // The lake is moved away, and back.
    std::fs::rename(project.path("lake"), project.path("lake-away")).unwrap();
    let (_, from) = served.wait(from, "the complaint", |line| line.text().contains("is gone"));
    assert!(!project.path("lake").exists(), "an empty lake was begun in its place");
    std::fs::rename(project.path("lake-away"), project.path("lake")).unwrap();
    let (_, from) = served.wait(from, "a tick in the lake", |line| line.message() == "tick fired");
    // Gold, the queue and the files of Silver are deleted.
    std::fs::remove_dir_all(project.path("lake/gold/genres")).unwrap();
    std::fs::remove_dir_all(project.path(".sluicebox")).unwrap();
    for entry in std::fs::read_dir(project.path("lake/silver")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("_bucket") {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let (_, _) = served.wait(from, "the next tick", |line| line.message() == "tick fired");
    project.run(&["replay", "--rebuild"]).exits(0);
    // The whole lake is deleted, and another process begins a new one.
    std::fs::remove_dir_all(project.path("lake")).unwrap();
    project.once(&["--tick", "now"]);
    let from = served.lines().len().saturating_sub(200);
    served.wait(from, "the new lake", |line| line.message().contains("the lake was replaced"));
    until("a tick of the server in the new lake", || {
        std::fs::read_dir(project.path("lake/bronze")).is_ok_and(|found| {
            found.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("run=")).count() > 1
        })
    });
    assert_eq!(served.stop(), 130);
    project.once(&[]);
    assert_eq!(project.status()["silver"]["rows"], 6);
    project.run(&["verify"]).exits(0);
}
