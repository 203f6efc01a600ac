//! Worker processes, with the real program as worker: compiling under caps, plugins that run in a process of their own, what such a
//! process can still do, and what becomes of a call whose process is killed.
//!
//! Does not test what plugins do within their limits: the runtime's own tests do.

// Tests start processes and read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../../host/runtime/tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pipeline::plan::{Isolation, Limits};
use runtime::worker::WorkerProgram;
use runtime::{Options, WasmPlugins};
use seams::http::HttpAnswer;
use seams::plugin::{FaultKind, Grants, LoadError, Plugins};
use support::{capture, cleaner_text, component, grants, kept_in, numbers, said};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicebox");

fn host(cache: &Path, program: &str) -> WasmPlugins {
    let worker = Some(WorkerProgram { program: program.into(), args: vec!["guest-worker".into()] });
    WasmPlugins::new(Options { cache: Some(kept_in(cache)), worker, guest_threads: 4, ..Options::default() }).unwrap()
}

fn isolated(config: &str) -> Grants {
    let limits = Limits { isolation: Isolation::Process, ..Limits::default() };
    Grants { config: config.to_owned(), limits }
}

/// A component that compiles for long: many functions of many additions.
fn bomb(functions: usize, additions: usize) -> bytes::Bytes {
    let body = "(local.set 0 (i64.add (i64.mul (local.get 0) (i64.const 31)) (i64.load (i32.wrap_i64 (local.get 0)))))";
    let mut text = String::new();
    for _ in 0..functions {
        write!(text, "(func (param i64) {})", body.repeat(additions)).unwrap();
    }
    cleaner_text("1", &text, "(unreachable)")
}

#[tokio::test]
async fn what_is_new_is_compiled_by_a_worker_and_what_is_known_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = component(artifacts::misbehave());
    let cold = Instant::now();
    let cleaner = host(folder.path(), PROGRAM).cleaner(bytes.clone(), &grants("{}")).await.unwrap();
    println!("load, compiled by a worker: {:?}", cold.elapsed());
    assert_eq!(cleaner.clean(&numbers(0..3)).await.unwrap().rows.num_rows(), 3);
    // The note that it was accepted.
    let notes = std::fs::read_dir(folder.path().join("cache/known")).unwrap().count();
    assert_eq!(notes, 1);
    // A broken worker does no harm here: nothing is compiled, the first one's code is found.
    let warm = Instant::now();
    let again = host(folder.path(), "/no/such/program").cleaner(bytes, &grants("{}")).await.unwrap();
    println!("load, from the cache: {:?}", warm.elapsed());
    assert_eq!(again.clean(&numbers(0..3)).await.unwrap().rows.num_rows(), 3);
    let unknown = cleaner_text("1", "", "(unreachable)");
    let error = host(folder.path(), "/no/such/program").cleaner(unknown, &grants("{}")).await.unwrap_err();
    assert_eq!(error.code, "P900", "but what is unknown needs one: {error}");
}

