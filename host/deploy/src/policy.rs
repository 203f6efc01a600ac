//! Statements of IAM, each with the keys of `pipeline.toml` that it follows from, and IAM roles that have them.
//!
//! Does not know what our roles need.

use serde_json::{Value, json};

use super::condition::when;
use super::places::Site;

/// A statement that allows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name in the policy.
    pub sid: String,
    /// The allowed actions.
    pub actions: Vec<&'static str>,
    /// The resources that they are allowed on.
    pub resources: Vec<String>,
    /// The condition, if there is one.
    pub condition: Option<Value>,
    /// Paths of the keys that it follows from, such as `lake.silver`.
    pub said: Vec<String>,
}

impl Statement {
    pub(super) fn new(
        sid: impl Into<String>,
        actions: &[&'static str],
        resources: Vec<String>,
        said: impl Into<String>,
    ) -> Self {
        Statement { sid: sid.into(), actions: actions.to_vec(), resources, condition: None, said: vec![said.into()] }
    }

    /// The statement in the form of a policy.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut document = json!({
            "Sid": self.sid, "Effect": "Allow", "Action": self.actions, "Resource": self.resources,
        });
        if let (Some(condition), Some(fields)) = (&self.condition, document.as_object_mut()) {
            fields.insert("Condition".to_owned(), condition.clone());
        }
        document
    }
}

/// A policy of these statements.
pub(super) fn document(statements: &[Statement]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements.iter().map(Statement::document).collect::<Vec<_>>() })
}

/// A service of AWS that may assume a role, for this account only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Lambda.
    Functions,
    /// ECS.
    Tasks,
    /// EventBridge Scheduler.
    Schedules,
}

impl Holder {
    fn trust(self, site: &Site) -> Value {
        let (service, condition) = match self {
            // Lambda's documentation does not promise to send the account: if Lambda sends it, it must be this one.
            Holder::Functions => ("lambda", json!({ "StringEqualsIfExists": { "aws:SourceAccount": site.account } })),
            Holder::Tasks => (
                "ecs-tasks",
                json!({
                    "StringEquals": { "aws:SourceAccount": site.account },
                    "ArnLike": { "aws:SourceArn": site.arn("ecs", "*") },
                }),
            ),
            Holder::Schedules => ("scheduler", json!({ "StringEquals": { "aws:SourceAccount": site.account } })),
        };
        let principal = json!({ "Service": format!("{service}.amazonaws.com") });
        let statement =
            json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition });
        json!({ "Version": "2012-10-17", "Statement": [statement] })
    }
}

/// An IAM role with one inline policy: these statements, and some that depend on parameters.
pub(super) fn role(site: &Site, holder: Holder, name: &str, statements: &[Statement], more: Vec<Value>) -> Value {
    let mut policy = document(statements);
    if let Some(all) = policy.get_mut("Statement").and_then(Value::as_array_mut) {
        all.extend(more);
    }
    json!({ "Type": "AWS::IAM::Role", "Properties": {
        "AssumeRolePolicyDocument": holder.trust(site),
        "PermissionsBoundary": when("PermissionsBoundary", json!({ "Ref": "PermissionsBoundary" })),
        "Policies": [{ "PolicyName": name, "PolicyDocument": policy }],
    } })
}

/// Denies every request that does not come over TLS.
pub(super) fn only_tls(actions: &str, resources: &[Value]) -> Value {
    json!({
        "Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resources,
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    })
}
