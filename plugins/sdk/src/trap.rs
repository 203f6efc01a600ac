//! Gives a panicking plugin a voice: the message and the place go to the log before the trap.
//!
//! A sandbox has no stderr, so without this an operator would see nothing but `unreachable`.

/// Called by every entry of a plugin that may be the first; only the first call does anything.
#[doc(hidden)]
pub fn report_panics() {
    #[cfg(target_family = "wasm")]
    {
        use std::sync::Once;
        static ONCE: Once = Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string()))));
    }
}
