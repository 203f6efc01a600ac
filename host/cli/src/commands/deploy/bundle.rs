//! `sluicebox deploy bundle`: the one zip file that all functions of a pipeline run. The program that will run the plugins also compiles
//! them, so that nothing is compiled when a function starts.
//!
//! Does not upload it. The same program, file and components make the same entries.

use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use local::outside;
use pipeline::plan::{Location, Plan};
use seams::plugin::Digest;
use serde_json::json;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::built::ArchName;
use super::program;
use super::which::Which;
use crate::compose::Shared;
use crate::context::{Compiled, Context};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::load::{Loading, load};
use crate::output::size;
use crate::pipelines::PipelineFile;
use crate::plugins::component;
use crate::project::write_whole;
use crate::published::Published;

/// The most bytes that the entries of a function's bundle may have together: Lambda's own limit.
const MAX_UNPACKED: u64 = 250 << 20;

/// Make the zip file that a pipeline's functions run, with its plugins compiled
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Makes the zip file that all functions of a pipeline run: this program as `bootstrap`, the pipeline file, its components with \
their signatures, and what this program compiles them to, so that a function that starts compiles nothing.

Plugins at `s3://` are compiled as they are now; the functions look for newer ones there.")]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// For which processor; it has to be this machine's
    #[arg(long, value_enum, default_value_t = ArchName::HERE)]
    arch: ArchName,

    /// Where to write it [default: PIPELINE.zip, by the pipeline's name]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Makes the bundle.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let file = args.which.read(context)?;
    refuse_other(args.arch)?;
    let program = program::read()?;
    let cache =
        tempfile::Builder::new().prefix("sluicebox-").tempdir().context("cannot make a folder to compile in")?;
    let mut entries = vec![Entry { name: "bootstrap".to_owned(), bytes: program.into(), is_program: true }];
    entries.push(Entry::new("pipeline.toml", component::read_of(&file.path, outside::MOST_TEXT)?));
    entries.extend(components(&file)?);
    compile(&file, cache.path(), context).await?;
    entries.extend(compiled(cache.path())?);
    let (name, list) = runtime::list_of_shipped(cache.path()).context("cannot read what was compiled")?;
    let digest = Digest::of(&list);
    entries.push(Entry::new(format!("cache/{name}"), list));
    let unpacked: u64 = entries.iter().map(|entry| entry.bytes.len() as u64).sum();
    if unpacked > MAX_UNPACKED {
        let text = format!("the bundle has {} unpacked, Lambda takes {}", size(unpacked), size(MAX_UNPACKED));
        let hint = "use a release build of this program, or put large plugins at `s3://`";
        return Err(Failure::new(ExitCode::Usage, text).hint(hint).into());
    }
    let output = args.output.unwrap_or_else(|| PathBuf::from(format!("{}.zip", file.plan.name)));
    let zip = zip(&entries).context("cannot make the zip file")?;
    write_whole(&output, &zip)?;
    report(&output, &zip, (&entries, &digest), &file.plan, context)?;
    Ok(ExitCode::Success)
}

/// A bundle holds this program and the plugins that it compiles: both are for the processor that it runs on.
fn refuse_other(arch: ArchName) -> Result<(), Failure> {
    if arch == ArchName::HERE {
        return Ok(());
    }
    let (wanted, here) = (arch.name(), ArchName::HERE.name());
    let text = format!("a bundle for {wanted} needs a build of this program for {wanted}, and this one is for {here}");
    let hint = format!(
        "run `sluicebox deploy bundle` where that build runs: on a machine or a CI runner of {wanted}, or in a container \
         (`docker build --platform linux/{}`, under QEMU); or deploy with `--arch {here}`",
        if arch == ArchName::Arm64 { "arm64" } else { "amd64" }
    );
    Err(Failure::new(ExitCode::Usage, text).hint(hint))
}

/// A file of the bundle.
struct Entry {
    name: String,
    bytes: Bytes,
    is_program: bool,
}

impl Entry {
    fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Entry { name: name.into(), bytes: bytes.into(), is_program: false }
    }
}

