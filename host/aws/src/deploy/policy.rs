//! Statements of IAM, each with the keys of `pipeline.toml` that it follows from.
//!
//! Does not know roles.

use serde_json::{Value, json};

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

/// Lets a service of AWS take a role on.
pub(super) fn assumed_by(service: &str, condition: Option<Value>) -> Value {
    let mut statement = json!({ "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" });
    if let (Some(condition), Some(fields)) = (condition, statement.as_object_mut()) {
        fields.insert("Condition".to_owned(), condition);
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

/// Refuses whatever does not come over TLS.
pub(super) fn only_tls(actions: &str, resources: &[Value]) -> Value {
    json!({
        "Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resources,
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    })
}
