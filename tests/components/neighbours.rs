//! A plugin's throughput beside one that misbehaves, compared with its throughput alone; the two taking turns, medians of both.
//! `cargo bench -p runtime --bench neighbours`: half a minute beside each kind of attack, with `-- --quick` a few seconds; with
//! `-- WORD` only those whose name holds the word.
//!
//! One process, as a host that serves two pipelines. Not here: whether the one that misbehaves is stopped, which `cargo xtask hostile` shows.

// A benchmark measures time and reads its components from disk; what is broken ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, missing_docs)]

mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use measure::{bytes, taking_turns};
use pipeline::plan::Limits;
use runtime::{Options, WasmPlugins};
use seams::plugin::{Cleaner, Grants, Plugins};
use tokio::runtime::Runtime;

/// How long calls are counted at a time.
const WINDOW: Duration = Duration::from_secs(1);
/// How long an attack goes on before its neighbour's calls are counted: by then it is steady.
const LEAD: Duration = Duration::from_millis(300);

/// What is beside the neighbour: a name, and the modes of the guests that misbehave, one call after the other of each.
const ATTACKS: [(&str, &[&str]); 4] = [
    ("two that spin", &["loop", "loop"]),
    ("one that leaks", &["memory"]),
    ("one that floods its log", &["log-flood"]),
    ("all of these", &["loop", "loop", "memory", "log-flood"]),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let mut words = arguments.iter().filter(|argument| !argument.starts_with("--"));
    let wanted = words.next();
    let windows = if quick { 3 } else { 30 };
    let reactor = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    let plugins = WasmPlugins::new(Options::default()).expect("a runtime");
    let load = |mode: &str| {
        let limits = Limits { deadline: Duration::from_millis(800), ..Limits::default() };
        let grants = Grants { config: format!("{{\"mode\":\"{mode}\"}}"), limits };
        reactor.block_on(plugins.cleaner(bytes(artifacts::misbehave()), &grants)).expect("a cleaner")
    };
    let honest = load("behave");
    println!("{:<40} {:>14} {:>14} {:>8}", "calls of 1,000 rows a second", "beside", "alone", "ratio");
    for (what, modes) in ATTACKS.into_iter().filter(|(what, _)| wanted.is_none_or(|word| what.contains(word.as_str())))
    {
        let hostile: Vec<_> = modes.iter().map(|mode| load(mode)).collect();
        let (beside, alone) =
            taking_turns(windows, || beside(&reactor, &honest, &hostile), || served(&reactor, &honest));
        println!("{what:<40} {:>14.0} {:>14.0} {:>8.2}", 1.0 / beside, 1.0 / alone, alone / beside);
    }
}

/// Seconds that a call takes, over a window.
fn served(reactor: &Runtime, honest: &Arc<dyn Cleaner>) -> f64 {
    let numbers: Vec<Bytes> = (0..1_000).map(|n| Bytes::from(format!("{{\"n\":{n}}}"))).collect();
    reactor.block_on(async {
        let (started, mut calls) = (Instant::now(), 0_u32);
        while started.elapsed() < WINDOW {
            honest.clean(&numbers).await.expect("rows");
            calls += 1;
        }
        started.elapsed().as_secs_f64() / f64::from(calls)
    })
}

/// The same while others are called without a pause.
fn beside(reactor: &Runtime, honest: &Arc<dyn Cleaner>, hostile: &[Arc<dyn Cleaner>]) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let attacks: Vec<_> = hostile
        .iter()
        .map(|cleaner| {
            let (cleaner, stop, batch) = (Arc::clone(cleaner), Arc::clone(&stop), vec![Bytes::from("{\"n\":1}")]);
            reactor.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    drop(cleaner.clean(&batch).await);
                }
            })
        })
        .collect();
    std::thread::sleep(LEAD);
    let seconds = served(reactor, honest);
    stop.store(true, Ordering::Relaxed);
    for attack in attacks {
        reactor.block_on(attack).expect("an end");
    }
    seconds
}
