//! Whether pins and signatures cover the version that the lake wants to serve. A writer of the lake can put a component there, and a decision
//! that it serves, in any configuration: neither is trusted for being there.
//!
//! Does not decide what serves without pins and signatures: there the lake's decision counts.

use std::path::Path;

use lake::swaps::Version;
use lake::{Lake, LakeError, components};
use pipeline::plan::{Plan, Stage};
use seams::plugin::{Grants, LoadError};
use serde::Serialize;

use super::found::Found;
use super::known;
use crate::output::short_digest;
use crate::signature;

/// A decision of the lake that is not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ignored {
    /// The stage.
    pub(crate) stage: String,
    /// Stable code: P016 or P017.
    pub(crate) code: &'static str,
    /// The version that the decision wants, and what does not cover it.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

impl Ignored {
    /// For people, in one line.
    pub(crate) fn text(&self) -> String {
        format!("stage `{}`: {} [{}]", self.stage, self.message, self.code)
    }
}

/// The state of a version in the lake.
pub(super) enum Kept {
    /// Its component, which may serve.
    Found(Box<Found>),
    /// No component.
    Nothing,
    /// A version that may not serve.
    Uncovered(LoadError),
}

/// A stage's version in the lake, checked against the pins and signatures of the stage's files.
pub(super) async fn kept(
    lake: &Lake,
    (plan, folder): (&Plan, &Path),
    (name, stage): (&str, &Stage),
    version: &Version,
) -> Result<Kept, LakeError> {
    let digest = &version.plugin.digest;
    let short = short_digest(digest);
    if let Some(pinned) = &stage.sha256
        && *digest != format!("sha256:{pinned}")
    {
        let message = format!("{short} is not the pinned {}", short_digest(&format!("sha256:{pinned}")));
        return Ok(uncovered("P016", message));
    }
    let is_guarded = stage.sha256.is_some() || !plan.trusted_keys.is_empty();
    if is_guarded && version.config != stage.config && !known::has_had(folder, plan, name, &version.config).await {
        let code = if stage.sha256.is_some() { "P016" } else { "P017" };
        let message = format!("{short} comes with a configuration that the pipeline file has not had here");
        return Ok(uncovered(code, message));
    }
    let Some(component) = components::get(lake, digest).await? else { return Ok(Kept::Nothing) };
    let mut signed = None;
    if !plan.trusted_keys.is_empty() {
        let Some(kept) = components::signature(lake, digest).await? else {
            return Ok(uncovered("P017", format!("{short} has no signature in the lake")));
        };
        let place = format!("the lake's signature of {short}");
        if let Err(error) = signature::covers(&component, &kept, &place, &plan.trusted_keys) {
            return Ok(Kept::Uncovered(error));
        }
        signed = Some(kept);
    }
    let grants = Grants { config: version.config.clone(), limits: stage.limits };
    Ok(Kept::Found(Box::new(Found { component, grants, kept: Some(version.clone()), signature: signed })))
}

fn uncovered(code: &'static str, message: String) -> Kept {
    Kept::Uncovered(LoadError { code, message, hint: None })
}

/// The message about a decision that is not followed.
pub(super) fn ignored(stage: &str, error: LoadError) -> Ignored {
    let message = format!("a decision in the lake is not followed: {}; what the file names serves", error.message);
    let hint = format!(
        "if somebody of yours decided that, publish what is to serve; if not, somebody else writes to the lake: `sluicebox plugin history` shows the \
         decision, `sluicebox plugin rollback {} --undo` ends it",
        stage.strip_prefix("aggregate ").unwrap_or(stage)
    );
    Ignored { stage: stage.to_owned(), code: error.code, message, hint }
}
