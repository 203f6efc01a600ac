//! `cargo fuzz run s3_events`: see `fuzz::s3_events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::s3_events(data));
