//! Statements of IAM, each with the keys of `pipeline.toml` that it follows from, and roles of IAM that have them.
//!
//! Does not know what a role of ours touches.

use serde_json::{Value, json};

use super::condition::when;
use super::places::Site;

/// A statement that allows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name in the policy.
    pub sid: String,
    /// What is allowed.
    pub actions: Vec<&'static str>,
    /// On what.
    pub resources: Vec<String>,
    /// Under which condition.
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

    /// As it stands in a policy.
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

/// A service of AWS that takes a role on, in this account's name alone.
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
            // Lambda's documentation does not promise to say the account: where it does, it has to be this one.
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

/// A role of IAM with one inline policy: these statements, and some that hang on parameters.
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

/// Refuses whatever does not come over TLS.
pub(super) fn only_tls(actions: &str, resources: &[Value]) -> Value {
    json!({
        "Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resources,
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    })
}
