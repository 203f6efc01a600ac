//! Answers for where the built components are: one constant and one function for each plugin and each guest, listed by `build.rs`.
//!
//! Does not build anything: a component that is missing fails the test that wants it, with the command that makes it.
//!
//! A test file that must cover every plugin has a function of each plugin's name and says so; a plugin without one does not compile:
//! ```
//! macro_rules! is_covered {
//!     ($plugin:ident) => {
//!         // Here a test file names its own function: `use self::$plugin as _;`
//!         println!("{}", stringify!($plugin));
//!     };
//! }
//! artifacts::for_each_plugin!(is_covered);
//! ```

// A crate for tests: a missing file ends the test.
#![allow(clippy::panic)]

use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/components.rs"));

fn built(component: &str) -> PathBuf {
    match Path::new(component).canonicalize() {
        Ok(path) => path,
        Err(_) => panic!("`{component}` has not been built\n  run: cargo xtask plugins"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_is_listed_and_what_they_import_is_not() {
        let names: Vec<&str> = PLUGINS.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"clean-movies"));
        assert!(!names.contains(&"sdk") && !names.contains(&"sdk-macros"));
        assert!(CLEAN_MOVIES.ends_with("/plugins/clean-movies/clean-movies.wasm"));
    }

    #[test]
    fn the_macro_names_as_many_as_the_list() {
        let mut named = Vec::new();
        macro_rules! name {
            ($plugin:ident) => {
                named.push(stringify!($plugin).replace('_', "-"));
            };
        }
        for_each_plugin!(name);
        let listed: Vec<&str> = PLUGINS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, listed);
    }

    #[test]
    #[should_panic(expected = "run: cargo xtask plugins")]
    fn what_is_not_built_fails_with_the_command() {
        built("no/such/component.wasm");
    }
}
