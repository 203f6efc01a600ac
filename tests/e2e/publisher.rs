//! What a user who publishes a plugin, or writes to the lake, can do to a serving process: invalid files, late signatures,
//! components and decisions without a signature, pipelines that cannot begin beside ones that can.
//!
//! Does not test what a plugin does: `hostile.rs` does.

#![cfg(unix)]
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
mod table;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serve::Served;
use support::{Ran, another, command, compiled_plugins, fresh_folder, get, publish, run};
use table::{HOLDS, told};

const CLEAN: &str = "plugins/clean.wasm";

/// A project without a service: documents in a file, cleaned by a shipped plugin.
struct Project {
    folder: PathBuf,
    /// `--set` of each command.
    sets: Vec<String>,
}

impl Project {
    fn new(name: &str) -> Self {
        let project = Project { folder: fresh_folder(name), sets: Vec::new() };
        std::fs::create_dir_all(project.path("plugins")).unwrap();
        let line = |number: usize| {
            json!({ "Title": format!("Film {number}"), "Year": "1990", "Genre": "Drama", "Type": "movie", "Response": "True" })
                .to_string()
        };
        let text: String = (0..8).map(|number| format!("{}\n", line(number))).collect();
        std::fs::write(project.path("titles.jsonl"), text).unwrap();
        std::fs::write(project.path("pipeline.toml"), pipeline(name, "lake")).unwrap();
        std::fs::copy(artifacts::clean_movies(), project.path(CLEAN)).unwrap();
        std::fs::copy(artifacts::aggregate_genres(), project.path("plugins/genres.wasm")).unwrap();
        project
    }

    /// The same, where only signed components serve.
    fn signed(name: &str) -> Self {
        let mut project = Project::new(name);
        let made = project.run(&["plugin", "keygen", "release.pem", "--json"]).exits(0).json();
        project.sign(CLEAN);
        project.sign("plugins/genres.wasm");
        project.sets.push(format!("signatures.trusted_keys=[{}]", made["public_key"]));
        project
    }

    fn sign(&self, component: &str) {
        self.bare(&["plugin", "sign", component, "--key", "release.pem"]).exits(0);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.folder);
        command.args(args);
        // Compiled once for all tests: what they run is the same few components.
        command.arg("--cache-dir").arg(compiled_plugins());
        command
    }

    fn with_sets(&self, args: &[&str]) -> Command {
        let mut command = self.command(args);
        for set in &self.sets {
            command.args(["--set", set]);
        }
        command
    }

    /// Without `--set`, which not all commands know.
    fn bare(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.with_sets(args))
    }

    /// A tick of its own each time.
    fn once(&self, minute: u32) -> Ran {
        let tick = format!("2026-11-20T03:{minute:02}:00Z");
        self.run(&["run", "--once", "--json", "--tick", &tick])
    }

    fn served(&self, more: &[&str]) -> (Served, String) {
        let args = [&["run", "--listen", "127.0.0.1:0"][..], more].concat();
        let mut served = Served::start(self.with_sets(&args));
        let (line, _) = served.wait(0, "the address", |line| line.message().starts_with("answering /livez"));
        let address = line.fields["address"].as_str().unwrap().to_owned();
        (served, address)
    }

    fn serving(&self, stage: &str) -> String {
        let checked = self.run(&["check", "--json"]).exits(0).json();
        let plugins = checked["pipelines"][0]["plugins"].as_array().unwrap().clone();
        let found = plugins.iter().find(|one| one["stage"] == stage).unwrap();
        found["digest"].as_str().unwrap().to_owned()
    }
}

fn pipeline(name: &str, lake: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\n\n[schedule]\ncron = \"0 3 * * *\"\n\n[source]\nuri = \"titles.jsonl\"\nkey = [\"Title\"]\n\n[lake]\n\
         bronze = \"{lake}/bronze\"\nsilver = \"{lake}/silver\"\ngold = \"{lake}/gold\"\n\n\
         [clean]\nplugin = \"{CLEAN}\"\n\n[[aggregate]]\nname = \"genres\"\nplugin = \"plugins/genres.wasm\"\n"
    )
}

