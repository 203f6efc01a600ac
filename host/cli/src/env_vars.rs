//! Every environment variable that the program itself reads, in one place. `sluicebox --help` prints the same list.
//!
//! Does not name the variables that a pipeline file refers to by `env:NAME`: those belong to the file.

/// The log filter, as `--log-level`.
pub(crate) const LOG: &str = "SLUICEBOX_LOG";
/// The log format, as `--log-format`.
pub(crate) const LOG_FORMAT: &str = "SLUICEBOX_LOG_FORMAT";
/// Where compiled plugins are kept, as `--cache-dir`.
pub(crate) const CACHE_DIR: &str = "SLUICEBOX_CACHE_DIR";
/// Any value but an empty one switches colours off, unless `--color always` is given.
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// The cargo that builds plugins; `cargo` if it is not set.
pub(crate) const CARGO: &str = "CARGO";
/// The rustc that is asked for its targets; `rustc` if it is not set. Cargo reads it as well.
pub(crate) const RUSTC: &str = "RUSTC";

/// Where cargo keeps the sources of dependencies; `.cargo` in the home folder if it is not set.
pub(crate) const CARGO_HOME: &str = "CARGO_HOME";

/// The part of the long help that lists them.
pub(crate) const HELP: &str = "\
Environment:
  SLUICEBOX_LOG         the log filter, as --log-level
  SLUICEBOX_LOG_FORMAT  the log format, as --log-format
  SLUICEBOX_CACHE_DIR   where compiled plugins are kept, as --cache-dir
  NO_COLOR              any value switches colours off, unless --color always is given
  CARGO, RUSTC          the toolchain that builds plugins; `cargo` and `rustc` if not set
  CARGO_HOME            where its sources are, to keep their paths out of plugins; `.cargo` in the home folder if not set
  AWS_*                 region, profile, credentials and endpoints, as for every AWS tool; read when a place is in AWS";

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_names_every_variable() {
        for name in [
            super::LOG,
            super::LOG_FORMAT,
            super::CACHE_DIR,
            super::NO_COLOR,
            super::CARGO,
            super::RUSTC,
            super::CARGO_HOME,
        ] {
            assert!(super::HELP.contains(name), "{name} is missing");
        }
    }
}
