//! Components as files: read, described, and run by a runtime that keeps what it compiles.
//!
//! Does not build them.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use runtime::worker::WorkerProgram;
use runtime::{Options, WasmPlugins};

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::project::PluginCrate;

/// The argument that makes this program a worker. No command: it is not for people.
pub(crate) const WORKER: &str = "guest-worker";

/// A runtime whose compiled code is kept for a project. Outside of one, only `--cache-dir` keeps it: what lies in a cache is
/// executed, so it is never put where others may write.
pub(crate) fn runtime(context: &Context, project: Option<&Path>) -> anyhow::Result<WasmPlugins> {
    let cache_dir = project.map(|folder| context.cache_dir(folder)).or_else(|| context.cache_dir.clone());
    let options = Options { cache_dir, worker: worker(), ..Options::default() };
    WasmPlugins::new(options).map_err(|error| {
        let failure = Failure::new(ExitCode::Unavailable, "cannot run plugins on this machine");
        failure.caused_by(error).hint("name another folder for compiled plugins with `--cache-dir DIR`").into()
    })
}

/// This very program as a worker. Where it cannot be found again, there are no workers.
fn worker() -> Option<WorkerProgram> {
    let program = std::env::current_exe().ok()?;
    Some(WorkerProgram { program, args: vec![WORKER.into()] })
}

/// The bytes of a component's file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Bytes> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(bytes.into())
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

/// Whether a source is newer than the component. A build that changes nothing renews the component's time, too.
fn is_stale(plugin: &PluginCrate, component: &Path) -> std::io::Result<bool> {
    let built = component.metadata()?.modified()?;
    let newer = |path: &Path| path.metadata().and_then(|data| data.modified()).is_ok_and(|changed| changed > built);
    let sources = std::fs::read_dir(plugin.dir.join("src"))?.flatten().map(|entry| entry.path());
    Ok(newer(&plugin.manifest()) || sources.into_iter().any(|path| newer(&path)))
}
