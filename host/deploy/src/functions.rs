//! The functions of Lambda, one for each role, with log, IAM role, and trigger.
//!
//! Does not declare the schedule.

use std::time::Duration;

use pipeline::plan::{Plan, Stage};
use pipeline::role::Role;
use serde_json::{Map, Value, json};

use super::access::{STAGES, capital};
use super::condition::{members, when};
use super::policy::{self, Holder};
use super::resources::Resources;
use super::{Arch, Deployment, Options, keys, logs, roles};

/// The longest that a function runs: for ingest all that Lambda allows, since it reads a whole source and looks for lost work. For the
/// others enough for a batch; more would only delay the retry of what fails.
const TICK_SECONDS: u64 = 900;
const BATCH_SECONDS: u64 = 300;
/// A plugin's deadline above this leaves too little time for a batch.
const LONG_CALL: Duration = Duration::from_secs(60);
/// With so much memory Lambda gives a function one whole processor.
const LEAST_MEMORY: u64 = 1_769;
pub(super) const MOST_MEMORY: u64 = 10_240;
/// The least memory that a parameter may give a function.
pub(super) const FEWEST_MIB: u64 = 256;
/// The memory that the program itself needs.
const OWN_MEMORY: u64 = 640;
/// The lowest bound that AWS accepts for a queue's functions.
const FEW: u64 = 2;

/// The messages of one invocation of `stage`, and for how many seconds they are collected.
pub(super) fn batch(stage: Role) -> (u32, u64) {
    match stage {
        // A message is already a batch of records, and each of those waits for a service.
        Role::Enrich => (10, 0),
        // All of them become one commit.
        Role::Ingest | Role::Clean => (100, 5),
        Role::Aggregate => (100, 10),
    }
}

fn stages(plan: &Plan, role: Role) -> Vec<&Stage> {
    match role {
        Role::Ingest => Vec::new(),
        Role::Enrich => plan.enrich.iter().collect(),
        Role::Clean => vec![&plan.clean],
        Role::Aggregate => plan.aggregates.iter().map(|one| &one.stage).collect(),
    }
}

/// For how many seconds a role's function may run.
pub(super) fn timeout(plan: &Plan, role: Role) -> u64 {
    let long = stages(plan, role).iter().any(|stage| stage.limits.deadline > LONG_CALL);
    if role == Role::Ingest || long { TICK_SECONDS } else { BATCH_SECONDS }
}

/// The memory that a role's process needs, in MiB, if all concurrent calls use as much as they may.
pub(super) fn memory(plan: &Plan, role: Role) -> u64 {
    let calls = stages(plan, role).into_iter().map(|stage| {
        let at_once = u64::try_from(stage.concurrency.get()).unwrap_or(u64::MAX);
        at_once.saturating_mul(stage.limits.memory >> 20)
    });
    calls.fold(OWN_MEMORY, u64::saturating_add).clamp(LEAST_MEMORY, MOST_MEMORY)
}

/// How many functions of a stage may run at once; 0 for no bound. A rate bounds one process only, and functions that commit to one table at
/// once wait for each other.
pub(super) fn at_once(plan: &Plan, stage: Role) -> u64 {
    let bounded = stage != Role::Enrich || plan.endpoints.values().any(|endpoint| endpoint.rate.is_some());
    if bounded { FEW } else { 0 }
}

/// The name of a role's function.
pub(super) fn name(deployment: &Deployment<'_>, role: Role) -> String {
    format!("{}-{}", deployment.site.name, role.name())
}

pub(super) fn resources(deployment: &Deployment<'_>, options: &Options) -> Resources {
    let mut resources = Resources::new();
    for policy in roles::policies(deployment) {
        let id = capital(policy.name);
        resources.extend(logs::resources(deployment, policy.name, policy.roles));
        let more = vec![keys::ours(), keys::of_sources(), network()];
        let role = policy::role(&deployment.site, Holder::Functions, policy.name, &policy.statements, more);
        resources.push((format!("{id}Role"), role));
        resources
            .extend(policy.roles.iter().map(|role| (format!("{id}Function"), function(deployment, options, *role))));
    }
    resources.extend(STAGES.map(|stage| (format!("{}Mapping", capital(stage.name())), mapping(stage))));
    resources
}

/// The actions that connect a function to a network, which Lambda takes in the function's name. They accept no narrower resource.
fn network() -> Value {
    let actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ];
    when("Subnets", json!({ "Sid": "Network", "Effect": "Allow", "Action": actions, "Resource": "*" }))
}

fn function(deployment: &Deployment<'_>, options: &Options, role: Role) -> Value {
    let id = capital(role.name());
    let version = when("CodeVersion", json!({ "Ref": "CodeVersion" }));
    let network = json!({ "SubnetIds": members("Subnets"), "SecurityGroupIds": when("SecurityGroups", members("SecurityGroups")) });
    json!({ "Type": "AWS::Lambda::Function", "DependsOn": format!("{id}Log"), "Properties": {
        "FunctionName": name(deployment, role),
        "Description": format!("Role {} of the pipeline {}", role.name(), deployment.plan.name),
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Architectures": [match options.arch { Arch::X86_64 => "x86_64", Arch::Arm64 => "arm64" }],
        "Code": { "S3Bucket": { "Ref": "CodeBucket" }, "S3Key": { "Ref": "CodeKey" }, "S3ObjectVersion": version },
        "Role": { "Fn::GetAtt": [format!("{id}Role"), "Arn"] },
        "MemorySize": { "Ref": format!("{id}Memory") },
        "Timeout": { "Ref": format!("{id}Timeout") },
        "KmsKeyArn": keys::reference(),
        "VpcConfig": when("Subnets", network),
        "Environment": { "Variables": environment(deployment, options, role) },
    } })
}

fn environment(deployment: &Deployment<'_>, options: &Options, role: Role) -> Value {
    let mut variables = Map::new();
    variables.insert("SLUICEBOX_ROLE".to_owned(), json!(role.name()));
    if let Some(target) = &options.target {
        variables.insert("SLUICEBOX_TARGET".to_owned(), json!(target));
    }
    let set = deployment.set(options);
    if !set.is_empty() {
        variables.insert("SLUICEBOX_SET".to_owned(), json!(set.join("\n")));
    }
    // If it is not set it is empty: then no compiled plugin of the bundle is run.
    variables.insert("SLUICEBOX_BUNDLE".to_owned(), json!({ "Ref": "CodeDigest" }));
    variables.insert("SLUICEBOX_NOTIFICATIONS".to_owned(), json!(deployment.layout.notifies().to_string()));
    variables.insert("SLUICEBOX_LOG".to_owned(), json!({ "Ref": "LogLevel" }));
    let collector = when("OtelEndpoint", json!({ "Ref": "OtelEndpoint" }));
    variables.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector);
    Value::Object(variables)
}

fn mapping(stage: Role) -> Value {
    let id = capital(stage.name());
    let concurrency = format!("{id}Concurrency");
    let bound = json!({ "MaximumConcurrency": { "Ref": concurrency } });
    json!({ "Type": "AWS::Lambda::EventSourceMapping", "Properties": {
        "FunctionName": { "Ref": format!("{id}Function") },
        "EventSourceArn": { "Fn::GetAtt": [format!("{id}Queue"), "Arn"] },
        "BatchSize": { "Ref": format!("{id}Batch") },
        "MaximumBatchingWindowInSeconds": batch(stage).1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": when(&concurrency, bound),
    } })
}
