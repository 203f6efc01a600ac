//! The queues between the roles, each with its dead letters, as `queue::stages` opens them.
//!
//! Does not say who takes from them.

use engine::drivers::service::Role;
use engine::pipeline::plan::Plan;
use serde_json::{Value, json};

use super::Mode;
use super::access::{STAGES, capital};
use super::functions;
use super::places::Site;
use super::policy::only_tls;
use super::template::Resources;

/// How long a message is kept that nobody takes: as long as SQS keeps any. What is lost by then the next sweep finds again.
const KEPT_SECONDS: u32 = 14 * 24 * 3600;
/// The most that SQS takes. The engine puts less into a message.
const LARGEST_MESSAGE: u32 = 1 << 20;

pub(super) fn resources(plan: &Plan, site: &Site, mode: Mode) -> Resources {
    let mut resources = Resources::new();
    for stage in STAGES {
        let (id, name) = (capital(stage.name()), format!("{}-{}", site.name, stage.name()));
        let visibility = visibility(plan, mode, stage);
        let mut live = queue(&name, visibility);
        if let Some(fields) = live.pointer_mut("/Properties").and_then(Value::as_object_mut) {
            let dead = json!({ "Fn::GetAtt": [format!("{id}DeadQueue"), "Arn"] });
            let redrive = json!({ "deadLetterTargetArn": dead, "maxReceiveCount": plan.queue.max_receives });
            fields.insert("RedrivePolicy".to_owned(), redrive);
        }
        let dead_name = format!("{name}-dead");
        resources.push((format!("{id}DeadQueue"), queue(&dead_name, visibility)));
        resources.push((format!("{id}Queue"), live));
        resources.push((format!("{id}DeadQueuePolicy"), policy(site, &format!("{id}DeadQueue"), &dead_name, None)));
        // By its name, not by reference: the bucket waits for this policy.
        let teller = match (mode, stage.name()) {
            (Mode::Lambda, "clean") => Some(&site.bronze),
            (Mode::Lambda, "aggregate") => Some(&site.silver),
            _ => None,
        };
        let bucket = teller.map(|layer| layer.bucket.as_str());
        resources.push((format!("{id}QueuePolicy"), policy(site, &format!("{id}Queue"), &name, bucket)));
    }
    resources
}

/// For how long what is handed out stays invisible, in seconds. AWS wants six times as long as a function may take: a batch that is throttled
/// comes again within that.
pub(super) fn visibility(plan: &Plan, mode: Mode, stage: Role) -> u64 {
    let needed = match mode {
        Mode::Lambda => functions::visibility(plan, stage),
        Mode::Ecs => 0,
    };
    needed.max(plan.queue.visibility_timeout.as_secs()).max(60)
}

fn queue(name: &str, visibility: u64) -> Value {
    json!({ "Type": "AWS::SQS::Queue", "Properties": {
        "QueueName": name,
        "VisibilityTimeout": visibility,
        "MessageRetentionPeriod": KEPT_SECONDS,
        "MaximumMessageSize": LARGEST_MESSAGE,
        "SqsManagedSseEnabled": true,
    } })
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
