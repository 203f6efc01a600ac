//! The services of ECS, a role each on Fargate: the same program as everywhere, `run --role ROLE`.
//!
//! Does not declare a network or an image: those are parameters. Nothing needs to come in. The program has no client of HTTP to ask itself
//! how it is; what does not stay up is rolled back.

use engine::drivers::service::Role;
use serde_json::{Value, json};

use super::access::{capital, log_group};
use super::policy::{Statement, assumed_by, document};
use super::template::{Resources, logs};
use super::{Arch, Deployment, Mode, Options, functions};

/// The user of the image, and of nobody.
const USER: &str = "65532";
/// The one folder that can be written to.
const SCRATCH: &str = "/tmp";
/// The longest that Fargate waits for what is under way.
const STOP_SECONDS: u32 = 120;

pub(super) fn resources(deployment: &Deployment<'_>, options: &Options) -> Resources {
    let name = &deployment.site.name;
    let mut resources = vec![
        ("Cluster".to_owned(), json!({ "Type": "AWS::ECS::Cluster", "Properties": { "ClusterName": name } })),
        ("ExecutionRole".to_owned(), execution_role(deployment)),
    ];
    for policy in deployment.policies(Mode::Ecs) {
        let (role, id) = (policy.role, capital(policy.role.name()));
        resources.push((format!("{id}Log"), logs(&log_group(&deployment.site, role, Mode::Ecs))));
        let inline = json!([{ "PolicyName": role.name(), "PolicyDocument": policy.document() }]);
        let assumed = assumed_by("ecs-tasks.amazonaws.com", None);
        resources.push((
            format!("{id}Role"),
            json!({ "Type": "AWS::IAM::Role", "Properties": { "AssumeRolePolicyDocument": assumed, "Policies": inline } }),
        ));
        resources.push((format!("{id}Task"), task(deployment, options, role)));
        resources.push((format!("{id}Service"), service(role)));
    }
    resources
}

/// What Fargate itself does before and beside the program: fetches the image, writes the log.
fn execution_role(deployment: &Deployment<'_>) -> Value {
    let site = &deployment.site;
    let groups = Role::ALL.map(|role| site.arn("logs", &format!("log-group:{}:*", log_group(site, role, Mode::Ecs))));
    let image = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
    let statements = [
        Statement::new("Log", &["logs:CreateLogStream", "logs:PutLogEvents"], groups.into(), "pipeline.name"),
        Statement::new("Image", &image, vec![site.arn("ecr", "repository/*")], "pipeline.name"),
        Statement::new("Registry", &["ecr:GetAuthorizationToken"], vec!["*".to_owned()], "pipeline.name"),
    ];
    json!({ "Type": "AWS::IAM::Role", "Properties": {
        "AssumeRolePolicyDocument": assumed_by("ecs-tasks.amazonaws.com", None),
        "Policies": [{ "PolicyName": "execution", "PolicyDocument": document(&statements) }],
    } })
}

/// Processor and memory as Fargate has them together: a whole processor, or two where the memory is too much for one.
fn size(deployment: &Deployment<'_>, role: Role) -> (u64, u64) {
    let memory = functions::memory(deployment.plan, role).next_multiple_of(1_024);
    (if memory > 8 << 10 { 2_048 } else { 1_024 }, memory)
}

fn task(deployment: &Deployment<'_>, options: &Options, role: Role) -> Value {
    let (id, region) = (capital(role.name()), &deployment.site.region);
    let (cpu, memory) = size(deployment, role);
    let mut command = vec!["run", "--role", role.name()];
    command.extend(options.target.iter().flat_map(|target| ["--target", target.as_str()]));
    command.extend(options.set.iter().flat_map(|set| ["--set", set.as_str()]));
    let log = json!({ "LogDriver": "awslogs", "Options": {
        "awslogs-group": { "Ref": format!("{id}Log") }, "awslogs-region": region, "awslogs-stream-prefix": "run",
    } });
    let environment =
        [("SLUICEBOX_CACHE_DIR", format!("{SCRATCH}/cache")), ("SLUICEBOX_LOG_FORMAT", "json".to_owned())]
            .map(|(name, value)| json!({ "Name": name, "Value": value }));
    let container = json!({
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
        "LogConfiguration": log,
    });
    json!({ "Type": "AWS::ECS::TaskDefinition", "Properties": {
        "Family": functions::name(deployment, role),
        "Cpu": cpu.to_string(),
        "Memory": memory.to_string(),
        "NetworkMode": "awsvpc",
        "RequiresCompatibilities": ["FARGATE"],
        "RuntimePlatform": {
            "CpuArchitecture": match options.arch { Arch::X86_64 => "X86_64", Arch::Arm64 => "ARM64" },
            "OperatingSystemFamily": "LINUX",
        },
        "ExecutionRoleArn": { "Fn::GetAtt": ["ExecutionRole", "Arn"] },
        "TaskRoleArn": { "Fn::GetAtt": [format!("{id}Role"), "Arn"] },
        "Volumes": [{ "Name": "scratch" }],
        "ContainerDefinitions": [container],
    } })
}

fn service(role: Role) -> Value {
    let id = capital(role.name());
    // Queues and buckets must be there when the program opens them.
    let after = ["EnrichQueue", "CleanQueue", "AggregateQueue", "BronzeBucket"];
    json!({ "Type": "AWS::ECS::Service", "DependsOn": after, "Properties": {
        "ServiceName": role.name(),
        "Cluster": { "Ref": "Cluster" },
        "TaskDefinition": { "Ref": format!("{id}Task") },
        "DesiredCount": 1,
        "LaunchType": "FARGATE",
        "DeploymentConfiguration": {
            "DeploymentCircuitBreaker": { "Enable": true, "Rollback": true },
            "MinimumHealthyPercent": 100,
            "MaximumPercent": 200,
        },
        "NetworkConfiguration": { "AwsvpcConfiguration": {
            "AssignPublicIp": "DISABLED",
            "SecurityGroups": { "Ref": "SecurityGroups" },
            "Subnets": { "Ref": "Subnets" },
        } },
    } })
}
