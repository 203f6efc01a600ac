//! The inert WASI's resources: types without values, because none of them holds anything; and the end of a call that asks for a missing
//! resource.
//!
//! Does not define functions on them: `streams`, `clocks` and `host` do.

use seams::plugin::FaultKind;
use wasmtime::component::ResourceType;

use crate::fault::fault;

/// A stream's or file's error; there are none.
pub(super) struct IoError;
/// What can be waited for; it is ready.
pub(super) struct Pollable;
/// Stdin.
pub(super) struct InputStream;
/// Stdout or stderr.
pub(super) struct OutputStream;
/// What no call gives: files, directories, terminals.
pub(super) struct Nothing;

/// One type for each kind of resource, whichever interface names it.
pub(super) fn resource(name: &str) -> ResourceType {
    match name {
        "error" => ResourceType::host::<IoError>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        _ => ResourceType::host::<Nothing>(),
    }
}

/// The end of a call for a reason of WASI.
pub(super) fn ended(message: String) -> wasmtime::Error {
    wasmtime::Error::new(fault(FaultKind::Trap, "P101", message))
}
