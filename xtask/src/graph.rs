//! Answers for the verb `graph`: the crates of the workspace in layers, from the ground up, each with those that it needs directly.
//!
//! Does not look at crates from elsewhere, and not at what only tests need. `tidy` checks which crate may need which.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::shell;

/// Each crate with those of ours that it needs.
type Needs<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Prints the graph.
pub(crate) fn run() -> Result<()> {
    let metadata = shell::metadata()?;
    print!("{}", shown(&needs(&metadata))?);
    Ok(())
}

fn needs(metadata: &Value) -> Needs<'_> {
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    packages.filter_map(|package| Some((text(package, "name")?, of_package(package)))).collect()
}

/// Ours are those that are found by a path.
fn of_package(package: &Value) -> BTreeSet<&str> {
    let all = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    let ours = all.filter(|it| text(it, "path").is_some() && it.get("kind").is_some_and(Value::is_null));
    ours.filter_map(|it| text(it, "name")).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// One line for a crate. A crate's layer is the one above the highest that it needs.
fn shown(needs: &Needs<'_>) -> Result<String> {
    let mut text = String::new();
    let mut below: BTreeSet<&str> = BTreeSet::new();
    for layer in 0.. {
        let stands = |it: &(&&str, &BTreeSet<&str>)| !below.contains(*it.0) && it.1.is_subset(&below);
        let here: Vec<_> = needs.iter().filter(stands).collect();
        if here.is_empty() {
            break;
        }
        text.push_str(&format!("layer {layer}\n"));
        for (name, others) in &here {
            let others: Vec<&str> = others.iter().copied().collect();
            let arrow = if others.is_empty() { "" } else { " -> " };
            text.push_str(&format!("  {name}{arrow}{}\n", others.join(", ")));
        }
        below.extend(here.iter().map(|(name, _)| **name));
    }
    let left: Vec<&str> = needs.keys().filter(|name| !below.contains(*name)).copied().collect();
    if !left.is_empty() {
        bail!("an edge leads back among {}", left.join(", "));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, needs: &[(&str, Value)]) -> Value {
        let dependency =
            |(name, kind): &(&str, Value)| json!({"name": name, "kind": kind, "path": format!("/w/{name}")});
        let mut dependencies: Vec<Value> = needs.iter().map(dependency).collect();
        dependencies.push(json!({"name": "serde", "kind": null}));
        json!({"name": name, "dependencies": dependencies})
    }

    #[test]
    fn crates_stand_in_layers() {
        let metadata = json!({"packages": [
            package("top", &[("ground", Value::Null), ("middle", Value::Null)]),
            package("middle", &[("ground", Value::Null), ("top", json!("dev"))]),
            package("ground", &[]),
        ]});
        let expected = "layer 0\n  ground\nlayer 1\n  middle -> ground\nlayer 2\n  top -> ground, middle\n";
        assert_eq!(shown(&needs(&metadata)).unwrap(), expected);
    }

    #[test]
    fn an_edge_back_is_told() {
        let metadata = json!({"packages": [package("a", &[("b", Value::Null)]), package("b", &[("a", Value::Null)])]});
        assert_eq!(shown(&needs(&metadata)).unwrap_err().to_string(), "an edge leads back among a, b");
    }
}
