//! From the pipeline files named on the command line to plans, or to every problem in all of them.
//!
//! Does not load a plugin or open a lake.

mod own_folder;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use local::outside;
use pipeline::plan::Location;
use pipeline::{Checked, Overrides, Plan, Problems, Said};

pub(crate) use self::own_folder::{configurations_path, lock_path, queue_path};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;

/// The default name of a pipeline file.
const DEFAULT: &str = "pipeline.toml";

/// Which pipelines, where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PipelineArgs {
    /// Pipeline files; `pipeline.toml` is looked for upwards
    #[arg(value_name = "PIPELINE.toml", default_value = DEFAULT)]
    pub(crate) files: Vec<PathBuf>,

    /// Lay the `[target.NAME]` section over each file
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,

    /// Replace one value, as in `--set source.top_n=500`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Which pipeline, for commands whose arguments are something else.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PipelineOption {
    /// Pipeline file; `pipeline.toml` is looked for upwards
    #[arg(long = "pipeline", value_name = "PIPELINE.toml", default_value = DEFAULT)]
    file: PathBuf,

    /// Lay the `[target.NAME]` section over the file
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// Replace one value, as in `--set source.top_n=500`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl PipelineOption {
    /// The same as [`PipelineArgs`].
    pub(crate) fn args(&self) -> PipelineArgs {
        PipelineArgs { files: vec![self.file.clone()], target: self.target.clone(), set: self.set.clone() }
    }
}

/// A pipeline file that is valid.
#[derive(Clone, Debug)]
pub(crate) struct PipelineFile {
    /// The file, as it was named.
    pub(crate) path: PathBuf,
    /// The folder that its relative paths start from.
    pub(crate) folder: PathBuf,
    /// Its plan.
    pub(crate) plan: Plan,
    /// Findings in it that stop nothing, but are worth a look.
    pub(crate) warnings: Option<Problems>,
    /// Where it sets each of its values.
    pub(crate) said: Said,
}

/// Pipeline files that are not valid, with everything wrong in each.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(.0))]
pub(crate) struct InvalidPipelines(Vec<(PathBuf, Problems)>);

fn summary(files: &[(PathBuf, Problems)]) -> String {
    let names: Vec<String> = files.iter().map(|(path, _)| format!("`{}`", path.display())).collect();
    let verb = if names.len() == 1 { "is not a valid pipeline file" } else { "are not valid pipeline files" };
    format!("{} {verb}", names.join(", "))
}

impl InvalidPipelines {
    /// One invalid file.
    pub(crate) fn of(path: &Path, problems: Problems) -> Self {
        InvalidPipelines(vec![(path.to_owned(), problems)])
    }

    /// The problems for people.
    pub(crate) fn render(&self, color: bool) -> String {
        let texts: Vec<String> = self.0.iter().map(|(_, problems)| rendered(problems, color)).collect();
        texts.join("\n")
    }

    /// The problems for machines: a list, each with its file.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let problems = self.0.iter().map(|(path, problems)| {
            let list = serde_json::to_value(problems).unwrap_or_default();
            serde_json::json!({ "file": path, "problems": list })
        });
        problems.collect()
    }
}

/// Problems for people.
pub(crate) fn rendered(problems: &Problems, color: bool) -> String {
    if color { problems.to_colored() } else { problems.to_string() }
}

/// Reads and checks every file; an error holds everything wrong in all of them.
pub(crate) fn read(args: &PipelineArgs) -> anyhow::Result<Vec<PipelineFile>> {
    let overrides = Overrides { target: args.target.clone(), set: args.set.clone() };
    let (mut valid, mut invalid) = (Vec::new(), Vec::new());
    for path in &args.files {
        let path = &found(path);
        let text = read_text(path)?;
        match pipeline::examine(&path.to_string_lossy(), &text, &overrides) {
            Ok(Checked { plan, warnings, said }) => {
                valid.push(PipelineFile { path: path.clone(), folder: folder_of(path), plan, warnings, said });
            }
            Err(problems) => invalid.push((path.clone(), problems)),
        }
    }
    if invalid.is_empty() { Ok(valid) } else { Err(InvalidPipelines(invalid).into()) }
}

/// How long reading pipeline files may take.
const IN_TIME: Duration = Duration::from_secs(10);

