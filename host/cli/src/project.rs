//! A project on disk: the folder with `pipeline.toml`, its plugin crates, and the places of their components.
//!
//! Does not read `pipeline.toml` and does not build anything.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::ExitCode;
use crate::failure::Failure;

/// Crates of the `plugins` folder that are not plugins.
const SDK_CRATES: [&str; 2] = ["sdk", "sdk-macros"];

/// Where the project is.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ProjectArgs {
    /// The project's folder [default: the nearest one upwards with a pipeline.toml]
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
}

/// A project.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Its folder.
    pub(crate) root: PathBuf,
}

/// A crate that becomes a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PluginCrate {
    /// The folder's name, which is the component's.
    pub(crate) name: String,
    /// The folder.
    pub(crate) dir: PathBuf,
}

impl PluginCrate {
    /// The crate in `dir`.
    pub(crate) fn at(dir: &Path) -> Self {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        PluginCrate { name, dir: dir.to_owned() }
    }

    /// Where its component is after a build.
    pub(crate) fn component(&self) -> PathBuf {
        self.dir.join(format!("{}.wasm", self.name))
    }

    /// Its manifest.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("Cargo.toml")
    }
}

impl Project {
    /// The given folder, or the nearest one upwards from here with a `pipeline.toml`.
    pub(crate) fn find(args: &ProjectArgs) -> anyhow::Result<Project> {
        if let Some(root) = &args.project {
            let root = root.canonicalize().map_err(|error| {
                Failure::new(ExitCode::Usage, format!("no project folder `{}`", root.display())).caused_by(error)
            })?;
            return Ok(Project { root });
        }
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        match here.ancestors().find(|folder| folder.join("pipeline.toml").is_file()) {
            Some(root) => Ok(Project { root: root.to_owned() }),
            None => Err(Failure::new(ExitCode::Usage, "no `pipeline.toml` here or in any folder above")
                .hint(
                    "run this inside a project, name one with `--project DIR`, or make one with `sluicebox init NAME`",
                )
                .into()),
        }
    }

    /// The crates in `plugins/`, sorted by name.
    pub(crate) fn plugins(&self) -> anyhow::Result<Vec<PluginCrate>> {
        let mut crates = crates_in(&self.root.join("plugins"))?;
        crates.retain(|plugin| !SDK_CRATES.contains(&plugin.name.as_str()));
        Ok(crates)
    }

    /// The plugins that misbehave on request, in `tests/guests/`, sorted by name; empty if there is no such folder.
    pub(crate) fn guests(&self) -> anyhow::Result<Vec<PluginCrate>> {
        crates_in(&self.root.join("tests").join("guests"))
    }

    /// The crate that a user names: by a name in `plugins/` (or `tests/guests/`), or by a path to a crate's folder.
    pub(crate) fn plugin(&self, name_or_path: &str) -> anyhow::Result<PluginCrate> {
        let mut known = self.plugins()?;
        known.extend(self.guests()?);
        if let Some(plugin) = known.iter().find(|plugin| plugin.name == name_or_path) {
            return Ok(plugin.clone());
        }
        let path = Path::new(name_or_path);
        if path.join("Cargo.toml").is_file() {
            let dir = path.canonicalize().with_context(|| format!("cannot open `{name_or_path}`"))?;
            return Ok(PluginCrate::at(&dir));
        }
        Err(self.unknown(name_or_path, &known).into())
    }

    fn unknown(&self, name: &str, known: &[PluginCrate]) -> Failure {
        let names: Vec<&str> = known.iter().map(|plugin| plugin.name.as_str()).collect();
        let hint = match pipeline::problem::did_you_mean(name, names.iter().copied()) {
            Some(hint) => hint,
            None if names.is_empty() => format!("make one with `sluicebox plugin new {name}`"),
            None => format!("there are: {}", names.join(", ")),
        };
        Failure::new(ExitCode::Usage, format!("no plugin crate `{name}` in `{}`", self.root.join("plugins").display()))
            .hint(hint)
    }
}

fn crates_in(folder: &Path) -> anyhow::Result<Vec<PluginCrate>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list `{}`", folder.display())),
    };
    let mut crates = Vec::new();
    for entry in entries {
        let dir = entry.with_context(|| format!("cannot list `{}`", folder.display()))?.path();
        if dir.join("Cargo.toml").is_file() {
            crates.push(PluginCrate::at(&dir));
        }
    }
    crates.sort();
    Ok(crates)
}

/// Writes a file so that it is there completely or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        make_readable(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// Temporary files are private; the final file is an ordinary one.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(crates: &[&str]) -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        for name in crates {
            write_whole(&folder.path().join(name).join("Cargo.toml"), b"").unwrap();
        }
        let args = ProjectArgs { project: Some(folder.path().to_owned()) };
        let project = Project::find(&args).unwrap();
        (folder, project)
    }

    #[test]
    fn plugins_are_the_crates_of_the_folder_without_the_sdk() {
        let (folder, project) =
            project(&["plugins/b", "plugins/a", "plugins/sdk", "plugins/sdk-macros", "tests/guests/g"]);
        std::fs::create_dir(folder.path().join("plugins/notes")).unwrap();
        let names = |crates: Vec<PluginCrate>| crates.into_iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(names(project.plugins().unwrap()), ["a", "b"]);
        assert_eq!(names(project.guests().unwrap()), ["g"]);
    }

    #[test]
    fn a_plugin_is_found_by_name_and_by_path_and_a_misspelt_one_is_suggested() {
        let (folder, project) = project(&["plugins/clean-x", "elsewhere/other"]);
        assert_eq!(project.plugin("clean-x").unwrap().name, "clean-x");
        let path = folder.path().join("elsewhere/other");
        assert_eq!(project.plugin(path.to_str().unwrap()).unwrap().component().file_name().unwrap(), "other.wasm");
        let error = project.plugin("claen-x").unwrap_err();
        assert!(crate::failure::hint_of(&error).unwrap().contains("clean-x"), "{error:#}");
    }

    #[test]
    fn writing_whole_replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
