//! What the lake costs in a real directory: opening a long log, commits by many writers, and a correction among many rows.
//!
//! `--quick` is a short form whose figures say nothing, `--large` adds ten million rows; a name (`open`, `commits`, `correction`) runs that
//! part alone. Does not judge the figures. Plugins are native closures: the lake is measured, not the sandbox.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks, files and its own memory's size")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark that cannot go on has failed"
)]

mod commits;
mod correction;
mod opening;
mod rows;

use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// Seconds, also in a debug build.
    Quick,
    Usual,
    /// Minutes, and gigabytes.
    Large,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let size = match (flag("--quick"), flag("--large")) {
        (true, _) => Size::Quick,
        (false, true) => Size::Large,
        (false, false) => Size::Usual,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let all = ["open", "commits", "correction"].iter().all(|part| !flag(part));
    runtime.block_on(async {
        if all || flag("open") {
            opening::measure(size).await;
        }
        if all || flag("commits") {
            commits::measure(size).await;
        }
        if all || flag("correction") {
            correction::measure(size).await;
        }
    });
}

/// The middle one, or the lower of the two in the middle.
fn median<T: PartialOrd + Copy>(mut measured: Vec<T>) -> T {
    measured.sort_by(|a, b| a.partial_cmp(b).unwrap());
    measured[(measured.len() - 1) / 2]
}

/// How long it takes.
async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begun = Instant::now();
    let made = work.await;
    (begun.elapsed(), made)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
