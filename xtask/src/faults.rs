//! Answers for the verb `faults`: the whole fault suite, in a release build, and a table of what was tried and what held.
//!
//! Does not know any single fault: the tests whose names begin with `f` and a number do, and the simulation.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{plugins, python, wasm_target};

/// How much is tried.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seeds of the simulation of the whole engine
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// Draw the moments of kills from this seed instead of a new one
    #[arg(long)]
    seed: Option<u64>,
}

/// Where tests of processes write their lines of the table; if it is set, they try everything.
const LINES: &str = "SLUICEBOX_FAULTS";

/// Everything but the build takes less than ten minutes on two cores.
pub(crate) fn run(options: &Options) -> Result<()> {
    wasm_target::ensure()?;
    step("building the tests");
    let selection = ["nextest", "run", "--workspace", "--release"];
    // The build of the tests includes the program that they start. Built alone it would get other features, and half its dependencies again.
    let tests =
        ["faults", "swap", "publisher", "waits", "service", "lake_tables", "simulation"].map(|name| ["--test", name]);
    let tests = tests.as_flattened();
    shell::run(shell::cargo().args(selection).arg("--no-run").args(tests))?;
    plugins::build_with(&Programs::locate_in("release")?)?;
    step("trying every fault");
    let lines = shell::target_dir()?.join("faults.txt");
    if lines.exists() {
        fs::remove_file(&lines)?;
    }
    let start = Instant::now();
    let mut suite = shell::cargo();
    suite.args(selection).args(tests);
    suite.args(["--profile", "faults", "--no-fail-fast", "-E", "test(/(^|::)f[0-9]+_/) + binary(simulation)"]);
    suite
        .env(LINES, &lines)
        .env("SIMULATION_SEEDS", options.seeds.to_string())
        .env(python::NAME, python::with_readers()?);
    if let Some(seed) = options.seed {
        suite.env("SLUICEBOX_FAULTS_SEED", seed.to_string());
    }
    let mut child = suite.stderr(Stdio::piped()).spawn().context("cannot start the tests")?;
    let said = child.stderr.take().context("the tests have no output")?;
    let mut outcomes = BTreeMap::new();
    for line in BufReader::new(said).lines() {
        let line = line?;
        eprintln!("{line}");
        outcomes.extend(outcome(&line));
    }
    let passed = child.wait()?.success();
    let told = fs::read_to_string(&lines).unwrap_or_default();
    println!("{}", table(&outcomes, &told, options.seeds));
    println!("{} s", start.elapsed().as_secs());
    if !passed {
        bail!("not every fault was borne: the output above says which, and how to run it alone");
    }
    Ok(())
}

/// The test that a line of the runner is about, and whether it passed.
fn outcome(line: &str) -> Option<(String, bool)> {
    let passed = match line.split_whitespace().next()? {
        "PASS" | "SLOW" => true,
        "FAIL" | "TIMEOUT" | "SIGKILL" | "SIGABRT" | "SIGSEGV" => false,
        _ => return None,
    };
    if line.contains("(───") {
        return None;
    }
    Some((line.split_whitespace().last()?.to_owned(), passed))
}

/// Whether a test is about a fault of the fault table; all others are the simulation's.
fn has_number(name: &str) -> bool {
    let digits = name.rsplit("::").next().and_then(|own| own.strip_prefix('f'));
    digits.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn table(outcomes: &BTreeMap<String, bool>, told: &str, seeds: u64) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["fault", "rounds", "what was checked", "result"]);
    let result = |passed: bool| if passed { "holds" } else { "DOES NOT HOLD" };
    for line in told.lines() {
        table.add_row(line.split('\t'));
    }
    let shards: Vec<bool> = outcomes.iter().filter(|(name, _)| !has_number(name)).map(|(_, passed)| *passed).collect();
    if !shards.is_empty() {
        let all = shards.iter().all(|passed| *passed);
        let what = "whole engine, faults of every seam and crashes drawn from seeds; equal gold, verify, calls bounded";
        table.add_row(["simulation", &seeds.to_string(), what, result(all)]);
    }
    for (name, passed) in outcomes.iter().filter(|(name, _)| has_number(name)) {
        // Tests of processes have written their own lines, unless they failed.
        let own = name.starts_with('f') && !name.contains("::");
        if !own || !passed {
            let (fault, words) = name.rsplit("::").next().unwrap_or(name).split_once('_').unwrap_or((name, ""));
            table.add_row([fault.to_uppercase(), "1".to_owned(), words.replace('_', " "), result(*passed).to_owned()]);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_s_lines_are_understood() {
        let pass = "        PASS [   0.300s] ( 6/30) engine::service fault_table::f2_a_full_disk_pauses";
        assert_eq!(outcome(pass), Some(("fault_table::f2_a_full_disk_pauses".to_owned(), true)));
        assert_eq!(outcome("        SLOW [> 30.000s] (───────) engine::simulation shard_00"), None);
        assert_eq!(outcome("   TIMEOUT [ 300.021s] (1/2) cli::faults f1_x"), Some(("f1_x".to_owned(), false)));
        assert_eq!(outcome("  thread 'x' panicked"), None);
    }
}