/// Waits until `wanted` holds.
#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !wanted() {
        assert!(begun.elapsed() < Duration::from_secs(150), "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("sha256:{}", String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap())
}

/// The process's peak of memory, in KiB.
fn peak(served: &Served) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Puts something that is no file in the place of a file, at once.
fn replace_by(path: &Path, what: &str) {
    let next = path.with_extension("odd");
    let _ = std::fs::remove_file(&next);
    match what {
        "pipe" => assert!(Command::new("mkfifo").arg(&next).status().unwrap().success()),
        "zero" => symlink("/dev/zero", &next).unwrap(),
        _ => std::fs::File::create(&next).unwrap().set_len(6 << 30).unwrap(),
    }
    std::fs::rename(&next, path).unwrap();
}

#[test]
fn f40_a_file_replaced_by_a_pipe_a_device_or_6_gib_is_told_within_seconds_and_what_serves_serves_on() {
    let project = Project::signed("publisher-no-files");
    let (mut served, address) = project.served(&[]);
    served.wait(0, "the start", |line| line.text().contains("serving"));
    until("readiness", || get(&address, "/readyz").0 == 200);
    let before = peak(&served);
    let mut at = served.lines().len();
    for file in [CLEAN, "plugins/clean.wasm.sig", "pipeline.toml"] {
        for (what, told) in [
            ("pipe", "it is a named pipe (FIFO), expected a regular file"),
            ("zero", "it is a device, expected a regular file"),
            ("sparse", "it has 6442450944 bytes, at most"),
        ] {
            let (path, sound) = (project.path(file), std::fs::read(project.path(file)).unwrap());
            let begun = Instant::now();
            replace_by(&path, what);
            let refused = served.look(at, Duration::from_secs(20), |line| line.message().starts_with("not let in"));
            let (line, next) = refused.unwrap_or_else(|| panic!("{file} as {what}: nothing is told"));
            assert!(line.text().contains(told), "{file} as {what}: {}", line.text());
            assert!(begun.elapsed() < Duration::from_secs(15), "{file} as {what}: {:?}", begun.elapsed());
            at = next;
            // Probes are answered, and the commands say it too.
            assert_eq!(get(&address, "/readyz"), (200, "ready\n".to_owned()));
            if file != "pipeline.toml" {
                let status = project.run(&["status"]).stdout;
                assert!(status.contains(told), "{status}");
            }
            let checked = project.run(&["check"]).exits(2).stderr;
            assert!(checked.contains(told) && checked.contains("hint: "), "{checked}");
            publish(&path, &sound);
        }
    }
    // It is still watching, and accepts a good file.
    let next = another(&std::fs::read(project.path(CLEAN)).unwrap(), 1);
    publish(&project.path(CLEAN), &next);
    project.sign(CLEAN);
    served.wait(at, "the switch", |line| line.message() == "another plugin serves");
    assert!(peak(&served) < before + (300 << 10), "{} KiB, {before} before", peak(&served));
    assert!(served.stop() >= 0);
    told(
        "F40 a pipe, a device, 6 GiB for a file",
        9,
        "component, signature and pipeline file: told within 15 s, the old version serves, memory bounded",
        HOLDS,
    );
}

#[test]
fn f41_a_source_replaced_by_a_pipe_a_device_or_6_gib_is_refused_by_name() {
    let project = Project::new("publisher-no-source");
    for (what, told) in [
        ("pipe", "it is a named pipe (FIFO), expected a regular file"),
        ("zero", "it is a device, expected a regular file"),
        ("sparse", "it has 6442450944 bytes, at most"),
    ] {
        replace_by(&project.path("titles.jsonl"), what);
        let refused = project.once(0).exits(1).stderr;
        assert!(refused.contains(told), "{what}: {refused}");
    }
    told("F41 a pipe, a device, 6 GiB for a source", 3, "refused by name", HOLDS);
}

