//! From wasmtime's errors to the seam's faults: kind, code and message.
//!
//! Does not decide what happens to the record: the engine does, by the kind.

use std::fmt::Write as _;

use pipeline::plan::Limits;
use seams::foreign::inert;
use seams::plugin::{Fault, FaultKind};
use wasmtime::{Trap, WasmBacktrace};

use crate::fault::{Phase, bad_output, bytes, fault, host_fault};
use crate::limits::{Exceeded, MAX_HANDLES};

/// Turns an error of a guest call under `limits` into a fault.
pub(crate) fn classify(error: wasmtime::Error, phase: Phase, limits: &Limits) -> Fault {
    let backtrace = error.downcast_ref::<WasmBacktrace>().filter(|trace| !trace.frames().is_empty()).map(render);
    let error = match error.downcast::<Fault>() {
        Ok(fault) => return Fault { backtrace: fault.backtrace.clone().or(backtrace), ..fault },
        Err(error) => error,
    };
    let mut fault = if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        exceeded.fault(phase)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        of_trap(*trap, limits)
    } else {
        of_text(&error, limits.output)
    };
    match phase {
        Phase::Instantiate => fault.message.push_str(", while instantiating"),
        Phase::Configure => fault.message.push_str(", in `configure`"),
        Phase::Call => {}
    }
    fault.backtrace = backtrace;
    fault
}

fn of_trap(trap: Trap, limits: &Limits) -> Fault {
    match trap {
        // A trap, not a timeout: the same record costs the same fuel whenever it is tried again.
        Trap::OutOfFuel => {
            let limit = limits.fuel.unwrap_or_default();
            fault(FaultKind::Trap, "P102", format!("plugin ran out of fuel: limit {limit} units, used all of them"))
        }
        Trap::StackOverflow => fault(FaultKind::Stack, "P112", "call stack exhausted"),
        Trap::StringOutOfBounds | Trap::ListOutOfBounds | Trap::UnalignedPointer | Trap::InvalidDiscriminant => {
            bad_output("P121", format!("plugin passed a bad pointer or tag: {}", words(trap)))
        }
        Trap::InvalidChar => bad_output("P122", format!("plugin passed invalid text: {}", words(trap))),
        Trap::CannotEnterComponent | Trap::CannotLeaveComponent => {
            fault(FaultKind::Trap, "P113", format!("plugin was called while it was being called: {}", words(trap)))
        }
        _ => fault(FaultKind::Trap, "P101", format!("plugin trapped: {}", words(trap))),
    }
}

fn words(trap: Trap) -> String {
    let text = trap.to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
}

/// Errors for which wasmtime has no public type. The texts are those of the version that `Cargo.toml` pins; the tests in
/// `tests/misbehave.rs` fail when one of them changes.
fn of_text(error: &wasmtime::Error, output: u64) -> Fault {
    let text = error.root_cause().to_string();
    let has = |part: &str| text.contains(part);
    if has("fuel allocated for hostcalls") {
        bad_output("P120", format!("plugin passed more than {} in one call", bytes(output)))
    } else if error.is::<std::str::Utf8Error>() || has("utf-8") || has("utf8") || has("utf16") {
        bad_output("P122", format!("plugin passed invalid text: {text}"))
    } else if has("out of bounds") || has("not aligned") || has("discriminant") {
        bad_output("P121", format!("plugin passed a bad pointer or tag: {text}"))
    } else if has("store handle limit") || has("cannot allocate another handle") {
        fault(FaultKind::Memory, "P150", format!("plugin holds more than {MAX_HANDLES} resource handles"))
    } else if has("borrow") || has("handle") || has("resource type") || has("not a resource") {
        fault(FaultKind::Trap, "P151", format!("plugin misused a resource handle: {text}"))
    } else if has("resource limit exceeded") {
        fault(FaultKind::Memory, "P110", text)
    } else {
        host_fault(format!("call failed in the host: {error:#}"))
    }
}

/// Bytes of a backtrace that are shown: its names come from the plugin.
const MAX_TRACE: usize = 16 << 10;

/// One line a frame, as wasmtime prints them (demangled) without its heading.
fn render(trace: &WasmBacktrace) -> String {
    let mut text = Bounded(String::new());
    // What does not fit is left out.
    let _ = write!(text, "{trace}");
    let frames: Vec<_> = text.0.lines().skip(1).map(|line| inert(line.trim())).collect();
    frames.join("\n")
}

/// Text that takes no more than [`MAX_TRACE`] bytes.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        let room = MAX_TRACE.saturating_sub(self.0.len());
        self.0.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
        if more.len() > room { Err(std::fmt::Error) } else { Ok(()) }
    }
}
