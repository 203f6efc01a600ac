//! A plugin author's day, by the printed hints alone: a new project, its golden cases, a new plugin of each kind, a change, a look inside.
//!
//! Does not test what the templates' rules are about: their own tests and cases do, and are run here.

// A test fails by panicking, and brings about what it looks at.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{command, fresh_folder, run, sluicebox};

#[test]
fn a_plugin_is_made_built_tested_changed_and_inspected() {
    let project = new_project();
    the_project_runs_twice_with_one_result(&project);
    the_projects_cases_pass(&project);
    plugins_of_every_kind_pass_their_cases(&project);
    a_pipeline_takes_the_new_cleaner(&project);
    a_difference_is_shown_by_field_and_can_be_blessed(&project);
    a_component_says_what_it_is(&project);
    the_rules_pass_their_native_tests(&project);
}

/// `init` makes a project whose plugins are built.
fn new_project() -> PathBuf {
    let folder = fresh_folder("author-desk");
    let document = sluicebox(&folder, &["init", "weather", "--json"]).exits(0).json();
    assert_eq!(document["next"], json!(["cd weather", "sluicebox run --once"]));
    let project = folder.join("weather");
    for plugin in ["clean-readings", "aggregate-stations"] {
        assert!(project.join(format!("plugins/{plugin}/{plugin}.wasm")).is_file(), "{document}");
    }
    let worlds: Vec<&str> =
        document["plugins"].as_array().unwrap().iter().filter_map(|plugin| plugin["world"].as_str()).collect();
    assert_eq!(worlds, ["aggregator", "cleaner"]);
    assert!(project.join(".gitignore").is_file() && project.join("README.md").is_file());
    project
}

/// Of 200 readings, two are calibration runs and four are wrong on purpose.
fn the_project_runs_twice_with_one_result(project: &Path) {
    let mut tables = Vec::new();
    for _ in 0..2 {
        let ran = sluicebox(project, &["run", "--once", "--tick", "2026-03-12T03:00:00Z", "--json"]).exits(0).json();
        let silver = &ran["pipelines"][0]["lake"]["silver"];
        let counts = ["seen", "rows", "skipped", "quarantined"].map(|count| silver[count].as_u64());
        assert_eq!(counts, [Some(200), Some(194), Some(2), Some(4)], "{ran}");
        tables.push(std::fs::read_to_string(project.join("lake/gold/stations.csv")).unwrap());
    }
    assert!(tables[0].starts_with("station,readings,") && tables[0].lines().count() == 6, "{}", tables[0]);
    assert!(tables[0].contains("\nTKU-02,40,2026-03-01,2026-03-10,"), "{}", tables[0]);
    assert_eq!(tables[0], tables[1]);
}

fn the_projects_cases_pass(project: &Path) {
    let ran = sluicebox(project, &["plugin", "test"]).exits(0);
    assert!(ran.stdout.ends_with("2 cases: 2 ok, 0 wrong\n"), "{}", ran.stdout);
    let again = sluicebox(project, &["plugin", "build", "--json"]).exits(0).json();
    assert!(again["plugins"].as_array().unwrap().iter().all(|plugin| plugin["changed"] == false), "{again}");
}

fn plugins_of_every_kind_pass_their_cases(project: &Path) {
    for (name, kind, line) in [
        ("clean-again", "cleaner", "[clean]"),
        ("aggregate-again", "aggregator", "[[aggregate]]"),
        ("enrich-stations", "enricher", "[enrich]"),
    ] {
        let ran = sluicebox(project, &["plugin", "new", name, "--kind", kind]).exits(0);
        for hint in [
            &format!("sluicebox plugin build {name}"),
            &format!("sluicebox plugin test {name}"),
            "sluicebox check",
            line,
        ] {
            assert!(ran.stdout.contains(hint), "`{hint}` is missing:\n{}", ran.stdout);
        }
    }
    let untouched = sluicebox(project, &["plugin", "test", "clean-again"]).exits(3);
    assert!(untouched.stderr.contains("sluicebox plugin build clean-again"), "{}", untouched.stderr);
    let names = ["clean-again", "aggregate-again", "enrich-stations"];
    sluicebox(project, &[&["plugin", "build"], names.as_slice()].concat()).exits(0);
    let tested = sluicebox(project, &[&["plugin", "test", "--json"], names.as_slice()].concat()).exits(0).json();
    assert_eq!((tested["cases"].as_u64(), tested["failed"].as_u64()), (Some(6), Some(0)), "{tested}");
    sluicebox(project, &["plugin", "new", "clean-again"]).exits(2);
}

