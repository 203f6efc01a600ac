//! The cost of an idle host in AWS: its calls, counted in the log of an emulator. And that it still notices work at once.
//!
//! Does not compute dollars: `deploy/cost.rs` does.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod support;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_emulator::Emulator;
use films::{Buckets, Films, KEY};
use serde_json::Value;
use support::{Ran, run, script};

const NAME: &str = "films-idle";
/// Until all that a start does is done: the look for lost work, and what is published.
const SETTLES: Duration = Duration::from_secs(10);
/// How long it is watched; `SLUICEBOX_IDLE_SECONDS` sets another time, for figures.
const WATCHED: Duration = Duration::from_secs(40);
/// Less than a poll lasts, so that no poll ends within the wait.
const SOON: Duration = Duration::from_secs(15);

/// A host that serves, and dies with the test.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Idle {
    films: Films,
    emulator: Emulator,
}

impl Idle {
    fn new() -> Self {
        let (films, emulator) = (Films::new(NAME), Emulator::strict(env!("CARGO_TARGET_TMPDIR")));
        films.add_aws(NAME, Buckets::One, &emulator.queue_url(NAME), "");
        let idle = Idle { films, emulator };
        let source = idle.films.path("data/movies.csv");
        idle.script("aws_account.py", &["make", NAME, KEY, source.to_str().unwrap()]);
        idle
    }

    fn script(&self, name: &str, args: &[&str]) -> Ran {
        run(script(name).args(args).envs(self.emulator.environment())).exits(0)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.films.command(args);
        command.args(["--target", "aws"]).env_remove("OMDB_API_KEY").envs(self.emulator.environment());
        command
    }

    /// The calls so far by action, of our bucket and queues. A look at an object is a read of it to AWS.
    fn calls(&self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        for line in std::fs::read_to_string(self.emulator.calls()).unwrap().lines() {
            let Ok(call) = serde_json::from_str::<Value>(line) else { continue };
            if call[2].as_str().is_some_and(|resource| resource.contains(NAME)) {
                *counted.entry(call[1].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        counted
    }
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_idle_host_calls_rarely_and_takes_work_and_a_stop_at_once() {
    let idle = Idle::new();
    idle.command(&["run", "--once", "--tick", films::TICK, "--set", "source.top_n=3"]).output().unwrap();
    let serving =
        idle.command(&["run", "--set", "schedule.cron=\"0 0 29 2 *\""]).stderr(Stdio::null()).spawn().unwrap();
    let mut host = Host(serving);
    std::thread::sleep(SETTLES);
    let seconds = std::env::var("SLUICEBOX_IDLE_SECONDS").ok().and_then(|text| text.parse().ok());
    let watched = seconds.map_or(WATCHED, Duration::from_secs);
    let before = idle.calls();
    std::thread::sleep(watched);
    let after = idle.calls();
    let of = |action: &str| after.get(action).unwrap_or(&0) - before.get(action).unwrap_or(&0);
    let made: BTreeMap<&String, usize> = after.keys().map(|action| (action, of(action))).collect();
    println!("calls of an idle host in {} s: {made:?}", watched.as_secs());
    let minutes = watched.as_secs_f64() / 60.0;
    let most = |a_minute: f64| (a_minute * minutes).ceil() as usize + 3;
    // A poll of 20 s a stage; a look at each stage's dead letters a minute; a tag every five seconds, and the lake's state every thirty.
    for (action, a_minute) in [
        ("sqs:ReceiveMessage", 9.0),
        ("sqs:GetQueueAttributes", 3.0),
        ("s3:ListBucket", 0.0),
        ("s3:GetObject", 45.0),
        ("s3:PutObject", 0.0),
    ] {
        assert!(of(action) <= most(a_minute), "{action}: {made:?}");
    }

    // Nothing waits for the end of a poll: neither a message nor a stop.
    idle.script("stack.py", &["send", NAME, "enrich", "no message of ours"]);
    let refused = || run(&mut idle.command(&["quarantine", "ls", "--json"])).exits(0).stdout;
    wait("the refusal", || refused().contains("not a message of this pipeline"));
    assert!(Command::new("kill").args(["-TERM", &host.0.id().to_string()]).status().unwrap().success());
    let until = Instant::now() + SOON;
    while host.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "the stop waits for a poll");
        std::thread::sleep(Duration::from_millis(100));
    }
}
