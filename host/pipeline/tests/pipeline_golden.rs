//! Every file in `tests/golden` makes exactly the plan, or the problems, that stand beside it.
//!
//! `UPDATE_GOLDEN=1` writes them again; README.md there says how to read the difference.

// A test reads its files itself, and fails by panicking.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pipeline::code::CODES;
use pipeline::{Checked, Overrides, Problems, Severity, check, examine};

#[test]
fn each_file_gives_what_stands_beside_it() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let (extension, got) = report(&file, &text);
        let (kept, other) =
            (file.with_extension(extension), file.with_extension(if extension == "plan" { "err" } else { "plan" }));
        if update {
            fs::write(&kept, &got).unwrap();
            let _ = fs::remove_file(other);
        } else if fs::read_to_string(&kept).ok().as_deref() != Some(&got) || other.exists() {
            different.push(format!("==== {}\n{got}", kept.display()));
        }
    }
    assert!(different.is_empty(), "UPDATE_GOLDEN=1 accepts this:\n{}", different.join("\n"));
}

#[test]
fn files_that_are_called_good_have_plans_and_the_others_do_not() {
    let (good, bad): (Vec<PathBuf>, Vec<PathBuf>) =
        files().into_iter().partition(|file| file.file_name().unwrap().to_str().unwrap().starts_with("good-"));
    assert!(good.len() >= 4 && bad.len() >= 20, "{} good, {} bad", good.len(), bad.len());
    for file in good {
        assert_eq!(report(&file, &fs::read_to_string(&file).unwrap()).0, "plan", "{}", file.display());
    }
    for file in bad {
        assert_eq!(report(&file, &fs::read_to_string(&file).unwrap()).0, "err", "{}", file.display());
    }
}

#[test]
fn every_code_is_shown_by_some_file() {
    let mut shown = BTreeSet::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let problems = match run(&file, &text) {
            Ok(checked) => checked.warnings,
            Err(problems) => Some(problems),
        };
        shown.extend(problems.iter().flat_map(Problems::as_slice).map(|problem| problem.code));
    }
    // Objections of a deployment are shown in the tests of deployments.
    let of_deployments = ["C070", "C071", "C072", "C073"];
    let known: BTreeSet<&str> =
        CODES.iter().map(|(code, _)| *code).filter(|code| !of_deployments.contains(code)).collect();
    assert_eq!(shown, known);
}

#[test]
fn problems_tell_place_and_text_to_machines_too() {
    let text =
        "[pipeline]\nname = \"ä\"\n[source]\nuri = \"a.csv\"\nkey = [\"id\"]\n[clean]\nplugin = \"p\"\nplugn = 1\n";
    let problems = check("p.toml", text, &Overrides::default()).unwrap_err();
    let json = serde_json::to_value(&problems).unwrap();
    let got: Vec<(u64, u64, &str)> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            (problem["line"].as_u64().unwrap(), problem["column"].as_u64().unwrap(), problem["code"].as_str().unwrap())
        })
        .collect();
    assert_eq!(got, [(2, 8, "C010"), (8, 1, "C003")]);
    assert_eq!(json[1]["hint"], "did you mean `plugin`?");
    assert!(problems.as_slice().iter().all(|problem| problem.severity == Severity::Error && problem.file == "p.toml"));
    assert!(problems.to_colored().contains('\u{1b}') && !problems.to_string().contains('\u{1b}'));
}

#[test]
fn the_pipeline_of_this_repository_is_valid() {
    let file = root().join("pipeline.toml");
    let checked = run(&file, &fs::read_to_string(&file).unwrap()).unwrap();
    assert!(checked.warnings.is_none(), "{}", checked.warnings.unwrap());
    assert_eq!((checked.plan.source.top_n.get(), checked.plan.source.batch_size.get()), (10, 1));
    assert_eq!(checked.plan.source.key.len(), 2);
    assert_eq!(checked.plan.aggregates.len(), 3);
    assert!(checked.plan.enrich.is_some() && checked.plan.schedule.is_some());

    let header = fs::read_to_string(root().join(checked.plan.source.location.to_string())).unwrap();
    let columns: Vec<&str> = header.lines().next().unwrap().split(',').collect();
    let wanted = checked.plan.source.key.iter().chain(checked.plan.source.order_by.iter().map(|order| &order.column));
    wanted.for_each(|column| assert!(columns.contains(&column.as_str()), "{column} is none of {columns:?}"));
    for (_, stage) in checked.plan.stages() {
        assert!(root().join(format!("plugins/{}/Cargo.toml", stage.plugin)).exists(), "{}", stage.plugin);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/golden")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    files.sort();
    files
}

fn run(file: &Path, text: &str) -> Result<Checked, Problems> {
    let arguments = || text.lines().map_while(|line| line.strip_prefix("# --"));
    let overrides = Overrides {
        target: arguments().find_map(|argument| argument.strip_prefix("target ")).map(str::to_owned),
        set: arguments().filter_map(|argument| argument.strip_prefix("set ")).map(str::to_owned).collect(),
    };
    examine(file.file_name().unwrap().to_str().unwrap(), text, &overrides)
}

fn report(file: &Path, text: &str) -> (&'static str, String) {
    match run(file, text) {
        Ok(Checked { plan, warnings: None, .. }) => ("plan", format!("{}\n", plan.describe())),
        Ok(Checked { plan, warnings: Some(warnings), .. }) => ("plan", format!("{}\n\n{warnings}\n", plan.describe())),
        Err(problems) => ("err", format!("{problems}\n")),
    }
}
