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
    /// The name: a role of ours, or `all` for a process with all roles.
    pub name: &'static str,
    /// Our roles.
    pub roles: &'static [Role],
    /// The actions that it may take.
    pub statements: Vec<Statement>,
}

impl RolePolicy {
    /// The policy document.
    #[must_use]
    pub fn document(&self) -> Value {
        policy::document(&self.statements)
    }

    /// Its number of characters as IAM counts them.
    fn length(&self) -> usize {
        self.document().to_string().chars().filter(|letter| !letter.is_whitespace()).count()
    }
}

/// The most characters of a role's inline policies, without white space: IAM's own limit, less what parameters may add (a key, a network).
const MOST_POLICY: usize = 10_240 - 1_200;

/// The actions that each role may take, and no others. Folders of Gold are named by their tables. If there are too many for one policy, they
/// are named by the files in them.
pub(super) fn policies(deployment: &Deployment<'_>) -> Vec<RolePolicy> {
    let policy = |(name, roles): (&'static str, &'static [Role])| {
        let of = |tables| RolePolicy { name, roles, statements: access::statements(deployment, roles, tables) };
        let named = of(access::Tables::Named);
        if named.length() > MOST_POLICY { of(access::Tables::Any) } else { named }
    };
    deployment.layout.units().into_iter().map(policy).collect()
}

/// Why a policy does not fit into a role, if it does not.
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
