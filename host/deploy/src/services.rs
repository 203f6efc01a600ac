//! The services of ECS on Fargate: the same program as everywhere, as one service with all roles or as one for each role.
//!
//! Does not declare a network or an image: those are parameters. No port is opened: the program itself says whether a task is healthy, by
//! `sluicebox health`. `scaling` says how many tasks run.

use pipeline::plan::Plan;
use pipeline::role::Role;
use serde_json::{Value, json};

use super::access::capital;
use super::condition::when;
use super::policy::{self, Holder, Statement};
use super::resources::Resources;
use super::{Arch, Deployment, Mode, Options, functions, keys, logs, roles};

/// The user id of the image. No real user has it.
const USER: &str = "65532";
/// The one folder that can be written to. The image names it as a `VOLUME`, so that it belongs to that user; otherwise it belongs to root, and
/// nothing is kept there.
const SCRATCH: &str = "/scratch";
/// Where the program answers its own health check. Nothing outside the task can reach it.
const LISTEN: &str = "127.0.0.1:9464";
/// The longest that Fargate waits for work under way.
const STOP_SECONDS: u32 = 120;
/// Processors of Fargate that a plugin's calls can use.
pub(super) const CPUS: [u64; 5] = [1_024, 2_048, 4_096, 8_192, 16_384];

/// A part that runs by itself.
pub(super) struct Unit {
    pub(super) name: &'static str,
    pub(super) roles: &'static [Role],
}

/// The services of a deployment.
pub(super) fn units(deployment: &Deployment<'_>) -> impl Iterator<Item = Unit> {
    deployment.layout.units().into_iter().map(|(name, roles)| Unit { name, roles })
}

/// Whether an endpoint has a rate, which bounds one process.
pub(super) fn is_bounded(plan: &Plan) -> bool {
    plan.endpoints.values().any(|endpoint| endpoint.rate.is_some())
}

/// Processor and memory in a combination that Fargate has: one whole processor, or two if the memory is too much for one.
pub(super) fn size(plan: &Plan, roles: &[Role]) -> (u64, u64) {
    let most = roles.iter().map(|role| functions::memory(plan, *role)).max().unwrap_or_default();
    // With all roles, calls of all plugins run at once.
    let memory = if roles.len() > 1 { 2 * most } else { most }.next_multiple_of(1_024).min(16 << 10);
    (if memory > 8 << 10 { 2_048 } else { 1_024 }, memory)
}

pub(super) fn resources(deployment: &Deployment<'_>, options: &Options) -> Resources {
    let cluster = json!({
        "ClusterName": deployment.site.name,
        "CapacityProviders": ["FARGATE", "FARGATE_SPOT"],
    });
    let mut resources = vec![
        ("Cluster".to_owned(), json!({ "Type": "AWS::ECS::Cluster", "Properties": cluster })),
        ("ExecutionRole".to_owned(), execution_role(deployment)),
    ];
    for policy in roles::policies(deployment) {
        let id = capital(policy.name);
        resources.extend(logs::resources(deployment, policy.name, policy.roles));
        let more = vec![keys::ours(), keys::of_sources()];
        let role = policy::role(&deployment.site, Holder::Tasks, policy.name, &policy.statements, more);
        resources.push((format!("{id}Role"), role));
        let unit = Unit { name: policy.name, roles: policy.roles };
        resources.push((format!("{id}Task"), task(deployment, options, &unit)));
        resources.push((format!("{id}Service"), service(deployment, &unit)));
    }
    resources
}

/// The role with which Fargate itself fetches the image and writes the log.
fn execution_role(deployment: &Deployment<'_>) -> Value {
    let site = &deployment.site;
    let group = |unit: Unit| site.arn("logs", &format!("log-group:{}:*", site.log_group(unit.name, Mode::Ecs)));
    let groups = units(deployment).map(group).collect();
    let image = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
    let statements = [
        Statement::new("Log", &["logs:CreateLogStream", "logs:PutLogEvents"], groups, "pipeline.name"),
        Statement::new("Image", &image, vec![site.arn("ecr", "repository/*")], "pipeline.name"),
        Statement::new("Registry", &["ecr:GetAuthorizationToken"], vec!["*".to_owned()], "pipeline.name"),
    ];
    policy::role(site, Holder::Tasks, "execution", &statements, Vec::new())
}

