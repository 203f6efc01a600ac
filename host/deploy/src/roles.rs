//! The policy of each role of AWS, short enough for IAM.
//!
//! Does not say what a role does: `access` does.

use pipeline::role::Role;
use pipeline::{Objection, code};
use serde_json::Value;

use super::deployment::Deployment;
use super::policy::Statement;
use super::{access, policy};

/// A role of AWS for one or all of ours.
#[derive(Clone, Debug)]
pub struct RolePolicy {
    /// What has it: a role of ours, or `all` for a process with all roles.
    pub name: &'static str,
    /// Our roles.
    pub roles: &'static [Role],
    /// What it may do.
    pub statements: Vec<Statement>,
}

impl RolePolicy {
    /// The policy document.
    #[must_use]
    pub fn document(&self) -> Value {
        policy::document(&self.statements)
    }

    /// Its characters as IAM counts them.
    fn length(&self) -> usize {
        self.document().to_string().chars().filter(|letter| !letter.is_whitespace()).count()
    }
}

/// The most characters of a role's inline policies, white space not counted: IAM's own limit, less what parameters may add (a key, a network).
const MOST_POLICY: usize = 10_240 - 1_200;

/// What each role may do, and nothing else. Folders of Gold are named by their tables, unless those are so many that one policy does not
/// hold their names: then by what the files in them are called.
pub(super) fn policies(deployment: &Deployment<'_>) -> Vec<RolePolicy> {
    let policy = |(name, roles): (&'static str, &'static [Role])| {
        let of = |tables| RolePolicy { name, roles, statements: access::statements(deployment, roles, tables) };
        let named = of(access::Tables::Named);
        if named.length() > MOST_POLICY { of(access::Tables::Any) } else { named }
    };
    deployment.layout.units().into_iter().map(policy).collect()
}

/// Why a policy does not fit into a role, if so.
pub(super) fn too_long(policy: &RolePolicy) -> Option<Objection> {
    let length = policy.length();
    (length > MOST_POLICY).then(|| Objection {
        about: "lake".to_owned(),
        code: code::NOT_DEPLOYABLE,
        message: format!("the policy of role `{}` has {length} characters", policy.name),
        expected: Some(format!("at most {MOST_POLICY}")),
        hint: Some(
            "each place adds its name: shorten prefixes in `[lake]`, or put plugins into the project's folder"
                .to_owned(),
        ),
    })
}
