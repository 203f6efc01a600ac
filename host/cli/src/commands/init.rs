//! `sluicebox init`: a new project that runs at once: a file of weather readings, a pipeline, two plugins.
//!
//! Does not change a folder that is not empty.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::commands::plugin::build::{self, Built};
use crate::commands::plugin::new::require_name;
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::plugins::template::{self, Kind};
use crate::project::{Project, ProjectArgs};

/// The project's plugins, by the names that its `pipeline.toml` uses.
const PLUGINS: [(&str, Kind); 2] = [("clean-readings", Kind::Cleaner), ("aggregate-stations", Kind::Aggregator)];

/// Make a new pipeline project that runs at once
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Makes a new pipeline project in the folder NAME: 200 weather readings in a file, a `pipeline.toml`, a cleaner and an aggregator in \
Rust with tests and golden cases. It builds the plugins, so that `sluicebox run --once` works at once. Nothing outside is called.")]
pub(crate) struct Args {
    /// The folder, which may exist if it is empty; its last part is the pipeline's name
    name: PathBuf,

    /// Do not build the plugins
    #[arg(long)]
    no_build: bool,
}

/// Makes the project.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let name = args.name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    require_name(&name)?;
    require_empty(&args.name)?;
    let mut files = template::write_project(&args.name, &name)?;
    for (plugin, kind) in PLUGINS {
        files.extend(template::write_plugin(&args.name, plugin, kind)?);
    }
    let built = if args.no_build { Vec::new() } else { build_plugins(&args.name, context)? };
    let next = next(&args);
    let document = json!({ "name": name, "folder": args.name, "files": files, "plugins": built, "next": next });
    context.output.report(&document, |_| text(&args.name, &files, &built, &next, context))?;
    Ok(ExitCode::Success)
}

fn require_empty(folder: &Path) -> anyhow::Result<()> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let message = format!("`{}` cannot become a project's folder", folder.display());
            return Err(Failure::new(ExitCode::Usage, message).caused_by(error).into());
        }
    };
    if entries.next().is_none() {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Usage, format!("`{}` is not empty", folder.display()))
        .hint("name a new folder: nothing that exists is overwritten")
        .into())
}

fn build_plugins(root: &Path, context: &Context) -> anyhow::Result<Vec<Built>> {
    let project = Project::find(&ProjectArgs { project: Some(root.to_owned()) })?;
    context.output.notice("building the plugins: the first time takes a minute")?;
    build::build(&project.plugins()?, false)
}

fn next(args: &Args) -> Vec<String> {
    let mut commands = vec![format!("cd {}", args.name.display())];
    if args.no_build {
        commands.push("sluicebox plugin build".to_owned());
    }
    commands.push("sluicebox run --once".to_owned());
    commands
}

fn text(root: &Path, files: &[PathBuf], built: &[Built], next: &[String], context: &Context) -> String {
    let mut text = String::new();
    for file in files {
        text.push_str(&format!("new  {}\n", root.join(file).display()));
    }
    if !built.is_empty() {
        text.push_str(&format!("\n{}\n", build::table(built, &context.output)));
    }
    text.push_str(&format!("\nnext\n  {}\n", next.join("\n  ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(require_empty(&folder.path().join("new")).is_ok());
        assert!(require_empty(folder.path()).is_ok());
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert!(require_empty(folder.path()).is_err());
    }
}
