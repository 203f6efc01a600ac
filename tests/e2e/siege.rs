//! One process that serves ten pipelines. Nine of them are hostile, each in its own way; the tenth must not notice: same results, about
//! the same time for a batch, bounded memory, and the process stops when it is told to.
//!
//! `SLUICEBOX_SIEGE_SECONDS` is how long it lasts. Does not test what stops each attack: `hostile.rs` and `swap.rs` do.

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

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serve::{Line, Served};
use support::{command, compiled_plugins, fresh_folder, minutes_ago, publish, sluicebox};

/// The action of each hostile pipeline's cleaner.
const HOSTILE: [(&str, &str); 9] = [
    ("spins", "loop"),
    ("hoards", "memory"),
    ("floods", "log-flood"),
    ("shouts", "huge-output"),
    ("recurses", "recurse"),
    ("traps", "trap"),
    ("multiplies", "many-rows"),
    // For these two, their publisher and their lake's owner attack.
    ("published", "behave"),
    ("wrecked", "behave"),
];
const GOOD: &str = "good";
const PLUGIN: &str = "plugins/misbehave/misbehave.wasm";
const RECORDS: usize = 200;
/// Bytes of memory that plugins and their data may take in the process.
const MEMORY: u64 = 1 << 30;
/// Bytes of memory of the rest of the process: code, ten pipelines' tables and queues.
const REST: u64 = 512 << 20;
/// How long a process opens its tables, and is not measured.
const START: Duration = Duration::from_secs(3);
/// For how long the good pipeline may do no batch at all.
const IDLE: Duration = Duration::from_secs(10);
/// How long the process may take to finish its current work: two deadlines and a few writes.
const STOP: Duration = Duration::from_secs(20);