/// As [`read`], without blocking a thread of the reactor, and with a time-out: a process that serves reads again and
/// again, and must not hang with a file system.
pub(crate) async fn read_in_time(args: &PipelineArgs) -> anyhow::Result<Vec<PipelineFile>> {
    let asked = args.clone();
    let looked = outside::in_time(IN_TIME, move || read(&asked)).await;
    looked.map_err(|error| {
        let names: Vec<String> = args.files.iter().map(|path| format!("`{}`", path.display())).collect();
        let failure = Failure::new(ExitCode::Usage, format!("cannot read {}", names.join(", ")));
        failure.hint(error.hint().unwrap_or("try again")).caused_by(error)
    })?
}

/// Refuses files of one process that share what each pipeline needs for itself: a layer, or one within another, a queue, or the file. Two
/// pipelines there would take each other's messages.
///
/// # Errors
/// The first two files that share something, and what they share.
pub(crate) fn refuse_shared(files: &[PipelineFile]) -> Result<(), Failure> {
    let mut places: Vec<(&PipelineFile, &'static str, String)> = Vec::new();
    for file in files {
        let mut own: Vec<(&'static str, String)> = Vec::new();
        let lake = &file.plan.lake;
        for (name, location) in [("bronze", &lake.bronze), ("silver", &lake.silver), ("gold", &lake.gold)] {
            own.push((name, place_of(location, &file.folder)));
        }
        own.push(match &file.plan.queue.url {
            Some(url) => ("queue", slashed(url.as_str())),
            None => ("queue", slashed(&real(&queue_path(&file.plan, &file.folder)).to_string_lossy())),
        });
        for (what, place) in &own {
            let shared = places
                .iter()
                .find(|(_, _, other)| place.starts_with(other.as_str()) || other.starts_with(place.as_str()));
            if let Some((other, theirs, _)) = shared {
                let (path, others) = (file.path.display(), other.path.display());
                let message = format!(
                    "`{what}` of pipeline `{}` ({path}) and `{theirs}` of pipeline `{}` ({others}) are one place, or one within the other",
                    file.plan.name, other.plan.name
                );
                let hint = "each pipeline needs layers and a queue of its own: name other places in `[lake]` and `[queue]`, or another `name` in \
                            `[pipeline]`; the same pipeline on many hosts is one file, started on each";
                return Err(Failure::new(ExitCode::Usage, message).hint(hint));
            }
        }
        places.extend(own.into_iter().map(|(what, place)| (file, what, place)));
    }
    Ok(())
}

/// A place as a text that begins with the texts of the folders around it.
fn place_of(location: &Location, folder: &Path) -> String {
    match location {
        Location::Local(path) => slashed(&real(&folder.join(path)).to_string_lossy()),
        Location::Remote(url) => slashed(url.as_str()),
    }
}

fn slashed(place: &str) -> String {
    format!("{}/", place.trim_end_matches('/'))
}

/// A path with links resolved, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    match there {
        Some((there, real)) => real.join(path.strip_prefix(there).unwrap_or(Path::new(""))),
        None => path.clone(),
    }
}

/// Says on stderr what in valid files is worth a look.
pub(crate) fn warn(files: &[PipelineFile], context: &Context) -> anyhow::Result<()> {
    for warnings in files.iter().filter_map(|file| file.warnings.as_ref()) {
        context.output.notice(rendered(warnings, context.output.stderr_color()).trim_end())?;
    }
    Ok(())
}

/// The file itself; if a plain `pipeline.toml` is not here, the nearest one upwards, as `plugin` finds its project. Says which one
/// it took.
fn found(path: &Path) -> PathBuf {
    if path != Path::new(DEFAULT) || path.exists() {
        return path.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let above = here.ancestors().skip(1).position(|folder| folder.join(DEFAULT).is_file());
    let Some(above) = above else { return path.to_owned() };
    let found = Path::new(&"../".repeat(above + 1)).join(DEFAULT);
    // On stderr: stdout holds only the result.
    let _ = writeln!(
        std::io::stderr().lock(),
        "note: taking `{}`: there is no `{DEFAULT}` in this folder",
        found.display()
    );
    found
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    outside::read_text(path, outside::MOST_TEXT).map_err(|error| {
        let missing = "name the file, run this in a project or below it, or make one with `sluicebox init NAME`";
        let hint = error.hint().unwrap_or(missing);
        Failure::new(ExitCode::Usage, format!("cannot read `{}`", path.display())).hint(hint).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_name_starts_from_here() {
        assert_eq!(folder_of(Path::new("pipeline.toml")), PathBuf::from("."));
        assert_eq!(folder_of(Path::new("a/pipeline.toml")), PathBuf::from("a"));
    }
}
