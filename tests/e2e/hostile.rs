//! Plugins that misbehave, each by its number in the corpus, in a host where a neighbour works: what stops each, with which code, and
//! that the neighbour is served all the while and after.
//!
//! Each test writes a line of the table that `cargo xtask hostile` shows, if `SLUICEBOX_HOSTILE` names a file for it. The fate of the
//! record afterwards is up to the engine: those rows are tests of the engine, and the verb runs them, too.

// Tests read files and measure time, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../../host/runtime/tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary as _, Unstructured};
use bytes::Bytes;
use pipeline::plan::{Isolation, Limits};
use rand::{RngCore as _, SeedableRng as _};
use runtime::worker::WorkerProgram;
use runtime::{Options, WasmPlugins};
use seams::plugin::{Cleaner, Fault, Grants, LoadError, Plugins};
use support::{capture, cleaner_module, cleaner_text, component, from_text, grants, kept_in, numbers};

/// A host with a neighbour in it.
struct Host {
    plugins: WasmPlugins,
    neighbour: Arc<dyn Cleaner>,
    _cache: tempfile::TempDir,
}

async fn host() -> Host {
    let cache = tempfile::tempdir().unwrap();
    let worker = WorkerProgram { program: env!("CARGO_BIN_EXE_sluicebox").into(), args: vec!["guest-worker".into()] };
    let options =
        Options { cache: Some(kept_in(cache.path())), worker: Some(worker), guest_threads: 8, ..Options::default() };
    let plugins = WasmPlugins::new(options).unwrap();
    let neighbour = plugins.cleaner(component(artifacts::misbehave()), &grants("{}")).await.unwrap();
    Host { plugins, neighbour, _cache: cache }
}

/// How a hostile plugin ended: its code, and the class of the corpus. `None` is one that was not stopped.
type Ended = Option<(&'static str, &'static str)>;

fn refused<T: std::fmt::Debug>(result: Result<T, LoadError>) -> Ended {
    Some((result.unwrap_err().code, "L"))
}

fn broke<T: std::fmt::Debug>(result: Result<T, Fault>) -> Ended {
    Some((result.unwrap_err().code, "R"))
}

impl Host {
    async fn load(&self, component: Bytes, limits: Limits) -> Result<Arc<dyn Cleaner>, LoadError> {
        self.plugins.cleaner(component, &Grants { config: "{}".into(), limits }).await
    }

    /// A cleaner in text, loaded and called.
    async fn text(&self, more: &str, clean: &str, limits: Limits) -> Ended {
        broke(self.load(cleaner_text("1", more, clean), limits).await.unwrap().clean(&numbers([1])).await)
    }

    /// The guest that misbehaves on request.
    async fn guest(&self, mode: &str, limits: Limits) -> Result<seams::plugin::Cleaned, Fault> {
        let grants = Grants { config: format!("{{\"mode\":\"{mode}\",\"on\":3}}"), limits };
        let cleaner = self.plugins.cleaner(component(artifacts::misbehave()), &grants).await.unwrap();
        cleaner.clean(&numbers(0..10)).await
    }

    /// The same, for one document alone.
    async fn guest_alone(&self, mode: &str, limits: Limits) -> Result<seams::plugin::Cleaned, Fault> {
        let grants = Grants { config: format!("{{\"mode\":\"{mode}\"}}"), limits };
        let cleaner = self.plugins.cleaner(component(artifacts::misbehave()), &grants).await.unwrap();
        cleaner.clean(&numbers([3])).await
    }

    async fn neighbour(&self) -> Duration {
        let started = Instant::now();
        assert_eq!(self.neighbour.clean(&numbers(0..10)).await.unwrap().rows.num_rows(), 10, "the neighbour's rows");
        started.elapsed()
    }
}

/// The 99th of a hundred.
fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[(times.len() * 99 / 100).min(times.len() - 1)].as_secs_f64() * 1e3
}

