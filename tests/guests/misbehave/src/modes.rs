//! The ways of misbehaving, by name.
//!
//! A name that is not known behaves: every number becomes a row.

#![allow(clippy::panic, clippy::indexing_slicing, unsafe_code, reason = "misbehaving is what this is for")]

use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::bindings::exports::sluicebox::plugin::clean::{Cleaned, Note};
use crate::bindings::sluicebox::plugin::columns::{Batch, Column, Text, Values};
use crate::bindings::sluicebox::plugin::log;

/// Survives a call if anything does.
static CALLS: AtomicI64 = AtomicI64::new(0);

/// Cleans in the given way.
pub(crate) fn clean(mode: &str, numbers: &[i64]) -> Cleaned {
    let mut cleaned = honest(numbers);
    match mode {
        "loop" => while black_box(true) {},
        "slow" => (0..50_000_000_u64).for_each(|step| _ = black_box(step)),
        "trap" => trap(),
        "panic" => panic!("on purpose"),
        "recurse" => drop(black_box(recurse(black_box(1)))),
        "memory" => hoard(),
        "log-flood" => {
            (0..100_000).for_each(|line| log::write(log::Level::Info, &format!("line {line} {}", "x".repeat(90))))
        }
        "log-long" => log::write(log::Level::Warn, &"x".repeat(20 << 20)),
        "log-escapes" => log::write(log::Level::Error, "\u{1b}[31mred\nerror[P101] forged"),
        "many-rows" => cleaned = repeated(numbers, 1_000_000),
        "long-reasons" => cleaned = refused(numbers, &format!("\u{1b}[31m{}", "x".repeat(60 << 20))),
        "escapes" => cleaned = refused(numbers, "\u{1b}[31mred\u{9b}2J\nerror[P101] forged\u{202e}"),
        "huge-output" => cleaned.rejects = vec![Note { index: 0, reason: "x".repeat(65 << 20) }],
        "invalid-text" => {
            cleaned.rejects = vec![Note { index: 0, reason: unsafe { String::from_utf8_unchecked(vec![b'a', 0xff]) } }]
        }
        "wild-pointer" => {
            cleaned.row_of = unsafe { Vec::from_raw_parts(0xffff_0000_usize as *mut u32, 100_000, 100_000) }
        }
        "odd-pointer" => cleaned.row_of = unsafe { Vec::from_raw_parts(0x1_0001_usize as *mut u32, 1, 1) },
        "lose" => cleaned = honest(&numbers[..numbers.len() - 1]),
        "double" => cleaned.skips = vec![Note { index: 0, reason: "again".to_owned() }],
        "invent" => cleaned.skips = vec![Note { index: 1_000_000, reason: "never heard of".to_owned() }],
        "short-row-of" => drop(cleaned.row_of.pop()),
        "backwards" => cleaned.row_of.reverse(),
        "not-a-number" => cleaned.rows.columns[1].values = Values::Float64(vec![f64::NAN; numbers.len()]),
        "wrong-type" => cleaned.rows.columns[0].values = Values::Float64(vec![0.0; numbers.len()]),
        "null" => cleaned.rows.columns[0].validity = Some(vec![0; numbers.len().div_ceil(8)]),
        "few-columns" => drop(cleaned.rows.columns.pop()),
        "bad-utf8-column" => cleaned.rows.columns[2].values = Values::Utf8(text(numbers, b'\xff')),
        "nul" => cleaned.rows.columns[2].values = Values::Utf8(text(numbers, 0)),
        "remember" => {
            let before = CALLS.fetch_add(1, Ordering::Relaxed);
            cleaned.rows.columns[0].values = Values::Int64(vec![before; numbers.len()]);
        }
        "nan-bits" => {
            let bits = (black_box(0.0_f64) / black_box(0.0_f64)).to_bits();
            cleaned.rows.columns[0].values = Values::Int64(vec![bits.cast_signed(); numbers.len()]);
        }
        _ => {}
    }
    cleaned
}

/// Ends the call at once. Not inlined, so that backtraces show it.
#[inline(never)]
pub(crate) fn trap() {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}

fn honest(numbers: &[i64]) -> Cleaned {
    let column = |values| Column { validity: None, values };
    let halves = numbers.iter().map(|number| *number as f64 / 2.0).collect();
    let columns = vec![
        column(Values::Int64(numbers.to_vec())),
        column(Values::Float64(halves)),
        column(Values::Utf8(text(numbers, b'x'))),
    ];
    let rows = Batch { rows: numbers.len() as u32, columns };
    Cleaned { rows, row_of: (0..numbers.len() as u32).collect(), rejects: Vec::new(), skips: Vec::new() }
}

/// So many rows of the first number, and none of the others.
fn repeated(numbers: &[i64], rows: usize) -> Cleaned {
    let mut cleaned = honest(&vec![0; rows]);
    cleaned.row_of = vec![0; rows];
    cleaned.skips = (1..numbers.len() as u32).map(|index| Note { index, reason: "no room".to_owned() }).collect();
    cleaned
}

/// The first number refused in these words.
fn refused(numbers: &[i64], reason: &str) -> Cleaned {
    let mut cleaned = honest(&numbers[1..]);
    cleaned.row_of = (1..numbers.len() as u32).collect();
    cleaned.rejects = vec![Note { index: 0, reason: reason.to_owned() }];
    cleaned
}

/// One byte a row.
fn text(numbers: &[i64], byte: u8) -> Text {
    Text { offsets: (0..=numbers.len() as i32).collect(), bytes: vec![byte; numbers.len()] }
}

fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    let padding = black_box([depth; 64]);
    recurse(black_box(depth + 1)) + padding[(depth % 64) as usize]
}

/// Not inlined, so that backtraces show it.
#[inline(never)]
fn hoard() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 8 << 20]));
    }
}
