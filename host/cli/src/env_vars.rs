//! Every environment variable that the program itself reads, in one place. `sluicebox --help` prints the same list.
//!
//! Does not name the variables that a pipeline file refers to by `env:NAME`: those belong to the file.

/// The log filter, as `--log-level`.
pub(crate) const LOG: &str = "SLUICEBOX_LOG";
/// The log format, as `--log-format`.
pub(crate) const LOG_FORMAT: &str = "SLUICEBOX_LOG_FORMAT";
/// Where compiled plugins are kept, as `--cache-dir`.
pub(crate) const CACHE_DIR: &str = "SLUICEBOX_CACHE_DIR";
/// How much memory this process may have, as `--memory`.
pub(crate) const MEMORY: &str = "SLUICEBOX_MEMORY";
/// The digest of the list of compiled plugins in a function's bundle, as `deploy bundle` prints it.
pub(crate) const BUNDLE: &str = "SLUICEBOX_BUNDLE";
/// Any value but an empty one switches colours off, unless `--color always` is given.
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// The cargo that builds plugins; `cargo` if it is not set.
pub(crate) const CARGO: &str = "CARGO";
/// The rustc that is asked for its targets; `rustc` if it is not set. Cargo reads this variable, too.
pub(crate) const RUSTC: &str = "RUSTC";

/// Where a run answers probes and metrics, as `run --listen`.
pub(crate) const LISTEN: &str = "SLUICEBOX_LISTEN";
/// The role of a function, as `lambda --role`.
pub(crate) const ROLE: &str = "SLUICEBOX_ROLE";
/// The pipeline file of a function, as `lambda --pipeline`.
pub(crate) const PIPELINE: &str = "SLUICEBOX_PIPELINE";
/// The target of a function, as `lambda --target`.
pub(crate) const TARGET: &str = "SLUICEBOX_TARGET";
/// Values that replace those of the file, one a line, as `lambda --set`.
pub(crate) const SET: &str = "SLUICEBOX_SET";
/// Whether S3 itself notifies the next stages, as `lambda --notifications`.
pub(crate) const NOTIFICATIONS: &str = "SLUICEBOX_NOTIFICATIONS";
/// Where the Runtime API of Lambda answers, `HOST:PORT`; Lambda sets it.
pub(crate) const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// The folder of a function's bundle; Lambda sets it.
pub(crate) const TASK_ROOT: &str = "LAMBDA_TASK_ROOT";

/// Where traces are sent: the collector's base URL. Without it there are no traces.
pub(crate) const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The whole URL for traces, instead of the base URL.
pub(crate) const OTLP_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Headers for the collector, `NAME=VALUE,…`.
pub(crate) const OTLP_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// The program's name in traces.
pub(crate) const OTEL_SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Where cargo keeps the sources of dependencies; `.cargo` in the home folder if it is not set.
pub(crate) const CARGO_HOME: &str = "CARGO_HOME";

/// The part of the long help that lists these variables.
pub(crate) const HELP: &str = "\
Environment:
  SLUICEBOX_LOG         the log filter, as --log-level
  SLUICEBOX_LOG_FORMAT  the log format, as --log-format
  SLUICEBOX_CACHE_DIR   where compiled plugins are kept, as --cache-dir
  SLUICEBOX_MEMORY      how much memory the process may have, as --memory
  XDG_CACHE_HOME, XDG_DATA_HOME
                        where a user's compiled plugins and their key are kept, below `sluicebox`
  SLUICEBOX_BUNDLE      of a function of AWS Lambda: the digest that `deploy bundle` told
  SLUICEBOX_LISTEN      where a run answers probes and metrics, as --listen
  SLUICEBOX_ROLE, SLUICEBOX_PIPELINE, SLUICEBOX_TARGET, SLUICEBOX_SET, SLUICEBOX_NOTIFICATIONS
                        of a function of AWS Lambda, as the options of `sluicebox lambda`; of SLUICEBOX_SET one a line
  AWS_LAMBDA_RUNTIME_API, LAMBDA_TASK_ROOT
                        set by Lambda: where it is asked for work, and the folder of the bundle
  OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME
                        where traces are sent (OTLP over HTTP, JSON), as for every OpenTelemetry tool; none without an endpoint
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
            super::LISTEN,
            super::ROLE,
            super::PIPELINE,
            super::TARGET,
            super::SET,
            super::NOTIFICATIONS,
            super::RUNTIME_API,
            super::TASK_ROOT,
            super::OTLP_ENDPOINT,
            super::OTLP_TRACES_ENDPOINT,
            super::OTLP_HEADERS,
            super::OTEL_SERVICE_NAME,
        ] {
            assert!(super::HELP.contains(name), "{name} is missing");
        }
    }
}