/// The components of this machine, each with its signature if it has one, at the paths in the pipeline file.
fn components(file: &PipelineFile) -> anyhow::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, stage) in file.plan.stages() {
        let published = Published::component(&stage.plugin, &file.folder);
        let Some(path) = published.path() else { continue };
        let inside = path.strip_prefix(&file.folder).ok().and_then(inside);
        let Some(inside) = inside else {
            let text = format!("the plugin of `{name}` lies at `{}`, outside of the pipeline's folder", path.display());
            let hint = "a bundle has what is below the pipeline file: put it there, or at `s3://BUCKET/KEY`";
            return Err(Failure::new(ExitCode::Usage, text).hint(hint).into());
        };
        if entries.iter().any(|entry| entry.name == inside) {
            continue;
        }
        // If the component is missing, loading says what to do.
        if let Ok(component) = component::read(path) {
            entries.push(Entry::new(inside.clone(), component));
        }
        if let Some(signature) = published.signature().path().filter(|path| path.is_file()) {
            entries.push(Entry::new(format!("{inside}.sig"), component::read_of(signature, outside::MOST_SIGNATURE)?));
        }
    }
    Ok(entries)
}

/// A relative path with `/`, if it does not lead upwards.
fn inside(path: &Path) -> Option<String> {
    let names = path.components().filter(|part| *part != Component::CurDir).map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("/"))
}

/// Loads every plugin, as the functions will, with an empty cache.
async fn compile(file: &PipelineFile, cache: &Path, context: &Context) -> anyhow::Result<()> {
    let context = Context { compiled: Compiled::ForBundle(cache.to_owned()), ..context.clone() };
    let shared = Shared::new(std::slice::from_ref(file), &context)?;
    load(Loading::by_files(file, &shared)).await.map(drop)
}

fn compiled(cache: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![cache.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(inside) = path.strip_prefix(cache).ok().and_then(inside) {
                entries.push(Entry::new(format!("cache/{inside}"), std::fs::read(&path)?));
            }
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn zip(entries: &[Entry]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for entry in entries {
        // The time of every entry is the earliest that the format allows, so that equal entries make equal files.
        let mode = if entry.is_program { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(9))
            .unix_permissions(mode);
        zip.start_file(entry.name.as_str(), options)?;
        zip.write_all(&entry.bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn report(
    output: &Path,
    zip: &[u8],
    (entries, compiled): (&[Entry], &Digest),
    plan: &Plan,
    context: &Context,
) -> anyhow::Result<()> {
    let digest = Digest::of(zip);
    let short: String = digest.as_str().trim_start_matches("sha256:").chars().take(12).collect();
    let unpacked: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    let listed: Vec<_> =
        entries.iter().map(|entry| json!({ "name": entry.name, "bytes": entry.bytes.len() })).collect();
    let told = json!({ "file": output, "arch": ArchName::HERE.name(), "bytes": zip.len(), "unpacked_bytes": unpacked, "digest": digest.as_str(), "compiled_digest": compiled.as_str(), "entries": listed });
    context.output.report(&told, |_| {
        let mut text = format!(
            "{}: {} zipped, {} unpacked, {} files, {digest}\n",
            output.display(),
            size(zip.len() as u64),
            size(unpacked as u64),
            entries.len(),
        );
        if matches!(plan.source.location, Location::Local(_)) {
            text.push_str("note: the source is a file of this machine, which the functions do not have\n");
        }
        text.push_str(&format!(
            "next: put it into a bucket under a name of its own, such as `{}-{short}.zip`, so that the functions see that it is another\n",
            plan.name,
        ));
        text.push_str(&format!(
            "      and set the parameter `CodeDigest` of the stack to {compiled}: functions run no compiled code but that\n"
        ));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_inside_has_a_place() {
        assert_eq!(inside(Path::new("./plugins/a/a.wasm")).as_deref(), Some("plugins/a/a.wasm"));
        assert_eq!(inside(Path::new("../a.wasm")), None);
        assert_eq!(inside(Path::new("/a.wasm")), None);
    }

    #[test]
    fn a_bundle_for_another_processor_says_what_it_needs() {
        let other = if ArchName::HERE == ArchName::Arm64 { ArchName::X86_64 } else { ArchName::Arm64 };
        assert!(refuse_other(ArchName::HERE).is_ok());
        let told = refuse_other(other).unwrap_err().to_string();
        assert!(told.contains(other.name()) && told.contains(ArchName::HERE.name()), "{told}");
    }

    #[test]
    fn equal_entries_make_equal_files() {
        let entries = || {
            let bootstrap = Entry { name: "bootstrap".to_owned(), bytes: vec![1; 9].into(), is_program: true };
            zip(&[bootstrap, Entry::new("pipeline.toml", b"[pipeline]".to_vec())]).unwrap()
        };
        assert_eq!(entries(), entries());
        let mut read = zip::ZipArchive::new(std::io::Cursor::new(entries())).unwrap();
        let modes: Vec<_> = (0..2).map(|at| read.by_index(at).unwrap().unix_mode().map(|mode| mode & 0o777)).collect();
        assert_eq!(modes, [Some(0o755), Some(0o644)]);
    }
}
