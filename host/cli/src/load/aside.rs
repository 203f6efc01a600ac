//! What is seen while plugins are loaded, beside the plugins: decisions that are not followed, and the signatures by which components were
//! accepted.
//!
//! Does not judge either.

use bytes::Bytes;
use futures::future::join_all;
use lake::{Lake, components};
use pipeline::role::Role;

use super::covered::Ignored;

/// What is seen while plugins are loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    /// Decisions of the lake that are not followed.
    pub(crate) ignored: Vec<Ignored>,
    /// By which signature each component was accepted, if it had to have one.
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

    /// Keeps the signatures of the plugins of these roles beside their components in the lake, where they are believed as little as anywhere:
    /// so that what served before can be told from what somebody has put there, when it is to serve again.
    pub(crate) async fn keep_signatures(&self, lake: &Lake, roles: &[Role]) {
        let ours = self.signatures.iter().filter(|one| roles.contains(&one.role));
        let kept = ours.map(|one| components::keep_signature(lake, &one.digest, &one.signature));
        for error in join_all(kept).await.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "cannot keep a plugin's signature in the lake: a rollback to it would not be followed");
        }
    }
}
