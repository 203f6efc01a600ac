//! New plugin crates and new projects, from the templates inside the program.
//!
//! Does not build them, and does not decide whether a folder may be written to: the commands do.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use local::outside;
use toml::{Table, Value};

use super::component::cannot_read;
use super::sdk;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::project::write_whole;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The versions with which this program's own plugins are built and tested. Cargo drops what a project does not use.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// Which world a plugin is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A source's record and API answers to a Bronze document
    Enricher,
    /// Bronze documents to typed rows of Silver
    Cleaner,
    /// Silver's rows to a table of Gold
    Aggregator,
}

impl Kind {
    fn template(self) -> &'static str {
        match self {
            Kind::Enricher => "enricher",
            Kind::Cleaner => "cleaner",
            Kind::Aggregator => "aggregator",
        }
    }

    /// The dependencies of the template's rules besides the SDK.
    fn dependencies(self) -> &'static [&'static str] {
        match self {
            Kind::Enricher => &["serde", "serde_json"],
            Kind::Cleaner => &["schemars", "serde"],
            Kind::Aggregator => &["serde"],
        }
    }

    fn description(self) -> &'static str {
        match self {
            Kind::Enricher => "Adds to each record what a service knows about it.",
            Kind::Cleaner => "Turns text into typed rows.",
            Kind::Aggregator => "Turns rows into one table.",
        }
    }
}

