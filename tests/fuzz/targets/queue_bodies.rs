//! `cargo fuzz run queue_bodies`: see `fuzz::queue_bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::queue_bodies(data));
