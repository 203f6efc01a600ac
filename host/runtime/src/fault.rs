//! How the adapter reports errors: the fault of a call, the refusal of a plugin at load, and sizes as text.
//!
//! Does not say what is wrong: the caller does. What an error of wasmtime means is in `errors`.

use seams::plugin::{Fault, FaultKind, LoadError};

/// What the guest was doing when it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Start functions and initial memory.
    Instantiate,
    /// `configure`.
    Configure,
    /// The call itself.
    Call,
}

/// A fault without backtrace and log.
pub(crate) fn fault(kind: FaultKind, code: &'static str, message: impl Into<String>) -> Fault {
    Fault { kind, code, message: message.into(), backtrace: None, log: Vec::new() }
}

/// A fault of the host's own.
pub(crate) fn host_fault(message: impl Into<String>) -> Fault {
    fault(FaultKind::Host, "P900", message)
}

/// Output that does not fit descriptor or contract.
pub(crate) fn bad_output(code: &'static str, message: impl Into<String>) -> Fault {
    fault(FaultKind::BadOutput, code, message)
}

/// A refusal.
pub(crate) fn refused(code: &'static str, message: impl Into<String>, hint: &str) -> LoadError {
    LoadError { code, message: message.into(), hint: (!hint.is_empty()).then(|| hint.to_owned()) }
}

/// Bytes as text: whole binary units if they divide, else plain bytes.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| count >= *size && count.is_multiple_of(*size)) {
        Some((size, name)) => format!("{} {name}", count / size),
        None => format!("{count} bytes"),
    }
}
