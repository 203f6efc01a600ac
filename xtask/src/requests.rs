//! Answers for the verb `requests`: what a record costs in requests to the lake.
//!
//! Does not count: a test of the engine does, and fails where it is more than it may be.

use anyhow::Result;

use crate::shell::{self, cargo};

/// Runs the test and shows what it prints.
pub(crate) fn run() -> Result<()> {
    let selection = ["nextest", "run", "--workspace", "--test", "service", "--no-capture", "requests::"];
    shell::run(cargo().args(selection))
}