fn lasts() -> Duration {
    let seconds = std::env::var("SLUICEBOX_SIEGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// A folder with a pipeline whose cleaner is the guest that misbehaves on request.
fn pipeline(folder: &Path, name: &str, mode: &str) {
    std::fs::create_dir_all(folder.join("plugins/misbehave")).unwrap();
    std::fs::copy(artifacts::misbehave(), folder.join(PLUGIN)).unwrap();
    let mut records = String::new();
    for number in 0..RECORDS {
        writeln!(records, "{{\"id\":\"{number}\",\"n\":{number}}}").unwrap();
    }
    std::fs::write(folder.join("records.jsonl"), records).unwrap();
    let text = format!(
        "[pipeline]\nname = \"{name}\"\n\
         [schedule]\ncron = \"* * * * *\"\nmissed = \"all\"\n\
         [source]\nuri = \"records.jsonl\"\nkey = [\"id\"]\ntop_n = {RECORDS}\nbatch_size = 4\n\
         [clean]\nplugin = \"misbehave\"\nsuspend_above = \"100%\"\n\
         [clean.config]\nmode = \"{mode}\"\n\
         [limits]\ndeadline = \"1s\"\n"
    );
    std::fs::write(folder.join("pipeline.toml"), text).unwrap();
}

/// Minutes of ticks that a hostile pipeline has to catch up with: work to the end of the siege, since its plugin is slow.
const BEHIND: i64 = 6;

/// Minutes of ticks that the good one has to catch up with: more than it can do alone and beside the others, at some two ticks a second.
/// Otherwise the two would not be measured under the same load.
fn good_is_behind() -> i64 {
    120 + 8 * lasts().as_secs().cast_signed()
}

/// Fires a tick of some time ago, so that there is work from then on.
fn once(folder: &Path, minutes: i64) {
    let tick = minutes_ago(minutes);
    let mode = ["run", "--once", "--tick", &tick, "--patience", "0s", "--max-quarantined", "100%"];
    let ran = support::run(with_cache(&mut command(folder)).args(mode).args(["--set", "clean.config.mode=\"behave\""]));
    ran.exits(0);
}

/// Compiled once for all tests.
fn with_cache(command: &mut Command) -> &mut Command {
    command.env("SLUICEBOX_CACHE_DIR", compiled_plugins())
}

fn serve(root: &Path, names: &[&str]) -> Served {
    let mut run = command(root);
    with_cache(&mut run).arg("run");
    run.args(names.iter().map(|name| format!("{name}/pipeline.toml")));
    run.args(["--log-level", "info,engine=debug", "--memory", &format!("{} MiB", MEMORY >> 20)]);
    Served::start(run)
}

/// How long a batch of the good pipeline took, in any stage.
fn took(line: &Line) -> Option<f64> {
    let ours = line.message() == "batch done" && line.text().contains(&format!("\"{GOOD}\""));
    line.fields["took_ms"].as_f64().or(line.fields["fields"]["took_ms"].as_f64()).filter(|_| ours)
}

/// The 99th of a hundred times that a batch took, in milliseconds, and of how many; without those of the start, when all tables are opened.
fn p99(served: &Served) -> (f64, usize) {
    let lines = served.lines();
    let begun = lines.iter().find(|line| took(line).is_some()).expect("work").at + START;
    let last = lines.iter().rev().find(|line| took(line).is_some()).expect("work").at;
    assert!(last.elapsed() < IDLE, "the good pipeline had nothing to do for {:.1?}", last.elapsed());
    let mut times: Vec<f64> = lines.iter().filter(|line| line.at > begun).filter_map(took).collect();
    assert!(times.len() > 50, "only {} batches of the good pipeline were done", times.len());
    times.sort_by(f64::total_cmp);
    (times[times.len() * 99 / 100], times.len())
}

/// A process's peak of memory.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// The actions of a publisher and of a user who may write to a lake, one a second.
fn attack(root: &Path, stop: &AtomicBool) {
    let plugin = root.join("published").join(PLUGIN);
    let lake = root.join("wrecked/lake");
    let good = std::fs::read(&plugin).unwrap();
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let _ = std::fs::remove_file(&plugin);
        match number % 6 {
            0 => assert!(Command::new("mkfifo").arg(&plugin).status().unwrap().success()),
            1 => std::os::unix::fs::symlink("/dev/zero", &plugin).unwrap(),
            2 => std::fs::File::create(&plugin).unwrap().set_len(6 << 30).unwrap(),
            3 => std::fs::create_dir(&plugin).unwrap(),
            4 => publish(&plugin, b"not WebAssembly at all"),
            _ => publish(&plugin, &support::another(&good, number)),
        }
        std::thread::sleep(Duration::from_millis(700));
        if plugin.is_dir() {
            std::fs::remove_dir(&plugin).unwrap();
        }
        match number % 4 {
            0 => drop(std::fs::remove_dir_all(lake.join("silver"))),
            1 => wreck(&lake.join("silver/_delta_log")),
            2 => wreck(&lake.join("bronze")),
            _ => drop(std::fs::remove_dir_all(&lake)),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Overwrites every file below a folder.
fn wreck(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => wreck(&path),
            path => drop(std::fs::write(path, b"\0wreck\xff{[")),
        }
    }
}

#[test]
fn a_good_pipeline_does_not_notice_nine_hostile_ones() {
    let root: PathBuf = fresh_folder("siege");
    let all: Vec<(&str, &str)> = HOSTILE.into_iter().chain([(GOOD, "behave")]).collect();
    for (name, mode) in &all {
        pipeline(&root.join(name), name, mode);
        once(&root.join(name), if *name == GOOD { good_is_behind() } else { BEHIND });
    }
    // Alone first, to compare the rest with.
    let mut alone = serve(&root, &[GOOD]);
    alone.wait(0, "work", |line| took(line).is_some());
    std::thread::sleep(lasts() / 2 + START);
    let (calm, _) = p99(&alone);
    assert!(alone.stop() >= 0);

    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let mut served = serve(&root, &names);
    served.wait(0, "work", |line| took(line).is_some());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| attack(&root, &stop));
        std::thread::sleep(lasts() + START);
        stop.store(true, Ordering::Relaxed);
    });
    let ((beside, batches), memory) = (p99(&served), peak(served.id()));
    let asked = Instant::now();
    let code = served.stop();
    let stopping = asked.elapsed();
    let line = format!(
        "ten pipelines, nine hostile, {} s\tthe good one's p99 {beside:.1} ms beside ({batches} batches), \
         {calm:.1} ms alone ({:.2}); peak memory {} MiB; stopped in {stopping:.1?} with code {code}",
        lasts().as_secs(),
        beside / calm,
        memory >> 20
    );
    println!("{line}");
    assert!(memory < MEMORY + REST, "{line}");
    assert!(stopping < STOP, "{line}");
    assert_eq!(code, 130, "{line}");
    // What was left at the stop waits in the queue (V9). Everything else is as it must be.
    let verified = sluicebox(&root.join(GOOD), &["verify", "--json"]).json();
    let of_good = &verified["pipelines"][0];
    let broken: Vec<&String> = of_good["broken"].as_object().unwrap().keys().filter(|name| *name != "V9").collect();
    assert!(broken.is_empty() && of_good["states"]["lost"].is_null(), "{verified}");
    let status = sluicebox(&root.join(GOOD), &["status", "--json"]).exits(0).json();
    assert_eq!(status["pipelines"][0]["quarantine"]["records"].as_u64().unwrap_or_default(), 0, "{status}");
    tell(&line);
}

/// Adds a line to the table of `cargo xtask hostile`.
fn tell(line: &str) {
    use std::io::Write as _;
    if let Some(path) = std::env::var_os("SLUICEBOX_HOSTILE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "siege\t{line}").unwrap();
    }
}
