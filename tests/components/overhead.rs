//! The cost of plugins' limits: the same components on the same columns with all limits and with none, in one run, the
//! two taking turns, medians of both. `cargo bench -p runtime --features unguarded --bench overhead`.
//!
//! Without limits means: no deadline, no caps on memory, tables or transfers, NaNs as the processor makes them. Threads, fresh
//! instances and the checks of what comes back are the same on both sides. A deadline is asked for in every loop of the guest's code,
//! so that most of it is paid there.

// A benchmark measures time and reads its components from disk; what is broken ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, missing_docs)]

mod measure;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use measure::{bytes, document, taking_turns, timed};
use pipeline::plan::Limits;
use runtime::{Options, WasmPlugins};
use seams::plugin::{Aggregator, Cleaner, Grants, Plugins};
use tokio::runtime::Runtime;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, documents, rows) = if quick { (7, 4_000, 100_000) } else { (41, 20_000, 1_000_000) };
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let guarded = WasmPlugins::new(Options { guest_threads: 2, ..Options::default() }).expect("a runtime");
    let free = WasmPlugins::unguarded(2).expect("a runtime");
    println!("{:<50} {:>14} {:>14} {:>8}", "million records a second", "all limits", "none", "ratio");
    let documents: Vec<Bytes> = (0..documents).map(document).collect();
    for (what, fuel) in [("", None), (", instructions counted, too", Some(1_000_000_000_000))] {
        let silver = clean(&tokio, rounds, (&guarded, &free), &documents, what, fuel);
        aggregate(&tokio, rounds, (&guarded, &free), &vec![silver; rows / documents.len()], what, fuel);
    }
}

fn grants(fuel: Option<u64>) -> Grants {
    let limits =
        Limits { memory: 1 << 30, deadline: Duration::from_secs(60), output: 1 << 30, fuel, ..Limits::default() };
    Grants { config: "{}".into(), limits }
}

fn row(what: &str, count: usize, (guarded, free): (f64, f64)) {
    let rate = |seconds: f64| format!("{:.3}", count as f64 / seconds / 1e6);
    println!("{what:<50} {:>14} {:>14} {:>8.2}", rate(guarded), rate(free), free / guarded);
}

/// Cleans; gives the rows.
fn clean(
    tokio: &Runtime,
    rounds: usize,
    (guarded, free): (&WasmPlugins, &WasmPlugins),
    documents: &[Bytes],
    what: &str,
    fuel: Option<u64>,
) -> RecordBatch {
    let load = |plugins: &WasmPlugins, fuel| -> Arc<dyn Cleaner> {
        tokio.block_on(plugins.cleaner(bytes(artifacts::clean_movies()), &grants(fuel))).expect("a cleaner")
    };
    let (guarded, free) = (load(guarded, fuel), load(free, None));
    let run = |cleaner: &Arc<dyn Cleaner>| tokio.block_on(cleaner.clean(documents)).expect("rows");
    let result = taking_turns(rounds, || timed(|| run(&guarded)).0, || timed(|| run(&free)).0);
    row(&format!("clean{what}"), documents.len(), result);
    run(&guarded).rows
}

fn aggregate(
    tokio: &Runtime,
    rounds: usize,
    (guarded, free): (&WasmPlugins, &WasmPlugins),
    rows: &[RecordBatch],
    what: &str,
    fuel: Option<u64>,
) {
    let load = |plugins: &WasmPlugins, fuel| -> Arc<dyn Aggregator> {
        tokio.block_on(plugins.aggregator(bytes(artifacts::aggregate_genres()), &grants(fuel))).expect("an aggregator")
    };
    let (guarded, free) = (load(guarded, fuel), load(free, None));
    let run = |aggregator: &Arc<dyn Aggregator>| {
        let partial = tokio.block_on(aggregator.fold(rows)).expect("a partial result");
        tokio.block_on(aggregator.finish(&[partial])).expect("a table")
    };
    let result = taking_turns(rounds, || timed(|| run(&guarded)).0, || timed(|| run(&free)).0);
    row(&format!("aggregate{what}"), rows.iter().map(RecordBatch::num_rows).sum(), result);
}
