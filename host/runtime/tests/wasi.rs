//! What a component that imports WASI 0.2 sees: always the same, nothing of the machine, and nothing that waits.
//!
//! The components are core modules in text over the few functions of WASI that they call. Does not test what is refused: `load` does.

// Tests read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use pipeline::plan::Limits;
use seams::plugin::{Fault, FaultKind, Grants, Plugins};
use support::{capture, cleaner_module, from_text_with, grants, numbers, plugins, said};

/// The parts of WASI that are called, in the words of its own interfaces.
const WASI: &[&str] = &[
    "package wasi:io@0.2.3;
     interface error { resource error { to-debug-string: func() -> string; } }
     interface poll {
         resource pollable { ready: func() -> bool; block: func(); }
         poll: func(in: list<borrow<pollable>>) -> list<u32>;
     }
     interface streams {
         use error.{error};
         variant stream-error { last-operation-failed(error), closed }
         resource input-stream { read: func(len: u64) -> result<list<u8>, stream-error>; }
         resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
     }",
    "package wasi:clocks@0.2.0;
     interface monotonic-clock {
         use wasi:io/poll@0.2.3.{pollable};
         now: func() -> u64;
         subscribe-duration: func(when: u64) -> pollable;
     }
     interface wall-clock {
         record datetime { seconds: u64, nanoseconds: u32 }
         now: func() -> datetime;
     }",
    "package wasi:random@0.2.6;
     interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }
     interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }",
    "package wasi:cli@0.2.3;
     interface environment { get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; }
     interface exit { exit: func(status: result); }
     interface stdin { use wasi:io/streams@0.2.3.{input-stream}; get-stdin: func() -> input-stream; }
     interface stdout { use wasi:io/streams@0.2.3.{output-stream}; get-stdout: func() -> output-stream; }
     interface stderr { use wasi:io/streams@0.2.3.{output-stream}; get-stderr: func() -> output-stream; }",
    "package wasi:filesystem@0.2.0;
     interface types { resource descriptor { sync: func(); } }
     interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }",
    "package test:wasi;
     world stock {
         include sluicebox:plugin/cleaner@0.1.0;
         import wasi:clocks/monotonic-clock@0.2.0;
         import wasi:clocks/wall-clock@0.2.0;
         import wasi:io/poll@0.2.3;
         import wasi:io/streams@0.2.3;
         import wasi:random/random@0.2.6;
         import wasi:random/insecure-seed@0.2.6;
         import wasi:cli/environment@0.2.3;
         import wasi:cli/exit@0.2.3;
         import wasi:cli/stdin@0.2.3;
         import wasi:cli/stdout@0.2.3;
         import wasi:cli/stderr@0.2.3;
         import wasi:filesystem/preopens@0.2.0;
     }",
];

const IMPORTS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $ticks (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
    (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.3" "[resource-drop]pollable" (func $drop-timer (param i32)))
    (import "wasi:io/poll@0.2.3" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/streams@0.2.3" "[method]input-stream.read" (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $random-bytes (param i64 i32)))
    (import "wasi:random/insecure-seed@0.2.6" "insecure-seed" (func $seed (param i32)))
    (import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))
    (import "wasi:cli/environment@0.2.3" "get-arguments" (func $arguments (param i32)))
    (import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))
    (import "wasi:cli/stdin@0.2.3" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))
    (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))"#;

/// Eight numbers as the rows of the one document: what `see` puts at address 5120, eight bytes each.
const ROWS: &str = r#"
    (data (i32.const 3072) "\08\00\00\00\00\10\00\00\01\00\00\00\00\18\00\00\08\00\00\00")
    (data (i32.const 4108) "\01\00\00\00\00\14\00\00\08\00\00\00")"#;

fn stock(clean: &str) -> Bytes {
    from_text_with(WASI, "stock", &cleaner_module(IMPORTS, "16", ROWS, clean))
}

async fn seen(see: &str) -> Vec<i64> {
    let cleaner = plugins().cleaner(stock(&format!("{see} (i32.const 3072)")), &grants("{}")).await.unwrap();
    let (first, again) = (cleaner.clean(&numbers([1])).await.unwrap(), cleaner.clean(&numbers([1])).await.unwrap());
    assert_eq!(first.rows, again.rows, "each call sees the same");
    first.rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}

async fn fault(clean: &str, limits: Limits) -> Fault {
    let cleaner = plugins().cleaner(stock(clean), &Grants { config: "{}".into(), limits }).await.unwrap();
    cleaner.clean(&numbers([1])).await.unwrap_err()
}

