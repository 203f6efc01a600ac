//! The table that `cargo xtask faults` prints: whether everything is to be tried, and where a line of it goes.
//!
//! Does not print the table: xtask does, when all tests are done.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::Write as _;

/// The result in a line when all is well.
pub(crate) const HOLDS: &str = "holds";

/// Whether everything is to be tried, and not only some of it.
pub(crate) fn whole() -> bool {
    std::env::var_os("SLUICEBOX_FAULTS").is_some()
}

/// A line of the table.
pub(crate) fn told(fault: &str, rounds: usize, checked: &str, result: &str) {
    let line = format!("{fault}\t{rounds}\t{checked}\t{result}\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("SLUICEBOX_FAULTS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}
