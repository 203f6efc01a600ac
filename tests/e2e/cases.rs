//! Inputs that went wrong in other tools, each in a folder of `tests/cases` with what a user expects of it, run with real processes.
//!
//! `cargo xtask cases` runs all that each folder says and prints it; `cargo xtask test` leaves out the commands that only read.
//! Does not know any case: `expect.toml` in its folder says all.

// Tests read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use support::{Ran, command, fresh_folder, python, repository, run};

/// Names a file for a line of the table a input, and makes the test run everything.
const LINES: &str = "SLUICEBOX_CASES";

/// Only folders whose name contains this.
const ONLY: &str = "SLUICEBOX_CASES_ONLY";

/// `expect.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectations {
    input: Vec<Step>,
}

/// `run --once`, and what there is afterwards. The first one of an input finds no lake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What a user expects, in a sentence.
    #[serde(default)]
    expect: String,
    /// What follows in the same lake.
    #[serde(default)]
    then: Vec<Step>,
    /// The source; the one before if it is not named.
    file: Option<String>,
    /// A file that takes the source's place before the step.
    edit: Option<String>,
    /// More arguments of `run --once`.
    #[serde(default)]
    args: Vec<String>,
    /// More `--set` of every command.
    #[serde(default)]
    set: Vec<String>,
    /// Exit code of `run --once`.
    run: i32,
    /// Rows of Silver.
    silver: Option<usize>,
    /// Keys of the rows of Silver, sorted.
    keys: Option<Vec<String>>,
    /// Records and lines in quarantine.
    #[serde(default)]
    quarantined: usize,
    /// Texts of the reasons in quarantine.
    #[serde(default)]
    refused: Vec<String>,
    /// Texts of what `run --once` says.
    #[serde(default)]
    says: Vec<String>,
    /// Texts that no command may say.
    #[serde(default)]
    never: Vec<String>,
    /// Lines of Gold's CSV.
    #[serde(default)]
    gold: Vec<String>,
    /// Other commands, one after the other, before what is in the lake is looked at.
    #[serde(default)]
    command: Vec<More>,
    /// Exit code of `check`, where it is of interest.
    check: Option<i32>,
    /// Texts of what `check` says.
    #[serde(default)]
    check_says: Vec<String>,
    /// Exit code of `status`.
    #[serde(default)]
    status: i32,
    /// Exit code of `verify`.
    #[serde(default)]
    verify: i32,
}

/// Another command behind `run --once`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    words: Vec<String>,
    exit: i32,
    #[serde(default)]
    says: Vec<String>,
}

/// An input of a case.
struct Job {
    case: String,
    index: usize,
    input: Step,
}

/// A folder like `tests`, with the cases in it and the plugins where they look for them.
struct Ground {
    root: PathBuf,
    whole: bool,
}

#[test]
fn every_input_ends_as_its_folder_says() {
    let lines = std::env::var_os(LINES);
    let ground = Ground { root: fresh_folder("cases"), whole: lines.is_some() };
    plugins(&ground.root.join("guests"));
    let jobs = jobs();
    warm(&ground, &jobs);
    let next = AtomicUsize::new(0);
    let told = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = ground.job(job);
                    told.lock().unwrap().push((job.case.clone(), job.index, result));
                }
            });
        }
    });
    let mut told = told.into_inner().unwrap();
    told.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let names = |index: usize, case: &str| {
        let job = jobs.iter().find(|job| job.case == case && job.index == index).expect("it ran");
        (job.input.file.clone().unwrap_or_default(), job.input.expect.clone())
    };
    let (mut table, mut wrong) = (String::new(), String::new());
    for (case, index, result) in &told {
        let (file, expect) = names(*index, case);
        let (verdict, short) = match result {
            Ok(said) => ("ok", said.clone()),
            Err(difference) => {
                wrong.push_str(&format!("\n{case}/{file}: {expect}\n{difference}\n"));
                ("DIFFERS", difference.lines().next().unwrap_or_default().to_owned())
            }
        };
        table.push_str(&format!("{case}\t{file}\t{expect}\t{verdict}\t{short}\n"));
    }
    if let Some(path) = lines {
        fs::write(path, &table).expect("the table can be written");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// All inputs of all folders.
fn jobs() -> Vec<Job> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let mut jobs = Vec::new();
    let mut folders: Vec<_> =
        fs::read_dir(repository().join("tests/cases")).unwrap().map(|entry| entry.unwrap()).collect();
    folders.sort_by_key(fs::DirEntry::file_name);
    for folder in folders.iter().filter(|folder| folder.path().is_dir()) {
        let case = folder.file_name().to_string_lossy().into_owned();
        if !case.contains(&only) {
            continue;
        }
        let path = folder.path().join("expect.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let read: Expectations = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        every_file_is_expected(&folder.path(), &read);
        let inputs = read.input.into_iter().enumerate();
        jobs.extend(inputs.map(|(index, input)| Job { case: case.clone(), index, input }));
    }
    assert!(!jobs.is_empty(), "no folder of tests/cases contains `{only}`");
    jobs
}

/// An input that nothing expects would be forgotten.
fn every_file_is_expected(folder: &Path, read: &Expectations) {
    let steps = read.input.iter().flat_map(|input| std::iter::once(input).chain(&input.then));
    let named: BTreeSet<&str> = steps.flat_map(|step| [&step.file, &step.edit]).flatten().map(String::as_str).collect();
    // A user who runs a case in its own folder leaves a folder or two there.
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_input = !["README.md", "expect.toml", "pipeline.toml", "make.py"].contains(&name.as_str());
        assert!(!is_input || named.contains(name.as_str()), "{}: nothing expects `{name}`", folder.display());
    }
}

