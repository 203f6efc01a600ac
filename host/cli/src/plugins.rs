//! Components for the plugin author: compiled, found, loaded, a file for each.
//!
//! Does not load the plugins of a running pipeline: `compose` does.

pub(crate) mod cargo;
pub(crate) mod component;
pub(crate) mod sdk;
pub(crate) mod template;