fn a_pipeline_takes_the_new_cleaner(project: &Path) {
    sluicebox(project, &["check", "--set", "clean.plugin=clean-again"]).exits(0);
}

fn a_difference_is_shown_by_field_and_can_be_blessed(project: &Path) {
    let path = project.join("plugins/clean-again/cases/readings/expected.json");
    let right = std::fs::read_to_string(&path).unwrap();
    let mut expected: Value = serde_json::from_str(&right).unwrap();
    expected["rows"][0]["temperature_c"] = json!(17.5);
    expected["skips"] = json!([]);
    std::fs::write(&path, expected.to_string()).unwrap();

    let ran = sluicebox(project, &["plugin", "test", "clean-again"]).exits(1);
    assert!(ran.stdout.contains("rows[0].temperature_c  17.5"), "{}", ran.stdout);
    assert!(ran.stdout.contains("skips[0]") && ran.stdout.contains("1 case: 0 ok, 1 wrong"), "{}", ran.stdout);
    let machine = sluicebox(project, &["plugin", "test", "clean-again", "--json"]).exits(1).json();
    let differences = &machine["plugins"][0]["cases"][0]["differences"];
    assert_eq!(differences[0], json!({"at": "rows[0].temperature_c", "expected": 17.5, "got": 4.2}));

    sluicebox(project, &["plugin", "test", "clean-again", "--bless"]).exits(0);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        right,
        "the templates' own cases are written as `--bless` writes them"
    );
    std::fs::remove_file(&path).unwrap();
    let unwritten = sluicebox(project, &["plugin", "test", "clean-again"]).exits(1);
    assert!(unwritten.stdout.contains("--bless"), "{}", unwritten.stdout);
    sluicebox(project, &["plugin", "test", "clean-again", "--bless"]).exits(0);
    sluicebox(project, &["plugin", "test", "clean-again"]).exits(0);
}

fn a_component_says_what_it_is(project: &Path) {
    let document = sluicebox(project, &["plugin", "inspect", "clean-again", "--json"]).exits(0).json();
    assert_eq!((document["world"].as_str(), document["name"].as_str()), (Some("cleaner"), Some("clean-again")));
    assert!(
        document["imports"]
            .as_array()
            .unwrap()
            .iter()
            .all(|import| import.as_str().unwrap().starts_with("sluicebox:plugin/"))
    );
    let first = json!({"name": "station", "pointer": "/station", "type": "utf8", "nullable": false});
    assert_eq!(document["input"][0], first);
    assert_eq!(document["config_schema"]["properties"]["hottest"]["default"], 60.0);
    let text = sluicebox(project, &["plugin", "inspect", "plugins/clean-again/clean-again.wasm"]).exits(0).stdout;
    assert!(text.contains("list<utf8>") && text.contains("The hottest temperature that is believed"), "{text}");
}

fn the_rules_pass_their_native_tests(project: &Path) {
    let mut cargo = command(project);
    let target =
        cargo.get_envs().find(|(name, _)| *name == "CARGO_TARGET_DIR").and_then(|(_, value)| value).map(PathBuf::from);
    let mut native = std::process::Command::new(env!("CARGO"));
    native.current_dir(project).args(["test", "--quiet", "--lib"]).env("CARGO_TARGET_DIR", target.unwrap());
    let ran = run(&mut native).exits(0);
    assert!(ran.stdout.contains("3 passed") && !ran.stdout.contains("0 passed"), "{}", ran.stdout);
    run(cargo.args(["plugin", "build"])).exits(0);
}