/// The plugins that cases name, where they name them.
fn plugins(guests: &Path) {
    for (name, component) in artifacts::GUESTS {
        let folder = guests.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(component, folder.join(format!("{name}.wasm")))
            .unwrap_or_else(|error| panic!("`{component}` has not been built: {error}\n  run: cargo xtask plugins"));
    }
}

/// Compiles the plugins once, so that not every process does.
fn warm(ground: &Ground, jobs: &[Job]) {
    let mut seen = BTreeSet::new();
    for job in jobs {
        let folder = repository().join("tests/cases").join(&job.case);
        let plugins: Vec<String> = fs::read_to_string(folder.join("pipeline.toml"))
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("plugin"))
            .map(str::to_owned)
            .collect();
        if seen.insert(plugins) {
            let folder = ground.copy(&job.case, "warm");
            let _ = ground.sluicebox(&folder, &["check"]);
        }
    }
}

impl Ground {
    fn job(&self, job: &Job) -> Result<String, String> {
        let folder = self.copy(&job.case, &job.index.to_string());
        let mut file = String::new();
        let mut last = String::new();
        for (number, step) in std::iter::once(&job.input).chain(&job.input.then).enumerate() {
            if let Some(named) = &step.file {
                file.clone_from(named);
            }
            if let Some(edit) = &step.edit {
                fs::copy(folder.join(edit), folder.join(&file)).map_err(|error| format!("{edit}: {error}"))?;
            }
            last =
                self.step(&folder, &file, step).map_err(|difference| format!("step {}: {difference}", number + 1))?;
        }
        Ok(last)
    }

