//! Findings besides the plugins: decisions that are not followed, and the signatures by which components were
//! accepted.
//!
//! Does not judge them.

use bytes::Bytes;
use futures::future::join_all;
use lake::{Lake, components};
use pipeline::role::Role;

use super::covered::Ignored;

/// Findings besides the plugins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    /// Decisions of the lake that are not followed.
    pub(crate) ignored: Vec<Ignored>,
    /// The signature by which each component was accepted, if it needed one.
    pub(super) signatures: Vec<Signed>,
}

/// A component's signature.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) role: Role,
    pub(super) digest: String,
    pub(super) signature: Bytes,
}

impl Aside {
    /// Says in the log which decisions are not followed.
    pub(crate) fn tell(&self) {
        for Ignored { stage, code, message, hint } in &self.ignored {
            tracing::warn!(stage, code, hint, "{message}");
        }
    }

    /// Stores the signatures of the plugins of these roles beside their components in the lake. They are checked there like anywhere
    /// else: so a rollback can tell a component that served before from one that another writer put there.
    pub(crate) async fn keep_signatures(&self, lake: &Lake, roles: &[Role]) {
        let ours = self.signatures.iter().filter(|one| roles.contains(&one.role));
        let kept = ours.map(|one| components::keep_signature(lake, &one.digest, &one.signature));
        for error in join_all(kept).await.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "cannot keep a plugin's signature in the lake: a rollback to it would not be followed");
        }
    }
}
