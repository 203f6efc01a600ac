//! What all three worlds share: `describe` and `configure`, as the macros of the worlds export them.
//!
//! Not here: the settings themselves (`config`).

use crate::columns::{Field, InputField, OutputField, WitInputField};
use crate::config::{self, Config};

/// A plugin's description of itself: the contract's `descriptor`.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// What it reads.
    pub input: Vec<WitInputField>,
    /// What it produces.
    pub output: Vec<Field>,
    /// JSON Schema of its settings.
    pub config_schema: String,
}

/// The descriptor of a crate.
pub fn describe<C: Config>(name: &str, version: &str, input: &[InputField], output: &[OutputField]) -> Descriptor {
    crate::trap::report_panics();
    Descriptor {
        name: name.to_owned(),
        version: version.to_owned(),
        input: input.iter().map(Into::into).collect(),
        output: output.iter().map(Into::into).collect(),
        config_schema: config::schema::<C>(),
    }
}

/// At the call site: the bindings of a world, `struct Plugin` with its lifecycle, its settings in
/// `CONFIG`, and the exports. The caller implements the interface of the world itself.
#[doc(hidden)]
#[macro_export]
macro_rules! __world {
    ($world:ident, config = $config:ty, input = $input:expr, output = $output:expr) => {
        $crate::__private::__bindings!($world);

        struct Plugin;

        static CONFIG: $crate::config::Configured<$config> = $crate::config::Configured::new();

        impl bindings::exports::sluicebox::plugin::lifecycle::Guest for Plugin {
            fn describe() -> $crate::lifecycle::Descriptor {
                $crate::lifecycle::describe::<$config>(
                    env!("CARGO_PKG_NAME"),
                    env!("CARGO_PKG_VERSION"),
                    $input,
                    $output,
                )
            }

            fn configure(config: String) -> Result<(), String> {
                $crate::trap::report_panics();
                CONFIG.set(&config)
            }
        }

        // Natively there is no host to call the exports; they are still type-checked above.
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        const _: () = {
    bindings::export!(Plugin with_types_in bindings);
        };
    };
}
