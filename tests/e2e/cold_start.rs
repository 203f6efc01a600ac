//! How long a function takes from its start to its first record, beside one in Python that imports what such functions import and does the
//! same for the record: both before the same Runtime API, one after the other, medians. And how much memory a function takes for a thousand
//! documents.
//!
//! Twice: in the emulator, where both read the key from Secrets Manager and write Bronze to S3, so that a part of both figures is the
//! emulator's, which takes milliseconds for each answer; and without AWS, the key from the environment and Bronze in a folder.

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

use films::{KEY, TICK};
use functions::{Account, Function, MINUTE};
use serde_json::{Value, json};
use support::{run, script};

/// The targets of the pipeline file: in the emulator, and on this machine alone.
const AWS: &str = "aws";
const HERE: &str = "here";

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--quick") { 2 } else { 15 };
    let sets = format!("source.top_n = {}\nsource.batch_size = 1\n", rounds * 10);
    let account = Account::new("films-cold", &sets);
    let url = account.films.stub.url();
    let source = account.films.path("data/movies.csv");
    let here = format!(
        "[target.{HERE}]\nsource.uri = \"{}\"\nendpoints.omdb.url = \"{url}\"\nendpoints.omdb.rate = \"5000/s\"\n",
        source.display()
    );
    let file = account.films.path("pipeline.toml");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &here).unwrap();
    let made = unpacked(&account);
    account.start("ingest", bootstrap(&made, AWS)).invoke(&json!({"time": TICK}), MINUTE);
    let batches = account.batches("enrich");
    let enrich = |event: &Value, target: &str| {
        let mut function = account.start("enrich", bootstrap(&made, target));
        assert_eq!(function.failures(event, MINUTE), [""; 0], "{}", account.log("enrich"));
        function
    };
    let python = |event: &Value, target: &str| {
        let mut handler = script("cold_start.py");
        handler.env("API", account.films.stub.url()).env("NAME", account.name);
        if target == HERE {
            handler.env("BRONZE", account.films.path("python")).env("KEY", KEY);
        }
        let mut function = account.start("python", handler);
        let (how, answer) = function.invoke(event, MINUTE);
        assert_eq!((how.as_str(), &answer["written"]), ("response", &json!(1)), "{}", account.log("python"));
        function
    };
    let mut times = [AWS, HERE].map(|target| (target, Vec::new(), Vec::new()));
    for batch in batches.iter().take(rounds) {
        let event = json!({"Records": [batch["Records"][0]]});
        for (target, ours, theirs) in &mut times {
            ours.push(timed(|| enrich(&event, target)));
            theirs.push(timed(|| python(&event, target)));
        }
    }
    println!(
        "cold start to the first record in Bronze, median of {rounds}: Sluicebox, Python with boto3 and pandas, how many times as fast"
    );
    for (target, ours, theirs) in times {
        let (ours, theirs) = (median(ours), median(theirs));
        let what = if target == AWS { "in the emulator" } else { "without AWS    " };
        println!("  {what}  {ours:>8.1?}  {theirs:>8.1?}  {:>5.1}", theirs.as_secs_f64() / ours.as_secs_f64());
    }
    println!("most memory, for 1,000 documents in ten messages");
    memory();
}

/// A function's peak of memory over a thousand documents.
fn memory() {
    let account = Account::new("films-of-a-thousand", "source.top_n = 1000\nsource.batch_size = 100\n");
    let made = unpacked(&account);
    account.start("ingest", bootstrap(&made, AWS)).invoke(&json!({"time": TICK}), MINUTE);
    for role in ["enrich", "clean", "aggregate"] {
        let mut function = account.start(role, bootstrap(&made, AWS));
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

/// The program of the bundle, with what the template gives a function.
fn bootstrap(made: &Path, target: &str) -> Command {
    let mut program = Command::new(made.join("bootstrap"));
    program.env_clear().env("LAMBDA_TASK_ROOT", made);
    program.env(
        "SLUICEBOX_BUNDLE",
        seams::plugin::Digest::of(&std::fs::read(made.join("cache/digests.json")).unwrap()).as_str(),
    );
    program.env("SLUICEBOX_TARGET", target).env("SLUICEBOX_NOTIFICATIONS", "true");
    if target == HERE {
        program.env("OMDB_API_KEY", KEY);
    }
    program
}

/// How long `work` takes, without the time to end the process that it returns.
fn timed(work: impl FnOnce() -> Function) -> Duration {
    let begun = Instant::now();
    let _process = work();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