/// Writes a plugin crate into the project in `root`, and what the project lacks to build it: a workspace, the SDK.
/// Returns the files written, relative to the project's folder.
pub(crate) fn write_plugin(root: &Path, name: &str, kind: Kind) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let path = root.join("Cargo.toml");
    if !path.exists() {
        for (file, text) in workspace_files()? {
            write_whole(&root.join(&file), text.as_bytes())?;
            written.push(file);
        }
    }
    let text = outside::read_text(&path, outside::MOST_TEXT).map_err(|error| cannot_read(&path, error))?;
    let manifest: Table = text.parse().with_context(|| format!("cannot read `{}`", path.display()))?;
    let workspace = manifest.get("workspace").and_then(Value::as_table).cloned().unwrap_or_default();
    require_room(&path, &workspace, name)?;
    if !root.join("plugins/sdk/Cargo.toml").is_file() && sdk::unpack(root)? {
        written.push(PathBuf::from(sdk::FOLDER));
    }
    let folder = Path::new("plugins").join(name);
    let mut files = vec![(folder.join("Cargo.toml"), crate_manifest(name, kind, &workspace)?.into_bytes())];
    let template = TEMPLATES.get_dir(kind.template()).context("the program carries no such template")?;
    for (path, bytes) in embedded(template) {
        files.push((folder.join(path.strip_prefix(kind.template())?), bytes));
    }
    for (path, bytes) in files {
        write_whole(&root.join(&path), &bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a project's own files into `root`: pipeline, data, workspace. Returns them, relative to the project's folder.
pub(crate) fn write_project(root: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let template = TEMPLATES.get_dir("project").context("the program carries no such template")?;
    let mut files: Vec<_> = workspace_files()?.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    for (path, bytes) in embedded(template) {
        let path = path.strip_prefix("project")?;
        let path = if path == Path::new("gitignore") { Path::new(".gitignore") } else { path };
        let text = String::from_utf8(bytes).context("a template is text")?;
        files.push((path.to_owned(), text.replace("{{name}}", name).into_bytes()));
    }
    let mut written = Vec::new();
    for (path, bytes) in files {
        write_whole(&root.join(&path), &bytes)?;
        written.push(path);
    }
    Ok(written)
}

fn embedded(dir: &Dir<'_>) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    sdk::collect(dir, Path::new(""), &mut files);
    files
}

/// Refuses a workspace that would not accept the new crate, before anything is written.
fn require_room(path: &Path, workspace: &Table, name: &str) -> Result<(), Failure> {
    let lists = |key: &str, wanted: &[&str]| {
        let list = workspace.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        list.into_iter().any(|entry| wanted.contains(&entry.trim_end_matches('/')))
    };
    let folder = format!("plugins/{name}");
    let missing = if !lists("members", &["plugins/*", &folder]) {
        format!("members = [\"{folder}\"]")
    } else if !declares_sdk(workspace) && !lists("exclude", &[".sluicebox", sdk::FOLDER]) {
        "exclude = [\".sluicebox\"]".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::new(ExitCode::Usage, format!("`{}` leaves no room for the plugin `{name}`", path.display()))
        .hint(format!("add to its [workspace] table: {missing}")))
}

fn declares_sdk(workspace: &Table) -> bool {
    workspace.get("dependencies").is_some_and(|table| table.get("sluicebox-sdk").is_some())
}

fn workspace_files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    Ok(vec![("Cargo.toml".into(), workspace_manifest()?), ("Cargo.lock".into(), LOCK.to_owned())])
}

fn workspace_manifest() -> anyhow::Result<String> {
    let mut text = String::from(
        "# The plugins of this project; the pipeline itself is `pipeline.toml`.\n\n[workspace]\nresolver = \"3\"\n\
         members = [\"plugins/*\"]\nexclude = [\".sluicebox\"]\n\n[workspace.dependencies]\n",
    );
    for name in ["schemars", "serde", "serde_json"] {
        text.push_str(&format!("{name} = {}\n", sdk::dependency(name)?));
    }
    text.push_str(&format!("sluicebox-sdk = {{ path = \"{}\" }}\n", sdk::CRATE));
    text.push_str("\n# What a plugin is compiled with: small, fast, no unwinding.\n[profile.plugin]\n");
    let profile = sdk::plugin_profile()?;
    for (key, value) in profile.as_table().into_iter().flatten() {
        text.push_str(&format!("{key} = {value}\n"));
    }
    Ok(text)
}

/// The crate's manifest: it inherits what the workspace has, and spells out the rest.
fn crate_manifest(name: &str, kind: Kind, workspace: &Table) -> anyhow::Result<String> {
    let inherits = |section: &str, key: &str| workspace.get(section).is_some_and(|table| table.get(key).is_some());
    let mut text = format!("[package]\nname = \"{name}\"\ndescription = \"{}\"\n", kind.description());
    for (key, own) in [
        ("version", Some("\"0.1.0\"")),
        ("edition", Some("\"2024\"")),
        ("rust-version", None),
        ("license", None),
        ("publish", Some("false")),
    ] {
        match own {
            _ if inherits("package", key) => text.push_str(&format!("{key}.workspace = true\n")),
            Some(value) => text.push_str(&format!("{key} = {value}\n")),
            None => {}
        }
    }
    if workspace.contains_key("lints") {
        text.push_str("\n[lints]\nworkspace = true\n");
    }
    text.push_str("\n# The rlib is for the native tests of the rules, and so that link-time optimisation works.\n");
    text.push_str("[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n[dependencies]\n");
    for dependency in kind.dependencies() {
        match inherits("dependencies", dependency) {
            true => text.push_str(&format!("{dependency}.workspace = true\n")),
            false => text.push_str(&format!("{dependency} = {}\n", sdk::dependency(dependency)?)),
        }
    }
    match declares_sdk(workspace) {
        true => text.push_str("sluicebox-sdk.workspace = true\n"),
        false => text.push_str(&format!("sluicebox-sdk = {{ path = \"../../{}\" }}\n", sdk::CRATE)),
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_inherits_what_its_workspace_offers_and_writes_out_the_rest() {
        let workspace: Table = "[package]\nedition = \"2024\"\n[dependencies]\nserde = \"1\"\n".parse().unwrap();
        let text = crate_manifest("clean-x", Kind::Cleaner, &workspace).unwrap();
        let manifest: Table = text.parse().unwrap();
        assert_eq!(manifest["package"]["edition"]["workspace"].as_bool(), Some(true));
        assert_eq!(manifest["package"]["version"].as_str(), Some("0.1.0"));
        assert_eq!(manifest["dependencies"]["serde"]["workspace"].as_bool(), Some(true));
        assert!(manifest["dependencies"]["schemars"]["version"].is_str());
        assert_eq!(
            manifest["dependencies"]["sluicebox-sdk"]["path"].as_str(),
            Some("../../.sluicebox/sdk/plugins/sdk")
        );
        assert!(manifest.get("lints").is_none());
    }

    #[test]
    fn a_workspace_without_room_is_refused_before_anything_is_written() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = [\"app\"]\n").unwrap();
        let error = write_plugin(root.path(), "clean-x", Kind::Cleaner).unwrap_err();
        assert!(crate::failure::hint_of(&error).unwrap().contains("plugins/clean-x"), "{error:#}");
        assert!(!root.path().join("plugins").exists() && !root.path().join(".sluicebox").exists());
    }

    #[test]
    fn the_projects_workspace_takes_a_plugin_of_every_kind() {
        let root = tempfile::tempdir().unwrap();
        write_project(root.path(), "weather").unwrap();
        for (name, kind) in [("a", Kind::Enricher), ("b", Kind::Cleaner), ("c", Kind::Aggregator)] {
            let written = write_plugin(root.path(), name, kind).unwrap();
            assert!(written.iter().any(|path| path.ends_with("src/rules.rs")), "{written:?}");
        }
        let pipeline = std::fs::read_to_string(root.path().join("pipeline.toml")).unwrap();
        assert!(pipeline.contains("name = \"weather\"") && !pipeline.contains("{{"));
        let mut command = cargo_metadata::MetadataCommand::new();
        let metadata = command.manifest_path(root.path().join("Cargo.toml")).no_deps().exec().unwrap();
        assert_eq!(metadata.packages.len(), 3);
    }
}
