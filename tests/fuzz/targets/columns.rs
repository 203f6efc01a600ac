//! `cargo fuzz run columns`: see `fuzz::columns`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::columns(data));
