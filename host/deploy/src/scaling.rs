//! How many tasks of a service run: enough to keep the work in its queues young, between two bounds.
//!
//! Does not look at processors: a stage that waits for a service would look idle. Work that waits for a quota grows old as well. Then the most
//! tasks run for nothing: the upper bound limits that cost.

use pipeline::role::Role;
use serde_json::{Value, json};

use super::Deployment;
use super::access::capital;
use super::resources::Resources;
use super::services::{self, Unit, service_name};

/// The target age of the oldest message, in seconds.
const YOUNG: u32 = 300;
/// How many seconds after a change the next change may come.
const COOL_OUT: u32 = 120;
const COOL_IN: u32 = 600;

pub(super) fn resources(deployment: &Deployment<'_>) -> Resources {
    services::units(deployment).flat_map(|unit| of_unit(deployment, &unit)).collect()
}

fn of_unit(deployment: &Deployment<'_>, unit: &Unit) -> Resources {
    let queues: Vec<&Role> = unit.roles.iter().filter(|role| **role != Role::Ingest).collect();
    // Each tick is fired once, by any number of tasks.
    if queues.is_empty() {
        return Resources::new();
    }
    let id = capital(unit.name);
    let service = format!("service/{}/{}", deployment.site.name, service_name(deployment, unit));
    let target = json!({
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget", "DependsOn": format!("{id}Service"), "Properties": {
            "ServiceNamespace": "ecs",
            "ScalableDimension": "ecs:service:DesiredCount",
            "ResourceId": service,
            "MinCapacity": { "Ref": "MinTasks" },
            "MaxCapacity": { "Ref": "MaxTasks" },
        },
    });
    let policy = json!({ "Type": "AWS::ApplicationAutoScaling::ScalingPolicy", "Properties": {
        "PolicyName": format!("{}-age", unit.name),
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": { "Ref": format!("{id}Scaling") },
        "TargetTrackingScalingPolicyConfiguration": {
            "CustomizedMetricSpecification": { "Metrics": metrics(deployment, &queues) },
            "TargetValue": YOUNG,
            "ScaleOutCooldown": COOL_OUT,
            "ScaleInCooldown": COOL_IN,
        },
    } });
    vec![(format!("{id}Scaling"), target), (format!("{id}ScalingPolicy"), policy)]
}

/// The age of the oldest message of all queues.
fn metrics(deployment: &Deployment<'_>, stages: &[&Role]) -> Vec<Value> {
    let age = |role: &&Role| {
        let queue = format!("{}-{}", deployment.site.name, role.name());
        let metric = json!({
            "Namespace": "AWS/SQS", "MetricName": "ApproximateAgeOfOldestMessage",
            "Dimensions": [{ "Name": "QueueName", "Value": queue }],
        });
        json!({ "Id": role.name(), "ReturnData": false, "MetricStat": { "Metric": metric, "Stat": "Maximum" } })
    };
    let names: Vec<&str> = stages.iter().map(|role| role.name()).collect();
    let oldest = json!({ "Id": "oldest", "Expression": format!("MAX([{}])", names.join(", ")), "ReturnData": true });
    stages.iter().map(age).chain([oldest]).collect()
}
