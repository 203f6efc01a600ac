//! Faults of real processes: killed at random moments and at each of their calls to the file system, starved of disk and of open files,
//! many at once on one lake, with plugins that change under them. After each the lake is verified.
//!
//! Each test writes a line of the table that `cargo xtask faults` shows. It sets `SLUICEBOX_FAULTS`, the file of these lines; without it
//! only some of everything is tried.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod lanes;
mod support;
mod table;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use films::{Films, TICK};
use lanes::{Lanes, side_by_side};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use support::{another, run};
use table::{HOLDS, told, whole};

/// The seed of all random choices: printed, and taken from `SLUICEBOX_FAULTS_SEED` to run the same again.
fn dice(what: &str) -> StdRng {
    let given = std::env::var("SLUICEBOX_FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("{what}: SLUICEBOX_FAULTS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn gold(films: &Films) -> Vec<Vec<Vec<String>>> {
    ["genres", "directors", "decades"].map(|table| films.gold(table)).to_vec()
}

/// The lake keeps every promise, and no work is left.
fn verified(films: &Films, what: &str) {
    let ran = films.sluicebox(&["verify", "--json"]);
    assert_eq!(ran.code, 0, "{what}\n{}\n{}", ran.stdout, ran.stderr);
}

/// `run --once` of so many records, with messages that come back soon after the death of their holder.
fn once_args(top_n: u32, batch_size: u32) -> Vec<String> {
    let mut args: Vec<String> = ["run", "--once", "--json", "--tick", TICK].map(str::to_owned).to_vec();
    for set in [
        format!("source.top_n={top_n}"),
        format!("source.batch_size={batch_size}"),
        "queue.visibility_timeout=\"1s\"".to_owned(),
        // Many holders of a message die: none of that is its fault.
        "queue.max_receives=1000".to_owned(),
    ] {
        args.extend(["--set".to_owned(), set]);
    }
    args
}

fn command(films: &Films, args: &[String]) -> Command {
    films.command(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn to_its_end(films: &Films, args: &[String], what: &str) -> Value {
    let ran = run(&mut command(films, args));
    assert_eq!(ran.code, 0, "{what}\n{}\n{}", ran.stdout, ran.stderr);
    ran.json()["pipelines"][0].clone()
}

/// A pipeline whose plugins are compiled, so that what is killed is the run and not the compiler.
fn warm(name: &str) -> Films {
    let films = Films::new(name);
    films.sluicebox(&["check"]).exits(0);
    films
}

/// Deletes the lake and the queue, and leaves the compiled plugins.
fn clear(films: &Films) {
    for part in ["lake", ".sluicebox/movies"] {
        let path = films.path(part);
        if path.exists() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

/// Calm runs in all lanes at once: their results, which must be the same, and how long one takes then.
fn calm(lanes: &Lanes, args: &[String]) -> (Vec<Vec<Vec<String>>>, Duration) {
    let start = Instant::now();
    let ends = side_by_side(lanes, vec!["calm"; lanes.films.len()], |films, what| {
        clear(films);
        to_its_end(films, args, what);
        let takes = start.elapsed();
        verified(films, what);
        (gold(films), takes)
    });
    let takes = ends.iter().map(|(_, takes)| *takes).min().unwrap();
    assert!(ends.iter().all(|(gold, _)| *gold == ends[0].0), "calm runs differ");
    (ends[0].0.clone(), takes)
}

/// F1: killed at random moments.
#[test]
fn f1_killed_at_random_moments() {
    let (rounds, top_n) = if whole() { (200, 1000) } else { (6, 200) };
    let args = once_args(top_n, 20);
    let lanes = Lanes::new("faults-killed");
    let (wanted, calm_takes) = calm(&lanes, &args);
    let mut dice = dice("F1");
    let latest = u64::try_from(calm_takes.as_micros()).unwrap();
    let moments = (0..rounds).map(|_| Duration::from_micros(dice.random_range(0..latest))).collect();
    let killed = side_by_side(&lanes, moments, |films, moment| {
        clear(films);
        let mut child = quiet(command(films, &args));
        std::thread::sleep(moment);
        let killed = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        let what = format!("killed after {moment:?}");
        to_its_end(films, &args, &what);
        verified(films, &what);
        assert_eq!(gold(films), wanted, "{what}");
        killed
    });
    let killed = killed.into_iter().filter(|killed| *killed).count();
    assert!(killed * 3 > rounds, "only {killed} of {rounds} were alive when they were killed");
    let checked = format!("{top_n} records; {killed} killed in the middle; verify, equal gold");
    told("F1 kill -9 at random moments", rounds, &checked, HOLDS);
}

/// The calls by which a process changes what is on disk.
const CHANGING: &str = "write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,fallocate";

fn strace() -> bool {
    Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// How often each call was made by the thread that made it most: strace counts the calls of each thread by itself.
fn count_calls(films: &Films, args: &[String], calls: &str) -> BTreeMap<String, usize> {
    let log = films.path("strace.log");
    // For counting only: with this filter strace 6.1 injects nothing at a later call than the first.
    let options = ["--seccomp-bpf", "-o", log.to_str().unwrap(), "-e", &format!("trace={calls}")];
    let mut traced = traced(films, args, &options);
    assert!(traced.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let mut words = line.split_whitespace();
        let thread = words.next().unwrap_or_default();
        let call = words.next().and_then(|rest| rest.split_once('(')).map(|(call, _)| call);
        if let Some(call) = call.filter(|call| calls.split(',').any(|one| one == *call)) {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    // Of all threads: how the calls are spread over them depends on the scheduler.
    assert!(counts.values().sum::<usize>() > 20, "{counts:?}");
    let mut most = BTreeMap::new();
    for ((call, _), count) in counts {
        let there: &mut usize = most.entry(call).or_default();
        *there = count.max(*there);
    }
    most
}

/// The program under strace, on one worker thread, so that its calls come in much the same order each time.
fn traced(films: &Films, args: &[String], options: &[&str]) -> Command {
    let plain = command(films, args);
    let mut traced = Command::new("strace");
    traced.current_dir(&films.folder).args(["-f", "-qq"]).args(options).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced.env("TOKIO_WORKER_THREADS", "1");
    traced
}

/// Injects something into each thread's n-th of each call, for every n or for some; after each the run is brought to its end and verified.
fn sweep(name: &str, fault: &str, calls: &str, inject: &str, most: Option<usize>) {
    if !strace() {
        told(fault, 0, "strace is not installed (`apt-get install strace`)", "NOT RUN");
        return;
    }
    let lanes = Lanes::new(name);
    let args = once_args(3, 1);
    let (wanted, _) = calm(&lanes, &args);
    let first = &lanes.films[0];
    clear(first);
    let counts = count_calls(first, &args, calls);
    let mut points: Vec<(String, usize)> =
        counts.into_iter().flat_map(|(call, count)| (1..=count).map(move |nth| (call.clone(), nth))).collect();
    if let Some(most) = most.filter(|most| *most < points.len()) {
        points = (0..most).map(|at| points[at * points.len() / most].clone()).collect();
    }
    let rounds = points.len();
    let hit = side_by_side(&lanes, points, |films, (call, nth)| {
        clear(films);
        let what = format!("{call} {nth}, {inject}");
        let injected = format!("inject={call}:{inject}:when={nth}");
        let mut traced = traced(films, &args, &["-e", &format!("trace={call}"), "-e", &injected]);
        // A fault that causes a pause of half a minute is left to the next run.
        traced.args(["--patience", "0s"]);
        let status = traced.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        to_its_end(films, &args, &what);
        verified(films, &what);
        assert_eq!(gold(films), wanted, "{what}");
        !status.success()
    });
    let hit = hit.into_iter().filter(|hit| *hit).count();
    assert!(hit > 0, "nothing was hit");
    told(fault, rounds, &format!("3 records; {hit} runs ended by it; verify, equal gold"), HOLDS);
}

/// F1: killed at each call to the file system.
#[test]
fn f1_killed_at_each_call_to_the_file_system() {
    sweep("faults-calls", "F1 kill -9 at file-system calls", CHANGING, "signal=KILL", (!whole()).then_some(12));
}

/// F2: the disk is full at one call. Not at `write`: that is also how threads wake each other, and no disk is in it. Failed writes
/// also show in the sync.
#[test]
fn f2_disk_full() {
    let calls = "pwrite64,ftruncate,fsync,fdatasync,linkat,rename,mkdir";
    sweep("faults-full", "F2 disk full", calls, "error=ENOSPC", Some(if whole() { 60 } else { 4 }));
}

/// F2: a sync fails: what it was to make durable must not count as done.
#[test]
fn f2_sync_fails() {
    sweep("faults-sync", "F2 fsync fails", "fsync,fdatasync", "error=EIO", Some(if whole() { 60 } else { 4 }));
}

/// F2: no file can be opened, or the file system is read-only, for one call.
#[test]
fn f2_too_many_open_files_and_read_only() {
    let most = Some(if whole() { 40 } else { 3 });
    sweep("faults-files", "F2 too many open files", "openat", "error=EMFILE", most);
    sweep("faults-read-only", "F2 read-only file system", "mkdir,rename,linkat,unlink", "error=EROFS", most);
}

/// F11: many processes on one lake and one queue.
#[test]
fn f11_eight_processes_on_one_lake() {
    let (processes, top_n) = if whole() { (8, 3201) } else { (4, 240) };
    let args = once_args(top_n, 10);
    let alone = warm("faults-alone");
    to_its_end(&alone, &args, "alone");
    let films = warm("faults-many");
    let running: Vec<Child> = (0..processes)
        .map(|_| command(&films, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    verified(&films, "many");
    assert_eq!(gold(&films), gold(&alone), "every row of every csv");
    for table in ["genres", "directors", "decades"] {
        let bytes = |films: &Films| std::fs::read(films.path(&format!("lake/gold/{table}.parquet"))).unwrap();
        assert!(bytes(&films) == bytes(&alone), "{table}.parquet");
    }
    let asked = films.stub.stats().calls;
    assert!(asked <= u64::from(top_n) + 10 * processes, "{asked} calls for {top_n} records");
    told(
        "F11 processes on one lake",
        1,
        &format!("{processes} at once, {top_n} records, {asked} calls; verify, equal gold"),
        HOLDS,
    );
}

/// F10: the plugin's file is another each time, and garbage in between.
#[test]
fn f10_plugin_file_swapped() {
    let rounds = if whole() { 40 } else { 5 };
    let films = warm("faults-swapped");
    let path = films.path("plugins/clean-movies/clean-movies.wasm");
    let good = std::fs::read(&path).unwrap();
    for round in 0..rounds {
        std::fs::write(&path, &good[..good.len() / (round % 3 + 2)]).unwrap();
        let refused = films.sluicebox(&["run", "--once", "--tick", TICK]).exits(2).stderr;
        assert!(refused.contains("clean") && refused.contains("P01"), "{refused}");
        std::fs::write(&path, another(&good, round)).unwrap();
        let mut child = quiet(command(&films, &once_args(60, 3)));
        std::thread::sleep(Duration::from_millis(200));
        // Swapped under a run that has loaded it: the run goes on with what it has.
        std::fs::write(&path, another(&good, round + 1000)).unwrap();
        assert!(child.wait().unwrap().success());
        verified(&films, &format!("round {round}"));
    }
    std::fs::write(&path, &good).unwrap();
    films.sluicebox(&["replay", "--stale"]).exits(0);
    verified(&films, "in the end");
    told("F10 plugin file swapped", rounds, "garbage refused by name; a batch has one digest; verify", HOLDS);
}

/// A folder with all that is in it, in the place of another.
fn restore(from: &std::path::Path, to: &std::path::Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            restore(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Files below a folder whose name or text has one of these words.
fn with_words(folder: &std::path::Path, words: &[&str]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(with_words(&path, words));
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if words.iter().any(|word| text.contains(word) || name.contains(word)) {
            found.push(path);
        }
    }
    found
}

/// F14: an erasure is killed at random moments and called again.
#[test]
fn f14_forget_killed_and_called_again() {
    let rounds = if whole() { 60 } else { 5 };
    let films = warm("faults-forget");
    for tick in [TICK, films::NEXT_TICK] {
        films.once(tick, 60, 20);
    }
    for part in ["lake", ".sluicebox/movies"] {
        restore(&films.path(part), &films.path(&format!("kept/{part}")));
    }
    let key = "Inglourious Basterds/2009";
    let forget = ["forget", key, "--yes", "--json"].map(str::to_owned);
    let start = Instant::now();
    films.sluicebox(&["forget", key, "--yes", "--json"]).exits(0);
    let latest = u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut dice = dice("F14");
    let mut killed = 0;
    for round in 0..rounds {
        for part in ["lake", ".sluicebox/movies"] {
            restore(&films.path(&format!("kept/{part}")), &films.path(part));
        }
        // What a writer that was killed has left half written.
        let staged = films.path("lake/silver/_bucket=0/half.parquet#4711000001");
        std::fs::create_dir_all(staged.parent().unwrap()).unwrap();
        std::fs::write(&staged, "Inglourious Basterds").unwrap();
        let mut child = quiet(command(&films, &forget));
        std::thread::sleep(Duration::from_micros(dice.random_range(0..latest)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let again = films.sluicebox(&["forget", key, "--yes", "--json"]);
        // One that ended before it was killed has left nothing to erase.
        assert!([0, 1].contains(&again.code), "round {round}: {}", again.stderr);
        assert!(again.code == 0 || again.stderr.contains("holds no record"), "round {round}: {}", again.stderr);
        for folder in ["lake", ".sluicebox/movies"] {
            assert_eq!(
                with_words(&films.path(folder), &["Inglourious", "#4711"]),
                Vec::<std::path::PathBuf>::new(),
                "round {round}"
            );
        }
        verified(&films, &format!("round {round}"));
    }
    told(
        "F14 forget killed and called again",
        rounds,
        &format!("{killed} killed in the middle; nothing left; verify"),
        HOLDS,
    );
}

/// F15: an operator removes Silver, as the program's own hint says, and Gold names versions of the table that is gone.
#[test]
fn f15_silver_removed_and_made_again() {
    let films = warm("faults-silver-removed");
    for tick in [TICK, films::NEXT_TICK] {
        films.once(tick, 20, 2);
    }
    let before = gold(&films);
    for with_note in [true, false] {
        std::fs::remove_dir_all(films.path("lake/silver")).unwrap();
        if !with_note {
            // As a lake of an earlier version, or a host that does not know of it.
            std::fs::remove_file(films.path("lake/bronze/_silver.json")).unwrap();
        }
        films.once(films::NEXT_TICK, 20, 2);
        assert_eq!(gold(&films), before, "{with_note}");
        verified(&films, "silver removed");
        let status = films.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
        assert_eq!(status["gold"]["genres"]["other_silver"], false, "{status}");
    }
    told("F15 silver removed and made again", 2, "gold follows its new versions; equal gold; verify", HOLDS);
}

/// F16: Bronze is edited together with a mark that hides it when it is made again.
#[test]
fn f16_bronze_edited_with_a_mark_that_hides_it() {
    let films = warm("faults-edited");
    films.once(TICK, 10, 5);
    verified(&films, "before");
    let folder = films.path("lake/bronze/run=20261124T030000Z");
    let mut objects: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    objects.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("batch="));
    let text = std::fs::read_to_string(&objects[0]).unwrap();
    let edited = text
        .replace("\"imdbRating\":\"", "\"imdbRating\":\"1")
        .replace("\"answers\":", "\"unkept\":[403],\"answers\":");
    assert_ne!(text, edited);
    std::fs::write(&objects[0], edited).unwrap();
    let ran = films.sluicebox(&["verify"]).exits(1).stdout;
    assert!(ran.contains("it was edited since"), "{ran}");
    std::fs::write(&objects[0], text).unwrap();
    verified(&films, "put back");
    told("F16 bronze edited with a mark", 1, "verify finds the object, exit 1", HOLDS);
}
