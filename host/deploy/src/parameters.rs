//! The parameters of a template and the conditions that follow from them: what differs between environments, each with the plan's value as
//! its default.
//!
//! Does not use them: resources refer to them by name.

use pipeline::role::Role;
use serde_json::{Map, Value, json};

use super::access::{STAGES, capital};
use super::timeouts::TIMEOUTS;
use super::{Deployment, Mode, Options, alarms, functions, quicksight, services};

/// The days for which CloudWatch can keep a log, up to two years.
const LOG_DAYS: [u32; 13] = [1, 3, 5, 7, 14, 30, 60, 90, 120, 180, 365, 545, 731];
const ARN: &str = "^$|^arn:.+$";

/// Parameters by name.
#[derive(Default)]
struct Declared {
    parameters: Map<String, Value>,
    conditions: Map<String, Value>,
}

impl Declared {
    fn add(&mut self, name: impl Into<String>, parameter: Value) {
        self.parameters.insert(name.into(), parameter);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.add(name, json!({ "Type": "String", "Description": text }));
    }

    /// A text that may be empty.
    fn pattern(&mut self, name: &str, pattern: &str, text: &str) {
        self.add(name, json!({ "Type": "String", "Default": "", "AllowedPattern": pattern, "Description": text }));
    }

    /// A text that may be empty; whether it is given is a condition.
    fn optional(&mut self, name: &str, pattern: &str, text: &str) {
        self.pattern(name, pattern, text);
        self.conditions.insert(format!("Has{name}"), json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": name }, ""] }] }));
    }

    /// A list that may be empty, as a text with commas: CloudFormation can test whether a text is empty.
    fn list(&mut self, name: &str, text: &str) {
        self.optional(name, ".*", &format!("{text}; several with commas"));
    }

    fn number(&mut self, name: impl Into<String>, default: u64, (least, most): (u64, u64), text: &str) {
        let parameter =
            json!({ "Type": "Number", "Default": default, "MinValue": least, "MaxValue": most, "Description": text });
        self.add(name, parameter);
    }

    fn one_of(&mut self, name: impl Into<String>, default: &str, all: &[String], text: &str) {
        self.add(name, json!({ "Type": "String", "Default": default, "AllowedValues": all, "Description": text }));
    }

    fn condition(&mut self, name: impl Into<String>, condition: Value) {
        self.conditions.insert(name.into(), condition);
    }
}

/// The parameters and the conditions of a template.
pub(super) fn declared(deployment: &Deployment<'_>, options: &Options) -> (Map<String, Value>, Map<String, Value>) {
    let mut declared = Declared::default();
    match deployment.layout.mode {
        Mode::Lambda => of_functions(deployment, &mut declared),
        Mode::Ecs => of_services(deployment, &mut declared),
    }
    of_all(deployment, options, &mut declared);
    (declared.parameters, declared.conditions)
}

fn of_all(deployment: &Deployment<'_>, options: &Options, declared: &mut Declared) {
    declared.optional(
        "KmsKey",
        ARN,
        "ARN of the key that buckets, queues and logs are encrypted with; empty: AWS's own keys",
    );
    declared.list("SourceKmsKeys", "ARNs of the keys that the source, plugins in S3 and secrets are encrypted with");
    declared.optional("PermissionsBoundary", ARN, "ARN of the policy that bounds every role of the stack");
    declared.optional("AlarmTopic", ARN, "ARN of the topic of SNS that alarms are told to");
    declared.optional(
        "AlarmEmail",
        "^$|^.+@.+$",
        "Address that alarms are sent to, by a topic of the stack, if there is no AlarmTopic",
    );
    declared.condition(
        "MakesTopic",
        json!({ "Fn::And": [{ "Condition": "HasAlarmEmail" }, { "Fn::Not": [{ "Condition": "HasAlarmTopic" }] }] }),
    );
    declared.number(
        "MostRefused",
        alarms::refused(deployment.plan),
        (0, 1_000_000_000),
        "Records refused within an hour above which there is an alarm",
    );
    declared.optional(
        "OtelEndpoint",
        "^$|^https?://.+$",
        "Collector of OpenTelemetry that traces are sent to (OTLP over HTTP)",
    );
    // The alarms read lines of this level.
    let levels = "^(info|debug|trace)(,.+)?$";
    let level = json!({ "Type": "String", "Default": "info", "AllowedPattern": levels, "Description": "What is logged, as --log-level" });
    declared.add("LogLevel", level);
    let days = json!({ "Type": "Number", "Default": 30, "AllowedValues": LOG_DAYS, "Description": "Days for which logs are kept" });
    declared.add("LogDays", days);
    if quicksight::is_possible(&options.columns) {
        declared.optional("QuickSightPrincipal", ARN, "ARN of the user or group of QuickSight that gets the dashboard");
    }
}

fn of_functions(deployment: &Deployment<'_>, declared: &mut Declared) {
    let plan = deployment.plan;
    declared.text("CodeBucket", "Bucket of the bundle that `sluicebox deploy bundle` has made");
    declared.text("CodeKey", "Key of the bundle");
    let digest = "What `sluicebox deploy bundle` told: functions run no compiled code but that, and compile without it";
    declared.pattern("CodeDigest", "(sha256:[0-9a-f]{64})?", digest);
    declared.optional("CodeVersion", ".*", "Version of the bundle, in a bucket that keeps versions");
    declared.list(
        "Subnets",
        "Subnets of the functions, with a way to S3, SQS, Secrets Manager, CloudWatch and the endpoints; empty: no VPC",
    );
    declared.list("SecurityGroups", "Security groups of the functions in the Subnets");
    for role in Role::ALL {
        let (id, name) = (capital(role.name()), role.name());
        let memory = functions::memory(plan, role);
        declared.number(
            format!("{id}Memory"),
            memory,
            (functions::FEWEST_MIB, functions::MOST_MEMORY),
            &format!("MiB of {name}"),
        );
        let timeout = functions::timeout(plan, role).to_string();
        let text = format!("Seconds that {name} may run; its queue waits six times as long");
        declared.one_of(format!("{id}Timeout"), &timeout, &TIMEOUTS.map(|seconds| seconds.to_string()), &text);
    }
    for stage in STAGES {
        let (id, name) = (capital(stage.name()), stage.name());
        let (batch, window) = functions::batch(stage);
        // Without a window SQS hands out at most ten.
        let most = if window == 0 { 10 } else { 1_000 };
        declared.number(
            format!("{id}Batch"),
            batch.into(),
            (1, most),
            &format!("Messages that {name} is handed at once"),
        );
        let text = format!("Functions of {name} at once, 2 or more; 0: as many as the account lets run");
        declared.number(format!("{id}Concurrency"), functions::at_once(plan, stage), (0, 1_000), &text);
        let bounded = json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": format!("{id}Concurrency") }, "0"] }] });
        declared.condition(format!("Has{id}Concurrency"), bounded);
    }
}

fn of_services(deployment: &Deployment<'_>, declared: &mut Declared) {
    declared.text("Image", "Image of the program, with the pipeline's files");
    let list = |ty: &str, text: &str| json!({ "Type": format!("List<AWS::EC2::{ty}::Id>"), "Description": text });
    declared
        .add("Subnets", list("Subnet", "Subnets with a way to S3, SQS, Secrets Manager, the image and the endpoints"));
    declared.add("SecurityGroups", list("SecurityGroup", "Security groups that let requests out; none need come in"));
    declared.one_of(
        "PublicIp",
        "DISABLED",
        &["DISABLED", "ENABLED"].map(str::to_owned),
        "Public addresses, for subnets without NAT",
    );
    for unit in services::units(deployment) {
        let (id, (cpu, memory)) = (capital(unit.name), services::size(deployment.plan, unit.roles));
        declared.one_of(
            format!("{id}Cpu"),
            &cpu.to_string(),
            &services::CPUS.map(|cpu| cpu.to_string()),
            &format!("Units of processor of {}", unit.name),
        );
        let text = format!("MiB of {}, as Fargate has them with that processor", unit.name);
        declared.number(format!("{id}Memory"), memory, (1_024, 122_880), &text);
    }
    declared.number("MinTasks", 1, (1, 100), "Tasks of a service that run at least");
    let most = if services::is_bounded(deployment.plan) { 1 } else { 4 };
    declared.number(
        "MaxTasks",
        most,
        (1, 1_000),
        "Tasks of a service that run at most, by the age of what waits; an endpoint's rate holds for each",
    );
    declared.one_of(
        "Spot",
        "no",
        &["no", "yes"].map(str::to_owned),
        "Whether tasks run on Fargate Spot, which ends them with two minutes' notice",
    );
    declared.condition("IsSpot", json!({ "Fn::Equals": [{ "Ref": "Spot" }, "yes"] }));
}
