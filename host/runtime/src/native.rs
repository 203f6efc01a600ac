//! Machine code becomes a component that can be called: the only place that trusts compiled code.
//!
//! Does not read files and does not check seals: `kept` does, before anything comes here.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The component in `code`. Fails if the code is from another version, from other settings or for another processor.
pub(crate) fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(
        unsafe_code,
        reason = "compiled once, run by many processes: wasmtime cannot know where code has been in between"
    )]
    // SAFETY: the bytes are what `Engine::precompile_component` gave, in this process or in a worker that this process has started and read
    // from itself; or they come from a file whose seal was checked with this user's key or with a digest that came another way (`kept`), and
    // were written by such a process. They are read from memory, so that no process can change them after the check.
    unsafe {
        Component::deserialize(engine, code)
    }
}
