//! How long a function takes from its start to its first record, beside one in Python that imports what such functions import and does the
//! same for the record: both before the same Runtime API, one after the other, medians. And how much memory a function takes for a thousand
//! documents.
//!
//! Both read the key, ask the API and write Bronze, in the emulator; so a part of both figures is the emulator's, which answers in
//! milliseconds. `alone` is without that: all plugins loaded, and Python handed a batch of nothing.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark: what goes wrong ends it"
)]

mod films;
mod functions;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use films::TICK;
use functions::{Account, MINUTE};
use serde_json::{Value, json};
use support::{run, script};

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--quick") { 2 } else { 15 };
    let sets = format!("source.top_n = {}\nsource.batch_size = 1\n", rounds * 10);
    let account = Account::new("films-cold", &sets);
    let made = unpacked(&account);
    account.start("ingest", bootstrap(&made)).invoke(&json!({"time": TICK}), MINUTE);
    let batches = account.batches("enrich");
    let (mut alone, mut whole, mut python_alone, mut python) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let in_python = |event: &Value, written: u64| {
        let mut handler = script("cold_start.py");
        handler.env("NAME", account.name).env("API", account.films.stub.url());
        let (how, answer) = account.start("python", handler).invoke(event, MINUTE);
        assert_eq!((how.as_str(), &answer["written"]), ("response", &json!(written)), "{}", account.log("python"));
    };
    for batch in batches.iter().take(rounds) {
        let event = json!({"Records": [batch["Records"][0]]});
        whole.push(timed(|| {
            let mut function = account.start("enrich", bootstrap(&made));
            assert_eq!(function.failures(&event, MINUTE), [""; 0], "{}", account.log("enrich"));
        }));
        python.push(timed(|| in_python(&event, 1)));
        alone.push(timed(|| {
            drop(
                run(Command::new(made.join("bootstrap"))
                    .arg("check")
                    .arg(made.join("pipeline.toml"))
                    .arg("--cache-dir")
                    .arg(made.join("cache")))
                .exits(0),
            )
        }));
        python_alone.push(timed(|| in_python(&json!({"Records": []}), 0)));
    }
    let [whole, python, alone, python_alone] = [whole, python, alone, python_alone].map(median);
    println!(
        "cold start, median of {rounds}: Sluicebox, a handler in Python with boto3 and pandas, how many times as fast"
    );
    for (what, ours, theirs) in
        [("to the first record in Bronze", whole, python), ("alone, without AWS and API   ", alone, python_alone)]
    {
        println!("  {what}  {ours:>8.1?}  {theirs:>8.1?}  {:>5.1}", theirs.as_secs_f64() / ours.as_secs_f64());
    }
    println!("most memory, for 1,000 documents in ten messages");
    memory();
}

/// The most memory of a function while it works off a thousand documents.
fn memory() {
    let account = Account::new("films-of-a-thousand", "source.top_n = 1000\nsource.batch_size = 100\n");
    let made = unpacked(&account);
    account.start("ingest", bootstrap(&made)).invoke(&json!({"time": TICK}), MINUTE);
    for role in ["enrich", "clean", "aggregate"] {
        let mut function = account.start(role, bootstrap(&made));
        for batch in account.batches(role) {
            assert_eq!(function.failures(&batch, MINUTE), [""; 0], "{}", account.log(role));
        }
        println!("  {role:<10} {:>4} MiB", function.peak_memory());
    }
}

/// The bundle, made by the program and unpacked.
fn unpacked(account: &Account) -> PathBuf {
    let (bundle, made) = (account.films.path("films.zip"), account.films.folder.join("made"));
    let mut command = support::command(&account.films.folder);
    let told = run(command.args(["deploy", "bundle", "--target", "aws", "--json", "-o"]).arg(&bundle)).exits(0).json();
    println!("bundle: {} bytes zipped, {} unpacked", told["bytes"], told["unpacked_bytes"]);
    zip::ZipArchive::new(std::fs::File::open(&bundle).unwrap()).unwrap().extract(&made).unwrap();
    made
}

fn bootstrap(made: &Path) -> Command {
    let mut program = Command::new(made.join("bootstrap"));
    program.env_clear().env("LAMBDA_TASK_ROOT", made);
    program
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