/// This process's peak of memory, in MiB; each test is a process of its own under nextest.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.map_or_else(|| "?".to_owned(), |kib| format!("{} MiB", kib >> 10))
}

/// Runs an attack while the neighbour works, checks what stopped it, and writes a line of the table.
async fn row(number: &str, what: &str, host: &Host, attack: impl Future<Output = Ended>, expected: Ended) {
    let mut calm = Vec::new();
    for _ in 0..100 {
        calm.push(host.neighbour().await);
    }
    let mut beside = Vec::new();
    let attack = async { Some(attack.await) };
    let mut attack = std::pin::pin!(attack);
    let mut ended = None;
    while ended.is_none() || beside.len() < 20 {
        tokio::select! {
            biased;
            done = &mut attack, if ended.is_none() => ended = done,
            time = host.neighbour() => beside.push(time),
        }
    }
    assert_eq!(ended, Some(expected), "{number}: {what}");
    host.neighbour().await;
    let (code, class) = expected.unwrap_or(("-", "none"));
    let (before, during) = (p99(calm), p99(beside));
    let line = format!("{number}\t{what}\t{code}\t{class}\t{}\tyes\t{during:.2} / {before:.2} ms", peak());
    println!("{line}");
    if let Some(path) = std::env::var_os("SLUICEBOX_HOSTILE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

fn short() -> Limits {
    Limits { deadline: Duration::from_millis(300), ..Limits::default() }
}

#[tokio::test]
async fn h01_h02_endless_loops() {
    let host = host().await;
    let fuel = Limits { fuel: Some(100_000_000), ..Limits::default() };
    row("H01", "fuel", &host, host.text("", "(loop (br 0)) (unreachable)", fuel), Some(("P102", "R"))).await;
    let late = host.text("", "(loop (br 0)) (unreachable)", short());
    row("H01", "deadline, without fuel", &host, late, Some(("P104", "R"))).await;
    let start = cleaner_text("1", "(func $spin (loop (br 0))) (start $spin)", "(unreachable)");
    let load = async { refused(host.load(start, short()).await) };
    row("H02", "deadline, before the first call", &host, load, Some(("P105", "L"))).await;
}

#[tokio::test]
async fn h05_spinning_on_every_thread() {
    let host = host().await;
    let spin = host.load(cleaner_text("1", "", "(loop (br 0)) (unreachable)"), short()).await.unwrap();
    let all = async {
        let batch = numbers([1]);
        let calls = (0..8).map(|_| spin.clean(&batch));
        let ended = futures::future::join_all(calls).await;
        assert!(ended.iter().all(|outcome| outcome.as_ref().is_err_and(|fault| fault.code == "P104")));
        Some(("P104", "B"))
    };
    row("H05", "deadline; spinning threads step back", &host, all, Some(("P104", "B"))).await;
}

#[tokio::test]
async fn h06_h07_h08_h09_memory_and_tables() {
    let host = host().await;
    let all = Limits::default();
    let grow = host.text("", "(drop (memory.grow (i32.const 65535))) (unreachable)", all);
    row("H06", "memory summed over the store", &host, grow, Some(("P110", "R"))).await;
    let many: String = (0..30).map(|n| format!("(memory $m{n} 1600)")).collect();
    let load = async { refused(host.load(cleaner_text("1", &many, "(unreachable)"), all).await) };
    row("H07", "declared memory, summed", &host, load, Some(("P012", "L"))).await;
    let few: String = (0..30).map(|n| format!("(memory $m{n} 1)")).collect();
    let load = async { refused(host.load(cleaner_text("1", &few, "(unreachable)"), all).await) };
    row("H07", "one memory a module", &host, load, Some(("P011", "L"))).await;
    let table = "(drop (table.grow $t (ref.null func) (i32.const 2000000))) (unreachable)";
    let grow = host.text("(table $t 1 funcref)", table, all);
    row("H08", "table elements", &host, grow, Some(("P111", "R"))).await;
    let load = async { refused(host.load(cleaner_text("65536", "", "(unreachable)"), all).await) };
    row("H09", "declared memory, before it is given", &host, load, Some(("P012", "L"))).await;
}

#[tokio::test]
async fn h10_h11_stack_and_entering_again() {
    let host = host().await;
    let deep = host.text("(func $deep (call $deep) (call $deep))", "(call $deep) (unreachable)", Limits::default());
    row("H10", "stack", &host, deep, Some(("P112", "R"))).await;
    let import = r#"(import "sluicebox:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
    let logging = "(param i32 i32 i32 i32) (result i32) (call $log (i32.const 1) (i32.const 16) (i32.const 3))";
    let module = cleaner_module(import, "1", "", "(unreachable)");
    let again = module.replacen("(param i32 i32 i32 i32) (result i32)", logging, 1);
    let load = async { refused(host.load(from_text("cleaner", &again), Limits::default()).await) };
    row("H11", "no call out while the host puts data in", &host, load, Some(("P113", "L"))).await;
}

#[tokio::test]
async fn h12_to_h15_what_is_returned() {
    let host = host().await;
    let all = Limits::default();
    row("H12", "bytes handed over", &host, async { broke(host.guest("huge-output", all).await) }, Some(("P120", "R")))
        .await;
    let few = Limits { rows: 9, ..all };
    row("H12", "rows returned", &host, async { broke(host.guest("behave", few).await) }, Some(("P123", "R"))).await;
    for place in ["0x7ffffff0", "65532"] {
        let place = format!("(i32.const {place})");
        let outside = host.text("", &place, all);
        row("H13", "canonical ABI: outside of memory", &host, outside, Some(("P121", "R"))).await;
    }
    row(
        "H13",
        "canonical ABI: a wild list",
        &host,
        async { broke(host.guest("wild-pointer", all).await) },
        Some(("P121", "R")),
    )
    .await;
    row("H14", "text is checked", &host, async { broke(host.guest("invalid-text", all).await) }, Some(("P122", "R")))
        .await;
    row(
        "H14",
        "text in columns is checked",
        &host,
        async { broke(host.guest("bad-utf8-column", all).await) },
        Some(("P122", "R")),
    )
    .await;
    row(
        "H15",
        "canonical ABI: misaligned (UTF-16 is not accepted)",
        &host,
        async { broke(host.guest("odd-pointer", all).await) },
        Some(("P121", "R")),
    )
    .await;
}

#[tokio::test]
async fn h19_h20_h21_results_that_do_not_fit() {
    let host = host().await;
    let all = Limits::default();
    let cases = [
        ("H19", "conservation", "lose", "P130"),
        ("H19", "rows against their documents", "short-row-of", "P130"),
        ("H20", "conservation", "double", "P131"),
        ("H20", "documents that are not there", "invent", "P131"),
        ("H21", "order is part of the contract", "backwards", "P131"),
    ];
    for (number, what, mode, code) in cases {
        row(number, what, &host, async { broke(host.guest(mode, all).await) }, Some((code, "R"))).await;
    }
}

#[tokio::test]
async fn h24_h27_nothing_survives_and_nothing_differs() {
    let host = host().await;
    let twice = async {
        let (first, again) = (
            host.guest("remember", Limits::default()).await.unwrap(),
            host.guest("remember", Limits::default()).await.unwrap(),
        );
        assert_eq!(first.rows, again.rows);
        None
    };
    row("H24", "a fresh store a call", &host, twice, None).await;
    let nan = async {
        let (first, again) = (
            host.guest("nan-bits", Limits::default()).await.unwrap(),
            host.guest("nan-bits", Limits::default()).await.unwrap(),
        );
        assert_eq!(first.rows, again.rows);
        None
    };
    row("H23", "no clock, address or NaN payload to differ by (P140 stands guard)", &host, nan, None).await;
}

/// A component with these imports and the exports of a cleaner.
fn shell(imports: &str, version: &str) -> Bytes {
    let exports =
        ["lifecycle", "clean"].map(|name| format!("(export \"sluicebox:plugin/{name}@{version}\" (instance $empty))"));
    wat::parse_str(format!("(component {imports} (instance $empty) {})", exports.concat())).unwrap().into()
}

#[tokio::test]
async fn h25_to_h34_what_is_refused_at_load() {
    let host = host().await;
    let whole = component(artifacts::misbehave());
    let import = |name: &str| format!("(import \"{name}\" (instance (export \"f\" (func))))");
    let mut flipped = whole.to_vec();
    flipped[20] ^= 0xff;
    let cases: Vec<(&str, &str, Bytes, &'static str)> = vec![
        ("H25", "import audit", shell(&import("wasi:sockets/tcp@0.2.0"), "0.1.0"), "P020"),
        ("H25", "import audit", shell(&import("wasi:http/outgoing-handler@0.2.0"), "0.1.0"), "P020"),
        ("H28", "version of the contract", shell("", "0.2.0"), "P021"),
        ("H29", "types of the exports", shell("", "0.1.0"), "P022"),
        ("H30", "layer of the header", wat::parse_str("(module)").unwrap().into(), "P010"),
        ("H31", "parser: empty", Bytes::new(), "P011"),
        ("H31", "parser: text", Bytes::from_static(b"#!/bin/sh\n"), "P011"),
        ("H31", "parser: truncated", whole.slice(..whole.len() / 2), "P011"),
        ("H31", "parser: flipped", flipped.into(), "P011"),
        ("H32", "cap on the component", vec![0; 17 << 20].into(), "P013"),
        (
            "H33",
            "caps on functions",
            wat::parse_str(format!("(component (core module {}))", "(func)".repeat(50_001))).unwrap().into(),
            "P014",
        ),
        ("H34", "machine code", Bytes::from_static(b"\x7fELF\x02\x01\x01"), "P015"),
    ];
    for (number, what, bytes, code) in cases {
        let load = async { refused(host.load(bytes, Limits::default()).await) };
        row(number, what, &host, load, Some((code, "L"))).await;
    }
}

#[tokio::test]
async fn h33_a_compile_bomb() {
    let host = host().await;
    let body = "(local.set 0 (i64.add (i64.mul (local.get 0) (i64.const 31)) (i64.load (i32.wrap_i64 (local.get 0)))))";
    let mut text = String::new();
    for _ in 0..3_000 {
        write!(text, "(func (param i64) {})", body.repeat(100)).unwrap();
    }
    let bomb = cleaner_text("1", &text, "(unreachable)");
    let limits = Limits { compile_time: Duration::from_secs(1), ..Limits::default() };
    let load = async { refused(host.load(bomb, limits).await) };
    row("H33", "capped child process", &host, load, Some(("P014", "L"))).await;
}

#[tokio::test]
async fn h37_h38_logs() {
    let lines = capture();
    let host = host().await;
    // A busy machine may take long over a hundred thousand lines: the time is not tested here.
    let patient = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
    let flood = async {
        host.guest("log-flood", patient).await.unwrap();
        None
    };
    row("H37", "bytes of log (P210 counts what is dropped)", &host, flood, None).await;
    let long = async {
        host.guest("log-long", Limits::default()).await.unwrap();
        None
    };
    row("H37", "bytes of a line", &host, long, None).await;
    let escapes = async {
        host.guest("log-escapes", Limits::default()).await.unwrap();
        None
    };
    row("H38", "escapes are made text", &host, escapes, None).await;
    let text = lines.text();
    assert!(text.contains("code=\"P210\"") && text.contains("\\u{1b}[31mred"));
    assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.len() < 6_000));
}

