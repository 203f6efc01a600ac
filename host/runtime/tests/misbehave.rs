//! A cleaner that misbehaves on request, once for each way, through the seam and under its limits. After each the runtime must serve
//! the next call as if nothing had been.
//!
//! Does not cover what happens to the record afterwards: that is the engine's.

// Tests read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use pipeline::plan::Limits;
use runtime::WasmPlugins;
use seams::plugin::{Cleaned, Cleaner, Fault, FaultKind, Grants, LoadError, Plugins, RejectedBy};
use support::{capture, component, grants, numbers, plugins, said};

async fn load(plugins: &WasmPlugins, mode: &str, limits: Limits) -> Arc<dyn Cleaner> {
    try_load(plugins, mode, limits).await.unwrap()
}

async fn try_load(plugins: &WasmPlugins, mode: &str, limits: Limits) -> Result<Arc<dyn Cleaner>, LoadError> {
    let config = format!("{{\"mode\":\"{mode}\",\"on\":3}}");
    plugins.cleaner(component(artifacts::misbehave()), &Grants { config, limits }).await
}

/// What becomes of a batch with the number 3 in it, after which one without must be cleaned as ever.
async fn misbehave(mode: &str, limits: Limits) -> Result<Cleaned, Fault> {
    let plugins = plugins();
    let cleaner = load(&plugins, mode, limits).await;
    let outcome = cleaner.clean(&numbers(0..10)).await;
    let after = cleaner.clean(&numbers(10..20)).await.unwrap();
    assert_eq!(after.rows.num_rows(), 10, "the batch after `{mode}`");
    outcome
}

async fn fault(mode: &str) -> Fault {
    misbehave(mode, Limits::default()).await.expect_err(mode)
}

