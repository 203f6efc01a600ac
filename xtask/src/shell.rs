//! Answers for starting other programs: every command is printed before it runs, and a failure names the command.
//!
//! Does not interpret what a program prints, and never goes through a shell: arguments are passed as they are.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the workspace that this xtask was compiled in.
pub(crate) fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A `cargo` of the toolchain that runs this xtask, with the workspace root as its working directory.
///
/// Without the variables that cargo set for this xtask: build scripts read them (`ring`'s does), and everything that depends on them
/// would be compiled again whenever a developer calls cargo without xtask in between.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace_root());
    let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| own.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
}

/// What cargo knows about the workspace, its members only.
pub(crate) fn metadata() -> Result<Value> {
    told_by_cargo(&["--no-deps"])
}

/// What cargo knows about the workspace and everything that it depends on, as the lock says.
pub(crate) fn resolved() -> Result<Value> {
    told_by_cargo(&["--locked"])
}

fn told_by_cargo(more: &[&str]) -> Result<Value> {
    let text = read(cargo().args(["metadata", "--format-version", "1"]).args(more))?;
    serde_json::from_str(&text).context("`cargo metadata` printed no JSON")
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let folder = metadata()?.get("target_directory").and_then(Value::as_str).map(PathBuf::from);
    folder.context("`cargo metadata` names no target folder")
}

/// Prints the current step, in the form that all verbs share.
pub(crate) fn step(what: impl AsRef<str>) {
    eprintln!("xtask: {}", what.as_ref());
}

/// Runs a command with the terminal as its output and fails unless it exits with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    eprintln!("  $ {shown}");
    let status = command.status().map_err(|e| not_started(&shown, command, &e))?;
    succeeded(&shown, status)
}

/// Runs a command quietly and hands back its standard output; its error output appears only when it fails.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|e| not_started(&shown, command, &e))?;
    if !status.success() {
        eprint!("{}", String::from_utf8_lossy(&stderr));
    }
    succeeded(&shown, status)?;
    String::from_utf8(stdout).with_context(|| format!("`{shown}` printed something that is not UTF-8"))
}

/// Runs a command that must not hold up the work: killed when `limit` has passed.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let shown = shown(command);
    eprintln!("  $ {shown}");
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|e| not_started(&shown, command, &e))?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return succeeded(&shown, status);
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("`{shown}` was stopped after {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether a program of that name is on the `PATH`.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn succeeded(shown: &str, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

fn not_started(shown: &str, command: &Command, error: &io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() == io::ErrorKind::NotFound {
        anyhow::anyhow!("`{program}` was not found, needed for `{shown}`")
    } else {
        anyhow::anyhow!("`{shown}` did not start: {error}")
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '"', '\'', '$', '\u{1f}']) {
        format!("{word:?}")
    } else {
        word.into_owned()
    }
}