#[tokio::test]
async fn h46_values_that_no_table_takes() {
    let host = host().await;
    for (what, mode) in [
        ("NaN", "not-a-number"),
        ("NUL in text", "nul"),
        ("another type", "wrong-type"),
        ("null where none may be", "null"),
    ] {
        row("H46", what, &host, async { broke(host.guest(mode, Limits::default()).await) }, Some(("P171", "R"))).await;
    }
}

/// Where calls run: each of the rows below is tried in both.
const PLACES: [(&str, Isolation); 2] = [("", Isolation::InProcess), (", in a worker", Isolation::Process)];

/// A cleaner whose description is what `fields` say: address and length of name, version, input, output and schema.
fn described(pages: &str, fields: [(u32, u32); 5], more: &str) -> Bytes {
    let bytes: String = fields
        .iter()
        .flat_map(|(at, length)| at.to_le_bytes().into_iter().chain(length.to_le_bytes()))
        .fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").unwrap();
            text
        });
    cleaner_text(pages, &format!("(data (i32.const 1024) \"{bytes}\") {more}"), "(unreachable)")
}

#[tokio::test]
async fn h51_descriptions_without_end() {
    let host = host().await;
    let (name, version, output) = ((16, 3), (32, 5), (2048, 1));
    // An input column at 4608: its name at 48, its pointer at 65536.
    let column =
        "(data (i32.const 4608) \"\\30\\00\\00\\00\\01\\00\\00\\00\\00\\00\\01\\00\\20\\4e\\00\\00\\00\\01\\01\\00\")";
    let steps = format!("{column} (data (i32.const 65536) \"{}\")", "/a".repeat(10_000));
    let deep = format!("(data (i32.const 65536) \"{}\")", "[".repeat(100_000));
    let cases = [
        ("a pointer of 10,000 steps", described("4", [name, version, (4608, 1), output, (0, 0)], &steps)),
        ("300,000 fields", described("120", [name, version, (131_072, 300_000), output, (0, 0)], "")),
        ("a name of 10 MB", described("200", [(131_072, 10_000_000), version, (0, 0), output, (0, 0)], "")),
        ("a name of 3 MB", described("200", [(131_072, 3_000_000), version, (0, 0), output, (0, 0)], "")),
        ("a version of 1 MB", described("200", [name, (131_072, 1_000_000), (0, 0), output, (0, 0)], "")),
        ("a schema of 100,000 levels", described("4", [name, version, (0, 0), output, (65_536, 100_000)], &deep)),
    ];
    for (what, bytes) in cases {
        for (place, isolation) in PLACES {
            let limits = Limits { isolation, ..Limits::default() };
            let load = async {
                let error = host.load(bytes.clone(), limits).await.unwrap_err();
                assert!(error.message.len() < 64 << 10, "{} bytes of message", error.message.len());
                refused(Err::<(), _>(error))
            };
            row("H51", &format!("bounds of a description: {what}{place}"), &host, load, Some(("P023", "L"))).await;
        }
    }
}

