//! Components on the author's desk: compiled, found, loaded, each a file below.
//!
//! Does not load the plugins of a running pipeline: that is `compose`.

pub(crate) mod cargo;
pub(crate) mod component;
pub(crate) mod sdk;
pub(crate) mod template;
