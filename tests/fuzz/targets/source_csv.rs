//! `cargo fuzz run source_csv`: see `fuzz::source_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::source_csv(data));