#[test]
fn f42_a_signature_that_comes_after_its_component_is_looked_at_again() {
    let project = Project::signed("publisher-late-signature");
    let (mut served, _) = project.served(&[]);
    served.wait(0, "the start", |line| line.text().contains("serving"));
    let good = std::fs::read(project.path(CLEAN)).unwrap();
    let mut at = served.lines().len();
    for (number, late) in [(1, "there is another"), (2, "there is none")] {
        if number == 2 {
            // Nothing is signed yet: the plugin that serves has lost its signature, too.
            std::fs::remove_file(project.path("plugins/clean.wasm.sig")).unwrap();
        }
        publish(&project.path(CLEAN), &another(&good, number));
        let (line, next) = served.wait(at, late, |line| line.message().starts_with("not let in"));
        assert!(line.text().contains("P017"), "{}", line.text());
        std::thread::sleep(Duration::from_secs(3));
        project.sign(CLEAN);
        at = served.wait(next, "the switch", |line| line.message() == "another plugin serves").1;
    }
    assert!(served.stop() >= 0);
    told("F42 a signature after its component", 2, "looked at again, takes over", HOLDS);
}

/// What a user who can write only to the lake puts there: a component, and a decision that it serves.
fn attack(project: &Project, component: &[u8], config: &str) -> String {
    let digest = digest(component);
    let digits = digest.trim_start_matches("sha256:");
    std::fs::create_dir_all(project.path("lake/bronze/_plugins")).unwrap();
    std::fs::write(project.path(&format!("lake/bronze/_plugins/{digits}.wasm")), component).unwrap();
    decide(project, &digest, config, 1);
    digest
}

fn decide(project: &Project, digest: &str, config: &str, number: u64) {
    let plugin = |digest: &str| json!({ "name": "clean-movies", "version": "1.0.0", "digest": digest });
    let published = self::digest(&std::fs::read(project.path(CLEAN)).unwrap());
    let event = json!({
        "stage": "clean", "at": "2026-11-20T03:00:00Z",
        "version": { "plugin": plugin(&published), "config": "{}" },
        "happened": { "what": "rolled_back", "version": { "plugin": plugin(digest), "config": config },
                      "reason": "none", "by": "person" },
    });
    let folder = project.path("lake/bronze/_swaps/clean");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{number:020}-decision-evil.json")), event.to_string()).unwrap();
}

fn generations(project: &Project) -> Vec<Value> {
    let history = project.run(&["plugin", "history", "--json"]).exits(0).json();
    let clean = history["stages"].as_array().unwrap().iter().find(|one| one["stage"] == "clean").unwrap().clone();
    clean["generations"].as_array().unwrap().clone()
}

#[test]
fn f43_a_component_and_a_decision_of_a_lake_writer_do_not_serve_where_something_is_signed_or_pinned() {
    for (how, code) in [("signed", "P017"), ("pinned", "P016")] {
        let name = format!("publisher-lake-writer-{how}");
        let mut project = if how == "signed" { Project::signed(&name) } else { Project::new(&name) };
        let good = std::fs::read(project.path(CLEAN)).unwrap();
        if how == "pinned" {
            project.sets.push(format!("clean.sha256=\"{}\"", digest(&good).trim_start_matches("sha256:")));
        }
        project.once(0).exits(0);
        project.run(&["verify"]).exits(0);
        let evil = attack(&project, &another(&good, 7), "{\"max_year\":1800}");
        assert_eq!(project.serving("clean"), digest(&good));
        for round in ["with a configuration of his own", "with the file's configuration", "with its component alone"] {
            match round {
                "with the file's configuration" => decide(&project, &evil, "{}", 1),
                // The component that is signed, in a configuration that is not in the file.
                "with its component alone" => decide(&project, &digest(&good), "{\"max_year\":1800}", 1),
                _ => {}
            }
            let checked = project.run(&["check"]).exits(0);
            assert!(checked.stderr.contains(code), "{how}, {round}: {}", checked.stderr);
            assert!(
                checked.stderr.contains("a decision in the lake is not followed"),
                "{how}, {round}: {}",
                checked.stderr
            );
            assert_eq!(project.serving("clean"), digest(&good), "{how}, {round}");
            let verified = project.run(&["verify"]).exits(1).stdout;
            assert!(verified.contains("V10") && verified.contains(code), "{how}, {round}: {verified}");
        }
        let ran = project.once(1).exits(0);
        assert!(ran.stderr.contains("a decision in the lake is not followed"), "{}", ran.stderr);
        let (mut served, _) = project.served(&[]);
        served.wait(0, "the warning", |line| line.message().starts_with("a decision in the lake is not followed"));
        assert!(served.stop() >= 0);
        let served: Vec<Value> = generations(&project).iter().map(|one| one["plugin"]["digest"].clone()).collect();
        assert_eq!(served, [digest(&good)], "{how}");
        // Without the decision nothing is left of it.
        std::fs::remove_dir_all(project.path("lake/bronze/_swaps")).unwrap();
        project.run(&["verify"]).exits(0);
    }
    told(
        "F43 a lake writer's component and decision",
        6,
        "not followed where pinned or signed; check, run and verify say so",
        HOLDS,
    );
}

