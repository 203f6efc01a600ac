//! Components as files: read, described, and run by a runtime that caches compiled code.
//!
//! Does not build them.

use std::path::Path;

use bytes::Bytes;
use local::outside::{self, OutsideError};
use runtime::worker::WorkerProgram;
use runtime::{Cache, Options, SetupError, Trust, WasmPlugins};

use crate::context::{Compiled, Context};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::project::PluginCrate;

/// The argument that makes this program a worker. It is no command: it is not for people.
pub(crate) const WORKER: &str = "guest-worker";

/// A runtime that caches compiled code where only this user can write. Without such a place it caches nothing and says so: that costs
/// time at the next start, and stops no run.
pub(crate) fn runtime(context: &Context) -> anyhow::Result<WasmPlugins> {
    let shipped = match &context.compiled {
        Compiled::InFunction { shipped, .. } => Some(shipped.clone()),
        Compiled::ByUser(_) | Compiled::ForBundle(_) => None,
    };
    let trust = match &context.compiled {
        Compiled::ForBundle(_) => Some(Trust::Nothing),
        _ => context.cache_key().map(Trust::Key),
    };
    let cache = context.cache_dir().zip(trust).map(|(dir, trust)| Cache { dir, trust });
    let options = Options { cache, shipped, worker: worker(), memory: context.memory, ..Options::default() };
    match WasmPlugins::new(options.clone()) {
        Err(SetupError::Cache(why)) if matches!(context.compiled, Compiled::ByUser(_)) => {
            tracing::warn!("compiled plugins are not kept, each start compiles them: {why}");
            WasmPlugins::new(Options { cache: None, ..options })
        }
        other => other,
    }
    .map_err(|error| {
        let failure = Failure::new(ExitCode::Unavailable, "cannot run plugins on this machine");
        failure.caused_by(error).hint("name another folder for compiled plugins with `--cache-dir DIR`").into()
    })
}

/// This program as a worker. If its file cannot be found, there are no workers.
fn worker() -> Option<WorkerProgram> {
    let program = std::env::current_exe().ok()?;
    Some(WorkerProgram { program, args: vec![WORKER.into()] })
}

/// The bytes of a component's file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Bytes> {
    read_of(path, outside::MOST_COMPONENT)
}

/// The bytes of a file that may come from another author, at most `most`.
pub(crate) fn read_of(path: &Path, most: u64) -> anyhow::Result<Bytes> {
    outside::read(path, most).map_err(|error| cannot_read(path, error))
}

/// The error that a file cannot be read, with what to do.
pub(crate) fn cannot_read(path: &Path, error: OutsideError) -> anyhow::Error {
    let failure = Failure::new(ExitCode::Wrong, format!("cannot read `{}`", path.display()));
    match error.hint() {
        Some(hint) => failure.hint(hint).caused_by(error).into(),
        None => failure.caused_by(error).into(),
    }
}

/// The bytes of a crate's component. Says so on stderr if its sources are newer.
pub(crate) fn read_built(plugin: &PluginCrate, context: &Context) -> anyhow::Result<Bytes> {
    let path = plugin.component();
    if !path.is_file() {
        return Err(Failure::new(ExitCode::Unavailable, format!("the plugin `{}` is not built yet", plugin.name))
            .hint(format!("run `sluicebox plugin build {}`", plugin.name))
            .into());
    }
    if is_stale(plugin, &path).unwrap_or(false) {
        let name = &plugin.name;
        context.output.notice(&format!(
            "note: the sources of `{name}` are newer than its component: `sluicebox plugin build {name}`"
        ))?;
    }
    read(&path)
}

/// Whether a source is newer than the component. A build without a change renews the component's time, too.
fn is_stale(plugin: &PluginCrate, component: &Path) -> std::io::Result<bool> {
    let built = component.metadata()?.modified()?;
    let newer = |path: &Path| path.metadata().and_then(|data| data.modified()).is_ok_and(|changed| changed > built);
    let sources = std::fs::read_dir(plugin.dir.join("src"))?.flatten().map(|entry| entry.path());
    Ok(newer(&plugin.manifest()) || sources.into_iter().any(|path| newer(&path)))
}
