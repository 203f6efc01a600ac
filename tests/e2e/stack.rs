//! The whole of a pipeline in AWS, with no one touching anything: the generated stack, made by CloudFormation, runs the bundle, from its
//! schedule to Gold. In an emulator that lets each function do only what its role may.
//!
//! Does not look at the template: `deploy.rs` does.

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

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use api_stub::{Fault, Rule};
use aws_emulator::Emulator;
use films::{Films, GOLD, KEY};
use serde_json::Value;
use support::{Ran, run, script};

const NAME: &str = "films-by-itself";
/// How often a message is handed out before it is a dead letter.
const RECEIVES: u32 = 3;
/// Two minutes pass at most until the schedule fires, and the emulator is no fast machine.
const PATIENCE: Duration = Duration::from_secs(300);

struct Stack {
    films: Films,
    emulator: Emulator,
}

impl Stack {
    /// Everything that is there before the stack: source, plugin, secret, pipeline file.
    fn prepare() -> Self {
        let (films, emulator) = (Films::new(NAME), Emulator::strict(env!("CARGO_TARGET_TMPDIR")));
        let places =
            ["bronze", "silver", "gold"].map(|layer| format!("lake.{layer} = \"s3://{NAME}/films/{layer}\"\n"));
        let target = format!(
            "\n[target.aws]\n{}source.uri = \"s3://{NAME}-source/movies.csv\"\nsource.top_n = 40\nsource.batch_size = 4\n\
             queue.url = \"https://sqs.us-east-1.amazonaws.com/000000000000/{NAME}\"\nqueue.max_receives = {RECEIVES}\n\
             schedule.cron = \"* * * * *\"\nsecrets.omdb_api_key = \"aws-secretsmanager:{NAME}#omdb\"\n\
             endpoints.omdb.url = \"{}\"\nendpoints.omdb.rate = \"5000/s\"\n\
             clean.plugin = \"s3://{NAME}-source/plugins/clean.wasm\"\n",
            places.concat(),
            films.stub.url()
        );
        let file = films.path("pipeline.toml");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &target).unwrap();
        let stack = Stack { films, emulator };
        let (source, clean) = (stack.films.path("data/movies.csv"), stack.clean());
        stack.script(&["prepare", NAME, KEY, source.to_str().unwrap(), "plugins/clean.wasm", clean.to_str().unwrap()]);
        stack
    }

    fn clean(&self) -> std::path::PathBuf {
        self.films.path("plugins/clean-movies/clean-movies.wasm")
    }

    fn script(&self, args: &[&str]) -> Ran {
        run(script("stack.py").args(args).envs(self.emulator.environment())).exits(0)
    }

    /// `sluicebox ARGS` as somebody who may all.
    fn sluicebox(&self, args: &[&str]) -> Ran {
        let mut command = support::command(&self.films.folder);
        command.envs(self.emulator.environment()).env_remove("OMDB_API_KEY").args(args).args(["--target", "aws"]);
        run(command.arg("--cache-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins")))
    }

    fn depths(&self) -> Value {
        self.script(&["depths", NAME]).json()
    }

    /// Waits until `what` is so.
    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> Result<(), String>) {
        let until = Instant::now() + PATIENCE;
        loop {
            match is_so(self) {
                Ok(()) => return,
                Err(why) if Instant::now() > until => panic!("{what} did not come: {why}\n{}", self.depths()),
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    /// Waits until nothing is under way, and all that came is in Gold.
    fn settle(&self) {
        self.wait("rest", |stack| {
            let depths = stack.depths();
            let busy = ["enrich", "clean", "aggregate"].iter().any(|stage| depths[*stage] != 0);
            if busy { Err(depths.to_string()) } else { Ok(()) }
        });
        let status = self.sluicebox(&["status", "--json"]).exits(0).json();
        let lake = &status["pipelines"][0];
        assert_eq!(lake["silver"]["unseen_objects"], 0, "{lake}");
        for table in GOLD {
            assert_eq!(lake["gold"][table]["silver_version"], lake["silver"]["version"], "{lake}");
        }
    }

    fn object(&self, key: &str) -> Option<String> {
        let mut command = script("aws_account.py");
        let ran = run(command.args(["object", NAME, key]).envs(self.emulator.environment()));
        (ran.code == 0).then_some(ran.stdout)
    }

    /// Kills the processes that the emulator runs a role's function in.
    fn kill(&self, role: &str) {
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={NAME}-{role}");
        let wanted = [name, format!("AWS_ENDPOINT_URL={}", self.emulator.url())];
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let variables: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
            wanted.iter().all(|one| variables.contains(&one.as_bytes()))
        });
        let mut kill = Command::new("kill");
        kill.arg("-9").args(processes.map(|process| process.file_name()));
        assert_eq!(run(&mut kill).code, 0);
    }
}

