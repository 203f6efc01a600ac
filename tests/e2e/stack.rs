//! The whole of a pipeline in AWS, without an operator: the generated stack, made by CloudFormation, runs the bundle, from its
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
use std::process::Command;
use std::time::{Duration, Instant};

use api_stub::{Fault, Rule};
use aws_emulator::Emulator;
use films::{Buckets, Films, GOLD, KEY};
use serde_json::Value;
use support::{Ran, compiled_plugins, run, script};

const NAME: &str = "films-by-itself";
/// Records of a tick: enough to judge a plugin by. And how many go together.
const TOP_N: u32 = 60;
const BATCH_SIZE: u32 = 4;
/// How often a message is handed out before it is a dead letter.
const RECEIVES: u32 = 3;
/// A file of Silver that no version names, as a writer that has died leaves one.
const STRAY: &str = "films/silver/_bucket=00/part-of-a-dead-writer.parquet";
/// Two minutes pass at most until the schedule fires, and the emulator is slow.
const PATIENCE: Duration = Duration::from_secs(300);

struct Stack {
    films: Films,
    emulator: Emulator,
}

impl Stack {
    /// Everything that is there before the stack: source, plugin, secret, pipeline file.
    fn prepare() -> Self {
        let (films, emulator) = (Films::new(NAME), Emulator::strict(env!("CARGO_TARGET_TMPDIR")));
        let more = format!(
            "source.top_n = {TOP_N}\nsource.batch_size = {BATCH_SIZE}\nqueue.max_receives = {RECEIVES}\n\
             schedule.cron = \"* * * * *\"\nendpoints.omdb.url = \"{}\"\nendpoints.omdb.rate = \"5000/s\"\n\
             clean.plugin = \"s3://{NAME}-source/plugins/clean.wasm\"\n\
             aggregate.decades.plugin = \"s3://{NAME}-source/plugins/decades.wasm\"\nswap.rehearse = 0\n",
            films.stub.url()
        );
        let queue = format!("https://sqs.us-east-1.amazonaws.com/000000000000/{NAME}");
        films.add_aws(NAME, Buckets::Stack, &queue, &more);
        let stack = Stack { films, emulator };
        let source = stack.films.path("data/movies.csv");
        stack.script(&["prepare", NAME, KEY, source.to_str().unwrap()]);
        stack.publish("clean", &stack.component("clean-movies"));
        stack.publish("decades", &stack.component("aggregate-decades"));
        stack
    }

    fn component(&self, plugin: &str) -> Vec<u8> {
        std::fs::read(self.films.path(&format!("plugins/{plugin}/{plugin}.wasm"))).unwrap()
    }

    /// Puts a component where the pipeline file says that it is; returns its digest.
    fn publish(&self, name: &str, component: &[u8]) -> String {
        let file = self.films.path(&format!("{name}.wasm"));
        std::fs::write(&file, component).unwrap();
        self.script(&["publish", NAME, &format!("plugins/{name}.wasm"), file.to_str().unwrap()]);
        let inspected = run(support::command(&self.films.folder).args(["plugin", "inspect", "--json"]).arg(&file));
        inspected.exits(0).json()["digest"].as_str().unwrap().to_owned()
    }

    /// Lets the schedule fire until `what` holds.
    fn tick_until(&self, what: &str, is_so: impl Fn(&Self) -> Result<(), String>) {
        self.script(&["schedules", NAME, "ENABLED"]);
        self.wait(what, is_so);
        self.script(&["schedules", NAME, "DISABLED"]);
    }

    fn script(&self, args: &[&str]) -> Ran {
        run(script("stack.py").args(args).envs(self.emulator.environment())).exits(0)
    }

    /// `sluicebox ARGS` as a user with all permissions.
    fn sluicebox(&self, args: &[&str]) -> Ran {
        let mut command = support::command(&self.films.folder);
        command.envs(self.emulator.environment()).env_remove("OMDB_API_KEY").args(args).args(["--target", "aws"]);
        run(command.arg("--cache-dir").arg(compiled_plugins()))
    }

    fn depths(&self) -> Value {
        self.script(&["depths", NAME]).json()
    }

    /// Waits until `what` holds.
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
    let told = stack.sluicebox(&["deploy", "bundle", "--json", "-o", bundle]).exits(0).json();
    let digest = told["compiled_digest"].as_str().unwrap().to_owned();
    stack.sluicebox(&["deploy", "cloudformation", "-o", template]).exits(0);
    // One film's answer is late each time, so that there is a batch in hand to be killed.
    let fault = Fault::Delay { ms: 20_000 };
    stack.films.stub.add_fault(Rule { fault, next: None, every: None, title: Some("The Matrix".to_owned()) });
    // Another message comes after the function has given it back once.
    let once = Fault::Status { status: 503, retry_after: None };
    stack.films.stub.add_fault(Rule {
        fault: once,
        next: Some(4),
        every: None,
        title: Some("Pulp Fiction".to_owned()),
    });
    // A third film's, in no batch with these, is larger than any plugin accepts: the record is refused, and made again later.
    let bomb = Fault::GzipBomb { mib: 64 };
    stack.films.stub.add_fault(Rule { fault: bomb, next: None, every: None, title: Some("Gladiator".to_owned()) });
    stack.script(&["create", NAME, template, bundle, &digest]);
    // The work of a function that dies comes again after that; the template has the time that AWS asks for, half an hour.
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
    a_plugin_that_does_worse_is_taken_back(&stack);
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
    what_a_record_costs(&stack);
    no_role_may_more_than_it_does(&stack);
}

