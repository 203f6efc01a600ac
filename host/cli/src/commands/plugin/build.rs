//! `sluicebox plugin build`: plugin crates to components, with no tool but cargo.
//!
//! Does not run a plugin.

use std::path::{Path, PathBuf};

use runtime::{componentize, inspect};
use seams::plugin::Digest;
use serde::Serialize;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Output, Tone, size};
use crate::plugins::cargo::{self, CoreModule};
use crate::project::{PluginCrate, Project, ProjectArgs, write_whole};

/// Build plugin crates to components, beside their sources
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Builds plugin crates to components: `plugins/NAME` becomes `plugins/NAME/NAME.wasm`, which is written only if it changed.

Cargo compiles for wasm32-unknown-unknown, with the workspace's profile `plugin` if it has one; the rest happens in this \
program. The compiled crates are kept apart from the host's, in `plugins` of the target folder.")]
pub(crate) struct Args {
    /// Names of crates in `plugins/`, or paths to crates [default: all in `plugins/`]
    #[arg(value_name = "NAME|PATH")]
    plugins: Vec<String>,

    /// Build all in `plugins/`, and all in `tests/guests/` if there is such a folder
    #[arg(long, conflicts_with = "plugins")]
    all: bool,

    /// Keep debug information and overflow checks: larger and slower, with readable traps
    #[arg(long)]
    debug: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

/// A component that is up to date.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Built {
    /// The crate's folder's name.
    pub(crate) name: String,
    /// The version in its manifest.
    pub(crate) version: String,
    /// Its world.
    pub(crate) world: &'static str,
    /// The component's file.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) size: usize,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Whether the file's content changed.
    pub(crate) changed: bool,
}

/// Builds.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let project = Project::find(&args.project)?;
    let plugins = selected(&args, &project)?;
    let built = build(&plugins, args.debug)?;
    context.output.report(&serde_json::json!({ "plugins": built }), |_| table(&built, &context.output))?;
    Ok(ExitCode::Success)
}

fn selected(args: &Args, project: &Project) -> anyhow::Result<Vec<PluginCrate>> {
    let mut plugins = if args.plugins.is_empty() {
        let mut plugins = project.plugins()?;
        if args.all {
            plugins.extend(project.guests()?);
        }
        plugins
    } else {
        args.plugins.iter().map(|plugin| project.plugin(plugin)).collect::<anyhow::Result<Vec<_>>>()?
    };
    plugins.sort();
    plugins.dedup();
    if plugins.is_empty() {
        let place = project.root.join("plugins");
        return Err(Failure::new(ExitCode::Usage, format!("no plugin crates in `{}`", place.display()))
            .hint("make one with `sluicebox plugin new NAME`")
            .into());
    }
    Ok(plugins)
}

/// Compiles the crates and makes components of them.
pub(crate) fn build(plugins: &[PluginCrate], debug: bool) -> anyhow::Result<Vec<Built>> {
    cargo::compile(plugins, debug)?.iter().map(publish).collect()
}

fn publish(module: &CoreModule) -> anyhow::Result<Built> {
    let name = &module.plugin.name;
    let no_plugin = || {
        Failure::new(ExitCode::Wrong, format!("`{name}` compiles, but is no plugin")).hint(
            "`src/lib.rs` needs one of the SDK's macros: `cleaner!`, `enricher!` or `aggregator!`\n\
             `sluicebox plugin new` makes a crate that has one",
        )
    };
    let core = std::fs::read(&module.path)?;
    let component = componentize(&core).map_err(|error| no_plugin().caused_by(error))?;
    let inspection = inspect(&component).map_err(|error| no_plugin().caused_by(error))?;
    let path = module.plugin.component();
    let changed = replace_if_changed(&path, &component)?;
    Ok(Built {
        name: name.clone(),
        version: module.version.clone(),
        world: inspection.world.name(),
        path,
        size: component.len(),
        digest: Digest::of(&component),
        changed,
    })
}

/// Does not rewrite a file with equal content, but renews its time: it is as new as its sources.
fn replace_if_changed(path: &Path, bytes: &[u8]) -> anyhow::Result<bool> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        let file = std::fs::File::options().write(true).open(path)?;
        file.set_modified(std::time::SystemTime::now())?;
        return Ok(false);
    }
    write_whole(path, bytes)?;
    Ok(true)
}

/// The components as people read them.
pub(crate) fn table(built: &[Built], output: &Output) -> String {
    let mut table = output.table(&["plugin", "version", "world", "size", "sha256", ""]);
    for plugin in built {
        let (tone, word) = if plugin.changed { (Tone::Good, "built") } else { (Tone::Faint, "unchanged") };
        table.add_row(vec![
            plugin.name.clone().into(),
            plugin.version.clone().into(),
            plugin.world.into(),
            size(plugin.size as u64).into(),
            short(&plugin.digest).into(),
            Output::cell(tone, word),
        ]);
    }
    table.trim_fmt()
}

/// The first digits of a digest: enough to tell two apart by eye.
pub(crate) fn short(digest: &Digest) -> String {
    digest.as_str().trim_start_matches("sha256:").chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_component_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        assert!(replace_if_changed(&path, b"one").unwrap());
        assert!(!replace_if_changed(&path, b"one").unwrap());
        assert!(replace_if_changed(&path, b"two").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
    }
}
