//! Which processors compiled code is for: a level that all of a family share, not this machine's, so that what one machine has
//! compiled runs on another. A bundle for AWS Lambda has compiled plugins in it, and the machine that it starts on is not known.
//!
//! Does not compile. On a processor below the level the code is for that one alone.

use wasmtime::Config;

/// Fixes what `config` compiles for.
pub(crate) fn fix(config: &mut Config) -> wasmtime::Result<()> {
    if !is_of_the_level() {
        return Ok(());
    }
    config.target(&target_lexicon::Triple::host().to_string())?;
    for flag in LEVEL {
        #[allow(unsafe_code, reason = "only from here can a set of instructions be named")]
        // SAFETY: these say which instructions there are and change no rule of the compiler's; wasmtime asks the processor as well.
        unsafe {
            config.cranelift_flag_enable(flag);
        }
    }
    Ok(())
}

/// The level in the compiler's terms: x86-64-v3, which servers have had since 2013 and Lambda promises.
#[cfg(target_arch = "x86_64")]
const LEVEL: [&str; 2] = ["x86-64-v3", "has_avx"];

#[cfg(target_arch = "x86_64")]
fn is_of_the_level() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("avx")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("lzcnt")
        && std::is_x86_feature_detected!("popcnt")
        && std::is_x86_feature_detected!("cmpxchg16b")
        && std::is_x86_feature_detected!("sse4.2")
}

/// The level in the compiler's terms: Armv8.1, the minimum on Lambda since Graviton2.
#[cfg(target_arch = "aarch64")]
const LEVEL: [&str; 1] = ["has_lse"];

#[cfg(target_arch = "aarch64")]
fn is_of_the_level() -> bool {
    std::arch::is_aarch64_feature_detected!("lse")
}

/// Other families compile for this machine's processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const LEVEL: [&str; 0] = [];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn is_of_the_level() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use wasmtime::Engine;

    use super::*;

    fn compatibility(config: &Config) -> u64 {
        let mut hasher = DefaultHasher::new();
        Engine::new(config).unwrap().precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn code_is_for_the_level_and_not_for_the_processor_at_hand() {
        let mut fixed = Config::new();
        fix(&mut fixed).unwrap();
        let fixed = compatibility(&fixed);
        let at_hand = compatibility(&Config::new());
        let has_more = std::is_x86_feature_detected!("avx512f");
        assert!(!is_of_the_level() || (fixed != at_hand) == has_more);
    }
}
