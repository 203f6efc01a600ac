//! Answers for crates from elsewhere that a crate of ours has no business with: it does not reach them in any way, also not through other crates.
//! Read from the graph that `cargo metadata` resolves, along normal dependencies.
//!
//! Does not look at what tests and build scripts use. The graph has the features that the workspace asks for together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::Finding;

/// What stays out of some crates of ours.
struct Wall {
    /// The crates of ours.
    of: &'static [&'static str],
    /// The crates from elsewhere. A star stands for any end of a name.
    keeps_out: &'static [&'static str],
    why: &'static str,
}

const WALLS: [Wall; 5] = [
    Wall {
        of: &["records", "pipeline", "seams", "runtime", "local", "deploy", "testkit"],
        keeps_out: &["buoyant_kernel", "deltalake-core", "parquet"],
        why: "tables are the business of `lake`",
    },
    Wall {
        of: &["records", "pipeline", "seams", "lake", "engine", "proof", "local", "deploy", "aws", "testkit"],
        keeps_out: &["wasmtime"],
        why: "components are the business of `runtime`",
    },
    Wall {
        of: &["records", "pipeline", "seams", "lake", "engine", "proof", "runtime", "local", "deploy", "testkit"],
        keeps_out: &["aws-config", "aws-sdk-*", "aws-smithy-*"],
        why: "accounts are the business of `aws`",
    },
    Wall {
        of: &["records", "pipeline", "seams", "lake", "engine", "proof", "runtime", "deploy", "aws", "testkit"],
        keeps_out: &["rusqlite"],
        why: "the queue of one machine is the business of `local`",
    },
    Wall {
        of: &["records", "pipeline", "seams", "lake", "engine", "proof", "runtime", "deploy", "testkit"],
        keeps_out: &["reqwest"],
        why: "requests are the business of the adapters",
    },
];

/// Accepted ways: which crate depends on which, and why that is harmless.
const ACCEPTED: [(&str, &str, &str); 3] = [
    ("object_store", "reqwest", "its stores over HTTP, which `deltalake-core` asks for; only adapters build a store"),
    ("buoyant_kernel", "reqwest", "its own engine over HTTP, which `lake` does not use: it hands the kernel our store"),
    ("buoyant_kernel_engine", "reqwest", "the same"),
];

/// Findings over the graph that cargo has resolved.
pub(super) fn check(resolved: &Value) -> Vec<Finding> {
    let graph = Graph::read(resolved);
    let mut findings = Vec::new();
    for wall in &WALLS {
        for ours in wall.of {
            for way in graph.ways(ours, wall.keeps_out) {
                findings.push(Finding::at(
                    &format!("host/{ours}/Cargo.toml"),
                    1,
                    "reaches a crate that it has no business with",
                    format!("{}: {}. Take the dependency out, or its feature", way.join(" -> "), wall.why),
                ));
            }
        }
    }
    findings.extend(graph.unused().map(|(from, to, _)| {
        let hint = format!("{from} -> {to} is there no more: take it out");
        Finding::at("xtask/src/tidy/strangers.rs", 1, "accepts a way that is not there", hint)
    }));
    findings
}

