//! The pipeline of this repository with everything in AWS: source and lake in S3, queues in SQS, the secret in Secrets Manager. The
//! account is an emulator's.
//!
//! Does not test the adapters by themselves: `host/aws/tests` does.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: it reads files itself, and what goes wrong ends it"
)]

mod films;
mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use aws_emulator::{Emulator, LookAlike};
use films::{Buckets, Films, GOLD, KEY, NEXT_TICK, TICK};
use serde_json::{Value, json};
use support::{Ran, run, script};

/// The name of the login's file, made from the session's name, `films`.
const SESSION_SHA1: &str = "c17b76c5664ca62b672b629bf2a0ec9515105e86";

fn python() -> Command {
    script("aws_account.py")
}

/// A process that hands out credentials. It ends with its stdin.
struct Giver(Child);

impl Giver {
    fn start() -> (Self, String) {
        let mut child = python()
            .arg("credentials")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script starts");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        (Giver(child), format!("http://127.0.0.1:{}", port.trim()))
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The films' pipeline with a target `aws`, and the account that it names.
struct Account {
    films: Films,
    emulator: Emulator,
    name: &'static str,
}

impl Account {
    fn new(name: &'static str) -> Self {
        Account::on(Emulator::shared(env!("CARGO_TARGET_TMPDIR")), name)
    }

    fn on(emulator: Emulator, name: &'static str) -> Self {
        let films = Films::new(name);
        films.add_aws(name, Buckets::One, &emulator.queue_url(name), "");
        Account { films, emulator, name }
    }

    fn script(&self, args: &[&str]) -> Ran {
        run(python().args(args).envs(self.emulator.environment())).exits(0)
    }

    fn make(&self) {
        let source = self.films.path("data/movies.csv");
        self.script(&["make", self.name, KEY, source.to_str().unwrap()]);
    }

    /// `sluicebox ARGS --target aws`, with nothing of the local pipeline to fall back to.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.films.command(args);
        command.args(["--target", "aws"]).env_remove("OMDB_API_KEY").envs(self.emulator.environment());
        command
    }

    fn sluicebox(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    /// Asserts that Gold in AWS is what the laptop's folder has.
    fn has_the_gold_of_a_laptop(&self) {
        for table in GOLD {
            let there = self.script(&["object", self.name, &format!("lake/gold/{table}.csv")]).stdout;
            let here = std::fs::read_to_string(self.films.path(&format!("lake/gold/{table}.csv"))).unwrap();
            assert!(there.lines().count() > 5, "{table}: {there}");
            assert_eq!(there, here, "{table}");
        }
    }

    fn state(&self) -> Value {
        self.script(&["state", self.name]).json()
    }
}

#[test]
fn a_source_in_s3_is_the_object_of_that_very_key() {
    let account = Account::new("films-odd-keys");
    account.make();
    let one = account.films.path("one.csv");
    std::fs::write(&one, "title,year,imdb_votes\nThe Dark Knight,2008,465000\n").unwrap();
    // As a URL each would be another object: `source/a`, `source/a/b.csv`, `source/a b c.csv`, `source/q`.
    for (day, key) in (10..).zip(["source/a#1.csv", "source/a%2Fb.csv", "source/a b+c.csv", "source/q?x=1.csv"]) {
        account.script(&["put", account.name, key, one.to_str().unwrap()]);
        let (uri, tick) = (format!("source.uri=\"s3://{}/{key}\"", account.name), format!("2026-11-{day}T03:00:00Z"));
        let ran = account.sluicebox(&["run", "--once", "--json", "--tick", &tick, "--set", &uri]).exits(0);
        assert_eq!(ran.json()["pipelines"][0]["fired"]["records"], 1, "{key}: {}", ran.stdout);
    }
    let gone = format!("source.uri=\"s3://{}/source/b#1.csv\"", account.name);
    let failed = account.sluicebox(&["run", "--once", "--tick", TICK, "--set", &gone]);
    assert!(failed.code != 0 && failed.stderr.contains("source/b#1.csv"), "{}", failed.stderr);
}

#[test]
fn in_aws_it_makes_the_gold_that_it_makes_on_a_laptop() {
    it_makes_the_gold_of_a_laptop(&Account::new("films-in-aws"));
}

#[test]
fn in_another_emulator_it_makes_the_same_gold() {
    let emulator = Emulator::moto(env!("CARGO_TARGET_TMPDIR"));
    it_makes_the_gold_of_a_laptop(&Account::on(emulator, "films-in-moto"));
}

fn it_makes_the_gold_of_a_laptop(account: &Account) {
    account.make();
    let once =
        ["run", "--once", "--json", "--tick", TICK, "--set", "source.top_n=200", "--set", "source.batch_size=20"];
    let ran = account.sluicebox(&once).exits(0);
    assert_eq!(ran.json()["pipelines"][0]["fired"]["messages"], 10, "{}", ran.stdout);
    account.sluicebox(&["verify"]).exits(0);

    let local = account.films.sluicebox(&once).exits(0).json()["pipelines"][0].clone();
    let remote = ran.json()["pipelines"][0].clone();
    for count in ["rows", "seen", "standing", "skipped", "quarantined", "unseen_objects", "watermark"] {
        assert_eq!(remote["lake"]["silver"][count], local["lake"]["silver"][count], "{count}");
    }
    account.has_the_gold_of_a_laptop();

    let state = account.state();
    assert_eq!(state["messages"], 0);
    // Once more changes nothing: what is in Bronze is neither queued nor asked for.
    let calls = account.films.stub.stats().calls;
    assert_eq!(account.sluicebox(&once).exits(0).json()["pipelines"][0]["fired"]["queued"], 0);
    assert_eq!((account.films.stub.stats().calls, account.state()), (calls, state));

    // The next tick at three hosts at once, which share everything.
    let next = [&["run", "--once", "--tick", NEXT_TICK][..], &once[5..]].concat();
    let start = |_| {
        let mut command = account.command(&next);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let hosts: Vec<Child> = (0..3).map(start).collect();
    for host in hosts {
        let output = host.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    account.sluicebox(&["verify"]).exits(0);
    account.films.sluicebox(&next).exits(0);
    account.has_the_gold_of_a_laptop();
}

#[test]
fn what_is_missing_in_aws_is_named_with_the_way_to_mend_it() {
    let account = Account::new("films-not-in-aws");
    let ran = account.sluicebox(&["status"]);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.code != 0 && text.contains("NoSuchBucket") && text.contains("hint: make the bucket"), "{text}");

    let mut command = account.films.command(&["status", "--target", "aws"]);
    for (name, _) in account.emulator.environment() {
        command.env_remove(name);
    }
    command
        .env_remove("AWS_DEFAULT_REGION")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = run(&mut command);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.code == 3 && told.contains("no region of AWS is set") && told.contains("set `AWS_REGION`"), "{told}");
}

/// A home folder with a profile for each way to log in. All of them lead to the emulator.
fn home(account: &Account, giver: &str) -> PathBuf {
    let home = account.films.path("home");
    std::fs::create_dir_all(home.join(".aws/sso/cache")).unwrap();
    let login =
        json!({"accessToken": "t", "expiresAt": "2099-01-01T00:00:00Z", "region": "us-east-1", "startUrl": giver});
    std::fs::write(home.join(".aws/sso/cache").join(format!("{SESSION_SHA1}.json")), login.to_string()).unwrap();
    let keys = r#"{"Version": 1, "AccessKeyId": "given", "SecretAccessKey": "given"}"#;
    std::fs::write(home.join("keys.json"), keys).unwrap();
    let (url, keys) = (account.emulator.url(), home.join("keys.json"));
    let common = format!("region = us-east-1\nendpoint_url = {url}\n");
    let profiles = format!(
        "[profile plain]\n{common}[profile keys]\n{common}aws_access_key_id = given\naws_secret_access_key = given\n\
         [profile process]\n{common}credential_process = cat {}\n\
         [profile sso]\n{common}sso_session = films\nsso_account_id = 111122223333\nsso_role_name = films\n\
         [sso-session films]\nsso_start_url = {giver}\nsso_region = us-east-1\n",
        keys.display()
    );
    std::fs::write(home.join(".aws/config"), profiles).unwrap();
    home
}

#[test]
fn credentials_are_found_as_every_aws_tool_finds_them() {
    let account = Account::new("films-and-credentials");
    account.make();
    let (_giver, giver) = Giver::start();
    let home = home(&account, &giver);
    let (container, sso) = (format!("{giver}/container"), giver.clone());
    let asked = |environment: &[(&str, &str)]| {
        let mut command = account.films.command(&["quarantine", "ls", "--target", "aws"]);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        run(command.env("HOME", &home).envs(environment.iter().copied()))
    };
    let off = ("AWS_EC2_METADATA_DISABLED", "true");
    for environment in [
        &[off, ("AWS_PROFILE", "keys")][..],
        &[off, ("AWS_PROFILE", "process")],
        &[off, ("AWS_PROFILE", "sso"), ("AWS_ENDPOINT_URL_SSO", &sso)],
        &[off, ("AWS_PROFILE", "plain"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)],
        &[("AWS_PROFILE", "plain"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &giver)],
        &[("AWS_ENDPOINT_URL", account.emulator.url()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &giver)],
    ] {
        let ran = asked(environment);
        assert_eq!(ran.code, 0, "{environment:?}\n{}", ran.stderr);
    }
    let none = asked(&[off, ("AWS_PROFILE", "plain")]);
    assert!(none.code != 0 && none.stderr.contains("hint: set `AWS_PROFILE`"), "{}", none.stderr);
}

#[test]
fn a_pipeline_without_aws_asks_nothing_of_it() {
    let account = Account::new("films-without-aws");
    let mut command = account.films.command(&["run", "--once", "--json", "--tick", TICK]);
    // A command that looked for a region or credentials would fail here.
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/no/such/file");
    assert_eq!(run(&mut command).exits(0).json()["pipelines"][0]["fired"]["records"], json!(10));
}

#[test]
fn a_store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let account = Account::new("films-on-a-look-alike");
    account.make();
    let look_alike = LookAlike::before(account.emulator.url());
    let run_on_it = || {
        let mut command = account.command(&["run", "--once", "--tick", TICK]);
        run(command.env("AWS_ENDPOINT_URL_S3", look_alike.url()))
    };
    let told = run_on_it().exits(1).stderr;
    for part in ["[S001]", "s3://films-on-a-look-alike/lake/", look_alike.url(), "`If-None-Match`", "hint: "] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let keys = account.state()["keys"].clone();
    assert_eq!(keys, json!(["source/movies.csv"]), "nothing of it is left");

    // A store that heeds them is tried once, and its note does not count for another store.
    let once = ["run", "--once", "--tick", TICK, "--set", "source.top_n=3"];
    account.sluicebox(&once).exits(0);
    let notes = |keys: &Value| {
        let keys: Vec<String> = keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        keys.into_iter().filter(|key| key.contains("/_store/")).collect::<Vec<_>>()
    };
    let noted = notes(&account.state()["keys"]);
    assert_eq!(noted.len(), 3, "{noted:?}");
    account.sluicebox(&once).exits(0);
    assert_eq!(notes(&account.state()["keys"]), noted);
    run_on_it().exits(1);
}
