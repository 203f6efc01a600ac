//! Compiles plugin crates to core WebAssembly modules, with the user's own cargo.
//!
//! Does not turn them into components (`commands::plugin::build` does) and does not install a toolchain.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use cargo_metadata::{CrateType, Message, Metadata, MetadataCommand, Package, PackageId};
use local::outside;

use super::component::cannot_read;
use crate::env_vars;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::project::PluginCrate;

/// What plugins are compiled for: no imports but the contract's.
const TARGET: &str = "wasm32-unknown-unknown";

/// Instructions that every host has; without them byte loops are several times slower.
const RUSTFLAGS: &str = "-Ctarget-feature=+simd128,+bulk-memory";

/// The release profile of a workspace that defines no `plugin` profile: small, fast, no unwinding.
const RELEASE: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
];

/// A plugin crate's core module.
#[derive(Clone, Debug)]
pub(crate) struct CoreModule {
    /// The crate.
    pub(crate) plugin: PluginCrate,
    /// The version in its manifest.
    pub(crate) version: String,
    /// The `.wasm` file that cargo made.
    pub(crate) path: PathBuf,
}

/// Compiles the crates, all of a workspace in one cargo call. `debug` keeps debug information and checks.
pub(crate) fn compile(plugins: &[PluginCrate], debug: bool) -> anyhow::Result<Vec<CoreModule>> {
    let mut modules = Vec::new();
    for (workspace, members) in by_workspace(plugins)? {
        require_target(&workspace)?;
        modules.extend(compile_workspace(&workspace, &members, debug)?);
    }
    modules.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    Ok(modules)
}

/// A cargo workspace, as far as a build needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

/// A crate to compile, as cargo knows it.
#[derive(Clone, Debug)]
struct Member {
    plugin: PluginCrate,
    id: PackageId,
    version: String,
}

fn by_workspace(plugins: &[PluginCrate]) -> anyhow::Result<BTreeMap<Workspace, Vec<Member>>> {
    let mut read: Vec<Metadata> = Vec::new();
    let mut members: BTreeMap<Workspace, Vec<Member>> = BTreeMap::new();
    for plugin in plugins {
        if !read.iter().any(|metadata| package(metadata, plugin).is_some()) {
            read.push(metadata(plugin)?);
        }
        let found = read.iter().find_map(|metadata| Some((metadata, package(metadata, plugin)?)));
        let (metadata, package) = found.with_context(|| format!("cargo does not know the crate `{}`", plugin.name))?;
        require_cdylib(plugin, package)?;
        let workspace = Workspace {
            root: metadata.workspace_root.clone().into(),
            target: metadata.target_directory.join("plugins").into(),
        };
        let version = package.version.to_string();
        members.entry(workspace).or_default().push(Member { plugin: plugin.clone(), id: package.id.clone(), version });
    }
    Ok(members)
}

fn package<'m>(metadata: &'m Metadata, plugin: &PluginCrate) -> Option<&'m Package> {
    let manifest = plugin.manifest().canonicalize().ok()?;
    metadata.packages.iter().find(|package| package.manifest_path.as_std_path() == manifest)
}

fn metadata(plugin: &PluginCrate) -> anyhow::Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.cargo_path(cargo()).manifest_path(plugin.manifest()).current_dir(&plugin.dir).no_deps();
    command.exec().map_err(|error| match error {
        cargo_metadata::Error::Io(error) => no_cargo(error).into(),
        cargo_metadata::Error::CargoMetadata { stderr } => {
            anyhow::anyhow!("{}", stderr.trim()).context(format!("cargo cannot read the crate `{}`", plugin.name))
        }
        other => anyhow::Error::from(other).context(format!("cargo cannot read the crate `{}`", plugin.name)),
    })
}

fn require_cdylib(plugin: &PluginCrate, package: &Package) -> Result<(), Failure> {
    if package.targets.iter().any(|target| target.crate_types.contains(&CrateType::CDyLib)) {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Wrong, format!("`{}` is no plugin: it makes no `cdylib`", plugin.name))
        .hint(format!("add to `{}`:\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]", plugin.manifest().display())))
}

fn cargo() -> OsString {
    std::env::var_os(env_vars::CARGO).unwrap_or_else(|| "cargo".into())
}

fn no_cargo(error: std::io::Error) -> Failure {
    Failure::new(ExitCode::Unavailable, format!("cannot run `{}`", cargo().display()))
        .caused_by(error)
        .hint("plugins in Rust are built by cargo: install Rust from https://rustup.rs, or set CARGO")
}

