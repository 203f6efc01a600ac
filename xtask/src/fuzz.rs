//! Answers for the verb `fuzz`: every fuzz target of `tests/fuzz` under libFuzzer, and a table of what was tried and found.
//!
//! Does not know what a target reads. What a run finds lies in the target folder: an input that matters is copied to `tests/fuzz/corpus` by
//! hand, so that the corpus stays small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};

use crate::shell::{self, step};

/// How much is tried.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this target; may be repeated [default: all]
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Minutes for each target; as many targets run at once as there are processors
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Megabytes of memory for each target; more is a finding
    #[arg(long, default_value_t = 2048)]
    memory: u32,
}

/// The version that is installed if there is none.
const CARGO_FUZZ: &str = "0.13.2";
/// Seconds that one input may take.
const LONGEST: u32 = 60;
/// Bytes of an input.
const MOST_BYTES: u32 = 64 << 10;

/// Builds the targets, runs them, shows what came of it. Fails if one found something.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = shell::workspace_root().join("tests/fuzz");
    let known = names(&folder)?;
    if let Some(other) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target `{other}`, there are {}", known.join(", "));
    }
    let chosen: Vec<String> =
        known.into_iter().filter(|name| options.targets.is_empty() || options.targets.contains(name)).collect();
    let programs = build(&folder)?;
    step(format!("fuzzing {} targets for {} minutes each", chosen.len(), options.minutes));
    let waiting = Mutex::new(chosen.into_iter());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let outcome = fuzz(&folder, &programs, &name, options);
                    if let Ok(mut done) = done.lock() {
                        done.push((name, outcome));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by(|one, other| one.0.cmp(&other.0));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["target", "inputs tried", "code reached", "peak memory", "found"]);
    let mut failed = Vec::new();
    for (name, outcome) in done {
        let outcome = outcome.with_context(|| format!("target `{name}`"))?;
        let found = outcome.found.clone().unwrap_or_else(|| "nothing".to_owned());
        table.add_row([&name, &outcome.tried, &outcome.reached, &format!("{} MB", outcome.memory), &found]);
        failed.extend(outcome.found.map(|_| name));
    }
    println!("{table}");
    if !failed.is_empty() {
        bail!("found something: {}; the programs' own words are in {}", failed.join(", "), work_dir()?.display());
    }
    Ok(())
}

/// What a target's program said in the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    tried: String,
    reached: String,
    memory: String,
    /// The input that it stopped at.
    found: Option<String>,
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(folder.join("targets")).context("there are no fuzz targets")?;
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn work_dir() -> Result<PathBuf> {
    Ok(shell::target_dir()?.join("fuzz"))
}

/// Where the programs are. In the dev profile: overflow and debug assertions are findings, too. Without a sanitizer, which no stable compiler
/// has: the host's code has next to no `unsafe`, so what is looked for is panics, aborts, hangs and memory.
fn build(folder: &Path) -> Result<PathBuf> {
    let cargo_fuzz = cargo_fuzz()?;
    step("building the fuzz targets");
    let host = shell::read(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let built = work_dir()?.join("build");
    let mut command = Command::new(cargo_fuzz);
    command.current_dir(shell::workspace_root());
    command.args(["build", "--dev", "--sanitizer", "none", "--features", "libfuzzer", "--fuzz-dir"]).arg(folder);
    command.arg("--target-dir").arg(&built);
    shell::run(&mut command)?;
    Ok(built.join(host.trim()).join("debug"))
}

/// `cargo-fuzz`, which is installed below the target folder if it is missing.
fn cargo_fuzz() -> Result<PathBuf> {
    if shell::exists("cargo-fuzz") {
        return Ok("cargo-fuzz".into());
    }
    let root = shell::target_dir()?.join("tools");
    let program = root.join("bin").join(format!("cargo-fuzz{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        step("installing cargo-fuzz below the target folder");
        let mut install = shell::cargo();
        install.args(["install", "--locked", "--quiet", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"]).arg(root);
        shell::run(&mut install)?;
    }
    Ok(program)
}

/// Runs one target. What it finds on its way is kept in the target folder; the kept inputs are only read.
fn fuzz(folder: &Path, programs: &Path, name: &str, options: &Options) -> Result<Outcome> {
    let own = work_dir()?.join(name);
    let (corpus, findings) = (own.join("corpus"), own.join("findings"));
    for made in [&corpus, &findings] {
        fs::create_dir_all(made)?;
    }
    let said = own.join("said.txt");
    let mut command = Command::new(programs.join(name));
    command
        .arg(format!("-max_total_time={:.0}", options.minutes * 60.0))
        .arg(format!("-rss_limit_mb={}", options.memory))
        .arg(format!("-timeout={LONGEST}"))
        .arg(format!("-max_len={MOST_BYTES}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1")
        .arg(&corpus)
        .arg(folder.join("corpus").join(name));
    command.stdout(fs::File::create(own.join("stdout.txt"))?).stderr(fs::File::create(&said)?);
    let passed = command.status().with_context(|| format!("cannot start the target `{name}`"))?.success();
    let told = String::from_utf8_lossy(&fs::read(said)?).into_owned();
    Ok(outcome(&told, passed))
}

fn outcome(told: &str, passed: bool) -> Outcome {
    let stat = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim().to_owned()).unwrap_or_else(|| "?".to_owned())
    };
    let reached = told.lines().rev().find_map(|line| line.split("cov: ").nth(1)?.split_whitespace().next());
    let found = told.lines().find_map(|line| line.split("Test unit written to ").nth(1)).map(str::to_owned);
    let found = found.or_else(|| (!passed).then(|| "it ended without a word".to_owned()));
    Outcome {
        tried: stat("number_of_executed_units"),
        reached: reached.unwrap_or("?").to_owned(),
        memory: stat("peak_rss_mb"),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "#2\tINITED cov: 10 ft: 12\n#99\tDONE   cov: 321 ft: 400 corp: 5/9b\nstat::number_of_executed_units: 99\nstat::peak_rss_mb:              71\n";

    #[test]
    fn a_run_without_a_finding_is_summed_up() {
        let expected =
            Outcome { tried: "99".to_owned(), reached: "321".to_owned(), memory: "71".to_owned(), found: None };
        assert_eq!(outcome(TOLD, true), expected);
    }

    #[test]
    fn a_finding_is_named_and_no_failure_is_passed_over() {
        let told = format!("{TOLD}artifact_prefix='f/'; Test unit written to f/crash-1\n");
        assert_eq!(outcome(&told, false).found.as_deref(), Some("f/crash-1"));
        assert!(outcome(TOLD, false).found.is_some());
    }
}