#[test]
fn without_pins_and_signatures_the_lake_s_word_counts_as_ever() {
    let project = Project::new("publisher-open");
    let good = std::fs::read(project.path(CLEAN)).unwrap();
    project.once(0).exits(0);
    let other = attack(&project, &another(&good, 7), "{}");
    assert_eq!(project.serving("clean"), other);
    project.run(&["verify"]).exits(0);
}

#[test]
fn a_signed_component_serves_again_after_a_rollback_and_no_other_signature_is_believed() {
    let project = Project::signed("publisher-signed-rollback");
    let good = std::fs::read(project.path(CLEAN)).unwrap();
    project.once(0).exits(0);
    let next = another(&good, 1);
    publish(&project.path(CLEAN), &next);
    project.sign(CLEAN);
    project.once(1).exits(0);
    project.bare(&["plugin", "rollback", "clean", "--set", &project.sets[0]]).exits(0);
    assert_eq!(project.serving("clean"), digest(&good), "its signature was kept with it");
    project.run(&["verify"]).exits(0);
    project.once(2).exits(0);
    // The signature of another component does not cover this one.
    let of = |bytes: &[u8]| {
        project.path(&format!("lake/bronze/_plugins/{}.wasm.sig", digest(bytes).trim_start_matches("sha256:")))
    };
    std::fs::copy(of(&next), of(&good)).unwrap();
    let checked = project.run(&["check"]).exits(0).stderr;
    assert!(checked.contains("is not by a trusted key"), "{checked}");
    assert_eq!(project.serving("clean"), digest(&next));
    std::fs::remove_file(of(&good)).unwrap();
    let refused =
        project.bare(&["plugin", "rollback", "clean", "--to", "1", "--set", &project.sets[0]]).exits(1).stderr;
    assert!(refused.contains("has no signature in the lake"), "{refused}");
}

#[test]
fn a_configuration_that_the_file_has_had_comes_back_and_no_other() {
    let mut project = Project::signed("publisher-signed-configuration");
    project.once(0).exits(0);
    project.sets.push("clean.config.max_year=2000".to_owned());
    project.once(1).exits(0);
    let sets = project.sets.clone();
    project.bare(&["plugin", "rollback", "clean", "--to", "1", "--set", &sets[0], "--set", &sets[1]]).exits(0);
    let checked = project.run(&["check"]).exits(0).stderr;
    assert!(!checked.contains("is not followed"), "{checked}");
    project.once(2).exits(0);
    project.run(&["verify"]).exits(0);
    let generations = generations(&project);
    assert_eq!(generations.last().unwrap()["config"], generations[0]["config"], "{generations:?}");
    // Another machine has not seen it.
    std::fs::remove_file(project.path(".sluicebox/publisher-signed-configuration/configurations")).unwrap();
    let checked = project.run(&["check"]).exits(0).stderr;
    assert!(checked.contains("a configuration that the pipeline file has not had here"), "{checked}");
}

