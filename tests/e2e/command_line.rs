//! The command line as people and scripts meet it: help, exit codes, errors in words and as JSON, colours, completions.
//!
//! Does not build a plugin that works: that is `author_desk`.

// A test fails by panicking, and brings about what it looks at.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use support::{command, fresh_folder, repository, run, sluicebox};

/// An empty folder that is in no project.
fn outside(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("sluicebox-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_pipeline_file_is_looked_for_upwards_and_which_one_it_is_is_said() {
    let folder = outside("upwards");
    std::fs::create_dir_all(folder.join("notes/of/mine")).unwrap();
    std::fs::write(folder.join("pipeline.toml"), "not = \"a pipeline\"").unwrap();
    for (place, told) in [("notes", "../pipeline.toml"), ("notes/of/mine", "../../../pipeline.toml")] {
        for args in [&["status"][..], &["check"], &["quarantine", "ls"], &["plugin", "history"]] {
            let ran = sluicebox(&folder.join(place), args).exits(2);
            let note = format!("note: taking `{told}`: there is no `pipeline.toml` in this folder\n");
            assert!(ran.stderr.starts_with(&note), "{}", ran.stderr);
            assert!(ran.stderr.contains("unknown key `not`"), "{}", ran.stderr);
        }
    }
    let here = sluicebox(&folder, &["status"]).exits(2).stderr;
    assert!(!here.contains("note:"), "{here}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_help_of_a_command_tells_what_every_command_takes_in_a_line() {
    for command in [&["run"][..], &["status"], &["plugin", "history"], &["quarantine", "show"]] {
        for help in ["-h", "--help"] {
            let text = sluicebox(&repository(), &[command, &[help]].concat()).exits(0).stdout;
            let lines =
                text.lines().filter(|line| line.contains("--log-format") || line.contains("--cache-dir")).count();
            assert!((1..=2).contains(&lines) && !text.contains("Global options"), "{text}");
        }
    }
}

#[test]
fn the_long_help_names_every_command_exit_code_and_variable() {
    let help = sluicebox(&repository(), &["--help"]).exits(0).stdout;
    for word in
        ["init", "check", "run", "status", "plugin", "completions", "130", "SLUICEBOX_LOG", "NO_COLOR", "--json"]
    {
        assert!(help.contains(word), "`{word}` is missing:\n{help}");
    }
    for verb in ["new", "build", "inspect", "test"] {
        sluicebox(&repository(), &["plugin", verb, "--help"]).exits(0);
    }
}

#[test]
fn a_usage_error_exits_with_2_and_is_json_for_machines() {
    let ran = sluicebox(&repository(), &["run", "--tick", "tomorrow", "--once", "--json"]).exits(2);
    let error = &ran.json()["error"];
    assert_eq!(error["exit_code"], 2);
    assert!(error["message"].as_str().unwrap().contains("RFC 3339"), "{error}");
    assert!(ran.stderr.contains("tomorrow"), "{}", ran.stderr);
}

#[test]
fn a_log_filter_that_is_none_is_a_usage_error_with_a_hint() {
    let ran = sluicebox(&repository(), &["--log-level", "engine=loud", "completions", "bash"]).exits(2);
    assert!(ran.stderr.contains("`engine=loud`") && ran.stderr.contains("hint:"), "{}", ran.stderr);
}

#[test]
fn every_problem_of_a_pipeline_file_is_shown_and_the_exit_code_is_2() {
    let ran = sluicebox(&repository(), &["check", "tests/golden/unknown-keys.toml", "--json"]).exits(2);
    let document = ran.json();
    let problems = document["error"]["problems"][0]["problems"].as_array().map_or(0, Vec::len);
    assert!(problems > 1, "{document}");
    assert!(ran.stderr.contains("unknown-keys.toml:"), "{}", ran.stderr);
}

#[test]
fn a_pipeline_file_that_is_not_there_is_named_with_a_way_on() {
    let ran = sluicebox(&outside("no-pipeline"), &["check"]).exits(2);
    assert!(ran.stderr.starts_with("error: cannot read `pipeline.toml`\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: ") && ran.stderr.contains("sluicebox init"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let folder = outside("colours");
    let escapes = |args: &[&str]| sluicebox(&folder, args).stderr.contains('\u{1b}');
    assert!(!escapes(&["check"]));
    assert!(escapes(&["check", "--color", "always"]));
    assert!(run(command(&folder).args(["check", "--color", "always"]).env("NO_COLOR", "1")).stderr.contains('\u{1b}'));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sluicebox(&repository(), &["completions", shell]).exits(0).stdout;
        assert!(script.contains("inspect") && script.contains("target"), "{shell}");
    }
}

#[test]
fn init_refuses_a_folder_with_something_in_it() {
    let folder = fresh_folder("init-refused");
    std::fs::create_dir(folder.join("weather")).unwrap();
    std::fs::write(folder.join("weather/notes.txt"), "mine").unwrap();
    let ran = sluicebox(&folder, &["init", "weather"]).exits(2);
    assert!(ran.stderr.contains("`weather` is not empty"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(folder.join("weather")).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_component_is_refused_with_its_code() {
    let folder = fresh_folder("no-component");
    std::fs::write(folder.join("notes.wasm"), "not wasm").unwrap();
    let ran = sluicebox(&folder, &["plugin", "inspect", "notes.wasm"]).exits(1);
    assert!(ran.stderr.contains("`notes.wasm` is no plugin") && ran.stderr.contains("because:"), "{}", ran.stderr);
}
