//! Turns a core module that `cargo build` made into a component.
//!
//! Does not compile Rust and does not check the component's world: `inspect` does that.

use thiserror::Error;
use wit_component::ComponentEncoder;

/// Why a core module cannot become a component.
#[derive(Debug, Error)]
#[error(
    "cannot make a component of the module: {0}\nhint: build a `cdylib` for wasm32-unknown-unknown with the plugin SDK's export macro"
)]
pub struct ComponentizeError(String);

/// Wraps a core module in a component. The module says in a custom section, which the SDK's macros write, which world it has.
///
/// # Errors
/// The bytes are no core module, carry no world, or lack one of the world's exports.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    ComponentEncoder::default()
        .module(core_module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| ComponentizeError(format!("{error:#}")))
}