#[test]
fn the_stack_goes_by_itself_from_its_schedule_to_gold() {
    let stack = Stack::prepare();
    let (bundle, template) = (stack.films.path("films.zip"), stack.films.path("stack.json"));
    let (bundle, template) = (bundle.to_str().unwrap(), template.to_str().unwrap());
    stack.sluicebox(&["deploy", "bundle", "-o", bundle]).exits(0);
    stack.sluicebox(&["deploy", "cloudformation", "-o", template]).exits(0);
    // One film's answer is late each time, so that there is a batch in hand to be killed.
    let fault = Fault::Delay { ms: 20_000 };
    stack.films.stub.add_fault(Rule { fault, next: None, every: None, title: Some("The Matrix".to_owned()) });
    // Another one's comes after the function has given it back once.
    let once = Fault::Status { status: 503, retry_after: None };
    stack.films.stub.add_fault(Rule {
        fault: once,
        next: Some(4),
        every: None,
        title: Some("Pulp Fiction".to_owned()),
    });
    // A third one's, in no batch with these, is more than anybody takes: the record is refused, and made again later.
    let bomb = Fault::GzipBomb { mib: 64 };
    stack.films.stub.add_fault(Rule { fault: bomb, next: None, every: None, title: Some("Gladiator".to_owned()) });
    stack.script(&["create", NAME, template, bundle]);
    // What is in hand when a function dies comes again after that; the template has what AWS asks for, which is half an hour.
    stack.script(&["hurry", NAME, "enrich", "8"]);
    stack.script(&["send", NAME, "enrich", "no message of ours"]);
    for _ in 0..RECEIVES {
        let before = stack.films.stub.stats().calls;
        stack.wait(
            "a call",
            |stack| if stack.films.stub.stats().calls > before { Ok(()) } else { Err("none".to_owned()) },
        );
        stack.script(&["schedules", NAME, "DISABLED"]);
        // Time for its neighbours.
        std::thread::sleep(Duration::from_secs(2));
        stack.kill("enrich");
    }

    // What kills its function each time ends where it can be seen; what is no message at all was put aside.
    stack.wait("the dead letter", |stack| {
        let depths = stack.depths();
        if depths["enrich-dead"].as_u64() > Some(0) { Ok(()) } else { Err(depths.to_string()) }
    });
    stack.settle();
    let quarantine = stack.sluicebox(&["quarantine", "ls", "--json"]).exits(0).stdout;
    assert_eq!(quarantine.matches("not a message of this pipeline").count(), 1, "{quarantine}");

    stack.films.stub.clear_faults();
    another_plugin_serves_from_the_next_tick(&stack);
    what_was_refused_is_made_again(&stack);
    stack.script(&["redrive", NAME, "enrich"]);
    stack.wait("no dead letter", |stack| {
        let depths = stack.depths();
        if depths["enrich-dead"] == 0 { Ok(()) } else { Err(depths.to_string()) }
    });
    stack.settle();
    stack.sluicebox(&["verify"]).exits(0);
    gold_is_that_of_a_laptop_and_athena_sees_it(&stack);
    no_role_may_more_than_it_does(&stack);
}

