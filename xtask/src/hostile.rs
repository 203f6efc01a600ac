//! Answers for the verb `hostile`: the whole corpus of plugins that misbehave, and a table of what stopped each.
//!
//! Does not know any single plugin: `tests/e2e/hostile.rs` has those that a runtime stops, and the engine's tests those that it stops.
//! Fails where a row of the corpus is in none of them.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{plugins, wasm_target};

/// How much is tried.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Random components
    #[arg(long, default_value_t = 1000)]
    tries: usize,
    /// Seconds that nine hostile pipelines work beside a good one
    #[arg(long, default_value_t = 300)]
    siege: u64,
}

/// Where the tests write their lines of the table.
const LINES: &str = "SLUICEBOX_HOSTILE";

/// How many rows the corpus has.
const ROWS: usize = 59;

/// A row that another test than those of `hostile.rs` shows: its number, what stops it, code, class, and that test.
type Elsewhere = (usize, &'static str, &'static str, &'static str, &'static str);

const ELSEWHERE: &[Elsewhere] = &[
    (3, "re-run record by record", "P104", "R", "outcomes::a_skip_a_refusal_and_a_trap_cost_their_own_record_only"),
    (
        4,
        "nothing; a warning with its cost",
        "P204",
        "none",
        "a_call_that_needs_half_of_its_deadline_is_told_once_with_its_cost_a_record",
    ),
    (16, "trap, fresh store, re-run", "P101", "R", "outcomes::a_skip_a_refusal_and_a_trap_cost_their_own_record_only"),
    (17, "breaker at 20% of 50", "-", "P", "breaker::traps_count_as_refusals_do"),
    (18, "re-run; too few to suspend", "P101", "R", "breaker::few_failures_and_few_records_suspend_nothing"),
    (26, "inert WASI: no directories", "-", "none", "the_clocks_stand_still_and_there_is_nothing_around"),
    (
        27,
        "inert WASI: clocks stand, random is seeded",
        "-",
        "none",
        "random_numbers_differ_within_a_call_and_not_between_calls",
    ),
    (35, "live handles", "P150", "R", "handles_that_are_never_given_back_end_at_their_cap"),
    (36, "handle table", "P151", "R", "a_handle_that_was_given_back_is_no_handle"),
    (39, "a plugin never holds a secret", "-", "none", "the_secret_is_in_the_requests_and_nowhere_else"),
    (
        40,
        "endpoints, no hosts; plain relative paths",
        "P160",
        "R",
        "roles::gateway::admit::tests::a_path_stays_below_its_endpoint",
    ),
    (41, "no redirect is followed", "P161", "R", "outcomes::a_redirect_is_not_followed"),
    (42, "allow-list of headers", "P162", "R", "roles::gateway::admit::tests::headers_are_allowed_by_name"),
    (
        43,
        "requests a record, bytes of a query",
        "P163",
        "R",
        "outcomes::a_record_that_asks_for_too_much_is_refused_before_any_request",
    ),
    (
        44,
        "an endpoint's own parameters; the others go to a host that is not the plugin's to choose",
        "P164",
        "R",
        "roles::gateway::admit::tests::a_query_is_bounded_and_leaves_the_endpoint_s_own_alone",
    ),
    (45, "the host makes keys and places", "-", "R", "lake::keys::tests::keys_are_readable_and_unique"),
    (
        48,
        "flat against grouped merging, on real data",
        "P141",
        "L",
        "tree::a_merge_that_is_not_associative_is_refused_and_the_old_table_stays",
    ),
    (
        50,
        "a panic is caught and the thread goes on",
        "P900",
        "I",
        "threads::tests::a_panic_is_reported_and_the_thread_goes_on",
    ),
    (
        57,
        "a list of system calls, before the first instruction of a plugin",
        "-",
        "none",
        "a_locked_worker_can_compute_and_nothing_else",
    ),
    (
        58,
        "a short list of headers, each once, none of the endpoint's",
        "P162",
        "R",
        "roles::gateway::admit::tests::many_headers_and_the_endpoints_own_are_refused",
    ),
];

