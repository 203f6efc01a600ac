//! The template put together: parameters, conditions, resources in our own order, outputs.
//!
//! Does not know any resource.

use serde_json::{Map, Value, json};

use super::access::{STAGES, capital};
use super::{Deployment, Mode, Options, alarms, buckets, functions, queues, quicksight, schedules, services, tables};

/// Resources with their names, in order.
pub(super) type Resources = Vec<(String, Value)>;

/// How long a line of a log is kept.
const LOG_DAYS: u32 = 30;

pub(super) fn template(deployment: &Deployment<'_>, options: &Options) -> Value {
    let (plan, site) = (deployment.plan, &deployment.site);
    let mut resources = queues::resources(plan, site, options.mode);
    resources.extend(buckets::resources(site, options.mode));
    match options.mode {
        Mode::Lambda => {
            resources.extend(functions::resources(deployment, options));
            resources.extend(schedules::resources(deployment));
        }
        Mode::Ecs => resources.extend(services::resources(deployment, options)),
    }
    resources.extend(alarms::resources(deployment, options.mode));
    resources.extend(tables::resources(deployment, &options.columns));
    resources.extend(quicksight::resources(deployment, &options.columns));
    let here = |name: &str, value: &str, text: String| json!({ "Assert": { "Fn::Equals": [{ "Ref": name }, value] }, "AssertDescription": text });
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("The pipeline {}, by sluicebox deploy", plan.name),
        "Parameters": Value::Object(parameters(options)),
        "Rules": { "WhereThePipelineSays": { "Assertions": [
            here("AWS::AccountId", &site.account, format!("queue.url names the account {}", site.account)),
            here("AWS::Region", &site.region, format!("queue.url names the region {}", site.region)),
        ] } },
        "Conditions": Value::Object(conditions(options)),
        "Resources": Value::Object(resources.into_iter().collect()),
        "Outputs": Value::Object(outputs(deployment, options)),
    })
}

fn parameters(options: &Options) -> Map<String, Value> {
    let text = |text: &str| json!({ "Type": "String", "Description": text });
    let optional = |text: &str, pattern: &str| json!({ "Type": "String", "Default": "", "AllowedPattern": pattern, "Description": text });
    let mut parameters = Map::new();
    let mut add = |name: &str, parameter| parameters.insert(name.to_owned(), parameter);
    match options.mode {
        Mode::Lambda => {
            add("CodeBucket", text("Bucket of the bundle that `sluicebox deploy bundle` has made"));
            add("CodeKey", text("Key of the bundle"));
            add(
                "CodeDigest",
                optional(
                    "What `sluicebox deploy bundle` told: functions run no compiled code but that, and compile without it",
                    "(sha256:[0-9a-f]{64})?",
                ),
            );
            add("CodeVersion", optional("Version of the bundle, in a bucket that keeps versions", ".*"));
        }
        Mode::Ecs => {
            add("Image", text("Image of the program, with the pipeline's files"));
            let list =
                |ty: &str, text: &str| json!({ "Type": format!("List<AWS::EC2::{ty}::Id>"), "Description": text });
            add(
                "Subnets",
                list("Subnet", "Subnets with a way to S3, SQS, Secrets Manager, the image and the endpoints"),
            );
            add("SecurityGroups", list("SecurityGroup", "Security groups that let requests out; none need come in"));
        }
    }
    let arn = "^$|^arn:.+$";
    add("AlarmTopic", optional("ARN of the topic of SNS that alarms are told to; nobody is told if it is empty", arn));
    add(
        "QuickSightPrincipal",
        optional("ARN of the user or group of QuickSight that gets the dashboard; none is made if it is empty", arn),
    );
    parameters
}

fn conditions(options: &Options) -> Map<String, Value> {
    let given = |parameter: &str| json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": parameter }, ""] }] });
    let mut conditions = Map::new();
    if options.mode == Mode::Lambda {
        conditions.insert("HasCodeVersion".to_owned(), given("CodeVersion"));
    }
    conditions.insert("HasAlarmTopic".to_owned(), given("AlarmTopic"));
    if quicksight::is_possible(&options.columns) {
        conditions.insert("HasQuickSight".to_owned(), given("QuickSightPrincipal"));
    }
    conditions
}

fn outputs(deployment: &Deployment<'_>, options: &Options) -> Map<String, Value> {
    let site = &deployment.site;
    let mut outputs = Map::new();
    let mut add = |name: String, value: Value| outputs.insert(name, json!({ "Value": value }));
    for layer in site.layers() {
        add(format!("{}Bucket", capital(layer.name)), json!({ "Ref": buckets::bucket_of(site, layer) }));
    }
    for stage in STAGES {
        let id = capital(stage.name());
        add(format!("{id}Queue"), json!({ "Ref": format!("{id}Queue") }));
        add(format!("{id}DeadQueue"), json!({ "Ref": format!("{id}DeadQueue") }));
    }
    for role in engine::drivers::service::Role::ALL {
        let id = capital(role.name());
        match options.mode {
            Mode::Lambda => add(format!("{id}Function"), json!({ "Ref": format!("{id}Function") })),
            Mode::Ecs => add(format!("{id}Service"), json!({ "Fn::GetAtt": [format!("{id}Service"), "Name"] })),
        };
    }
    add("Workgroup".to_owned(), json!({ "Ref": "Workgroup" }));
    add("Database".to_owned(), json!({ "Ref": "Database" }));
    outputs
}

/// A log group.
pub(super) fn logs(name: &str) -> Value {
    json!({ "Type": "AWS::Logs::LogGroup", "Properties": { "LogGroupName": name, "RetentionInDays": LOG_DAYS } })
}