/// A plugin that looks for the wrong field serves until that is found out; what it has refused is made again by the one before it.
fn a_plugin_that_does_worse_is_taken_back(stack: &Stack) {
    let mut worse = stack.component("clean-movies");
    let (field, another) = (b"/Title", b"/Titel");
    let places: Vec<usize> = (0..worse.len() - field.len()).filter(|at| worse[*at..].starts_with(field)).collect();
    assert!(!places.is_empty());
    for at in places {
        worse[at..at + field.len()].copy_from_slice(another);
    }
    let digest = stack.publish("clean", &worse);
    stack.tick_until("the way back", |stack| {
        let history = stack.sluicebox(&["plugin", "history", "--json"]).exits(0).stdout;
        if history.contains("rolled_back") { Ok(()) } else { Err(history) }
    });
    stack.settle();
    let refused = stack.sluicebox(&["quarantine", "ls", "--json"]).exits(0).stdout;
    assert!(!refused.contains(&digest), "{refused}");
}

/// Plugins that are replaced in S3 make what the next tick brings, without a deployment; and the tick finds what was lost before, although
/// S3 is too busy for a while and the function that fires it is a new one.
fn another_plugin_serves_from_the_next_tick(stack: &Stack) {
    // A section that only says something: other bytes, the same code.
    let another = |plugin| [&stack.component(plugin)[..], &[0, 6, 4, b'n', b'o', b't', b'e', b'2']].concat();
    let clean = stack.publish("clean", &another("clean-movies"));
    let decades = stack.publish("decades", &another("aggregate-decades"));
    // Until a message is put off for it, however often the SDK tries.
    let (until, file) = ("sqs:ChangeMessageVisibility", stack.emulator.busy());
    for (role, part) in [("enrich", "/batch=00000"), ("clean", "/batch=00000"), ("aggregate", "/silver/_delta_log/")] {
        stack.script(&["busy", NAME, role, "s3:GetObject", part, until, file.to_str().unwrap()]);
    }
    stack.script(&["leave", NAME, STRAY]);
    stack.kill("ingest");
    stack.tick_until("what new plugins make", |stack| {
        let history = stack.sluicebox(&["plugin", "history", "--json"]).exits(0).json();
        let made_by = |digest: &String| {
            let mut made =
                history["stages"].as_array().unwrap().iter().flat_map(|one| one["generations"].as_array().unwrap());
            made.any(|generation| generation["plugin"]["digest"] == *digest)
        };
        let status = stack.sluicebox(&["status", "--json"]).exits(0).json();
        let is_so = made_by(&clean) && made_by(&decades) && status["pipelines"][0]["silver"]["rows"] == TOP_N;
        if is_so { Ok(()) } else { Err(format!("{history} {status}")) }
    });
    stack.settle();
    assert_eq!(stack.object(STRAY), None);
}

/// The record of each tick that met the bomb goes its way once an operator says so.
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
    stack.films.once_gives_the_gold(TOP_N, BATCH_SIZE, |file| stack.object(&format!("films/gold/{file}")).unwrap());
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

/// Prints the requests of each role for a record version, faults and all. `cargo xtask requests` counts a calm run.
fn what_a_record_costs(stack: &Stack) {
    let versions = stack.sluicebox(&["records", "--json"]).exits(0).json()["pipelines"][0]["states"].clone();
    let versions: u64 = versions.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let requests = stack.script(&["requests", NAME, stack.emulator.calls().to_str().unwrap()]).json();
    for (role, told) in requests.as_object().unwrap() {
        let a_record = |what: &str| told[what].as_u64().unwrap() as f64 / versions as f64;
        println!("{role}: PUT+LIST {:.2}, GET {:.2} a record", a_record("puts"), a_record("gets"));
    }
}

/// Every call was allowed, and every allowed call was made: by action, since a role repairs in more folders than had to be repaired.
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
        let refused: Vec<String> = of("refused").iter().map(Value::to_string).collect();
        let unused: Vec<String> = actions("unused").difference(&used).cloned().collect();
        println!("  called and not allowed: {refused:?}; allowed and not called: {unused:?}");
        wrong.extend(refused.into_iter().chain(unused).map(|one| format!("{role}: {one}")));
    }
    assert_eq!(wrong, [""; 0]);
}
