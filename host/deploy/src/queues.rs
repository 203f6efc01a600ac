//! The queues between the roles, each with its dead letters, as `queue::stages` opens them.
//!
//! Does not say which process takes from them.

use pipeline::role::Role;
use serde_json::{Value, json};

use super::access::{STAGES, capital};
use super::condition::either;
use super::places::Site;
use super::policy::only_tls;
use super::resources::Resources;
use super::{Deployment, Mode, keys, timeouts};

/// How long a message that no consumer takes is kept. The next sweep finds what is lost by then.
const KEPT_SECONDS: u32 = 7 * 24 * 3600;
/// How long a dead letter is kept: the most that SQS allows. SQS counts from when the message was first sent: if the live queue kept its
/// messages as long, they would be expired when they become dead letters.
const DEAD_KEPT_SECONDS: u32 = 14 * 24 * 3600;
/// How long a dead letter stays invisible while a server gives it a last try.
const DEAD_INVISIBLE: u32 = 1800;
/// The most that SQS accepts. The engine puts less into a message.
const LARGEST_MESSAGE: u32 = 1 << 20;

pub(super) fn resources(deployment: &Deployment<'_>) -> Resources {
    let (site, layout) = (&deployment.site, deployment.layout);
    let mut resources = Resources::new();
    for stage in STAGES {
        let (id, name) = (capital(stage.name()), format!("{}-{}", site.name, stage.name()));
        let dead_name = format!("{name}-dead");
        resources.push((format!("{id}DeadQueue"), dead(&dead_name, &[site.arn("sqs", &name)])));
        resources.push((format!("{id}Queue"), live(deployment, stage, &name)));
        resources.push((format!("{id}DeadQueuePolicy"), policy(site, &format!("{id}DeadQueue"), &dead_name, None)));
        // By its name, not by reference: the bucket depends on this policy.
        let teller = match stage {
            Role::Clean => Some(&site.bronze),
            Role::Aggregate => Some(&site.silver),
            Role::Ingest | Role::Enrich => None,
        };
        let bucket = teller.filter(|_| layout.notifies()).map(|layer| layer.bucket.as_str());
        resources.push((format!("{id}QueuePolicy"), policy(site, &format!("{id}Queue"), &name, bucket)));
    }
    if layout.mode == Mode::Lambda {
        // Given-up ticks come from no queue.
        let name = site.missed_name();
        resources.push(("IngestDeadQueue".to_owned(), dead(&name, &[])));
        resources.push(("IngestDeadQueuePolicy".to_owned(), policy(site, "IngestDeadQueue", &name, None)));
    }
    resources
}

fn live(deployment: &Deployment<'_>, stage: Role, name: &str) -> Value {
    let (plan, mode) = (deployment.plan, deployment.layout.mode);
    let id = capital(stage.name());
    let visibility = match mode {
        Mode::Lambda => timeouts::invisible(stage),
        Mode::Ecs => json!(timeouts::visibility(plan, mode, stage)),
    };
    let dead = json!({ "Fn::GetAtt": [format!("{id}DeadQueue"), "Arn"] });
    let redrive = json!({ "deadLetterTargetArn": dead, "maxReceiveCount": plan.queue.max_receives });
    queue(name, KEPT_SECONDS, json!({ "VisibilityTimeout": visibility, "RedrivePolicy": redrive }))
}

/// A queue of dead letters, which accepts only those of these queues.
fn dead(name: &str, of: &[String]) -> Value {
    let allowed = match of {
        [] => json!({ "redrivePermission": "denyAll" }),
        queues => json!({ "redrivePermission": "byQueue", "sourceQueueArns": queues }),
    };
    queue(name, DEAD_KEPT_SECONDS, json!({ "VisibilityTimeout": DEAD_INVISIBLE, "RedriveAllowPolicy": allowed }))
}

fn queue(name: &str, kept: u32, more: Value) -> Value {
    let mut properties = json!({
        "QueueName": name,
        "MessageRetentionPeriod": kept,
        "MaximumMessageSize": LARGEST_MESSAGE,
        "SqsManagedSseEnabled": either("KmsKey", json!({ "Ref": "AWS::NoValue" }), json!(true)),
        "KmsMasterKeyId": keys::reference(),
    });
    if let (Some(fields), Value::Object(more)) = (properties.as_object_mut(), more) {
        fields.extend(more);
    }
    json!({ "Type": "AWS::SQS::Queue", "Properties": properties })
}

fn policy(site: &Site, id: &str, name: &str, told_by: Option<&str>) -> Value {
    let arn = site.arn("sqs", name);
    let mut statements = vec![only_tls("sqs:*", &[json!(arn)])];
    if let Some(bucket) = told_by {
        statements.push(json!({
            "Sid": "ToldByS3", "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": {
                "ArnEquals": { "aws:SourceArn": site.bucket_arn(bucket) },
                "StringEquals": { "aws:SourceAccount": site.account },
            },
        }));
    }
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    json!({ "Type": "AWS::SQS::QueuePolicy", "Properties": { "Queues": [{ "Ref": id }], "PolicyDocument": document } })
}
