//! `cargo fuzz run source_json`: see `fuzz::source_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::source_json(data));
