//! `cargo fuzz run worker_frames`: see `fuzz::worker_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::worker_frames(data));
