//! Answers for one version each of the big dependencies: two of them would mean two incompatible types of the same name.
//!
//! Does not care about the many small ones.

use super::finding::Finding;

const ONE_OF: [&str; 10] = [
    "arrow-array",
    "aws-config",
    "aws-smithy-types",
    "h2",
    "http",
    "hyper",
    "object_store",
    "parquet",
    "rustls",
    "wasmtime",
];

pub(super) fn check(lock: &str) -> Vec<Finding> {
    let packages = packages(lock);
    let mut findings = Vec::new();
    for name in ONE_OF {
        let versions: Vec<&Package> = packages.iter().filter(|it| it.name == name).collect();
        if let [_, .., last] = versions.as_slice() {
            let all: Vec<&str> = versions.iter().map(|it| it.version).collect();
            findings.push(Finding::at(
                "Cargo.lock",
                last.line,
                "has a big dependency twice",
                format!("`{name}` {}: `cargo tree -i {name}@VERSION` shows who wants which", all.join(" and ")),
            ));
        }
    }
    findings
}

struct Package<'a> {
    name: &'a str,
    version: &'a str,
    line: usize,
}

/// Cargo writes each package's name and version on two lines that follow each other.
fn packages(lock: &str) -> Vec<Package<'_>> {
    let value = |line: &'_ str, key: &str| {
        let rest = line.strip_prefix(key)?.strip_prefix(" = \"")?;
        rest.strip_suffix('"').map(str::len).map(|len| (line.len() - 1 - len, len))
    };
    let mut packages = Vec::new();
    let mut name = None;
    for (index, line) in lock.lines().enumerate() {
        let text = |(at, len): (usize, usize)| line.get(at..at + len).unwrap_or_default();
        if let Some(found) = value(line, "name") {
            name = Some((text(found), index + 1));
        } else if let (Some(found), Some((name, line))) = (value(line, "version"), name.take()) {
            packages.push(Package { name, version: text(found), line });
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::super::tests::places;
    use super::*;

    #[test]
    fn two_versions_are_found_at_the_second() {
        let lock = "version = 4\n\n[[package]]\nname = \"http\"\nversion = \"0.2.1\"\n\n\
                    [[package]]\nname = \"http\"\nversion = \"1.3.0\"\n\n[[package]]\nname = \"http-body\"\nversion = \"1.0.0\"\n";
        let findings = check(lock);
        assert!(findings[0].hint.starts_with("`http` 0.2.1 and 1.3.0: "), "{findings:?}");
        assert_eq!(places(findings), ["Cargo.lock:8"]);
    }

    #[test]
    fn one_version_is_fine() {
        let lock = "[[package]]\nname = \"wasmtime\"\nversion = \"48.0.0\"\n\n[[package]]\nname = \"small\"\nversion = \"1.0.0\"\n\
                    \n[[package]]\nname = \"small\"\nversion = \"2.0.0\"\n";
        assert!(check(lock).is_empty());
    }
}