#[tokio::test]
async fn h52_h54_rows_and_reasons_without_end() {
    let host = host().await;
    for (place, isolation) in PLACES {
        let limits = Limits { isolation, memory: 256 << 20, ..Limits::default() };
        let many = async { broke(host.guest_alone("many-rows", limits).await) };
        row("H52", &format!("rows of a document{place}"), &host, many, Some(("P123", "R"))).await;
        for (mode, most) in [("long-reasons", 5_000), ("escapes", 200)] {
            let reasons = async {
                let cleaned = host.guest_alone(mode, limits).await.unwrap();
                let reason = &cleaned.rejects[0].reason;
                assert!(reason.starts_with("\\u{1b}[31m") && reason.len() < most, "{} bytes", reason.len());
                assert!(reason.chars().all(|c| c == '\n' || !seams::foreign::is_odd(c)));
                assert_eq!(mode == "long-reasons", reason.ends_with(" more bytes"));
                None
            };
            row("H54", &format!("words are cut and made inert ({mode}){place}"), &host, reasons, None).await;
        }
    }
}

#[tokio::test]
async fn h53_documents_without_end() {
    let host = host().await;
    for (place, isolation) in PLACES {
        let grants = Grants { config: "{}".into(), limits: Limits { isolation, ..Limits::default() } };
        let enricher = host.plugins.enricher(component(artifacts::echo_enricher()), &grants).await.unwrap();
        let entry = format!("{{\"k\":\"{}\"}}", "x".repeat(30 << 20));
        let large = async { broke(enricher.enrich(&entry, &[]).await) };
        row("H53", &format!("bytes of a document{place}"), &host, large, Some(("P120", "R"))).await;
    }
}