fn short_deadline() -> Limits {
    Limits { deadline: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn one_that_behaves_is_served() {
    let cleaned = misbehave("behave", Limits::default()).await.unwrap();
    let column = |index: usize| cleaned.rows.column(index);
    assert_eq!(column(0).as_primitive::<Int64Type>().values(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(column(1).as_primitive::<Float64Type>().value(3), 1.5);
    assert_eq!(column(2).as_string::<i32>().value(3), "x");
    assert_eq!(cleaned.row_of, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn documents_that_do_not_fit_are_kept_from_the_guest_and_the_others_keep_their_indices() {
    let cleaner = load(&plugins(), "behave", Limits::default()).await;
    let mut documents = numbers([10, 11, 12]);
    documents.insert(1, "{\"n\":\"eleven\"}".into());
    documents.push("{".into());
    let cleaned = cleaner.clean(&documents).await.unwrap();
    assert_eq!(cleaned.row_of, [0, 2, 3]);
    let refused: Vec<(usize, RejectedBy)> = cleaned.rejects.iter().map(|reject| (reject.index, reject.by)).collect();
    assert_eq!(refused, [(1, RejectedBy::Projection), (4, RejectedBy::Projection)]);
    assert_eq!(cleaned.rejects[0].reason, "field `n` (/n): expected int64, found string \"eleven\"");

    let none = cleaner.clean(&["[]".into()]).await.unwrap();
    assert_eq!((none.rows.num_rows(), none.rows.num_columns(), none.rejects.len()), (0, 3, 1));
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline() {
    let started = Instant::now();
    let fault = misbehave("loop", short_deadline()).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Deadline, "P104"));
    assert!(fault.message.contains("deadline 200ms, used "), "{}", said(&fault));
    assert!(fault.backtrace.is_some_and(|trace| trace.contains("misbehave")));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn endless_loops_on_every_thread_leave_the_reactor_free_and_end() {
    let plugins = plugins();
    let cleaner = load(&plugins, "loop", short_deadline()).await;
    let batch = numbers([3]);
    let loops = async {
        let ends =
            tokio::join!(cleaner.clean(&batch), cleaner.clean(&batch), cleaner.clean(&batch), cleaner.clean(&batch));
        (ends, Instant::now())
    };
    let ticks = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Instant::now()
    };
    let (((a, b, c, d), ended), ticked) = tokio::join!(loops, ticks);
    assert!(ticked < ended, "the reactor was held up until the loops had ended");
    assert!([a, b, c, d].into_iter().all(|outcome| outcome.is_err_and(|fault| fault.code == "P104")));
}

#[tokio::test]
async fn a_trap_names_itself_and_its_place() {
    let fault = fault("trap").await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P101"));
    assert!(fault.message.contains("`unreachable`"), "{}", said(&fault));
    // With the plugin's own names, as its source has them.
    let trace = fault.backtrace.unwrap();
    assert!(trace.contains("misbehave::modes::trap") && !trace.contains("_ZN") && !trace.contains("_R"), "{trace}");
}

#[tokio::test]
async fn a_panic_is_a_trap() {
    let fault = fault("panic").await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P101"));
}

#[tokio::test]
async fn endless_recursion_that_fills_the_plugins_own_stack_is_a_trap() {
    // What a Rust plugin keeps in memory for a frame lies in its linear memory, which this runs out of first.
    let fault = fault("recurse").await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P101"));
    assert!(fault.message.contains("out of bounds memory access"), "{}", said(&fault));
}

#[tokio::test]
async fn memory_ends_at_its_cap_with_both_figures() {
    let fault = misbehave("memory", Limits { memory: 32 << 20, ..Limits::default() }).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Memory, "P110"));
    assert!(fault.message.contains("memory cap 32 MiB, asked for"), "{}", said(&fault));
    assert!(fault.backtrace.is_some_and(|trace| trace.contains("hoard")));
}

#[tokio::test]
async fn rows_have_a_cap_of_their_own() {
    let cleaner = load(&plugins(), "behave", Limits { rows: 9, ..Limits::default() }).await;
    let fault = cleaner.clean(&numbers(0..10)).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P123"));
    assert_eq!(fault.message, "plugin returned 10 rows in one call, limit 9");
    assert_eq!(cleaner.clean(&numbers(0..9)).await.unwrap().rows.num_rows(), 9);
}

#[tokio::test]
async fn fuel_is_the_same_for_the_same_call_and_what_needs_more_ends() {
    let used = |fuel| async move {
        let cleaner = load(&plugins(), "slow", Limits { fuel: Some(fuel), ..Limits::default() }).await;
        (cleaner.clean(&numbers([1])).await.is_ok(), cleaner.clean(&numbers([3])).await)
    };
    // What one call needs, to the unit: found by halving, which needs that the same call costs the same each time.
    let (mut short, mut enough) = (10_000_u64, 1_000_000_000_u64);
    assert!(used(enough).await.0);
    while enough - short > 1 {
        let middle = short.midpoint(enough);
        let loaded = try_load(&plugins(), "behave", Limits { fuel: Some(middle), ..Limits::default() }).await;
        let served = match loaded {
            Ok(cleaner) => cleaner.clean(&numbers([1])).await.is_ok(),
            Err(_) => false,
        };
        *(if served { &mut enough } else { &mut short }) = middle;
    }
    let (served, slow) = used(enough).await;
    assert!(served, "{enough} units were enough before");
    let fault = slow.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P102"));
    assert_eq!(fault.message, format!("plugin ran out of fuel: limit {enough} units, used all of them"));
    assert!(fault.backtrace.is_some_and(|trace| trace.contains("misbehave")));
}

#[tokio::test]
async fn what_is_returned_has_a_cap() {
    let fault = fault("huge-output").await;
    assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P120"));
    assert!(fault.message.contains("64 MiB"), "{}", said(&fault));
}

#[tokio::test]
async fn output_that_breaks_the_contract_is_named() {
    let cases = [
        ("invalid-text", "P122", "invalid text"),
        ("wild-pointer", "P121", "bad pointer"),
        ("odd-pointer", "P121", "bad pointer"),
        ("lose", "P130", "results for 9 of 10 documents: document 9"),
        ("double", "P131", "document 0 in the rows and in the skips"),
        ("invent", "P131", "document 1000000 in the skips, but the batch has 10"),
        ("short-row-of", "P130", "9 entries in `row-of` for 10 rows"),
        ("backwards", "P131", "row 1 of document 8 behind one of document 9"),
        ("not-a-number", "P171", "column `half` wrongly: row 0 is NaN"),
        ("wrong-type", "P171", "column `n` wrongly: found float64, expected int64"),
        ("null", "P171", "column `n` wrongly: row 0 is null"),
        ("few-columns", "P171", "2 columns, expected 3"),
        ("bad-utf8-column", "P122", "column `text` wrongly: row 0: invalid text"),
        ("nul", "P171", "column `text` wrongly: row 0 holds a NUL"),
    ];
    for (mode, code, part) in cases {
        let fault = fault(mode).await;
        assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, code), "{mode}: {}", said(&fault));
        assert!(fault.message.contains(part), "{mode}: {}", said(&fault));
    }
}

#[tokio::test]
async fn nothing_survives_a_call() {
    let cleaner = load(&plugins(), "remember", Limits::default()).await;
    for _ in 0..3 {
        let cleaned = cleaner.clean(&numbers([3])).await.unwrap();
        assert_eq!(cleaned.rows.column(0).as_primitive::<Int64Type>().value(0), 0);
    }
}

#[tokio::test]
async fn nan_has_one_bit_pattern() {
    let cleaned = misbehave("nan-bits", Limits::default()).await.unwrap();
    let bits = cleaned.rows.column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(bits, 0x7ff8_0000_0000_0000);
}

#[tokio::test]
async fn a_configuration_is_refused_in_the_plugins_words() {
    let error = try_load(&plugins(), "refuse-configure", Limits::default()).await.unwrap_err();
    assert_eq!(error.code, "P030");
    assert_eq!(error.message, "plugin refused its configuration: `mode`: expected something reasonable");
    assert!(error.hint.is_some());
    let error = try_load(&plugins(), "trap-configure", Limits::default()).await.unwrap_err();
    assert_eq!(error.code, "P101");
    assert!(error.message.contains("in `configure`"), "{error}");
}

#[tokio::test]
async fn limits_that_no_plugin_can_live_with_are_refused_at_load() {
    let error = try_load(&plugins(), "behave", Limits { memory: 64 << 10, ..Limits::default() }).await.unwrap_err();
    assert_eq!(error.code, "P012", "{error}");
    let error = try_load(&plugins(), "behave", Limits { stack: 9 << 20, ..Limits::default() }).await.unwrap_err();
    assert_eq!(error.code, "P012", "{error}");
}

/// Everything that is written as log lines while `mode` runs.
async fn logged(mode: &str) -> (String, Result<Cleaned, Fault>) {
    let lines = capture();
    // How long a hundred thousand lines take on a busy machine is not what is asked.
    let outcome = misbehave(mode, Limits { deadline: Duration::from_secs(60), ..Limits::default() }).await;
    (lines.text(), outcome)
}

#[tokio::test]
async fn log_lines_are_bounded_and_the_rest_is_counted() {
    let (text, outcome) = logged("log-flood").await;
    assert!(outcome.is_ok());
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" plugin: ")).collect();
    assert!((500..700).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].contains("line 0 xxx") && lines[0].contains("digest=\"sha256:"), "{}", lines[0]);
    let last = lines.last().unwrap();
    assert!(last.contains("code=\"P210\"") && last.contains("log lines dropped"), "{last}");
    let passed = lines.len() - 1;
    assert!(last.contains(&format!(": {} log lines dropped", 100_000 - passed)), "{last}");
}

