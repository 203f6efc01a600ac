//! A pipeline's resources in AWS, printed from its file: checked by AWS's own linter, created in the emulator, and listed line by line.
//!
//! Does not run what was created.

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

use std::path::PathBuf;

use aws_emulator::Emulator;
use films::{Buckets, Films};
use serde_json::Value;
use support::{Ran, compiled_plugins, fresh_folder, python, repository, run, script, sluicebox};

const LINTER: &str = "from cfnlint.runner.cli import main; main()";

/// The output of `stack.py`, in the emulator's account.
fn stack(emulator: &Emulator, args: &[&str]) -> Ran {
    run(script("stack.py").args(args).envs(emulator.environment())).exits(0)
}

/// The films' pipeline with a target in the emulator's account.
fn in_aws(name: &str, more: &str) -> Films {
    let films = Films::new(name);
    let queue = format!("https://sqs.us-east-1.amazonaws.com/000000000000/{name}");
    films.add_aws(name, Buckets::Stack, &queue, more);
    films
}

/// `sluicebox deploy ARGS` with the target, its plugins compiled where all tests have them.
fn deploy(films: &Films, args: &[&str]) -> Ran {
    let cache = compiled_plugins();
    let mut command = support::command(&films.folder);
    run(command.arg("deploy").args(args).args(["--target", "aws", "--cache-dir"]).arg(cache))
}

#[test]
fn templates_are_what_aws_takes_and_the_same_each_time() {
    let films = in_aws("films-linted", "");
    let whole: [(&str, &[&str]); 4] = [
        ("lambda", &["--mode", "lambda", "--arch", "x86-64"]),
        ("own", &["--mode", "lambda", "--own-buckets", "--set", "queue.url=\"sqs://films-linted\""]),
        ("ecs", &["--mode", "ecs", "--arch", "arm64"]),
        ("services", &["--mode", "ecs", "--service-per-role"]),
    ];
    for (mode, more) in whole {
        let args = [&["cloudformation"], more].concat();
        let text = deploy(&films, &args).exits(0).stdout;
        assert_eq!(text, deploy(&films, &args).exits(0).stdout, "{mode}");
        let template: Value = serde_json::from_str(&text).unwrap();
        let types: Vec<&str> =
            template["Resources"].as_object().unwrap().values().map(|one| one["Type"].as_str().unwrap()).collect();
        assert!(types.contains(&"AWS::QuickSight::Dashboard"), "{types:?}");
        let file = films.path(&format!("{mode}.json"));
        deploy(&films, &[&args[..], &["-o", file.to_str().unwrap()]].concat()).exits(0);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{mode}");
        let linted = run(python().args(["-c", LINTER, "--regions", "us-east-1", "--"]).arg(&file));
        assert_eq!((linted.code, linted.stdout.as_str()), (0, ""), "{mode}\n{}", linted.stderr);
    }
    let whole = deploy(&films, &["cloudformation", "--json"]).exits(0).json();
    assert!(whole["template"]["Resources"]["IngestFunction"].is_object(), "{whole}");
    assert_eq!(whole["inline"], whole["bytes"].as_u64().unwrap() <= 51_200);
}

