//! `cargo fuzz run descriptor`: see `fuzz::descriptor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::descriptor(data));
