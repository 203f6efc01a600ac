//! `cargo fuzz run delta_log`: see `fuzz::delta_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::delta_log(data));
