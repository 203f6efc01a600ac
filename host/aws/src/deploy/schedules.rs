//! The schedule that invokes the ingest function, with the instant that it was due.
//!
//! Does not translate expressions: `cron` does.

use engine::pipeline::schedule::Missed;
use serde_json::json;

use super::policy::{Statement, assumed_by, document};
use super::template::Resources;
use super::{Deployment, cron};

/// As long as the scheduler tries to invoke, and as often.
const LONGEST_AGE: u32 = 24 * 3600;
const MOST_TRIES: u32 = 185;
/// The least that it can be told.
const SHORTEST_AGE: u32 = 60;

pub(super) fn resources(deployment: &Deployment<'_>) -> Resources {
    let Some(schedule) = &deployment.plan.schedule else { return Resources::new() };
    let site = &deployment.site;
    let function = site.arn("lambda", &format!("function:{}-ingest", site.name));
    let may = Statement::new("Invoke", &["lambda:InvokeFunction"], vec![function], "schedule.cron");
    let only_ours = json!({ "StringEquals": { "aws:SourceAccount": site.account } });
    let mut resources = vec![(
        "ScheduleRole".to_owned(),
        json!({ "Type": "AWS::IAM::Role", "Properties": {
            "AssumeRolePolicyDocument": assumed_by("scheduler.amazonaws.com", Some(only_ours)),
            "Policies": [{ "PolicyName": "invoke", "PolicyDocument": document(&[may]) }],
        } }),
    )];
    // What was missed while nothing ran may be late, or is of no use any more.
    let (age, tries) = match schedule.missed() {
        Missed::Skip => (SHORTEST_AGE, 0),
        Missed::Once | Missed::All => (LONGEST_AGE, MOST_TRIES),
    };
    for (number, expression) in (1..).zip(cron::to_aws(schedule.expression()).unwrap_or_default()) {
        let suffix = if number == 1 { String::new() } else { number.to_string() };
        let properties = json!({
            "Name": format!("{}-tick{suffix}", site.name),
            "Description": format!("Ticks of the pipeline {}", deployment.plan.name),
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": schedule.zone().name(),
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": {
                "Arn": { "Fn::GetAtt": ["IngestFunction", "Arn"] },
                "RoleArn": { "Fn::GetAtt": ["ScheduleRole", "Arn"] },
                "Input": r#"{"time": "<aws.scheduler.scheduled-time>"}"#,
                "RetryPolicy": { "MaximumEventAgeInSeconds": age, "MaximumRetryAttempts": tries },
            },
        });
        let resource = json!({ "Type": "AWS::Scheduler::Schedule", "Properties": properties });
        resources.push((format!("Schedule{suffix}"), resource));
    }
    resources
}
