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
    /// Which it is, if it is of the lake and not of a file.
    pub(super) kept: Option<Version>,
    /// Its signature, if it had to have one.
    pub(super) signature: Option<Bytes>,
}

impl Found {
    /// What is known of it before it is loaded: digest and configuration, and of one that the lake keeps also its name. Works the digest of a
    /// file's component out.
    pub(crate) fn version(&self) -> Version {
        self.kept.clone().unwrap_or_else(|| version_of(&self.component, &self.grants.config))
    }
}

/// The version of a component that nothing but its bytes is known of.
pub(super) fn version_of(component: &Bytes, config: &str) -> Version {
    let digest = Digest::of(component).to_string();
    let plugin = PluginStamp { name: "?".to_owned(), version: "?".to_owned(), digest };
    Version { plugin, config: config.to_owned() }
}
