//! Broken projects, and the answers to them: `check` and `doctor` refuse whatever `run` refuses, and the commands that look work all the same.
//!
//! Does not test the messages one by one: the tests of their sources do.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod serve;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use serve::Served;
use support::{Ran, another, command, compiled_plugins, fresh_folder, run};

const TICK: &str = "2026-11-24T03:00:00Z";
const NEXT: &str = "2026-11-25T03:00:00Z";
const PIPELINE: &str = r#"
[pipeline]
name = "films"
[source]
uri = "films.csv"
key = ["Title"]
order_by = "imdbVotes desc"
top_n = 100
batch_size = 10
optional = ["Rated", "Released", "Writer", "Actors", "Language", "Country", "Ratings", "Metascore", "imdbID", "Type"]
[clean]
plugin = "clean-movies"
[[aggregate]]
name = "genres"
plugin = "aggregate-genres"
"#;

/// A pipeline without a service, whose source is what the shipped clean plugin reads.
struct Project {
    folder: PathBuf,
}

impl Project {
    fn new(name: &str) -> Self {
        let folder = fresh_folder(name);
        std::fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
        let mut rows =
            "Title,Year,Genre,Director,imdbRating,imdbVotes,Runtime,BoxOffice,Budget,WorldwideGross,Response\n"
                .to_owned();
        for film in 0..30 {
            rows.push_str(&format!("Film {film},{},Drama,Somebody,7.1,{},90 min,,,,True\n", 1980 + film, 1000 + film));
        }
        std::fs::write(folder.join("films.csv"), rows).unwrap();
        for (plugin, component) in artifacts::PLUGINS {
            let to = folder.join("plugins").join(plugin);
            std::fs::create_dir_all(&to).unwrap();
            std::fs::copy(component, to.join(format!("{plugin}.wasm"))).unwrap();
        }
        Project { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.folder);
        command.args(args).arg("--cache-dir").arg(compiled_plugins());
        command
    }