#[test]
fn every_message_that_a_metric_counts_is_one_that_the_host_logs() {
    let films = in_aws("films-counted", "");
    let mut sources = String::new();
    for part in ["lake", "engine", "cli"] {
        for (path, bytes) in films::files(&repository().join("host").join(part).join("src")) {
            sources.extend((path.extension() == Some("rs".as_ref())).then(|| String::from_utf8(bytes).unwrap()));
        }
    }
    let mut seen = 0;
    for mode in ["lambda", "ecs"] {
        let template = deploy(&films, &["cloudformation", "--mode", mode, "--json"]).exits(0).json();
        for resource in template["template"]["Resources"].as_object().unwrap().values() {
            let Some(pattern) = resource["Properties"]["FilterPattern"].as_str() else { continue };
            for message in pattern.split("$.message = ").skip(1).map(|rest| rest.split('"').nth(1).unwrap()) {
                let logged = [format!(", \"{message}\");"), format!("            \"{message}\"\n")];
                assert!(logged.iter().any(|text| sources.contains(text)), "nobody logs `{message}`");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_alarm_has_a_line_in_the_runbook() {
    let films = in_aws("films-alarmed", "");
    let docs = std::fs::read_to_string(repository().join("docs/src/aws.md")).unwrap();
    for mode in ["lambda", "ecs"] {
        let template = deploy(&films, &["cloudformation", "--mode", mode, "--json"]).exits(0).json();
        let resources = template["template"]["Resources"].as_object().unwrap();
        let alarms = resources.iter().filter(|(_, one)| one["Type"] == "AWS::CloudWatch::Alarm").map(|(name, _)| name);
        for alarm in alarms {
            // One line is for all stages.
            let of_all = ["Enrich", "Clean", "Aggregate", "Ingest"].iter().find_map(|role| alarm.strip_prefix(role));
            let told = docs.contains(&format!("`{alarm}`"));
            assert!(told || of_all.is_some_and(|rest| docs.contains(&format!("{rest}`, …"))), "{alarm}");
        }
    }
}

#[test]
fn a_stack_of_the_template_is_what_the_program_expects() {
    let films = in_aws("films-in-a-stack", "");
    let file = films.path("template.json");
    deploy(&films, &["cloudformation", "-o", file.to_str().unwrap()]).exits(0);
    let emulator = Emulator::shared(env!("CARGO_TARGET_TMPDIR"));
    let source = films.path("data/movies.csv");
    stack(&emulator, &["prepare", "films-in-a-stack", films::KEY, source.to_str().unwrap()]);
    stack(&emulator, &["create", "films-in-a-stack", file.to_str().unwrap()]);
    let there = stack(&emulator, &["inspect", "films-in-a-stack"]).json();
    for (stage, timeout) in [("Enrich", 1800), ("Clean", 1805), ("Aggregate", 1810)] {
        let queue = &there["queues"][format!("{stage}Queue")];
        let redrive: Value = serde_json::from_str(queue["RedrivePolicy"].as_str().unwrap()).unwrap();
        let dead = format!("films-in-a-stack-{}-dead", stage.to_lowercase());
        assert!(redrive["deadLetterTargetArn"].as_str().unwrap().ends_with(&dead), "{redrive}");
        assert_eq!(redrive["maxReceiveCount"].to_string().trim_matches('"'), "10");
        assert_eq!(queue["VisibilityTimeout"], timeout.to_string(), "{queue}");
        assert_eq!(queue["MaximumMessageSize"], "1048576", "{queue}");
        let function = &there["functions"][format!("{stage}Function")];
        assert!(function["timeout"].as_u64().unwrap() * 6 <= timeout, "{function}");
        let mapping = &function["mappings"][0];
        assert_eq!(mapping["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{mapping}");
        assert_eq!(mapping["ScalingConfig"]["MaximumConcurrency"], 2, "{mapping}");
        assert_eq!(function["policies"].as_array().unwrap().len(), 1, "{function}");
        assert_eq!(function["environment"]["SLUICEBOX_ROLE"], stage.to_lowercase());
    }
    let told = &there["buckets"]["films-in-a-stack"];
    assert_eq!(told["versioning"], Value::Null, "{told}");
    let filters: Vec<String> = told["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let value = |at: usize| one["Filter"]["Key"]["FilterRules"][at]["Value"].as_str().unwrap().to_owned();
            format!("{}…{} {}", value(0), value(1), one["QueueArn"].as_str().unwrap().rsplit(':').next().unwrap())
        })
        .collect();
    assert_eq!(
        filters,
        ["films/bronze/run….jsonl films-in-a-stack-clean", "films/silver/_delta_log/….json films-in-a-stack-aggregate"]
    );
    let schedule = &there["schedules"][0];
    assert_eq!(schedule["expression"], "cron(0 3 * * ? *)");
    assert_eq!(schedule["target"]["Input"], "{\"time\": \"<aws.scheduler.scheduled-time>\"}");
    assert!(schedule["target"]["Arn"].as_str().unwrap().ends_with(":films-in-a-stack-ingest"), "{schedule}");
    assert_eq!(there["tables"]["genres"], "s3://films-in-a-stack/films/gold/genres/");
    assert_eq!(there["alarms"], 23);
    // The same program opens them: it is strict about queues.
    let cache = compiled_plugins();
    let mut status = support::command(&films.folder);
    status.args(["status", "--target", "aws", "--cache-dir"]).arg(cache).envs(emulator.environment());
    run(&mut status).exits(0);
}

#[test]
fn each_statement_is_traced_to_its_line() {
    let films = in_aws("films-explained", "");
    let text = std::fs::read_to_string(films.path("pipeline.toml")).unwrap();
    let line = |start: &str| text.lines().position(|line| line.starts_with(start)).unwrap() + 1;
    let told = deploy(&films, &["iam", "--explain"]).exits(0).stdout;
    for (statement, key, start) in [
        ("CleanSilverReadWrite", "lake.silver", "lake.silver = \"s3"),
        ("Secrets", "secrets.omdb_api_key", "secrets.omdb_api_key"),
        ("Open", "queue.url", "queue.url"),
        ("Source", "source.uri", "source.uri"),
        ("AggregateGoldReadWrite", "aggregate.decades", "name = \"decades\""),
    ] {
        let place = format!("pipeline.toml:{} {key}", line(start));
        assert!(told.contains(&place) && told.contains(statement), "{place}\n{told}");
    }
    assert!(told.contains("pipeline.toml swap.watch (default)"), "{told}");
    let roles = deploy(&films, &["iam"]).exits(0).json();
    let secrets = |role: &str| roles[role].to_string().contains("secretsmanager:GetSecretValue");
    assert!(secrets("enrich") && !secrets("ingest") && !secrets("clean") && !secrets("aggregate"), "{roles}");
    for (role, document) in roles.as_object().unwrap() {
        for statement in document["Statement"].as_array().unwrap() {
            let actions = statement["Action"].as_array().unwrap();
            assert!(actions.iter().all(|action| !action.as_str().unwrap().contains('*')), "{role}: {statement}");
        }
    }
}

#[test]
fn manifests_name_the_csv_of_each_table() {
    let films = in_aws("films-manifests", "");
    let folder = films.path("manifests");
    deploy(&films, &["quicksight", "-o", folder.to_str().unwrap()]).exits(0);
    let text = std::fs::read_to_string(folder.join("genres.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["fileLocations"][0]["URIs"][0], "s3://films-manifests/films/gold/genres.csv");
    assert_eq!(manifest["globalUploadSettings"]["containsHeader"], "true");
}

fn refused(name: &str, text: &str, args: &[&str]) -> String {
    let folder: PathBuf = fresh_folder(name);
    std::fs::write(folder.join("pipeline.toml"), text).unwrap();
    sluicebox(&folder, &[&["deploy"], args].concat()).exits(2).stderr
}

#[test]
fn everything_that_is_in_the_way_is_told_at_once() {
    let told = refused(
        "deploy-refused",
        "[pipeline]\nname = \"orders\"\n[schedule]\ncron = \"0 0 1,L * *\"\n[source]\nuri = \"orders.csv\"\nkey = [\"id\"]\n\
         [secrets]\ntoken = \"env:TOKEN\"\n[endpoints.rates]\nurl = \"https://rates.example.com/\"\n\
         headers = { authorization = \"{secret:token}\" }\n[enrich]\nplugin = \"e\"\n[clean]\nplugin = \"../c.wasm\"\n\
         [lake]\nbronze = \"s3://acme-lake/orders=1/bronze\"\n",
        &["cloudformation"],
    );
    for (place, message) in [
        ("4:8", "error[C071]: AWS has no schedule for `1,L` as the day of month"),
        ("6:7", "error[C070]: the source is on this machine: `orders.csv`"),
        ("9:9", "error[C070]: secret `token` is in an environment variable"),
        ("16:10", "error[C070]: the plugin of stage `clean` is outside of the project: `../c.wasm`"),
        ("17:2", "error[C070]: layer silver is on this machine: `lake/silver`"),
        ("17:2", "error[C070]: layer gold is on this machine: `lake/gold`"),
        ("18:10", "error[C070]: `=` in the place of layer bronze"),
        ("18:42", "error[C070]: the queues are on this machine"),
    ] {
        assert!(
            told.contains(&format!("--> pipeline.toml:{place}\n")) && told.contains(message),
            "{place} {message}\n{told}"
        );
    }
    let at_home =
        refused("deploy-at-home", &std::fs::read_to_string(repository().join("pipeline.toml")).unwrap(), &["iam"]);
    assert!(at_home.contains("deploy with `--target NAME`"), "{at_home}");
}

/// What `doctor` reports about the deployed pipeline: promises that do not hold, with their subjects.
fn findings(films: &Films, emulator: &Emulator, code: i32) -> Vec<String> {
    let cache = compiled_plugins();
    let mut command = support::command(&films.folder);
    command.envs(emulator.environment()).args(["doctor", "--target", "aws", "--json", "--cache-dir"]).arg(cache);
    let told = run(&mut command).exits(code).json();
    let checks = told["pipelines"][0]["checks"].as_array().unwrap().clone();
    assert!(checks.len() > 30, "{checks:#?}");
    let wrong = checks.iter().filter(|check| check["finding"].is_object());
    wrong
        .map(|check| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            assert!(
                !text(&check["finding"]["fix"]).is_empty() && !text(&check["finding"]["found"]).is_empty(),
                "{check}"
            );
            format!("{} {}", text(&check["about"]), text(&check["promise"]))
        })
        .collect()
}

#[test]
fn the_doctor_is_content_with_a_stack_of_the_template_and_finds_what_is_done_to_it() {
    const NAME: &str = "films-examined";
    let films = in_aws(NAME, "");
    let file = films.path("template.json");
    deploy(&films, &["cloudformation", "-o", file.to_str().unwrap()]).exits(0);
    let emulator = Emulator::shared(env!("CARGO_TARGET_TMPDIR"));
    let source = films.path("data/movies.csv");
    stack(&emulator, &["prepare", NAME, films::KEY, source.to_str().unwrap()]);
    stack(&emulator, &["create", NAME, file.to_str().unwrap()]);
    stack(&emulator, &["tend", NAME, file.to_str().unwrap()]);
    assert_eq!(findings(&films, &emulator, 0), [""; 0]);

    stack(&emulator, &["break", NAME]);
    assert_eq!(
        findings(&films, &emulator, 1),
        [
            "source can be read",
            "secret omdb_api_key can be read",
            "queue films-examined-enrich what is handed out stays invisible for six times as long as its function may run",
            "queue films-examined-enrich-dead is empty",
            "queue films-examined-clean gives up into its dead letters, after as many tries as the file says",
            "queue films-examined-clean-dead keeps dead letters until somebody has looked",
            "queue films-examined-aggregate is there",
            "bucket films-examined keeps no old versions",
            "bucket films-examined ends unfinished uploads",
            "bucket films-examined tells the queues what is new",
            "bucket films-examined tells the queues what is new",
        ]
    );
}

#[test]
fn what_does_not_fit_or_costs_much_is_told_before_it_is_deployed() {
    let films = in_aws("films-reckoned", "");
    let told = deploy(&films, &["cloudformation", "--records-a-month", "30000000"]).exits(0).stderr;
    for part in ["a month in AWS with 30,000,000 records costs about $", "S3 $", "`batch_size = 1` costs", "us-east-1"]
    {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let cost = deploy(&films, &["cloudformation", "--json"]).exits(0).json()["cost"].clone();
    // Ten films a day.
    assert!(cost["records"] == 300.0 && cost["total"].as_f64().unwrap() > 0.0, "{cost}");

    let with = |set: &[&str]| {
        let sets = set.iter().flat_map(|one| ["--set", one]);
        deploy(&films, &["cloudformation"].into_iter().chain(sets).collect::<Vec<_>>())
    };
    let slow = with(&["source.batch_size=1000", "endpoints.omdb.rate=\"1/s\""]).exits(2).stderr;
    assert!(
        slow.contains("error[C071]: a message of 1000 records takes 999 s") && slow.contains("at most 286"),
        "{slow}"
    );
    let crowded = with(&["source.batch_size=100", "endpoints.omdb.rate=\"1/s\""]).exits(0).stderr;
    assert!(crowded.contains("warning[C073]") && crowded.contains("`batch_size = 28` or less"), "{crowded}");

    // An endpoint without a rate needs another file: `--set` removes nothing.
    let file = films.path("pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("rate = \"10/s\"\n", "")).unwrap();
    let unbounded = deploy(&films, &["cloudformation"]).exits(0).stderr;
    assert!(unbounded.contains("warning[C072]: endpoint `omdb` has no `rate`"), "{unbounded}");
    let cache = compiled_plugins();
    let mut check = support::command(&films.folder);
    let checked = run(check.args(["check", "--target", "aws", "--cache-dir"]).arg(cache)).exits(0);
    assert!(checked.stdout.contains("a month in AWS with 300 records costs about $"), "{}", checked.stdout);
    assert!(checked.stderr.contains("warning[C072]"), "{}", checked.stderr);
}