/// How many files lie below a folder.
fn artifacts_in(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { artifacts_in(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn of_what_is_known_the_code_is_made_for_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let code = || artifacts_in(&folder.path().join("cache/code"));
    let load = async |config: &str| {
        let bytes = component(artifacts::misbehave());
        host(folder.path(), PROGRAM).cleaner(bytes, &grants(config)).await
    };
    let first = load("{}").await.unwrap();
    std::fs::remove_dir_all(folder.path().join("cache/code")).unwrap();
    let again = load("{}").await.unwrap();
    assert_eq!((again.descriptor(), again.digest(), code()), (first.descriptor(), first.digest(), 0));
    // Two at once, both the first.
    let numbers = numbers(0..3);
    let (one, other) = tokio::join!(again.clean(&numbers), again.clean(&numbers));
    assert_eq!((one.unwrap().rows.num_rows(), other.unwrap().rows.num_rows()), (3, 3));
    assert!(code() > 0);
    // Whether it takes another configuration is not known.
    assert_eq!(load(r#"{"mode": "refuse-configure"}"#).await.unwrap_err().code, "P030");
}

async fn refused(bytes: bytes::Bytes, limits: Limits) -> LoadError {
    let folder = tempfile::tempdir().unwrap();
    let plugins = host(folder.path(), PROGRAM);
    let error = plugins.cleaner(bytes, &Grants { config: "{}".into(), limits }).await.unwrap_err();
    // Nothing is left of it: the next plugin is loaded as ever.
    plugins.cleaner(component(artifacts::misbehave()), &grants("{}")).await.unwrap();
    error
}

#[tokio::test]
async fn a_compile_bomb_ends_at_its_processor_time() {
    let limits = Limits { compile_time: Duration::from_secs(1), ..Limits::default() };
    let error = refused(bomb(3_000, 100), limits).await;
    assert_eq!(error.code, "P014", "{error}");
    assert!(error.message.contains("limits 1s of processor time and 1 GiB"), "{error}");
    // By signal; on a machine that is very busy the host's patience may end first.
    assert!(error.message.contains(", the compiler "), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("`compile_time`")));
}

#[tokio::test]
async fn a_compile_bomb_ends_at_its_memory() {
    let limits = Limits { compile_memory: 48 << 20, compile_time: Duration::from_secs(60), ..Limits::default() };
    let error = refused(bomb(4_000, 100), limits).await;
    assert_eq!(error.code, "P014", "{error}");
    assert!(error.message.contains("48 MiB") && error.message.contains("memory allocation"), "{error}");
}

#[tokio::test]
async fn a_plugin_in_a_worker_makes_what_it_makes_here() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = host(folder.path(), PROGRAM);
    let bytes = component(artifacts::misbehave());
    let mut documents = numbers(0..10);
    documents.push("{}".into());
    let here = plugins.cleaner(bytes.clone(), &grants("{}")).await.unwrap();
    let there = plugins.cleaner(bytes, &isolated("{}")).await.unwrap();
    assert_eq!(here.descriptor(), there.descriptor());
    assert_eq!(here.digest(), there.digest());
    let (here, there) = (here.clean(&documents).await.unwrap(), there.clean(&documents).await.unwrap());
    assert_eq!((here.rows, here.row_of, here.rejects), (there.rows, there.row_of, there.rejects));

    let enricher = component(artifacts::echo_enricher());
    let answers = [HttpAnswer { status: 200, headers: vec![("a".into(), "b".into())], body: "{\"x\":1}".into() }];
    let here = plugins.enricher(enricher.clone(), &grants("{}")).await.unwrap().enrich("{\"k\":1}", &answers).await;
    let there = plugins.enricher(enricher, &isolated("{}")).await.unwrap().enrich("{\"k\":1}", &answers).await;
    assert_eq!(here.unwrap(), there.unwrap());
}

#[tokio::test]
async fn an_aggregate_in_a_worker_makes_what_it_makes_here() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = host(folder.path(), PROGRAM);
    let bytes = component(artifacts::aggregate_genres());
    let here = plugins.aggregator(bytes.clone(), &grants("{}")).await.unwrap();
    let there = plugins.aggregator(bytes, &isolated("{}")).await.unwrap();
    let partials = (here.fold(&[]).await.unwrap(), there.fold(&[]).await.unwrap());
    assert_eq!(partials.0, partials.1);
    let tables = (here.finish(&[partials.0]).await.unwrap(), there.finish(&[partials.1]).await.unwrap());
    assert_eq!(tables.0, tables.1);
}

#[tokio::test]
async fn faults_and_log_lines_come_through() {
    let lines = capture();
    let folder = tempfile::tempdir().unwrap();
    let plugins = host(folder.path(), PROGRAM);
    let bytes = component(artifacts::misbehave());
    let cleaner = plugins.cleaner(bytes.clone(), &isolated(r#"{"mode":"trap","on":3}"#)).await.unwrap();
    let fault = cleaner.clean(&numbers([3])).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P101"), "{}", said(&fault));
    assert!(fault.backtrace.is_some_and(|trace| trace.contains("misbehave::modes::trap")));
    let cleaner = plugins.cleaner(bytes.clone(), &isolated(r#"{"mode":"log-escapes"}"#)).await.unwrap();
    cleaner.clean(&numbers([3])).await.unwrap();
    assert!(lines.text().contains("ERROR plugin: \\u{1b}[31mred"), "{}", lines.text());
    let error = plugins.cleaner(bytes, &isolated(r#"{"mode":"refuse-configure"}"#)).await.unwrap_err();
    assert_eq!(error.code, "P030", "{error}");
}

/// The processes that this one has started.
fn children() -> Vec<i32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        found.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    found
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_that_is_killed_costs_the_call_that_it_had_in_hand() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = host(folder.path(), PROGRAM);
    let mut grants = isolated(r#"{"mode":"loop","on":3}"#);
    grants.limits.deadline = Duration::from_secs(60);
    let cleaner = plugins.cleaner(component(artifacts::misbehave()), &grants).await.unwrap();
    let workers = children();
    assert_eq!(workers.len(), 1, "compiled by one that has ended, loaded into one that stays");
    let environment = std::fs::read(format!("/proc/{}/environ", workers[0])).unwrap();
    assert!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
    let batch = numbers([3]);
    let (outcome, ()) = tokio::join!(cleaner.clean(&batch), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let worker = rustix::process::Pid::from_raw(workers[0]).unwrap();
        rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    });
    let fault = outcome.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P180"), "{}", said(&fault));
    assert_eq!(fault.message, "worker process ended by signal 9 in the middle of the call");
    assert_eq!(cleaner.clean(&numbers(0..3)).await.unwrap().rows.num_rows(), 3);
    let now = children();
    assert!(now.len() == 1 && now != workers, "{now:?} after {workers:?}");
    drop(cleaner);
    assert_eq!(children(), [0; 0], "workers end with their plugin");
}

#[cfg(target_os = "linux")]
#[test]
fn a_locked_worker_can_compute_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // With a handle that a library has left open.
    let mut probe = Command::new("/bin/sh");
    let output = probe
        .args(["-c", "exec \"$0\" guest-worker probe 7</etc/passwd", PROGRAM])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let results: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(": ").unwrap()).collect();
    assert_eq!(results.len(), 27, "{text}");
    for (what, result) in results {
        match what {
            "handles of the host" => assert_eq!(result, "0", "{text}"),
            "start a thread" => assert_eq!(result, "DONE", "{text}"),
            // The pipe to the new program's error is the first thing that it may not have.
            "run a program" => assert_ne!(result, "DONE", "{text}"),
            _ => assert_eq!(result, "Operation not permitted (os error 1)", "{what}\n{text}"),
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