fn task(deployment: &Deployment<'_>, options: &Options, unit: &Unit) -> Value {
    let (id, site) = (capital(unit.name), &deployment.site);
    json!({ "Type": "AWS::ECS::TaskDefinition", "Properties": {
        "Family": format!("{}-{}", site.name, unit.name),
        "Cpu": { "Ref": format!("{id}Cpu") },
        "Memory": { "Ref": format!("{id}Memory") },
        "NetworkMode": "awsvpc",
        "RequiresCompatibilities": ["FARGATE"],
        "RuntimePlatform": {
            "CpuArchitecture": match options.arch { Arch::X86_64 => "X86_64", Arch::Arm64 => "ARM64" },
            "OperatingSystemFamily": "LINUX",
        },
        "ExecutionRoleArn": { "Fn::GetAtt": ["ExecutionRole", "Arn"] },
        "TaskRoleArn": { "Fn::GetAtt": [format!("{id}Role"), "Arn"] },
        "Volumes": [{ "Name": "scratch" }],
        "ContainerDefinitions": [container(deployment, options, unit)],
    } })
}

fn container(deployment: &Deployment<'_>, options: &Options, unit: &Unit) -> Value {
    let mut command: Vec<String> = vec!["run".to_owned()];
    if deployment.layout.service_per_role {
        command.extend(unit.roles.iter().flat_map(|role| ["--role".to_owned(), role.name().to_owned()]));
    }
    command.extend(options.target.iter().flat_map(|target| ["--target".to_owned(), target.clone()]));
    command.extend(deployment.set(options).into_iter().flat_map(|set| ["--set".to_owned(), set]));
    let environment = [
        ("SLUICEBOX_CACHE_DIR", json!(format!("{SCRATCH}/compiled"))),
        ("XDG_DATA_HOME", json!(format!("{SCRATCH}/data"))),
        ("SLUICEBOX_LISTEN", json!(LISTEN)),
        ("SLUICEBOX_LOG_FORMAT", json!("json")),
        ("SLUICEBOX_LOG", json!({ "Ref": "LogLevel" })),
    ]
    .map(|(name, value)| json!({ "Name": name, "Value": value }));
    let collector = json!({ "Name": "OTEL_EXPORTER_OTLP_ENDPOINT", "Value": { "Ref": "OtelEndpoint" } });
    let environment: Vec<Value> = environment.into_iter().chain([when("OtelEndpoint", collector)]).collect();
    json!({
        "Name": "sluicebox",
        "Image": { "Ref": "Image" },
        "Command": command,
        "Essential": true,
        "User": USER,
        "ReadonlyRootFilesystem": true,
        "StopTimeout": STOP_SECONDS,
        "LinuxParameters": { "InitProcessEnabled": true, "Capabilities": { "Drop": ["ALL"] } },
        "MountPoints": [{ "SourceVolume": "scratch", "ContainerPath": SCRATCH, "ReadOnly": false }],
        "Environment": environment,
        // The program compiles its plugins before it is ready.
        "HealthCheck": {
            "Command": ["CMD", "sluicebox", "health"], "Interval": 30, "Timeout": 5, "Retries": 3, "StartPeriod": 300,
        },
        "LogConfiguration": { "LogDriver": "awslogs", "Options": {
            "awslogs-group": { "Ref": format!("{}Log", capital(unit.name)) },
            "awslogs-region": deployment.site.region,
            "awslogs-stream-prefix": "run",
        } },
    })
}

/// The name of a unit's service.
pub(super) fn service_name(deployment: &Deployment<'_>, unit: &Unit) -> String {
    format!("{}-{}", deployment.site.name, unit.name)
}

/// Without a `DesiredCount`: an update would set it back to the first value.
fn service(deployment: &Deployment<'_>, unit: &Unit) -> Value {
    let id = capital(unit.name);
    // Queues and buckets must be there when the program opens them.
    let mut after = vec!["EnrichQueue", "CleanQueue", "AggregateQueue"];
    after.extend((!deployment.layout.own_buckets).then_some("BronzeBucket"));
    let provider = json!({ "Fn::If": ["IsSpot", "FARGATE_SPOT", "FARGATE"] });
    json!({ "Type": "AWS::ECS::Service", "DependsOn": after, "Properties": {
        "ServiceName": service_name(deployment, unit),
        "Cluster": { "Ref": "Cluster" },
        "TaskDefinition": { "Ref": format!("{id}Task") },
        "CapacityProviderStrategy": [{ "CapacityProvider": provider, "Weight": 1 }],
        "PropagateTags": "SERVICE",
        "EnableECSManagedTags": true,
        "DeploymentConfiguration": {
            "DeploymentCircuitBreaker": { "Enable": true, "Rollback": true },
            "MinimumHealthyPercent": 100,
            "MaximumPercent": 200,
        },
        "NetworkConfiguration": { "AwsvpcConfiguration": {
            "AssignPublicIp": { "Ref": "PublicIp" },
            "SecurityGroups": { "Ref": "SecurityGroups" },
            "Subnets": { "Ref": "Subnets" },
        } },
    } })
}