#[test]
fn f44_of_two_pipelines_the_one_that_cannot_begin_is_named_begun_again_and_holds_nobody_up() {
    let project = Project::new("publisher-two");
    std::fs::write(
        project.path("other.toml"),
        pipeline("publisher-other", "other-lake").replace(CLEAN, "plugins/other.wasm"),
    )
    .unwrap();
    std::fs::write(project.path("plugins/other.wasm"), "no component").unwrap();
    let both = ["pipeline.toml", "other.toml", "--set", "schedule.cron=\"* * * * *\""];
    let (mut served, address) = project.served(&both);
    let (line, _) = served.wait(0, "the end", |line| line.message().starts_with("the pipeline has ended"));
    assert!(line.text().contains("publisher-other") && line.text().contains("P011"), "{}", line.text());
    until("the name", || {
        let (status, text) = get(&address, "/readyz");
        status == 503 && text.contains("pipeline `publisher-other` has ended") && !text.contains("publisher-two")
    });
    assert_eq!(get(&address, "/livez").0, 200);
    let metrics = get(&address, "/metrics").1;
    assert!(metrics.contains("sluicebox_pipeline_up{pipeline=\"publisher-two\"} 1"), "{metrics}");
    assert!(metrics.contains("sluicebox_pipeline_up{pipeline=\"publisher-other\"} 0"), "{metrics}");
    assert!(!metrics.contains("sluicebox_pipeline_ended_total{pipeline=\"publisher-other\"} 0"), "{metrics}");
    // Its neighbour ticks, and it comes back when it can.
    served.wait(0, "a tick", |line| line.message() == "tick fired");
    std::fs::copy(artifacts::clean_movies(), project.path("plugins/other.next")).unwrap();
    std::fs::rename(project.path("plugins/other.next"), project.path("plugins/other.wasm")).unwrap();
    served.wait(0, "the return", |line| line.message() == "the pipeline serves again");
    until("readiness", || get(&address, "/readyz").0 == 200);
    assert!(served.stop() >= 0);
    // Alone it is refused at once: an operator is there to read why.
    std::fs::write(project.path("plugins/other.wasm"), "no component").unwrap();
    let alone = run(&mut project.command(&["run", "other.toml"]));
    assert_eq!(alone.code, 2, "{}", alone.stderr);
    told(
        "F44 one of two pipelines cannot begin",
        1,
        "readyz, metrics and log name it, the other ticks, it comes back",
        HOLDS,
    );
}

