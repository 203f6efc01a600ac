//! The schedule that invokes the ingest function with the due instant, and the dead letter of a tick that was given up.
//!
//! Does not translate expressions: `cron` does.

use pipeline::schedule::Missed;
use serde_json::json;

use super::policy::{self, Holder, Statement};
use super::resources::Resources;
use super::{Deployment, cron, keys};

/// How long the scheduler tries to invoke at most, and how often.
const LONGEST_AGE: u32 = 24 * 3600;
const MOST_TRIES: u32 = 185;
/// The least age that it accepts.
const SHORTEST_AGE: u32 = 60;
/// How long Lambda keeps an event for a function that is throttled.
const LONGEST_EVENT: u32 = 6 * 3600;

/// How often Lambda itself retries a tick that failed.
const TRIES_OF_A_TICK: u32 = 2;

pub(super) fn resources(deployment: &Deployment<'_>) -> Resources {
    let site = &deployment.site;
    let missed = json!({ "Fn::GetAtt": ["IngestDeadQueue", "Arn"] });
    let given_up = json!({ "Type": "AWS::Lambda::EventInvokeConfig", "Properties": {
        "FunctionName": { "Ref": "IngestFunction" },
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": TRIES_OF_A_TICK,
        "MaximumEventAgeInSeconds": LONGEST_EVENT,
        "DestinationConfig": { "OnFailure": { "Destination": missed } },
    } });
    let mut resources = vec![("IngestFailure".to_owned(), given_up)];
    let Some(schedule) = &deployment.plan.schedule else { return resources };
    let function = site.arn("lambda", &format!("function:{}-ingest", site.name));
    let may = [
        Statement::new("Invoke", &["lambda:InvokeFunction"], vec![function], "schedule.cron"),
        Statement::new("Missed", &["sqs:SendMessage"], vec![site.missed()], "schedule.cron"),
    ];
    resources
        .push(("ScheduleRole".to_owned(), policy::role(site, Holder::Schedules, "invoke", &may, vec![keys::ours()])));
    // A tick that was missed may come late, or is skipped.
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
            "KmsKeyArn": keys::reference(),
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": {
                "Arn": { "Fn::GetAtt": ["IngestFunction", "Arn"] },
                "RoleArn": { "Fn::GetAtt": ["ScheduleRole", "Arn"] },
                "Input": r#"{"time": "<aws.scheduler.scheduled-time>"}"#,
                "RetryPolicy": { "MaximumEventAgeInSeconds": age, "MaximumRetryAttempts": tries },
                "DeadLetterConfig": { "Arn": missed },
            },
        });
        let resource = json!({ "Type": "AWS::Scheduler::Schedule", "Properties": properties });
        resources.push((format!("Schedule{suffix}"), resource));
    }
    resources
}
