//! A platform team's work with a deployment: checks it with linters, deploys it with AWS's own command line as `docs/src/aws.md` prints it, once
//! without success, and onto existing buckets, with keys, networks and bounds of its own. And a linter checks our own workflows.
//!
//! Does not run what was created: `stack.rs` does.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_emulator::Emulator;
use films::{Buckets, Films, KEY};
use serde_json::{Value, json};
use support::{Ran, compiled_plugins, repository, run, script};

/// The checks that checkov skips, and why.
const ACCEPTED: &[(&str, &str)] = &[
    ("CKV_AWS_18", "who wants access logs names a bucket for them: the lake's are not the place"),
    ("CKV_AWS_21", "old versions of objects would outlive `forget`"),
    ("CKV_AWS_65", "Container Insights cost by the task; the alarms count tasks without"),
    (
        "CKV_AWS_115",
        "a queue's mapping bounds its functions; a reservation would take from the account's other functions",
    ),
    ("CKV_AWS_116", "a queue has its dead letters, and what invokes ingest has an OnFailure destination"),
];

/// The Python that has the packages of `requirements-platform.txt`.
fn platform_python() -> Command {
    Command::new(std::env::var_os("SLUICEBOX_PLATFORM_PYTHON").expect(
        "SLUICEBOX_PLATFORM_PYTHON names no Python with the packages of tests/e2e/requirements-platform.txt; run: cargo xtask test",
    ))
}

/// The films' pipeline with a target in any account.
fn in_aws(name: &str) -> Films {
    let films = Films::new(name);
    films.add_aws(name, Buckets::Stack, &format!("sqs://{name}"), "");
    films
}

fn deploy(films: &Films, args: &[&str]) -> Ran {
    let mut command = support::command(&films.folder);
    command.arg("deploy").args(args).args(["--target", "aws", "--cache-dir"]).arg(compiled_plugins());
    run(&mut command).exits(0)
}

/// A command line of `docs/src/aws.md`, by its beginning, with other names.
fn printed(beginning: &str, names: &[(&str, &str)]) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/src/aws.md")).unwrap().replace("\\\n", " ");
    let line = text.lines().find(|line| line.starts_with(beginning)).unwrap_or_else(|| panic!("no `{beginning}`"));
    let mut line = line.split(" #").next().unwrap().to_owned();
    for (from, to) in names {
        assert!(line.contains(from), "`{from}` is not in `{line}`");
        line = line.replace(from, to);
    }
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// An account, and AWS's command line in it.
struct Account {
    films: Films,
    emulator: Emulator,
    name: &'static str,
}

impl Account {
    fn new(name: &'static str) -> Self {
        let (films, emulator) = (in_aws(name), Emulator::shared(env!("CARGO_TARGET_TMPDIR")));
        let account = Account { films, emulator, name };
        let source = account.films.path("data/movies.csv");
        account.script(&["prepare", name, KEY, source.to_str().unwrap()]);
        std::fs::write(account.films.path("movies.zip"), empty_zip()).unwrap();
        let code = format!("{name}-code");
        account.aws(&printed("aws s3 cp movies.zip", &[("acme-code", &code)])).exits(0);
        account
    }

    fn script(&self, args: &[&str]) -> Ran {
        run(script("stack.py").args(args).envs(self.emulator.environment())).exits(0)
    }

