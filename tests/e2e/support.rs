//! The program as its users start it, for process-level tests: a command in a folder, and its result.
//!
//! Does not look inside: no test here links a crate of the host.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// All of stdout.
    pub(crate) stdout: String,
    /// All of stderr.
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts the exit code, and shows everything if it differs.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout, self.stderr))
    }
}

/// A script of this folder in the Python that has the packages of `requirements.txt`.
pub(crate) fn script(name: &str) -> Command {
    let mut python = python();
    python.arg(repository().join("tests/e2e").join(name));
    python
}

/// The Python that has the packages of `requirements.txt`.
pub(crate) fn python() -> Command {
    Command::new(std::env::var_os("SLUICEBOX_TEST_PYTHON").expect(
        "SLUICEBOX_TEST_PYTHON names no Python with the packages of tests/e2e/requirements.txt; run: cargo xtask test",
    ))
}

/// `sluicebox` in a folder, in an environment without our own variables, with plugins compiled to one place for all tests.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicebox"));
    command.current_dir(folder).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins"));
    // A user's own folders, which are not the developer's.
    for name in ["XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        command.env(name, Path::new(env!("CARGO_TARGET_TMPDIR")).join("user"));
    }
    for name in ["SLUICEBOX_LOG", "SLUICEBOX_LOG_FORMAT", "SLUICEBOX_CACHE_DIR", "SLUICEBOX_MEMORY", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// Where components are compiled to, once for all tests: what they run is the same few.
pub(crate) fn compiled_plugins() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins")
}

/// A tick so many minutes ago.
pub(crate) fn minutes_ago(minutes: i64) -> String {
    let then = chrono::Utc::now() - chrono::TimeDelta::minutes(minutes);
    then.format("%Y-%m-%dT%H:%M:00Z").to_string()
}

/// Status and body of a GET.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).expect("somebody listens");
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a time can be set");
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it is taken");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer in text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// Runs a prepared command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the program starts");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// `sluicebox ARGS` in a folder.
pub(crate) fn sluicebox(folder: &Path, args: &[&str]) -> Ran {
    run(command(folder).args(args))
}

/// The repository's folder.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// An empty folder of that name. It has the same path in every run, so that cargo finds what it compiled there before.
pub(crate) fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the folder of an earlier run goes away");
    }
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

/// The same component with another digest: a custom section more (WebAssembly core specification, 5.5.3).
pub(crate) fn another(component: &[u8], number: usize) -> Vec<u8> {
    let content = format!("\x05other{number:05}");
    let length = u8::try_from(content.len()).expect("a short section");
    [component, &[0, length], content.as_bytes()].concat()
}

/// Puts a file in the place of another as publishers do: at once.
pub(crate) fn publish(path: &Path, bytes: &[u8]) {
    let next = path.with_extension("next");
    std::fs::write(&next, bytes).expect("a file can be written beside it");
    std::fs::rename(&next, path).expect("the file takes its place");
}