/// Direct dependencies: ids of packages, and their names.
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    needs: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn read(resolved: &'a Value) -> Self {
        let text = |value: &'a Value, key: &str| value.get(key).and_then(Value::as_str);
        let names = list(resolved, "packages").filter_map(|it| Some((text(it, "id")?, text(it, "name")?))).collect();
        let nodes = resolved.get("resolve").map(|resolve| list(resolve, "nodes")).into_iter().flatten();
        let needs = |node| list(node, "deps").filter(|it| is_normal(it)).filter_map(|it| text(it, "pkg")).collect();
        Self { names, needs: nodes.filter_map(|node| Some((text(node, "id")?, needs(node)))).collect() }
    }

    fn name(&self, id: &str) -> &'a str {
        self.names.get(id).copied().unwrap_or_default()
    }

    /// A shortest way from a crate of ours to each forbidden crate.
    fn ways(&self, ours: &str, kept_out: &[&str]) -> Vec<Vec<&'a str>> {
        let mut ways = Vec::new();
        let mut seen = BTreeSet::new();
        let start = self.needs.keys().filter(|id| self.name(id) == ours && id.starts_with("path+"));
        let mut round: Vec<Vec<&str>> = start.map(|id| vec![*id]).collect();
        while !round.is_empty() {
            let mut next = Vec::new();
            for way in round {
                let from = way.last().copied().unwrap_or_default();
                for to in
                    self.needs.get(from).into_iter().flatten().filter(|to| !accepts(self.name(from), self.name(to)))
                {
                    if !seen.insert(*to) {
                        continue;
                    }
                    let way: Vec<&str> = way.iter().copied().chain([*to]).collect();
                    if kept_out.iter().any(|pattern| fits(self.name(to), pattern)) {
                        ways.push(way.iter().map(|id| self.name(id)).collect());
                    } else {
                        next.push(way);
                    }
                }
            }
            round = next;
        }
        ways
    }

    /// Accepted ways that no crate uses.
    fn unused(&self) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
        let has = |from: &str, to: &str| {
            self.needs.iter().any(|(id, needs)| self.name(id) == from && needs.iter().any(|it| self.name(it) == to))
        };
        ACCEPTED.iter().filter(move |(from, to, _)| !has(from, to))
    }
}

fn accepts(from: &str, to: &str) -> bool {
    ACCEPTED.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}

fn fits(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Whether a crate itself is built with it, and not its tests or its build script alone.
fn is_normal(dependency: &Value) -> bool {
    list(dependency, "dep_kinds").any(|kind| kind.get("kind").is_some_and(Value::is_null))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A graph of these arrows; a name in capitals is of a development dependency.
    fn graph(arrows: &[(&str, &[&str])]) -> Value {
        let id = |name: &str| format!("path+{}", name.to_lowercase());
        let dep = |name: &&str| {
            let kind = if name.starts_with(char::is_uppercase) { json!("dev") } else { Value::Null };
            json!({"pkg": id(name), "dep_kinds": [{"kind": kind}]})
        };
        let nodes =
            arrows.iter().map(|(from, to)| json!({"id": id(from), "deps": to.iter().map(dep).collect::<Vec<_>>()}));
        let names = arrows.iter().flat_map(|(from, to)| std::iter::once(from).chain(*to));
        let packages = names.map(|name| json!({"id": id(name), "name": name.to_lowercase()}));
        json!({"packages": packages.collect::<Vec<_>>(), "resolve": {"nodes": nodes.collect::<Vec<_>>()}})
    }

    fn hints(arrows: &[(&str, &[&str])]) -> Vec<String> {
        let mut arrows = arrows.to_vec();
        arrows.extend([
            ("object_store", ["reqwest"].as_slice()),
            ("buoyant_kernel", &["reqwest"]),
            ("buoyant_kernel_engine", &["reqwest"]),
        ]);
        check(&graph(&arrows)).into_iter().map(|it| it.hint).collect()
    }

    #[test]
    fn whoever_stands_in_between() {
        let hints = hints(&[("seams", &["a"]), ("a", &["b", "c"]), ("b", &["parquet"]), ("c", &["parquet"])]);
        assert_eq!(hints.len(), 1, "{hints:?}");
        assert!(hints[0].starts_with("seams -> a -> b -> parquet: "), "{hints:?}");
    }

    #[test]
    fn families_are_named_by_their_beginning() {
        let hints = hints(&[("engine", &["aws-sdk-s3", "aws-lc-rs"])]);
        assert!(hints.len() == 1 && hints[0].starts_with("engine -> aws-sdk-s3: "), "{hints:?}");
    }

    #[test]
    fn tests_and_accepted_ways_are_none() {
        assert!(hints(&[("lake", &["Wasmtime", "object_store", "deltalake-core"])]).is_empty());
        let hints = hints(&[("lake", &["object_store", "other"]), ("other", &["reqwest"])]);
        assert!(hints.len() == 1 && hints[0].starts_with("lake -> other -> reqwest: "), "{hints:?}");
    }

    #[test]
    fn what_is_accepted_must_be_there() {
        let findings = check(&graph(&[("object_store", &["reqwest"])]));
        assert_eq!(findings.len(), 2, "{findings:?}");
    }
}