    fn step(&self, folder: &Path, file: &str, step: &Step) -> Result<String, String> {
        let mut set = vec!["--set".to_owned(), format!("source.uri={file:?}")];
        set.extend(step.set.iter().flat_map(|value| ["--set".to_owned(), value.clone()]));
        let run = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).chain(set.iter().cloned());
            self.sluicebox(folder, &words.collect::<Vec<_>>())
        };
        if let Some(code) = step.check {
            let checked = run(&["check"]);
            exits("check", &checked, code)?;
            contains("check", &said(&checked), &step.check_says)?;
        }
        let mut words = vec!["run", "--once"];
        words.extend(step.args.iter().map(String::as_str));
        let ran = run(&words);
        let mut never: Vec<String> = ["panicked", "\\n"].map(str::to_owned).to_vec();
        never.extend(step.never.iter().cloned());
        exits("run --once", &ran, step.run)?;
        contains("run --once", &said(&ran), &step.says)?;
        lacks("run --once", &said(&ran), &never)?;
        for more in &step.command {
            let words: Vec<&str> = more.words.iter().map(String::as_str).collect();
            let (ran, shown) = (run(&words), more.words.join(" "));
            exits(&shown, &ran, more.exit)?;
            contains(&shown, &said(&ran), &more.says)?;
            lacks(&shown, &said(&ran), &never)?;
        }
        let (rows, refused) = self.lake(&run, step)?;
        gold(folder, &step.gold)?;
        if self.whole || step.status != 0 || step.verify != 0 {
            for (command, code) in [("status", step.status), ("verify", step.verify)] {
                let looked = run(&[command]);
                exits(command, &looked, code)?;
                lacks(command, &said(&looked), &never)?;
            }
        }
        let error = said(&ran).lines().find(|line| line.starts_with("error")).map(|line| format!(", {line}"));
        Ok(format!("exit {}, {rows} rows, {refused} refused{}", ran.code, error.unwrap_or_default()))
    }

    /// Counts what is in Silver and in quarantine.
    fn lake(&self, run: &dyn Fn(&[&str]) -> Ran, step: &Step) -> Result<(usize, usize), String> {
        let listed = run(&["quarantine", "ls", "--json"]);
        exits("quarantine ls", &listed, 0)?;
        let refused = listed.json();
        let refused = refused["refused"].as_array().cloned().unwrap_or_default();
        let reasons: Vec<&str> = refused.iter().filter_map(|one| one["reason"].as_str()).collect();
        if refused.len() != step.quarantined {
            return Err(format!("{} in quarantine, expected {}: {reasons:#?}", refused.len(), step.quarantined));
        }
        contains("the quarantine", &reasons.join("\n"), &step.refused)?;
        let records = run(&["records", "--state", "silver", "--json"]);
        exits("records", &records, 0)?;
        let records = records.json();
        let mut keys: Vec<String> = records["pipelines"][0]["records"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|record| record["key"].as_str().map(str::to_owned))
            .collect();
        keys.sort();
        match (&step.keys, step.silver) {
            (Some(expected), _) if keys != *expected => Err(format!("Silver has {keys:?}, expected {expected:?}")),
            (_, Some(expected)) if keys.len() != expected => {
                Err(format!("Silver has {keys:?}, expected {expected} rows"))
            }
            _ => Ok((keys.len(), refused.len())),
        }
    }

    /// A copy of the case, to run in.
    fn copy(&self, case: &str, name: &str) -> PathBuf {
        let from = repository().join("tests/cases").join(case);
        let to = self.root.join("cases").join(format!("{case}.{name}"));
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        if to.join("make.py").is_file() && name != "warm" {
            let made = run(python().arg("make.py").current_dir(&to));
            assert_eq!(made.code, 0, "{case}/make.py: {}", made.stderr);
        }
        to
    }

    fn sluicebox(&self, folder: &Path, words: &[impl AsRef<std::ffi::OsStr>]) -> Ran {
        let mut command: Command = command(folder);
        run(command.arg("--cache-dir").arg(self.root.join("cache")).args(words))
    }
}

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

fn exits(what: &str, ran: &Ran, code: i32) -> Result<(), String> {
    if ran.code == code {
        return Ok(());
    }
    Err(format!("`{what}` exited with {}, expected {code}:\n{}", ran.code, said(ran)))
}

fn contains(what: &str, text: &str, wanted: &[String]) -> Result<(), String> {
    match wanted.iter().find(|wanted| !text.contains(wanted.as_str())) {
        Some(missing) => Err(format!("`{what}` does not say `{missing}`:\n{text}")),
        None => Ok(()),
    }
}

fn lacks(what: &str, text: &str, unwanted: &[String]) -> Result<(), String> {
    match unwanted.iter().find(|unwanted| text.contains(unwanted.as_str())) {
        Some(there) => Err(format!("`{what}` says `{there}`:\n{text}")),
        None => Ok(()),
    }
}

fn gold(folder: &Path, lines: &[String]) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    let path = folder.join("lake/gold/g.csv");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match lines.iter().find(|line| !text.lines().any(|there| there == line.as_str())) {
        Some(missing) => Err(format!("Gold has no line `{missing}`:\n{text}")),
        None => Ok(()),
    }
}

/// The folders' own descriptions must be true without running them.
#[test]
fn every_case_has_a_readme_and_a_pipeline() {
    for entry in fs::read_dir(repository().join("tests/cases")).unwrap().map(|entry| entry.unwrap()) {
        for name in ["README.md", "pipeline.toml", "expect.toml"] {
            let is_case = entry.path().is_dir();
            assert!(!is_case || entry.path().join(name).is_file(), "{} has no {name}", entry.path().display());
        }
    }
}