/// After a failed sync the content of the disk is unknown: the pipeline cannot go on, and is started again.
#[test]
fn f49_of_two_pipelines_the_one_whose_disk_fails_at_work_is_named_begun_again_and_loses_no_tick() {
    let fault = "F49 one of two pipelines ends at work";
    if !Command::new("strace").arg("-V").stdout(std::process::Stdio::null()).status().is_ok_and(|ran| ran.success()) {
        return told(fault, 0, "strace is not installed (`apt-get install strace`)", "NOT RUN");
    }
    let project = Project::new("publisher-at-work");
    std::fs::write(project.path("other.toml"), pipeline("publisher-sick", "sick")).unwrap();
    let sick = project.path("sick/bronze/_plugins");
    std::fs::create_dir_all(&sick).unwrap();
    let plain = project.command(&["run", "pipeline.toml", "other.toml", "--listen", "127.0.0.1:0"]);
    // What is traced keeps its number, so that a signal reaches it.
    let mut traced = Command::new("strace");
    traced.current_dir(&project.folder).args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
    traced.args(["-e", "inject=fsync:error=EIO:when=1", "-P"]).arg(&sick);
    traced.arg(plain.get_program()).args(plain.get_args()).args(["--set", "schedule.cron=\"* * * * *\""]);
    let mut served = Served::start(traced);
    let (line, _) = served.wait(0, "the address", |line| line.message().starts_with("answering /livez"));
    let address = line.fields["address"].as_str().unwrap().to_owned();
    let (ended, at) = served.wait(0, "the end", |line| line.message().starts_with("the pipeline has ended"));
    assert!(ended.text().contains("publisher-sick") && ended.text().contains("may not be on disk"), "{}", ended.text());
    let (status, text) = get(&address, "/readyz");
    assert!(status == 503 && text.contains("pipeline `publisher-sick` has ended"), "{status} {text}");
    served.wait(at, "the return", |line| line.message() == "the pipeline serves again");
    served.wait(0, "its neighbour's tick", |line| {
        line.message() == "tick done" && line.text().contains("publisher-at-work")
    });
    // Its own is done as well, by any of its lives: the process that fired it may not be the one that sees its end.
    until("its tick", || {
        let status = run(&mut project.command(&["status", "other.toml", "--json"])).json();
        status["pipelines"][0]["silver"]["rows"] == 8 && status["pipelines"][0]["queues"]["clean"]["in_flight"] == 0
    });
    let metrics = get(&address, "/metrics").1;
    assert!(metrics.contains("sluicebox_pipeline_ended_total{pipeline=\"publisher-at-work\"} 0"), "{metrics}");
    assert!(served.stop() >= 0);
    // A stop leaves what it has not begun.
    run(&mut project.command(&["run", "--once", "pipeline.toml", "other.toml"])).exits(0);
    run(&mut project.command(&["verify", "pipeline.toml", "other.toml"])).exits(0);
    told(fault, 1, "named at once, begun again, its tick is done; the other's as well; verify is clean", HOLDS);
}

#[test]
fn f45_slow_clients_of_listen_take_no_file_from_the_pipeline() {
    let project = Project::new("publisher-slow-clients");
    let mut command = Command::new("sh");
    // Few files, also where more could be asked for.
    command.current_dir(&project.folder).args([
        "-c",
        "ulimit -n 200; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_sluicebox"),
    ]);
    command.args(["run", "--listen", "127.0.0.1:0", "--set", "schedule.cron=\"* * * * *\""]);
    command.arg("--cache-dir").arg(compiled_plugins());
    let mut served = Served::start(command);
    let (line, _) = served.wait(0, "the address", |line| line.message().starts_with("answering /livez"));
    let address = line.fields["address"].as_str().unwrap().to_owned();
    served.wait(0, "the hint", |line| line.text().contains("may have 200 files open"));
    let slow: Vec<TcpStream> = (0..260)
        .map(|_| {
            let mut connection = TcpStream::connect(&address).unwrap();
            let _ = connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: a");
            connection
        })
        .collect();
    let from = served.lines().len();
    let (tick, _) = served.wait(from, "a tick", |line| line.message() == "tick fired");
    let (done, _) = served.wait(from, "its end", |line| line.message() == "tick done");
    assert!(done.at - tick.at < Duration::from_secs(20), "{:?}", done.at - tick.at);
    let text: String = served.lines().iter().map(|line| line.text()).collect();
    assert!(!text.contains("Too many open files"), "{text}");
    // They are cut off, and a proper request is answered while they still hold on.
    let begun = Instant::now();
    until("an answer", || {
        let Ok(mut connection) = TcpStream::connect(&address) else { return false };
        let _ = connection.set_read_timeout(Some(Duration::from_secs(2)));
        let _ = write!(connection, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).is_ok() && answer.contains("alive")
    });
    assert!(begun.elapsed() < Duration::from_secs(15));
    // An invalid head, and one without an end.
    let mut endless = TcpStream::connect(&address).unwrap();
    let _ = endless.set_write_timeout(Some(Duration::from_secs(2)));
    let cut = (0..10_000).any(|_| endless.write_all(&[b'x'; 1024]).is_err());
    assert!(cut, "ten megabytes of head are taken");
    drop(slow);
    assert!(served.stop() >= 0);
    told("F45 260 slow clients, 200 files", 1, "the tick runs, they are cut off, probes are answered", HOLDS);
}
