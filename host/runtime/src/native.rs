//! Machine code becomes a component that can be called: the one place where what was compiled is believed.
//!
//! Does not read files and does not check seals: `kept` does, before anything comes here.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The component that `code` is. Code of another version, of other settings or for another processor is an error.
pub(crate) fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(
        unsafe_code,
        reason = "compiled once, run by many processes: wasmtime cannot know where code has been in between"
    )]
    // SAFETY: the bytes are what `Engine::precompile_component` gave, in this process or in a worker that this process has started and read
    // from itself; or they come from a file whose seal was checked with this user's key or with a digest that came another way (`kept`), and
    // were put there by such a process. They are read from memory, so that nobody changes them after the check.
    unsafe {
        Component::deserialize(engine, code)
    }
}
