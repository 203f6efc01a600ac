//! The short form of the fuzz targets: every kept input, and some thousand changed ones, with a bound on memory.
//!
//! Not guided by what code was reached, as `cargo xtask fuzz` is. `SLUICEBOX_FUZZ_SEED` repeats a run.

// A test fails by panicking, and measures what it allocates.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fuzz::{TARGETS, Target};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// How long each target is given beyond its kept inputs.
const EACH: Duration = Duration::from_secs(6);
/// Bytes that one input may hold at once.
const MOST_MEMORY: usize = 512 << 20;
/// How long one input may take in a debug build.
const LONGEST: Duration = Duration::from_secs(20);
/// Bytes of a changed input.
const MOST_BYTES: usize = 64 << 10;

/// Counts what is allocated now, and the most since it was asked for.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Panics of any thread: one that the product catches is a finding all the same.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn main_of(name: &str) -> Target {
    *TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name")
}

fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Tries one input and says what was wrong.
fn tried(target: Target, input: &[u8]) -> Result<(), String> {
    let (before, started) = (HELD.load(Ordering::Relaxed), Instant::now());
    PEAK.store(before, Ordering::Relaxed);
    let ended = std::panic::catch_unwind(|| target.1(input));
    let (took, used) = (started.elapsed(), PEAK.load(Ordering::Relaxed).saturating_sub(before));
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    match panics.first() {
        Some(panic) => Err(panic.clone()),
        None if ended.is_err() => Err("it panicked".to_owned()),
        None if used > MOST_MEMORY => Err(format!("it took {used} bytes of memory, at most {MOST_MEMORY}")),
        None if took > LONGEST => Err(format!("it took {took:?}, at most {LONGEST:?}")),
        None => Ok(()),
    }
}

/// A kept input with a few changes, or a mix of two.
fn changed(random: &mut StdRng, kept: &[(PathBuf, Vec<u8>)], words: &[&[u8]]) -> Vec<u8> {
    let mut input = kept.choose(random).map(|(_, input)| input.clone()).unwrap_or_default();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..7) {
            0 => input.truncate(at),
            1 => input.insert(at, random.random()),
            2 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            3 => drop(input.splice(at..at, words.choose(random).unwrap_or(&&b""[..]).iter().copied())),
            4 => {
                let to = random.random_range(at..=input.len());
                input.drain(at..to.min(at + 16));
            }
            5 => {
                let to = random.random_range(at..=input.len());
                let piece = input[at..to].to_vec();
                let times = random.random_range(1..=64_usize).min(MOST_BYTES / piece.len().max(1));
                input.splice(at..at, piece.repeat(times));
            }
            _ => {
                let other = kept.choose(random).map(|(_, other)| other.as_slice()).unwrap_or_default();
                let from = random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(MOST_BYTES);
    input
}

/// What is likely to matter to some reader.
const WORDS: [&[u8]; 22] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"null",
    b"1e999",
    b"-9223372036854775808",
    b"\\ud800",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":",
    b"_key",
    b"=",
    b"'''",
    b"\xff\xff\xff\x7f",
];

fn run(name: &str) {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
    let (target, kept) = (main_of(name), kept(name));
    let mut found = Vec::new();
    for (path, input) in &kept {
        found.extend(tried(target, input).err().map(|what| format!("{}: {what}", path.display())));
    }
    let seed =
        std::env::var("SLUICEBOX_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let mut random = StdRng::seed_from_u64(seed);
    let (until, mut count) = (Instant::now() + EACH, 0_u64);
    while Instant::now() < until && found.is_empty() {
        let input = changed(&mut random, &kept, &WORDS);
        count += 1;
        found.extend(
            tried(target, &input)
                .err()
                .map(|what| format!("{what}\nSLUICEBOX_FUZZ_SEED={seed}, input {count}: {}", input.escape_ascii())),
        );
    }
    let _ = std::panic::take_hook();
    assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    assert!(!kept.is_empty() && count > 0, "nothing was tried");
    eprintln!("{name}: {} kept inputs and {count} changed ones", kept.len());
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_is_here() {
            let here = [$(stringify!($name)),*];
            assert_eq!(here.to_vec(), TARGETS.map(|(name, _)| name).to_vec());
        }
    };
}

targets!(descriptor, columns, pipeline, source_csv, source_json, s3_events, worker_frames, queue_bodies, delta_log);