#[tokio::test]
async fn the_clocks_stand_still_and_there_is_nothing_around() {
    let see = r#"
        (i64.store (i32.const 5120) (call $ticks))
        (call $wall (i32.const 5128))
        (i32.store (i32.const 5136) (i32.const 0))
        (call $environment (i32.const 6000)) (i64.store (i32.const 5136) (i64.load32_u (i32.const 6004)))
        (call $arguments (i32.const 6000)) (i64.store (i32.const 5144) (i64.load32_u (i32.const 6004)))
        (call $directories (i32.const 6000)) (i64.store (i32.const 5152) (i64.load32_u (i32.const 6004)))
        (call $read (call $stdin) (i64.const 100) (i32.const 6000)) (i64.store (i32.const 5160) (i64.load8_u (i32.const 6000)))
        (i64.store (i32.const 5168) (i64.load8_u (i32.const 6004)))"#;
    // Time twice, counts of variables, arguments and directories; of stdin an error (1), which is `closed` (1).
    assert_eq!(seen(see).await, [0, 0, 0, 0, 0, 1, 1, 0]);
}

#[tokio::test]
async fn random_numbers_differ_within_a_call_and_not_between_calls() {
    let see = r#"
        (i64.store (i32.const 5120) (call $random))
        (i64.store (i32.const 5128) (call $random))
        (call $seed (i32.const 5136))
        (call $random-bytes (i64.const 8) (i32.const 6000))
        (i64.store (i32.const 5152) (i64.load (i32.load (i32.const 6000))))
        (i64.store (i32.const 5160) (i64.load32_u (i32.const 6004)))"#;
    let seen = seen(see).await;
    assert_eq!(seen[5], 8);
    let distinct: std::collections::BTreeSet<i64> = seen[..5].iter().copied().collect();
    assert_eq!(distinct.len(), 5, "{seen:?}");
}

#[tokio::test]
async fn nothing_that_is_waited_for_holds_a_thread() {
    let hour = "(i64.const 3600000000000)";
    let see = format!(
        r#"(call $block (call $timer {hour}))
           (i32.store (i32.const 6000) (call $timer {hour})) (i32.store (i32.const 6004) (call $timer {hour}))
           (call $poll (i32.const 6000) (i32.const 2) (i32.const 6016))
           (i64.store (i32.const 5120) (i64.load32_u (i32.const 6020)))"#
    );
    assert_eq!(seen(&see).await[0], 2, "both timers are ready");
}

#[tokio::test]
async fn what_is_printed_is_logged() {
    let lines = capture();
    let print = r#"
        (memory.copy (i32.const 7000) (i32.const 16) (i32.const 3))
        (i32.store8 (i32.const 7003) (i32.const 10))
        (call $write (call $stdout) (i32.const 7000) (i32.const 4) (i32.const 6000))
        (call $write (call $stderr) (i32.const 7000) (i32.const 2) (i32.const 6000))"#;
    seen(print).await;
    let text = lines.text();
    assert!(text.contains("INFO plugin: wat plugin=\"wat@"), "{text}");
    assert!(text.contains("WARN plugin: wa plugin=\"wat@"), "{text}");
}

#[tokio::test]
async fn an_exit_is_a_trap_with_a_place() {
    let fault = fault("(call $exit (i32.const 0)) (unreachable)", Limits::default()).await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P101"), "{}", said(&fault));
    assert_eq!(fault.message, "plugin ended itself: it called `exit` with success");
    assert!(fault.backtrace.is_some());
}

#[tokio::test]
async fn handles_that_are_never_given_back_end_at_their_cap() {
    let hoard = "(loop (drop (call $timer (i64.const 1))) (br 0)) (unreachable)";
    let fault = fault(hoard, Limits { deadline: Duration::from_secs(60), ..Limits::default() }).await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Memory, "P150"), "{}", said(&fault));
    assert!(fault.message.contains("more than 1024 resource handles"), "{}", said(&fault));
}

#[tokio::test]
async fn a_handle_that_was_given_back_is_no_handle() {
    let twice = "(call $drop-timer (call $timer (i64.const 1))) (call $drop-timer (i32.const 1)) (unreachable)";
    for misuse in [twice, "(call $block (i32.const 77)) (unreachable)"] {
        let fault = fault(misuse, Limits::default()).await;
        assert_eq!((fault.kind, fault.code), (FaultKind::Trap, "P151"), "{}", said(&fault));
    }
}

#[tokio::test]
async fn inspection_says_that_wasi_is_inert() {
    let found = runtime::inspect(&stock("(unreachable)")).unwrap();
    assert!(found.inert_wasi && found.imports.iter().any(|name| name == "wasi:cli/stderr@0.2.3"), "{found:?}");
}