#[tokio::test]
async fn h55_json_of_a_hundred_thousand_levels() {
    let host = host().await;
    // One row, whose column `n` is JSON: text at 65536, its offsets at 5376.
    let data = [
        "(data (i32.const 2057) \"\\06\")",
        "(data (i32.const 3072) \"\\01\\00\\00\\00\\00\\14\\00\\00\\01\\00\\00\\00\\80\\14\\00\\00\\01\\00\\00\\00\")",
        "(data (i32.const 5132) \"\\06\\00\\00\\00\\00\\15\\00\\00\\02\\00\\00\\00\\00\\00\\01\\00\\40\\0d\\03\\00\")",
        "(data (i32.const 5376) \"\\00\\00\\00\\00\\40\\0d\\03\\00\")",
    ];
    let fill = "(memory.fill (i32.const 65536) (i32.const 91) (i32.const 100000)) \
                (memory.fill (i32.const 165536) (i32.const 93) (i32.const 100000)) (i32.const 3072)";
    let bytes = cleaner_text("8", &data.concat(), fill);
    for (place, isolation) in PLACES {
        let cleaner = host.load(bytes.clone(), Limits { isolation, ..Limits::default() }).await.unwrap();
        let deep = async {
            let fault = cleaner.clean(&numbers([1])).await.unwrap_err();
            assert!(fault.message.contains("column `n` wrongly: row 0 is more than 100 levels"), "{fault}");
            broke(Err::<(), _>(fault))
        };
        row("H55", &format!("levels of a JSON column{place}"), &host, deep, Some(("P171", "R"))).await;
    }
}