#[tokio::test]
async fn a_call_that_needs_half_of_its_deadline_is_told_once_with_its_cost_a_record() {
    let lines = capture();
    let plugins = plugins();
    let batch = numbers([1, 2, 3]);
    let calm = load(&plugins, "slow", Limits { deadline: Duration::from_secs(600), ..Limits::default() }).await;
    // How long it takes depends on the machine and its mood; a deadline of a time and a half of it is met sooner or later.
    for _ in 0..20 {
        let started = Instant::now();
        calm.clean(&batch).await.unwrap();
        let deadline = started.elapsed() * 3 / 2;
        let hurried = load(&plugins, "slow", Limits { deadline, ..Limits::default() }).await;
        for _ in 0..3 {
            drop(hurried.clean(&batch).await);
        }
        if lines.text().contains("P204") {
            break;
        }
    }
    let text = lines.text();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("P204")).collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].contains("a call of 3 records") && told[0].contains("a record"), "{}", told[0]);
}

#[tokio::test]
async fn a_long_log_line_is_cut() {
    let (text, outcome) = logged("log-long").await;
    assert!(outcome.is_ok());
    let line = text.lines().find(|line| line.contains("xxx")).unwrap();
    assert!(line.len() < 5000 && line.contains("x…"), "{} bytes", line.len());
}

#[tokio::test]
async fn log_lines_cannot_forge_others() {
    let (text, _) = logged("log-escapes").await;
    assert!(text.contains("\\u{1b}[31mred\\nerror[P101] forged"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.starts_with("error[P101]")));
}

#[tokio::test]
async fn the_wrong_world_is_named() {
    let error = plugins().aggregator(component(artifacts::misbehave()), &grants("{}")).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        ("P022", "component is of world `cleaner`, expected `aggregator`")
    );
    let error = plugins().cleaner(component(artifacts::echo_enricher()), &grants("{}")).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), ("P022", "component is of world `enricher`, expected `cleaner`"));
}
