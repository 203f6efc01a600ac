//! A component that was found for a stage, before it is loaded.
//!
//! Does not say where it was found.

use bytes::Bytes;
use lake::swaps::Version;
use seams::plugin::{Digest, Grants, PluginStamp};

/// A component to load.
pub(crate) struct Found {
    pub(super) component: Bytes,
    pub(super) grants: Grants,
    /// Its version, if it comes from the lake and not from a file.
    pub(super) kept: Option<Version>,
    /// Its signature, if it needed one.
    pub(super) signature: Option<Bytes>,
}

impl Found {
    /// The version, before the component is loaded: digest and configuration, and also the name if it comes from the lake. For a file's
    /// component it computes the digest.
    pub(crate) fn version(&self) -> Version {
        self.kept.clone().unwrap_or_else(|| version_of(&self.component, &self.grants.config))
    }
}

/// The version of a component, from its bytes.
pub(super) fn version_of(component: &Bytes, config: &str) -> Version {
    let digest = Digest::of(component).to_string();
    let plugin = PluginStamp { name: "?".to_owned(), version: "?".to_owned(), digest };
    Version { plugin, config: config.to_owned() }
}