#[tokio::test]
async fn h56_a_patched_cache_is_compiled_again() {
    let host = host().await;
    let bytes = component(artifacts::misbehave());
    let code = host._cache.path().join("cache").join("code");
    for (place, isolation) in PLACES {
        let patched = async {
            for file in std::fs::read_dir(&code).unwrap().map(|entry| entry.unwrap().path()) {
                let mut bytes = std::fs::read(&file).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(&file, bytes).unwrap();
            }
            let cleaner = host.load(bytes.clone(), Limits { isolation, ..Limits::default() }).await.unwrap();
            assert_eq!(cleaner.clean(&numbers(0..3)).await.unwrap().rows.num_rows(), 3);
            None
        };
        row("H56", &format!("seals of compiled code{place}"), &host, patched, None).await;
    }
}

/// Guests that return as much as they may, at once, in a process of little memory: they wait for each other, and all come through.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn h59_the_process_stays_under_its_limit() {
    const LIMIT: u64 = 768 << 20;
    let options = Options { guest_threads: 16, memory: Some(LIMIT), ..Options::default() };
    let plugins = WasmPlugins::new(options).unwrap();
    let limits = Limits { document_rows: 1_000_000, deadline: Duration::from_secs(120), ..Limits::default() };
    let grants = Grants { config: "{\"mode\":\"many-rows\"}".into(), limits };
    let cleaner = plugins.cleaner(component(artifacts::misbehave()), &grants).await.unwrap();
    let host = host().await;
    let all = async {
        let calls = (0..32).map(|n| {
            let (cleaner, batch) = (Arc::clone(&cleaner), numbers([n]));
            tokio::spawn(async move { cleaner.clean(&batch).await.map(|cleaned| cleaned.rows.num_rows()) })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap().unwrap(), 1_000_000);
        }
        None
    };
    row("H59", "memory of the whole process: calls wait", &host, all, None).await;
    let peak: u64 = peak().trim_end_matches(" MiB").parse().unwrap();
    assert!(peak < LIMIT >> 20, "peak {peak} MiB");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn h50_a_process_that_is_gone() {
    let host = host().await;
    let limits = Limits { isolation: Isolation::Process, deadline: Duration::from_secs(60), ..Limits::default() };
    let spin = host.load(cleaner_text("1", "", "(loop (br 0)) (unreachable)"), limits).await.unwrap();
    let children: Vec<i32> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .flat_map(|task| {
            std::fs::read_to_string(task.unwrap().path().join("children"))
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|pid| pid.parse().unwrap())
        .collect();
    let abort = async {
        let batch = numbers([1]);
        let (outcome, ()) = tokio::join!(spin.clean(&batch), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let worker = rustix::process::Pid::from_raw(children[0]).unwrap();
            rustix::process::kill_process(worker, rustix::process::Signal::ABORT).unwrap();
        });
        broke(outcome)
    };
    row("H50", "worker process (isolation = \"process\")", &host, abort, Some(("P180", "R"))).await;
}

