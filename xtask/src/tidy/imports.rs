//! Answers for which of the workspace's own crates may import which, read from `cargo metadata`.
//!
//! Does not look at crates from elsewhere, nor at modules within a crate. A development dependency may also be one of the crates
//! that exist for tests, and the runtime's benchmark may run plugins natively beside their components.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::finding::Finding;

/// Crates made for tests: anyone's tests may use them.
const FOR_TESTS: [&str; 4] = ["host/testkit", "tests/artifacts", "tests/aws-emulator", "tests/omdb-stub"];

/// The host's crates that the program puts together, from the ground up. `testkit` is not one of them.
const HOST: [&str; 10] = [
    "host/records",
    "host/pipeline",
    "host/seams",
    "host/lake",
    "host/engine",
    "host/proof",
    "host/runtime",
    "host/local",
    "host/deploy",
    "host/aws",
];

pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>> {
    let root = text(metadata, "workspace_root").context("`cargo metadata` names no workspace root")?;
    let mut crates = BTreeMap::new();
    for package in list(metadata, "packages") {
        let manifest = text(package, "manifest_path").unwrap_or_default();
        if let Some(room) = room(root, manifest.trim_end_matches("/Cargo.toml")) {
            crates.insert(room, package);
        }
    }
    let mut findings = Vec::new();
    for (room, package) in crates {
        let manifest = format!("{room}/Cargo.toml");
        let toml = fs::read_to_string(Path::new(root).join(&manifest)).unwrap_or_default();
        for dependency in list(package, "dependencies") {
            let Some(other) = text(dependency, "path").and_then(|path| self::room(root, path)) else {
                continue;
            };
            let for_tests = text(dependency, "kind") == Some("dev");
            if may(room, other) || for_tests && may_in_tests(room, other) {
                continue;
            }
            let name = text(dependency, "rename").or_else(|| text(dependency, "name"));
            findings.push(Finding::at(
                &manifest,
                line_of(&toml, name.unwrap_or_default()),
                "imports across a wall",
                format!("{room} may not use {other}: {}", allowed(room)),
            ));
        }
    }
    Ok(findings)
}

/// The one table of the rule: which rooms the code of a room may use.
fn may_use(room: &str) -> &'static [&'static str] {
    match room {
        "host/records" | "host/pipeline" => &[],
        "host/seams" => &["host/records", "host/pipeline"],
        "host/runtime" | "host/local" | "host/testkit" | "host/lake" => {
            &["host/records", "host/pipeline", "host/seams"]
        }
        "host/engine" => &["host/records", "host/pipeline", "host/seams", "host/lake"],
        "host/deploy" => &["host/pipeline", "host/seams"],
        "host/aws" => &["host/records", "host/pipeline", "host/seams", "host/lake", "host/deploy"],
        "host/proof" => &["host/records", "host/pipeline", "host/seams", "host/lake", "host/engine"],
        "host/cli" | "tests/fuzz" => &HOST,
        "plugins/sdk" => &["plugins/sdk-macros"],
        "plugins/sdk-macros" => &[],
        _ if room.starts_with("plugins/") || room.starts_with("tests/guests/") => &["plugins/sdk"],
        _ => &[],
    }
}

fn may(room: &str, other: &str) -> bool {
    // What is fuzzed reads through the kit's stores and clocks.
    may_use(room).contains(&other) || (room, other) == ("tests/fuzz", "host/testkit")
}

/// The tests of a crate may use what is made for tests, and a plugin's tests nothing of the host's.
fn may_in_tests(room: &str, other: &str) -> bool {
    let sdk_tests_itself = room.starts_with("plugins/sdk") && other == "plugins/sdk";
    // Its benchmark runs two plugins natively beside their components.
    let native_twin = room == "host/runtime" && other.starts_with("plugins/");
    // Its benchmark runs the engine over a directory.
    let whole_lake = room == "host/local" && ["host/lake", "host/engine"].contains(&other);
    room.starts_with("host/") && FOR_TESTS.contains(&other) || sdk_tests_itself || native_twin || whole_lake
}

fn allowed(room: &str) -> String {
    match may_use(room) {
        [] => "it stands on nothing of ours".to_owned(),
        rooms => format!("it stands on {} only", rooms.join(", ")),
    }
}

fn room<'a>(root: &str, folder: &'a str) -> Option<&'a str> {
    folder.strip_prefix(root)?.strip_prefix('/')
}

fn line_of(toml: &str, name: &str) -> usize {
    let starts = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    toml.lines().position(starts).map_or(1, |index| index + 1)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::places;
    use super::*;

    fn depending(room: &str, other: &str, kind: Value) -> Vec<Finding> {
        let metadata = json!({
            "workspace_root": "/w",
            "packages": [{
                "manifest_path": format!("/w/{room}/Cargo.toml"),
                "dependencies": [
                    {"name": "serde", "kind": null},
                    {"name": "other", "kind": kind, "path": format!("/w/{other}")},
                ],
            }],
        });
        check(&metadata).unwrap()
    }

    #[test]
    fn walls_hold() {
        for (room, other) in [
            ("host/engine", "host/testkit"),
            ("host/engine", "host/runtime"),
            ("host/local", "host/runtime"),
            ("host/local", "host/lake"),
            ("host/lake", "host/engine"),
            ("host/engine", "host/proof"),
            ("host/pipeline", "host/seams"),
            ("host/aws", "host/local"),
            ("host/cli", "host/testkit"),
            ("host/cli", "plugins/clean"),
            ("plugins/clean", "host/engine"),
            ("plugins/clean", "plugins/sdk-macros"),
            ("plugins/sdk", "plugins/clean"),
            ("tests/omdb-stub", "host/engine"),
            ("tests/guests/loops", "host/engine"),
            ("xtask", "host/engine"),
        ] {
            let findings = depending(room, other, Value::Null);
            assert_eq!(places(findings), [format!("{room}/Cargo.toml:1")], "{other}");
        }
    }

    #[test]
    fn doors_are_open() {
        for (room, other) in [
            ("host/runtime", "host/seams"),
            ("host/testkit", "host/pipeline"),
            ("host/proof", "host/engine"),
            ("host/cli", "host/local"),
            ("host/cli", "host/aws"),
            ("plugins/clean", "plugins/sdk"),
            ("plugins/sdk", "plugins/sdk-macros"),
            ("tests/guests/loops", "plugins/sdk"),
        ] {
            assert_eq!(depending(room, other, Value::Null), [], "{room} {other}");
        }
    }

    #[test]
    fn tests_have_doors_of_their_own() {
        let dev = || json!("dev");
        assert_eq!(depending("host/engine", "host/testkit", dev()), []);
        assert_eq!(depending("host/cli", "tests/omdb-stub", dev()), []);
        assert_eq!(depending("plugins/sdk-macros", "plugins/sdk", dev()), []);
        assert_eq!(depending("host/runtime", "plugins/clean", dev()), []);
        assert_eq!(depending("host/local", "host/engine", dev()), []);
        assert_eq!(depending("host/engine", "plugins/clean", dev()).len(), 1);
        assert_eq!(depending("host/engine", "host/runtime", dev()).len(), 1);
        assert_eq!(depending("plugins/clean", "host/testkit", dev()).len(), 1);
    }

    #[test]
    fn the_place_is_the_dependency_s_line() {
        let toml = "[dependencies]\nengine-x = \"1\"\nengine.workspace = true\n";
        assert_eq!(line_of(toml, "engine"), 3);
    }
}