/// A plugin that is replaced in S3 cleans what the next tick brings, without a deployment; and the tick finds what was lost before.
fn another_plugin_serves_from_the_next_tick(stack: &Stack) {
    let mut component = std::fs::read(stack.clean()).unwrap();
    // A section that only says something: other bytes, the same code.
    component.extend([0, 6, 4, b'n', b'o', b't', b'e', b'2']);
    let another = stack.films.path("another.wasm");
    std::fs::write(&another, &component).unwrap();
    stack.script(&["publish", NAME, "plugins/clean.wasm", another.to_str().unwrap()]);
    let inspected = run(support::command(&stack.films.folder).args(["plugin", "inspect", "--json"]).arg(&another));
    let digest = inspected.exits(0).json()["digest"].as_str().unwrap().to_owned();
    stack.script(&["schedules", NAME, "ENABLED"]);
    stack.wait("a row of the new plugin", |stack| {
        let lake = stack.sluicebox(&["status", "--json"]).exits(0).json()["pipelines"][0].clone();
        let is_so = lake["plugins"]["clean"]["digest"] == digest && lake["silver"]["rows"] == 40;
        if is_so { Ok(()) } else { Err(lake.to_string()) }
    });
    stack.script(&["schedules", NAME, "DISABLED"]);
    stack.settle();
}

/// The record of each tick that met the bomb goes its way once somebody says so.
fn what_was_refused_is_made_again(stack: &Stack) {
    let refused = |stack: &Stack| {
        let told = stack.sluicebox(&["quarantine", "ls", "--json"]).exits(0).json();
        let all = told["refused"].as_array().unwrap().clone();
        all.into_iter().filter(|one| one["code"] == "P165").collect::<Vec<Value>>()
    };
    let ids: Vec<String> = refused(stack).iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert!(!ids.is_empty());
    let ids = ids.iter().map(String::as_str);
    stack
        .sluicebox(&["quarantine", "replay", "--fetch", "--detach"].into_iter().chain(ids).collect::<Vec<_>>())
        .exits(0);
    stack.wait("the refused records", |stack| {
        let left = refused(stack);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    stack.settle();
}

fn gold_is_that_of_a_laptop_and_athena_sees_it(stack: &Stack) {
    stack.films.once_gives_the_gold(40, 4, |file| stack.object(&format!("films/gold/{file}")).unwrap());
    // The emulator's Athena knows no Delta, and a table of Parquet is a folder. `read_lake.py` reads Delta.
    let columns = "genre STRING, films BIGINT";
    stack.script(&["table", NAME, "genres_parquet", columns, "films/gold/genres.parquet"]);
    let answer = stack.script(&["ask", NAME, "SELECT genre, films FROM genres_parquet ORDER BY genre"]).json();
    let cell = |row: &Value, at: usize| row[at].as_str().unwrap().to_owned();
    let rows: Vec<_> = answer.as_array().unwrap()[1..].iter().map(|row| (cell(row, 0), cell(row, 1))).collect();
    let mut expected: Vec<(String, String)> =
        stack.films.gold("genres")[1..].iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    expected.sort();
    assert_eq!(rows, expected);
}

/// What roles may do for cases that two minutes do not bring.
const FOR_LATER: [(&str, &str); 3] = [
    ("s3:DeleteObject", "what nobody has named for an hour, and records that were refused and are made again"),
    ("sqs:ChangeMessageVisibility", "a message that fails, and is to come again after a while"),
    ("sqs:SendMessage", "what a plugin that is taken back has refused"),
];

/// Whatever was called was allowed, and whatever is allowed was called: by action, since a role repairs in more folders than had to be repaired.
fn no_role_may_more_than_it_does(stack: &Stack) {
    let powers = stack.script(&["powers", NAME, stack.emulator.calls().to_str().unwrap()]).json();
    let mut wrong = Vec::new();
    for (role, told) in powers.as_object().unwrap() {
        let of = |what: &str| told[what].as_array().unwrap().clone();
        let actions = |what: &str| -> BTreeSet<String> {
            of(what).iter().map(|power| power[0].as_str().unwrap().to_owned()).collect()
        };
        let (used, by_aws) = (actions("used"), actions("by AWS"));
        println!("{role} may and does: {}", used.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        println!("  in {} of {} places", of("used").len(), of("used").len() + of("unused").len());
        println!("  and AWS in its name: {}", by_aws.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        wrong.extend(of("refused").iter().map(|call| format!("{role} was refused {call}")));
        for action in actions("unused").difference(&used) {
            match FOR_LATER.iter().find(|(later, _)| later == action) {
                Some((_, when)) => println!("  not yet: {action}, for {when}"),
                None => wrong.push(format!("{role} may {action} and does not")),
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