/// How many random components are tried: `cargo xtask hostile` sets more.
fn tries() -> usize {
    std::env::var("SLUICEBOX_HOSTILE_TRIES").ok().and_then(|tries| tries.parse().ok()).unwrap_or(100)
}

/// Anything that is a component, and anything that has a cleaner's exports: a typed end for each, and little time and memory.
#[tokio::test]
async fn smith_random_components() {
    let host = host().await;
    let plain = WasmPlugins::new(Options { guest_threads: 2, ..Options::default() }).unwrap();
    let limits =
        Limits { deadline: Duration::from_millis(100), memory: 16 << 20, fuel: Some(1_000_000), ..Limits::default() };
    let exports = wat::parse_str(cleaner_module("", "1", "", "(unreachable)")).unwrap();
    let mut random = rand::rngs::StdRng::seed_from_u64(4);
    let (mut loaded, mut codes) = (0, std::collections::BTreeMap::<&str, usize>::new());
    for number in 0..tries() {
        let mut seed = vec![0; 8_192];
        random.fill_bytes(&mut seed);
        let Some(bytes) = smith(&seed, number % 2 == 0, &exports) else { continue };
        let grants = Grants { config: "{}".into(), limits };
        let error = match plain.cleaner(bytes, &grants).await {
            Err(error) => error.code,
            Ok(cleaner) => {
                loaded += 1;
                cleaner.clean(&numbers([1])).await.map_or_else(|fault| fault.code, |_| "fine")
            }
        };
        *codes.entry(error).or_default() += 1;
    }
    assert!(!codes.contains_key("P900"), "{codes:?}");
    assert!(codes.values().sum::<usize>() * 2 > tries(), "most of what is made is tried: {codes:?}");
    println!("{loaded} loaded, {codes:?}");
    let what = format!("{} random components: {codes:?}", codes.values().sum::<usize>());
    row("smith", &what, &host, async { None }, None).await;
}

/// A random component, or a random core module with a cleaner's exports made into one; `None` where the seed makes none.
fn smith(seed: &[u8], component: bool, exports: &[u8]) -> Option<Bytes> {
    let mut seed = Unstructured::new(seed);
    if component {
        return wasm_smith::Component::arbitrary(&mut seed).ok().map(|component| component.to_bytes().into());
    }
    let config =
        wasm_smith::Config { exports: Some(exports.to_vec()), max_imports: 0, ..wasm_smith::Config::default() };
    let module = wasm_smith::Module::new(config, &mut seed).ok()?.to_bytes();
    support::try_from_module("cleaner", module)
}
