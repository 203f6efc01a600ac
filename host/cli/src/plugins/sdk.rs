//! The plugin SDK inside the program: its sources, unpacked into a project that has none of its own.
//!
//! Does not download anything: the sources are those that this program was built with, so contract and SDK always fit together.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use toml::{Table, Value};

use crate::project::write_whole;

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk/src");
static SDK_MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-macros/src");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
const SDK_MANIFEST: &str = include_str!("../../../../plugins/sdk/Cargo.toml");
const SDK_MACROS_MANIFEST: &str = include_str!("../../../../plugins/sdk-macros/Cargo.toml");
/// Our own manifest, from which the SDK's manifests inherit.
const WORKSPACE_MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// The folder of the unpacked SDK in a project. It is a workspace of its own, with the layout of the original.
pub(crate) const FOLDER: &str = ".sluicebox/sdk";

/// Where the SDK's crate is, from the project's folder.
pub(crate) const CRATE: &str = ".sluicebox/sdk/plugins/sdk";

/// Unpacks the SDK into the project in `root`, or updates the one there to this program's. Returns whether anything changed.
pub(crate) fn unpack(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join(FOLDER);
    let files = files()?;
    let there =
        |(path, bytes): &(PathBuf, Vec<u8>)| std::fs::read(folder.join(path)).is_ok_and(|found| found == *bytes);
    if files.iter().all(there) {
        return Ok(false);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot replace `{}`", folder.display()))?;
    }
    files.iter().try_for_each(|(path, bytes)| write_whole(&folder.join(path), bytes))?;
    Ok(true)
}

fn files() -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = vec![
        (PathBuf::from("Cargo.toml"), workspace_manifest()?.into_bytes()),
        (PathBuf::from("plugins/sdk/Cargo.toml"), SDK_MANIFEST.as_bytes().to_vec()),
        (PathBuf::from("plugins/sdk-macros/Cargo.toml"), SDK_MACROS_MANIFEST.as_bytes().to_vec()),
    ];
    for (place, dir) in [("plugins/sdk/src", &SDK), ("plugins/sdk-macros/src", &SDK_MACROS), ("wit", &WIT)] {
        collect(dir, Path::new(place), &mut files);
    }
    Ok(files)
}

/// Every file below an embedded folder, with its path below `place`.
pub(crate) fn collect(dir: &Dir<'_>, place: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    files.extend(dir.files().map(|file| (place.join(file.path()), file.contents().to_vec())));
    dir.dirs().for_each(|dir| collect(dir, place, files));
}

/// The manifest of the workspace that the unpacked crates inherit from: ours, without what they do not use.
fn workspace_manifest() -> anyhow::Result<String> {
    let mut dependencies = Table::new();
    for manifest in [SDK_MANIFEST, SDK_MACROS_MANIFEST] {
        let manifest: Table = manifest.parse()?;
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names = manifest.get(section).and_then(Value::as_table).into_iter().flat_map(Table::keys);
            for name in names {
                dependencies.insert(name.clone(), dependency(name)?);
            }
        }
    }
    let mut workspace = Table::new();
    workspace.insert("resolver".into(), "3".into());
    workspace.insert("members".into(), Value::Array(vec!["plugins/*".into()]));
    for section in ["package", "lints"] {
        workspace.insert(section.into(), ours(&["workspace", section])?);
    }
    workspace.insert("dependencies".into(), Value::Table(dependencies));
    let manifest = Table::from_iter([("workspace".to_owned(), Value::Table(workspace))]);
    Ok(format!("# Unpacked by `sluicebox`: the next version of the program replaces this folder.\n\n{manifest}"))
}

/// Our workspace's dependency on a crate: the version and features that plugins are built with.
pub(crate) fn dependency(name: &str) -> anyhow::Result<Value> {
    ours(&["workspace", "dependencies", name])
}

/// The profile that plugins are compiled with.
pub(crate) fn plugin_profile() -> anyhow::Result<Value> {
    ours(&["profile", "plugin"])
}

fn ours(path: &[&str]) -> anyhow::Result<Value> {
    let manifest: Table = WORKSPACE_MANIFEST.parse()?;
    let found = path.iter().try_fold(&Value::Table(manifest), |value, key| value.get(key)).cloned();
    found.with_context(|| format!("this program's own workspace has no `{}`", path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_a_workspace_that_cargo_reads() {
        let root = tempfile::tempdir().unwrap();
        assert!(unpack(root.path()).unwrap());
        let manifest = root.path().join(CRATE).join("Cargo.toml");
        let mut command = cargo_metadata::MetadataCommand::new();
        let metadata = command.manifest_path(manifest).no_deps().exec().unwrap();
        let mut names: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["sluicebox-sdk", "sluicebox-sdk-macros"]);
        assert!(root.path().join(FOLDER).join("wit/plugin.wit").is_file());
    }

    #[test]
    fn an_equal_sdk_is_left_alone_and_another_one_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        unpack(root.path()).unwrap();
        assert!(!unpack(root.path()).unwrap());
        let lib = root.path().join(CRATE).join("src/lib.rs");
        let original = std::fs::read(&lib).unwrap();
        std::fs::write(&lib, "// older").unwrap();
        assert!(unpack(root.path()).unwrap());
        assert_eq!(std::fs::read(&lib).unwrap(), original);
    }
}