    fn sluicebox(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    fn once(&self, tick: &str, sets: &[&str]) -> Ran {
        self.sluicebox(&[&["run", "--once", "--tick", tick], sets].concat())
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {file}");
        std::fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
    }

    fn plugin(&self) -> PathBuf {
        self.path("plugins/clean-movies/clean-movies.wasm")
    }
}

/// A way to break a project, and what has to be set on the command line for it.
type Break = (&'static str, fn(&Project), &'static [&'static str]);

const BROKEN: &[Break] = &[
    ("the source is not there", |project| std::fs::remove_file(project.path("films.csv")).unwrap(), &[]),
    (
        "the source is a folder",
        |project| {
            std::fs::remove_file(project.path("films.csv")).unwrap();
            std::fs::create_dir(project.path("films.csv")).unwrap();
        },
        &[],
    ),
    ("the source is damaged", |project| project.edit("films.csv", "Film 3,", "\"Film 3,"), &[]),
    ("a key column is not there", |project| project.edit("films.csv", "Title", "Name"), &[]),
    ("the order's column is not there", |_| (), &["--set", "source.order_by=\"votes\""]),
    ("a column that is read has another case", |project| project.edit("films.csv", "Genre", "genre"), &[]),
    ("a column that is read has a blank in front", |project| project.edit("films.csv", "Runtime", " Runtime"), &[]),
    (
        "a column is gone that an earlier tick had",
        |project| {
            project.once(TICK, &[]).exits(0);
            project.edit("films.csv", "Director", "By");
        },
        &[],
    ),
    ("the lake is a file", |project| std::fs::write(project.path("lake"), "mine").unwrap(), &[]),
    ("nothing can be written where a layer is", |_| (), &["--set", "lake.gold=\"/proc/gold\""]),
    ("the queue's folder is a file", |project| std::fs::write(project.path(".sluicebox"), "mine").unwrap(), &[]),
    (
        "the queue is no queue",
        |project| {
            std::fs::create_dir_all(project.path(".sluicebox/films")).unwrap();
            std::fs::write(project.path(".sluicebox/films/queue.sqlite"), "not a database at all".repeat(100)).unwrap();
        },
        &[],
    ),
    ("a component is not there", |project| std::fs::remove_file(project.plugin()).unwrap(), &[]),
    ("a component is none", |project| std::fs::write(project.plugin(), "not WebAssembly").unwrap(), &[]),
    ("an enrich plugin is named that is not there", |_| (), &["--set", "enrich.plugin=\"nobody\""]),
    (
        "a component is not the pinned one",
        |_| (),
        &["--set", "clean.sha256=\"0000000000000000000000000000000000000000000000000000000000000000\""],
    ),
    (
        "an aggregate reads a column that nobody makes",
        |project| {
            std::fs::copy(artifacts::misbehave(), project.path("numbers.wasm")).unwrap();
            std::fs::write(project.path("films.csv"), "n,Title,imdbVotes\n1,a,2\n").unwrap();
        },
        &["--set", "clean.plugin=\"numbers.wasm\""],
    ),
    (
        "silver has other columns",
        |project| {
            project.once(TICK, &[]).exits(0);
            project.edit("pipeline.toml", "[[aggregate]]\nname = \"genres\"\nplugin = \"aggregate-genres\"\n", "");
            project.edit("pipeline.toml", "optional = [", "optional = [\"n\", ");
            std::fs::copy(artifacts::misbehave(), project.path("numbers.wasm")).unwrap();
        },
        &["--set", "clean.plugin=\"numbers.wasm\""],
    ),
    (
        "the lake is another pipeline's",
        |project| drop(project.once(TICK, &[]).exits(0)),
        &["--set", "pipeline.name=\"other\""],
    ),
    (
        "silver has another number of buckets",
        |project| drop(project.once(TICK, &[]).exits(0)),
        &["--set", "lake.buckets=8"],
    ),
];

#[test]
fn check_and_doctor_refuse_what_run_refuses_and_looking_works() {
    let good = Project::new("agreement-good");
    for args in [&["check"][..], &["doctor"], &["status"], &["run", "--once", "--tick", TICK]] {
        good.sluicebox(args).exits(0);
    }
    let mut table = String::new();
    let mut wrong = Vec::new();
    for (at, (what, breaks, sets)) in BROKEN.iter().enumerate() {
        let project = Project::new(&format!("agreement-{at}"));
        breaks(&project);
        let before = names(&project.folder);
        let with = |args: &[&str]| project.sluicebox(&[args, sets].concat());
        let (check, doctor) = (with(&["check"]), with(&["doctor"]));
        assert_eq!(before, names(&project.folder), "{what}: looking has left something behind");
        let looks = [&["status"][..], &["plugin", "history"], &["quarantine", "ls"], &["records"]].map(with);
        assert_eq!(before, names(&project.folder), "{what}: looking has left something behind");
        let run = project.once(NEXT, sets);
        let codes = [run.code, check.code, doctor.code];
        table.push_str(&format!("{what}: run {}, check {}, doctor {}\n", run.code, check.code, doctor.code));
        if codes.contains(&0) || codes.iter().any(|code| ![1, 2, 3].contains(code)) {
            wrong.push(format!("{what}: {codes:?}\n{}\n{}\n{}", run.stderr, check.stderr, doctor.stdout));
        }
        for look in looks {
            if ![0, 3].contains(&look.code) {
                wrong.push(format!("{what}: a look ended with {}\n{}\n{}", look.code, look.stdout, look.stderr));
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Every file and folder, without the queue's own files beside it.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        }
        let text = path.to_string_lossy().into_owned();
        if !text.ends_with("-shm") && !text.ends_with("-wal") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn status_shows_what_it_can_and_marks_what_it_cannot() {
    let project = Project::new("agreement-status");
    project.once(TICK, &[]).exits(0);
    std::fs::remove_file(project.path("films.csv")).unwrap();
    project.sluicebox(&["status"]).exits(0);

    std::fs::remove_dir_all(project.path("lake/silver")).unwrap();
    std::fs::write(project.path("lake/silver"), "mine").unwrap();
    let ran = project.sluicebox(&["status"]).exits(3);
    assert!(ran.stdout.contains("silver cannot be read: ") && ran.stdout.contains("bronze"), "{}", ran.stdout);
    let one = project.sluicebox(&["status", "--json"]).exits(3).json()["pipelines"][0].clone();
    assert_eq!((one["silver"].clone(), one["bronze"]["records"].clone()), (Value::Null, 30.into()), "{one}");
    assert!(one["unreadable"]["silver"].as_str().unwrap().contains("lake/silver"), "{one}");

    std::fs::write(project.plugin(), "not WebAssembly").unwrap();
    let shown = project.sluicebox(&["status"]).exits(3).stdout;
    assert!(shown.contains("the plugin of `clean` cannot be read: [P011]"), "{shown}");
}

#[test]
fn what_is_refused_is_not_told_to_serve_and_a_rollback_that_no_host_follows_is_refused() {
    let project = Project::new("agreement-rollback");
    let good = std::fs::read(project.plugin()).unwrap();
    project.once(TICK, &[]).exits(0);
    let digest = |stage: &str| {
        let status = project.sluicebox(&["status", "--json"]).json()["pipelines"][0].clone();
        status["plugins"][stage]["digest"].as_str().map(str::to_owned)
    };
    let first = digest("clean").unwrap();

    // Published and not loadable: the previous plugin serves.
    std::fs::write(project.plugin(), "not WebAssembly").unwrap();
    assert_eq!(digest("clean").as_ref(), Some(&first));
    let history = project.sluicebox(&["plugin", "history"]).exits(0).stdout;
    assert!(history.contains("what is published does not serve: it cannot be loaded: [P011]"), "{history}");

    std::fs::write(project.plugin(), another(&good, 1)).unwrap();
    project.once(NEXT, &[]).exits(0);
    let second = digest("clean").unwrap();
    assert_ne!(first, second);

    // What the lake does not keep any more cannot serve.
    let kept = project.path(&format!("lake/bronze/_plugins/{}.wasm", first.trim_start_matches("sha256:")));
    let component = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    let gone = project.sluicebox(&["plugin", "rollback", "clean"]).exits(1).stderr;
    assert!(gone.contains("is not in the lake any more"), "{gone}");
    std::fs::write(&kept, component).unwrap();

    // A pin is a promise that this component serves.
    let pin = format!("clean.sha256=\"{}\"", second.trim_start_matches("sha256:"));
    let pinned = project.sluicebox(&["plugin", "rollback", "clean", "--set", &pin]).exits(1).stderr;
    assert!(pinned.contains("pinned is") && pinned.contains("hint:"), "{pinned}");
    assert_eq!(digest("clean").as_ref(), Some(&second), "nothing was decided");

    let same = project.sluicebox(&["plugin", "rollback", "clean", "--to", "2"]).exits(2).stderr;
    assert!(same.contains("generation 2"), "{same}");
    let done = project.sluicebox(&["plugin", "rollback", "clean"]).exits(0).stdout;
    assert!(done.contains("(generation 1) in place of clean-movies") && !done.contains('?'), "{done}");
    assert_eq!(digest("clean").as_ref(), Some(&first));
    // It was taken back: going to it by its number undoes that.
    let taken = project.sluicebox(&["plugin", "rollback", "clean", "--to", "2"]).exits(2).stderr;
    assert!(taken.contains("`sluicebox plugin rollback clean --undo`"), "{taken}");
    project.sluicebox(&["plugin", "rollback", "clean", "--undo"]).exits(0);
    assert_eq!(digest("clean").as_ref(), Some(&second));
}

#[test]
fn a_run_starts_while_the_source_is_late_and_says_so() {
    let project = Project::new("agreement-late");
    let minutes_ago = chrono::Utc::now() - chrono::TimeDelta::minutes(3);
    project.once(&minutes_ago.format("%Y-%m-%dT%H:%M:00Z").to_string(), &[]).exits(0);
    std::fs::rename(project.path("films.csv"), project.path("late.csv")).unwrap();
    let sets = ["--set", "schedule.cron=\"* * * * *\"", "--set", "schedule.missed=\"all\""];
    let mut served = Served::start(project.command(&[&["run"][..], &sets].concat()));
    let (_, at) = served.wait(0, "the note", |line| line.text().contains("it may come late"));
    let (line, at) = served.wait(at, "the tick", |line| line.message().starts_with("tick failed"));
    assert!(line.text().contains("films.csv"), "{}", line.text());
    project.sluicebox(&["status"]).exits(0);
    std::fs::rename(project.path("late.csv"), project.path("films.csv")).unwrap();
    served.wait(at, "the tick", |line| line.message() == "tick fired");
    let (line, _) = served.wait(at, "its end", |line| line.message() == "tick done");
    assert!(line.fields["records"] == 30 || line.fields["fields"]["records"] == 30, "{}", line.text());
    assert!(served.stop() >= 0);
}

#[test]
fn a_tick_is_two_lines_of_the_log_and_the_second_says_that_it_is_done() {
    let project = Project::new("agreement-log");
    let ran = project.once(TICK, &["--log-level", "info", "--log-format", "json"]).exits(0);
    let lines: Vec<Value> = ran.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(told, ["tick fired", "tick done"], "{}", ran.stderr);
    let done = &lines[1];
    assert_eq!(
        (done["records"].as_u64(), done["quarantined"].as_u64(), done["pipeline"].as_str()),
        (Some(30), Some(0), Some("films"))
    );
    assert!(done["took"].is_string() && done["run"] == "20261124T030000Z", "{done}");
}

/// Whether a text moves the cursor, ends another text's line or reorders letters; colours are let pass.
fn is_inert(text: &str) -> bool {
    let mut rest = text.to_owned();
    while let Some(at) = rest.find("\u{1b}[") {
        let end = rest[at..].find('m').map_or(rest.len(), |end| at + end + 1);
        if !rest[at + 2..end - 1].chars().all(|c| c.is_ascii_digit() || c == ';') {
            return false;
        }
        rest.replace_range(at..end, "");
    }
    rest.chars().all(|c| c == '\n' || !seams::foreign::is_odd(c))
}

#[test]
fn escapes_in_keys_values_and_reasons_are_text_on_every_terminal() {
    let project = Project::new("agreement-escapes");
    let hostile = "Film \u{1b}[2J\u{1b}]0;gone\u{7}\u{9b}31m\u{202e}lived";
    let file = project.path("films.csv");
    let mut rows = std::fs::read_to_string(&file).unwrap();
    // One that stands, one that is refused for its key, and one that the plugin refuses.
    for (title, year) in [(hostile, "1999"), (hostile, "1999"), (&format!("{hostile}!"), "\u{1b}[31mnone")] {
        rows.push_str(&format!("{title},{year},Drama,\u{1b}[5mSomebody,7.1,2000,90 min,,,,True\n"));
    }
    std::fs::write(&file, rows).unwrap();
    let refused = project.once(TICK, &["--log-level", "info"]);
    assert!(is_inert(&refused.stdout) && is_inert(&refused.stderr), "{:?}\n{:?}", refused.stdout, refused.stderr);
    let listed = project.sluicebox(&["quarantine", "ls", "--json"]).exits(0).json();
    let ids: Vec<String> = listed["refused"]
        .as_array()
        .or_else(|| listed.as_array())
        .unwrap_or(&Vec::new())
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(!ids.is_empty(), "{listed}");
    let records = project.sluicebox(&["records", "--json"]).exits(0).json().to_string();
    let records: Value = serde_json::from_str(&records).unwrap();
    let keys = records["pipelines"][0]["records"].as_array().unwrap().iter();
    let key = keys.map(|one| one["key"].as_str().unwrap().to_owned()).find(|key| key.contains("lived")).unwrap();
    let mut shown = vec![
        vec!["status"],
        vec!["records", "--limit", "100"],
        vec!["quarantine", "ls"],
        vec!["explain", &key],
        vec!["verify"],
        vec!["explain", "\u{1b}[2Jnobody"],
    ];
    shown.extend(ids.iter().map(|id| vec!["quarantine", "show", id.as_str()]));
    for words in shown {
        for how in [&["--color", "never"][..], &["--color", "always"], &["--json"], &["--log-format", "json"]] {
            let ran = project.sluicebox(&[&words[..], how].concat());
            assert!(
                is_inert(&ran.stdout) && is_inert(&ran.stderr),
                "{words:?} {how:?}\n{:?}\n{:?}",
                ran.stdout,
                ran.stderr
            );
            let raw = ["\u{1b}[2J", "\u{1b}[5m", "\u{1b}]0"];
            assert!(!raw.iter().any(|raw| ran.stdout.contains(raw) || ran.stderr.contains(raw)), "{words:?} {how:?}");
        }
    }
}

/// The files below a folder of compiled plugins.
fn code_in(user: &Path) -> Vec<PathBuf> {
    let folder = user.join("sluicebox").join("compiled").join("code");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn code_that_a_project_brings_along_is_never_run() {
    let project = Project::new("agreement-cache");
    let (user, other) = (fresh_folder("agreement-cache-user"), fresh_folder("agreement-cache-other"));
    let check = |home: &Path| {
        let mut command = command(&project.folder);
        run(command.arg("check").env("XDG_CACHE_HOME", home).env("XDG_DATA_HOME", home.join("data")))
    };
    // Code that another user compiled, put where older programs looked for it, and where this one does.
    check(&other).exits(0);
    let brought = project.path(".sluicebox/cache/code");
    std::fs::create_dir_all(&brought).unwrap();
    check(&user).exits(0);
    for (theirs, mine) in code_in(&other).iter().zip(code_in(&user)) {
        std::fs::copy(theirs, brought.join(theirs.file_name().unwrap())).unwrap();
        std::fs::copy(theirs, mine).unwrap();
    }
    let known = user.join("sluicebox").join("compiled").join("known");
    for entry in std::fs::read_dir(&known).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let sizes = |files: Vec<PathBuf>| files.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>();
    let planted = sizes(code_in(&user));
    let ran = check(&user).exits(0);
    let told = ran.stderr.matches("was not written by this user, or was changed since").count();
    assert_eq!(told, planted.len(), "{}", ran.stderr);
    assert_ne!(sizes(code_in(&user)), planted, "it is compiled again");
    let again = check(&user).exits(0);
    assert!(!again.stderr.contains("was not written by this user"), "{}", again.stderr);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let key = user.join("data").join("sluicebox").join("compiled.key");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        // A folder that others can write to is not used, and the only effect is less speed.
        let folder = user.join("sluicebox").join("compiled");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let ran = check(&user).exits(0);
        assert!(
            ran.stderr.contains("compiled plugins are not kept") && ran.stderr.contains("mode 777"),
            "{}",
            ran.stderr
        );
    }
}

/// A second pipeline beside the first, with a file and a name of its own.
fn beside(project: &Project, file: &str, name: &str, lake: &str) {
    let text = PIPELINE.replace("name = \"films\"", &format!("name = \"{name}\""));
    std::fs::write(project.path(file), format!("{text}\n[lake]\n{lake}\n")).unwrap();
}

#[test]
fn two_pipelines_or_two_names_on_one_lake_are_refused_at_the_start_with_the_way_out() {
    let project = Project::new("agreement-shared-lake");
    project.once(TICK, &[]).exits(0);
    let before = names(&project.path("lake"));
    // In processes of their own: the same lake under another name, and layers that are another lake's.
    for (file, name, lake, says) in [
        ("renamed.toml", "other", "bronze = \"lake/bronze\"", "the lake belongs to pipeline `films`"),
        ("silver.toml", "other", "bronze = \"b1\"\nsilver = \"lake/silver\"\ngold = \"g1\"", "layer `silver`"),
        ("gold.toml", "films", "bronze = \"b2\"\nsilver = \"s2\"\ngold = \"lake/gold\"", "layer `gold`"),
        (
            "crossed.toml",
            "films",
            "bronze = \"lake/gold\"\nsilver = \"s3\"\ngold = \"g3\"",
            "is the gold of pipeline `films`",
        ),
    ] {
        beside(&project, file, name, lake);
        for args in [&["check"][..], &["doctor"], &["run", "--once", "--tick", NEXT]] {
            let ran = project.sluicebox(&[args, &[file]].concat());
            let told = format!("{}{}", ran.stdout, ran.stderr);
            assert!([1, 2].contains(&ran.code) && told.contains(says), "{file} {args:?}: {} {told}", ran.code);
            assert!(told.contains("[lake]"), "the way out: {told}");
        }
    }
    assert_eq!(before, names(&project.path("lake")), "nothing was changed");
    // In one process, before anything is there.
    beside(&project, "one.toml", "one", "bronze = \"x/bronze\"\nsilver = \"x/silver\"\ngold = \"x/gold\"");
    for (file, name, lake) in [
        ("same.toml", "two", "bronze = \"y/bronze\"\nsilver = \"x/silver\"\ngold = \"y/gold\""),
        ("within.toml", "two", "bronze = \"x/gold/deeper\"\nsilver = \"y/silver\"\ngold = \"y/gold\""),
        ("queue.toml", "one", "bronze = \"y/bronze\"\nsilver = \"y/silver\"\ngold = \"y/gold\""),
    ] {
        beside(&project, file, name, lake);
        for args in [&["check"][..], &["doctor"], &["run", "--once", "--tick", NEXT]] {
            let ran = project.sluicebox(&[args, &["one.toml", file]].concat()).exits(2);
            assert!(ran.stderr.contains("are one place, or one within the other"), "{file} {args:?}: {}", ran.stderr);
        }
        assert!(!project.path("x").exists() && !project.path("y").exists(), "nothing was made");
    }
    // The same file in another host is the same pipeline.
    project.once(NEXT, &[]).exits(0);
    project.sluicebox(&["verify"]).exits(0);
}