/// Rows that do not apply, and why.
const NOT_HERE: &[(usize, &str)] = &[
    (22, "a cleaner returns indices of its batch, never a key: it has none to change"),
    (47, "the CSV is for programs: a formula stays what it is, as the README says of it"),
    (
        49,
        "what an aggregate leaves out is its own: the contract has no count to hold it against; `plugin test` compares with a case",
    ),
];

/// Everything but the build and the siege takes less than three minutes on two cores.
pub(crate) fn run(options: &Options) -> Result<()> {
    wasm_target::ensure()?;
    step("building the tests");
    let selection = ["nextest", "run", "--workspace", "--lib"];
    let tests: Vec<&str> = ["hostile", "load", "misbehave", "service", "siege", "wasi", "whole_way", "workers"]
        .into_iter()
        .flat_map(|name| ["--test", name])
        .collect();
    // The build of the tests includes the program that they start.
    shell::run(shell::cargo().args(selection).arg("--no-run").args(&tests))?;
    plugins::build_with(&Programs::locate()?)?;
    step("trying every plugin of the corpus");
    let lines = shell::target_dir()?.join("hostile.txt");
    if lines.exists() {
        fs::remove_file(&lines)?;
    }
    let names: Vec<String> = ELSEWHERE.iter().map(|row| format!("test(={})", row.4)).collect();
    let wanted = format!("binary(hostile) + binary(siege) + {}", names.join(" + "));
    let mut suite = shell::cargo();
    suite.args(selection).args(&tests).args(["--no-fail-fast", "-E", &wanted]);
    suite.env(LINES, &lines).env("SLUICEBOX_HOSTILE_TRIES", options.tries.to_string());
    suite.env("SLUICEBOX_SIEGE_SECONDS", options.siege.to_string());
    let outcome = shell::run(&mut suite);
    let told = fs::read_to_string(&lines).context("the tests have told nothing")?;
    println!("{}", table(&told));
    let missing = missing(&told);
    if !missing.is_empty() {
        bail!("rows of the corpus that nothing shows: {}", missing.join(", "));
    }
    outcome
}

fn name(number: usize) -> String {
    format!("H{number:02}")
}

fn missing(told: &str) -> Vec<String> {
    let shown: BTreeSet<String> = told.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect();
    let known: BTreeSet<usize> =
        ELSEWHERE.iter().map(|row| row.0).chain(NOT_HERE.iter().map(|(number, _)| *number)).collect();
    (1..=ROWS).filter(|number| !known.contains(number)).map(name).filter(|name| !shown.contains(name)).collect()
}

fn table(told: &str) -> String {
    let mut rows: Vec<Vec<String>> = told.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    for (number, what, code, class, test) in ELSEWHERE {
        let test = test.rsplit("::").next().unwrap_or(test).replace('_', " ");
        let row = [name(*number), (*what).to_owned(), (*code).to_owned(), (*class).to_owned()];
        rows.push(row.into_iter().chain(["-".to_owned(), "yes".to_owned(), format!("test: {test}")]).collect());
    }
    for (number, why) in NOT_HERE {
        rows.push(vec![name(*number), format!("does not apply: {why}")]);
    }
    rows.sort_by(|one, other| one.first().cmp(&other.first()));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "",
        "stopped by",
        "code",
        "class",
        "peak memory",
        "host alive",
        "neighbour's p99 beside / before",
    ]);
    table.add_rows(rows);
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_nothing_shows_is_missing() {
        let told: String =
            (1..=ROWS).filter(|number| *number != 6).map(|number| format!("{}\twhat\n", name(number))).collect();
        assert_eq!(missing(&told), ["H06"]);
    }

    #[test]
    fn no_row_is_both_shown_and_not_here() {
        let shown: BTreeSet<usize> = ELSEWHERE.iter().map(|row| row.0).collect();
        assert!(NOT_HERE.iter().all(|(number, _)| !shown.contains(number)));
    }
}
