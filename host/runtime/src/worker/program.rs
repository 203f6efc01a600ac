//! The program that is started as a worker process, and the meaning of its exit status.
//!
//! Does not wait for it, nor speak with it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// How a worker is started: a program that calls [`run`](super::run) with what follows `args`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerProgram {
    /// The program's file.
    pub program: PathBuf,
    /// Arguments that make it call [`run`](super::run).
    pub args: Vec<OsString>,
}

impl WorkerProgram {
    pub(super) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(verb).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// How a process ended, as text.
pub(super) fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("ended with code {code}"),
        None => "ended".to_owned(),
    }
}
