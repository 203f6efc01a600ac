//! The program's exit codes. One enum, one meaning each; `sluicebox --help` prints the same list.
//!
//! Does not choose a command's code: its `execute` does, or the [`crate::failure::Failure`] that it returns.

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExitCode {
    /// Everything was done, and nothing is wrong.
    Success,
    /// The work ended with something wrong: a record is not terminal, a test case differs, a build failed.
    Wrong,
    /// The command line or a pipeline file is invalid; nothing was done.
    Usage,
    /// Something that the command needs is not there now: a toolchain, a service, a secret.
    Unavailable,
    /// Stopped by a signal, in good order.
    Interrupted,
}

impl ExitCode {
    /// The number for the operating system.
    pub(crate) fn number(self) -> u8 {
        match self {
            ExitCode::Success => 0,
            ExitCode::Wrong => 1,
            ExitCode::Usage => 2,
            ExitCode::Unavailable => 3,
            ExitCode::Interrupted => 130,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code.number())
    }
}

/// The part of the long help that lists the codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0    everything was done, and nothing is wrong
  1    the work ended with something wrong: records that are not terminal, test cases that differ, a failed build
  2    the command line or a pipeline file is invalid; nothing was done
  3    something that the command needs is not available: a toolchain, a service, a secret; or a command that
       looks (status, records, explain, history, quarantine) could not read all that it was asked for
  130  interrupted by a signal, in good order";