/// Whether the toolchain of the workspace has the target's standard library, checked before a minute of compiling.
fn require_target(workspace: &Workspace) -> anyhow::Result<()> {
    let rustc = std::env::var_os(env_vars::RUSTC).unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(&rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]).current_dir(&workspace.root);
    // Cargo's own rustc may differ (RUSTC_WRAPPER, a `build.rustc` setting): if this one does not answer, cargo finds out.
    let Ok(output) = command.output() else { return Ok(()) };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() || has_std(&folder) {
        return Ok(());
    }
    let hint = if workspace.root.join("xtask").is_dir() {
        "run `cargo xtask wasm-target` (or `rustup target add wasm32-unknown-unknown`)"
    } else {
        "run `rustup target add wasm32-unknown-unknown`"
    };
    Err(Failure::new(ExitCode::Unavailable, format!("this Rust toolchain has no standard library for `{TARGET}`"))
        .hint(hint)
        .into())
}

fn has_std(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn compile_workspace(workspace: &Workspace, members: &[Member], debug: bool) -> anyhow::Result<Vec<CoreModule>> {
    let mut command = Command::new(cargo());
    command.current_dir(&workspace.root).args(["build", "--target", TARGET, "--lib"]);
    command.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(&workspace.target);
    if !debug {
        let profile = if has_plugin_profile(&workspace.root)? { "plugin" } else { "release" };
        command.args(["--profile", profile]).envs((profile == "release").then_some(RELEASE).into_iter().flatten());
    }
    for member in members {
        command.args(["--package", &member.id.repr]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&workspace.root)).env_remove("RUSTFLAGS");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(no_cargo)?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let artifacts = artifacts(BufReader::new(stdout))?;
    if !child.wait()?.success() {
        let names: Vec<&str> = members.iter().map(|member| member.plugin.name.as_str()).collect();
        return Err(Failure::new(ExitCode::Wrong, format!("`{}` does not compile", names.join("`, `")))
            .hint("the compiler's messages stand above")
            .into());
    }
    members.iter().map(|member| core_module(member, &artifacts)).collect()
}

/// The flags, as cargo wants them in one variable. Panic messages hold source paths. A plugin must not show on which machine it was
/// built, nor get another digest there.
fn rustflags(root: &Path) -> String {
    let home = std::env::var_os(env_vars::CARGO_HOME).map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registries =
        home.iter().filter_map(|home| std::fs::read_dir(home.join("registry/src")).ok()).flatten().flatten();
    let mut remaps: Vec<(PathBuf, &str)> = registries.map(|registry| (registry.path(), "/registry")).collect();
    // The last match counts: the longest path comes last.
    remaps.splice(0..0, home.map(|home| (home, "/cargo")));
    remaps.push((root.to_owned(), "/project"));
    let remaps = remaps.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    std::iter::once(RUSTFLAGS.to_owned()).chain(remaps).collect::<Vec<_>>().join("\u{1f}")
}

fn core_module(member: &Member, artifacts: &BTreeMap<PackageId, PathBuf>) -> anyhow::Result<CoreModule> {
    let path =
        artifacts.get(&member.id).with_context(|| format!("cargo made no module of `{}`", member.plugin.name))?;
    Ok(CoreModule { plugin: member.plugin.clone(), version: member.version.clone(), path: path.clone() })
}

/// The modules that cargo reports. Its messages for people go to stderr directly.
fn artifacts(messages: impl std::io::BufRead) -> anyhow::Result<BTreeMap<PackageId, PathBuf>> {
    let mut modules = BTreeMap::new();
    for message in Message::parse_stream(messages) {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        if artifact.target.crate_types.contains(&CrateType::CDyLib) {
            let module = artifact.filenames.into_iter().find(|file| file.extension() == Some("wasm"));
            modules.extend(module.map(|module| (artifact.package_id, module.into())));
        }
    }
    Ok(modules)
}

fn has_plugin_profile(root: &Path) -> anyhow::Result<bool> {
    let path = root.join("Cargo.toml");
    let text = outside::read_text(&path, outside::MOST_TEXT).map_err(|error| cannot_read(&path, error))?;
    let manifest: toml::Table = text.parse().with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(manifest.get("profile").and_then(|profiles| profiles.get("plugin")).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_cargos_messages() {
        let message = |kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"p#a@0.1.0","manifest_path":"/p/Cargo.toml","target":{{"kind":["{kind}"],"crate_types":["{kind}"],"name":"a","src_path":"/p/src/lib.rs","edition":"2024","doc":true,"doctest":false,"test":true}},"profile":{{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false}},"features":[],"filenames":["{file}"],"executable":null,"fresh":true}}"#
            )
        };
        let stream = format!("{}\n{}\n", message("rlib", "/t/liba.rlib"), message("cdylib", "/t/a.wasm"));
        let found = artifacts(stream.as_bytes()).unwrap();
        assert_eq!(found.into_values().collect::<Vec<_>>(), [PathBuf::from("/t/a.wasm")]);
    }

    #[test]
    fn a_workspace_says_by_itself_whether_it_has_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        std::fs::write(&manifest, "[workspace]\n[profile.release]\nlto = true\n").unwrap();
        assert!(!has_plugin_profile(folder.path()).unwrap());
        std::fs::write(&manifest, "[workspace]\n[profile.plugin]\ninherits = \"release\"\n").unwrap();
        assert!(has_plugin_profile(folder.path()).unwrap());
    }
}