    fn aws(&self, args: &[String]) -> Ran {
        let mut command = platform_python();
        command.current_dir(&self.films.folder).args(["-m", "awscli"]).args(args);
        run(command.envs(self.emulator.environment()).env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_PAGER", ""))
    }

    fn words(&self, line: &str) -> Ran {
        self.aws(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    /// The deployment as it is printed, with another key of the bundle and more parameters.
    fn deploy(&self, key: &str, more: &[&str]) -> Ran {
        let (name, code) = (self.name, format!("{}-code", self.name));
        let stack = format!("--stack-name {name}");
        let names =
            [("--stack-name movies", stack.as_str()), ("acme-code", &code), ("movies-1.zip", key), ("sha256:…", "")];
        let mut line = printed("aws cloudformation deploy", &names);
        line.extend(more.iter().map(|one| (*one).to_owned()));
        self.aws(&line)
    }

    fn remove(&self) {
        self.words(&format!("cloudformation delete-stack --stack-name {}", self.name)).exits(0);
        self.words(&format!("cloudformation wait stack-delete-complete --stack-name {}", self.name)).exits(0);
    }

    fn has_bucket(&self) -> bool {
        self.words(&format!("s3api head-bucket --bucket {}", self.name)).code == 0
    }
}

/// The end of a zip file's directory, which has no entry.
fn empty_zip() -> Vec<u8> {
    [&b"PK\x05\x06"[..], &[0; 18]].concat()
}

#[test]
fn a_deployment_that_failed_is_repeated_and_buckets_of_ones_own_are_left_alone() {
    const NAME: &str = "films-of-a-team";
    let account = Account::new(NAME);
    deploy(&account.films, &["cloudformation", "-o", "stack.json"]);
    // An alarm without a threshold, after everything that is needed.
    let file = account.films.path("stack.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let mut wrong: Value = serde_json::from_str(&good).unwrap();
    let all: Vec<String> = wrong["Resources"].as_object().unwrap().keys().cloned().collect();
    let after: Vec<&String> = all.iter().filter(|one| one.ends_with("Bucket") || one.ends_with("Mapping")).collect();
    wrong["Resources"]["Wrong"] = json!({ "Type": "AWS::CloudWatch::Alarm", "DependsOn": after, "Properties": {
        "Namespace": "N", "MetricName": "M", "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold",
    } });
    std::fs::write(&file, wrong.to_string()).unwrap();
    let failed = account.deploy("movies-1.zip", &[]);
    assert_ne!(failed.code, 0, "{failed:?}");
    let events = account.words(&format!("cloudformation describe-stack-events --stack-name {NAME}")).exits(0).stdout;
    assert!(events.contains("\"BronzeBucket\"") && events.contains("ROLLBACK_COMPLETE"), "{events}");
    assert!(!account.has_bucket(), "what is in the way of the next deployment");
    account.remove();
    std::fs::write(&file, good).unwrap();
    account.deploy("movies-1.zip", &[]).exits(0);
    assert!(account.has_bucket());

    // A stack that has served leaves the lake, and the next one takes it as it is.
    account.words(&format!("s3 cp movies.zip s3://{NAME}/films/bronze/kept")).exits(0);
    account.remove();
    assert!(account.has_bucket());
    deploy(&account.films, &["cloudformation", "--own-buckets", "-o", "stack.json"]);
    account.deploy("movies-1.zip", &[]).exits(0);
    account.words(&format!("s3api head-object --bucket {NAME} --key films/bronze/kept")).exits(0);
    let there = account.script(&["inspect", NAME]).json();
    assert_eq!(there["outputs"]["BronzeBucket"], NAME);
    for stage in ["Enrich", "Clean", "Aggregate"] {
        let function = &there["functions"][format!("{stage}Function")];
        assert_eq!(function["environment"]["SLUICEBOX_NOTIFICATIONS"], "false", "{function}");
        let url = format!("queue.url=\"https://sqs.us-east-1.amazonaws.com/000000000000/{NAME}\"");
        assert_eq!(function["environment"]["SLUICEBOX_SET"], url, "{function}");
    }
    let cleaner = there["functions"]["CleanFunction"]["policies"].to_string();
    assert!(cleaner.contains(&format!("arn:aws:sqs:us-east-1:000000000000:{NAME}-aggregate")), "{cleaner}");
    // A command from elsewhere finds the queues by their names alone.
    let mut status = support::command(&account.films.folder);
    status.args(["status", "--target", "aws", "--cache-dir"]).arg(compiled_plugins());
    run(status.envs(account.emulator.environment())).exits(0);
}

#[test]
fn keys_networks_and_bounds_of_a_team_are_parameters() {
    const NAME: &str = "films-of-a-strict-team";
    let account = Account::new(NAME);
    let key = "arn:aws:kms:us-east-1:000000000000:key/0f3a";
    let bound = "arn:aws:iam::000000000000:policy/bound";
    deploy(&account.films, &["cloudformation", "-o", "stack.json"]);
    let given = [
        &format!("KmsKey={key}"),
        "SourceKmsKeys=arn:aws:kms:us-east-1:000000000000:key/1,arn:aws:kms:us-east-1:000000000000:key/2",
        &format!("PermissionsBoundary={bound}"),
        "Subnets=subnet-1,subnet-2",
        "SecurityGroups=sg-1",
        "EnrichTimeout=600",
        "EnrichMemory=3008",
        "EnrichBatch=5",
        "EnrichConcurrency=7",
        "CleanConcurrency=0",
        "AlarmEmail=ops@example.com",
        "OtelEndpoint=http://collector:4318",
        "LogLevel=debug",
        "LogDays=90",
    ];
    account.deploy("movies-1.zip", &given).exits(0);
    let there = account.script(&["inspect", NAME]).json();
    let queue = &there["queues"]["EnrichQueue"];
    assert_eq!((&queue["VisibilityTimeout"], &queue["KmsMasterKeyId"]), (&json!("3600"), &json!(key)), "{queue}");
    assert!(there["queues"]["EnrichDeadQueue"]["RedriveAllowPolicy"].as_str().unwrap().contains("byQueue"));
    let function = &there["functions"]["EnrichFunction"];
    assert_eq!((&function["timeout"], &function["memory"]), (&json!(600), &json!(3008)));
    assert_eq!(function["mappings"][0]["ScalingConfig"]["MaximumConcurrency"], 7);
    assert_eq!(function["mappings"][0]["BatchSize"], 5);
    let unbounded = &there["functions"]["CleanFunction"]["mappings"][0];
    assert!(unbounded["ScalingConfig"]["MaximumConcurrency"].is_null(), "{unbounded}");
    assert_eq!(function["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://collector:4318");
    assert_eq!(function["environment"]["SLUICEBOX_LOG"], "debug");
    // What the emulator does not hand on stands in the template.
    let template: Value =
        serde_json::from_str(&std::fs::read_to_string(account.films.path("stack.json")).unwrap()).unwrap();
    let properties = |resource: &str| template["Resources"][resource]["Properties"].clone();
    let given = |value: &Value, parameter: &str| {
        assert_eq!(value["Fn::If"][0], format!("Has{parameter}"), "{value}");
        value["Fn::If"][1].clone()
    };
    for role in ["Ingest", "Enrich", "Clean", "Aggregate"] {
        let made = properties(&format!("{role}Function"));
        assert_eq!(given(&made["KmsKeyArn"], "KmsKey")["Ref"], "KmsKey");
        assert_eq!(
            given(&made["VpcConfig"], "Subnets")["SecurityGroupIds"]["Fn::If"][1]["Fn::Split"][1]["Ref"],
            "SecurityGroups"
        );
        let held = properties(&format!("{role}Role"));
        assert_eq!(given(&held["PermissionsBoundary"], "PermissionsBoundary")["Ref"], "PermissionsBoundary");
    }
    let policy = function["policies"].to_string();
    for part in ["kms:GenerateDataKey", "key/2", "ec2:CreateNetworkInterface"] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    let kept =
        account.words(&format!("logs describe-log-groups --log-group-name-prefix /aws/lambda/{NAME}-enrich")).exits(0);
    assert_eq!(kept.json()["logGroups"][0]["retentionInDays"], 90);
    let topic = account.words("sns list-subscriptions").exits(0).stdout;
    assert!(topic.contains("ops@example.com"), "{topic}");
}

/// All templates that there are, by name.
fn templates(films: &Films) -> BTreeMap<&'static str, String> {
    let all: [(&str, &[&str]); 4] = [
        ("functions", &[]),
        ("functions-own-buckets", &["--own-buckets"]),
        ("service", &["--mode", "ecs"]),
        ("services", &["--mode", "ecs", "--service-per-role", "--arch", "arm64"]),
    ];
    let print = |more: &[&str]| deploy(films, &[&["cloudformation"], more].concat()).stdout;
    all.into_iter().map(|(name, more)| (name, print(more))).collect()
}

#[test]
fn checkov_finds_nothing_that_is_not_accepted_with_a_reason() {
    let films = in_aws("films-checked");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut command = platform_python();
    command.args(["-m", "checkov.main", "--framework", "cloudformation", "--output", "json", "--quiet", "--compact"]);
    command.arg("--skip-download").current_dir(&films.folder);
    for (name, template) in templates(&films) {
        let file = films.path(&format!("{name}.json"));
        std::fs::write(&file, template).unwrap();
        command.arg("--file").arg(file);
    }
    let told = run(&mut command);
    let told: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    assert!(told["summary"]["passed"].as_u64().unwrap() > 80, "{}", told["summary"]);
    println!("{}", told["summary"]);
    for failed in told["results"]["failed_checks"].as_array().unwrap() {
        let text = |field: &str| failed[field].as_str().unwrap_or_default().to_owned();
        let place = format!("{} {}", text("file_path"), text("resource"));
        found.entry(format!("{} {}", text("check_id"), text("check_name"))).or_default().push(place);
    }
    for (check, places) in &found {
        println!("{check}: {places:?}");
    }
    let accepted = |check: &str| ACCEPTED.iter().any(|(id, _)| check.split(' ').next() == Some(*id));
    let wrong: Vec<_> = found.iter().filter(|(check, _)| !accepted(check)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unused: Vec<_> =
        ACCEPTED.iter().filter(|(id, _)| !found.keys().any(|check| check.split(' ').next() == Some(*id))).collect();
    assert!(unused.is_empty(), "accepted, and not found: {unused:#?}");
}

#[test]
fn parliament_finds_nothing_in_the_policies() {
    let films = in_aws("films-judged");
    let mut policies = serde_json::Map::new();
    for (name, more) in [("functions", &[][..]), ("own", &["--own-buckets"]), ("service", &["--mode", "ecs"])] {
        let args = ["iam", "--account", "123456789012", "--region", "eu-central-1"];
        let told = deploy(&films, &[&args, more].concat()).json();
        let all = told.as_object().unwrap().clone();
        policies.extend(all.into_iter().map(|(role, policy)| (format!("{name}-{role}"), policy)));
    }
    assert_eq!(policies.len(), 9);
    let text = Value::Object(policies).to_string();
    assert!(!text.contains("${AWS::"), "{text}");
    let mut judge = platform_python();
    judge.arg(repository().join("tests/e2e/policies.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judge = judge.spawn().unwrap();
    judge.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let told = judge.wait_with_output().unwrap();
    assert!(told.status.success());
    let found: Vec<[String; 3]> = serde_json::from_slice(&told.stdout).unwrap();
    let texts: Vec<String> = found.into_iter().map(|parts| parts.join(" ")).collect();
    assert_eq!(texts, [""; 0]);
}

#[test]
fn actionlint_finds_nothing_in_the_workflows() {
    let python = platform_python();
    let beside = |name: &str| std::path::Path::new(python.get_program()).with_file_name(name);
    run(Command::new(beside("actionlint")).arg("-shellcheck").arg(beside("shellcheck")).current_dir(repository()))
        .exits(0);
}
