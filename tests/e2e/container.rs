//! A task of ECS on Fargate, as far as it can be had without Fargate: the image that the Dockerfile makes, the task definition that `deploy`
//! prints, its user, its volumes and a root that can only be read; its calls allowed by the role of the template alone.
//!
//! Does not run Docker: `container.py` follows the Dockerfile's steps. Must run as root, to become another user; otherwise it says so.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it starts processes itself, and what goes wrong ends it"
)]

mod films;
mod serve;
mod support;

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_emulator::Emulator;
use films::{Buckets, Films, KEY};
use serde_json::Value;
use serve::Served;
use support::{Ran, compiled_plugins, fresh_folder, repository, run, script};

/// The user of the image.
const USER: u32 = 65532;
const TOP_N: u32 = 60;
/// Until plugins are compiled by a program that is not optimized.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether this process may mount and become another user, as a container runtime does.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["--mount", "--propagation", "private", "true"]).output();
    let may = tried.is_ok_and(|tried| tried.status.success());
    if !may {
        eprintln!("NOT RUN: a container needs root, and leave to mount: run this test by `sudo -E`");
    }
    may
}

/// A pipeline in an account where everything may only be done that a policy allows, and a stack of services in it.
struct Account {
    films: Films,
    emulator: Emulator,
    name: &'static str,
}

impl Account {
    /// The pipeline ticks once, as the container starts: it has missed one.
    fn new(name: &'static str) -> Self {
        let (films, emulator) = (Films::new(name), Emulator::strict(env!("CARGO_TARGET_TMPDIR")));
        let more = format!(
            "source.top_n = {TOP_N}\nsource.batch_size = 5\nschedule.cron = \"* * * * *\"\n\
             endpoints.omdb.url = \"{}\"\nendpoints.omdb.rate = \"5000/s\"\n",
            films.stub.url()
        );
        films.add_aws(name, Buckets::Stack, &format!("sqs://{name}"), &more);
        let account = Account { films, emulator, name };
        let source = account.films.path("data/movies.csv");
        account.script("stack.py", &["prepare", name, KEY, source.to_str().unwrap()]);
        let mut deploy = support::command(&account.films.folder);
        deploy.args(["deploy", "cloudformation", "--mode", "ecs", "--target", "aws", "-o"]).arg(account.template());
        run(deploy.arg("--cache-dir").arg(compiled_plugins())).exits(0);
        account.script("services.py", &["create", name, account.template().to_str().unwrap()]);
        account
    }

    fn template(&self) -> std::path::PathBuf {
        self.films.path("services.json")
    }

    fn script(&self, name: &str, args: &[&str]) -> Ran {
        run(script(name).args(args).envs(self.emulator.environment())).exits(0)
    }

    /// What the container's role may use.
    fn credentials(&self) -> Vec<String> {
        let told = self.script("services.py", &["take_on", self.name, "AllRole"]).json();
        told.as_object().unwrap().iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect()
    }

    fn object(&self, key: &str) -> Option<String> {
        let mut command = script("aws_account.py");
        let ran = run(command.args(["object", self.name, key]).envs(self.emulator.environment()));
        (ran.code == 0).then_some(ran.stdout)
    }

    /// The task of the template in a container.
    fn container(&self, root: &str, more: &[&str]) -> Container {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let credentials = self.credentials();
        let key = credentials.iter().find_map(|one| one.strip_prefix("AWS_ACCESS_KEY_ID=")).unwrap().to_owned();
        let environment = self.emulator.environment().map(|(name, value)| format!("{name}={value}"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(std::env::var_os("SLUICEBOX_TEST_PYTHON").unwrap());
        command.arg(repository().join("tests/e2e/container.py")).arg(repository().join("Dockerfile"));
        command.arg(env!("CARGO_BIN_EXE_sluicebox")).arg(&self.films.folder).arg(fresh_folder(root));
        command.arg(self.template()).arg("AllTask").args(environment).args(credentials);
        // The network is this machine's: other tests listen, too.
        command.arg(format!("SLUICEBOX_LISTEN={free}")).args(more);
        Container { served: Served::of(command), key }
    }
}

/// A container that runs.
struct Container {
    served: Served,
    key: String,
}

impl Container {
    /// `sluicebox ARGS` within it, as a health check is run there.
    fn exec(&self, args: &[&str]) -> Ran {
        let id = self.served.id().to_string();
        let environment = std::fs::read_to_string(format!("/proc/{id}/environ")).unwrap();
        let mut command = Command::new("nsenter");
        command.env_clear().envs(environment.split('\0').filter_map(|pair| pair.split_once('=')));
        command.args(["--target", &id, "--mount", "--root", "--setuid", "65532", "--setgid", "65532", "sluicebox"]);
        run(command.args(args))
    }

    /// Waits until its health check passes.
    fn is_healthy(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = self.exec(&["health"]);
            if asked.code == 0 {
                assert_eq!(asked.stdout, "ready\n");
                return;
            }
            let log: Vec<String> = self.served.lines().iter().rev().take(20).map(serve::Line::text).collect();
            assert!(Instant::now() < until, "{asked:?}; the log, newest first:\n{}", log.join("\n"));
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        Path::new("/proc").join(self.served.id().to_string()).join("root").join(inside.trim_start_matches('/'))
    }

    fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.served.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    }
}

#[test]
fn a_task_of_fargate_is_healthy_and_makes_gold_with_the_roles_policy_alone() {
    if !may_mount() {
        return;
    }
    let account = Account::new("films-on-fargate");
    let mut container = account.container("container-root", &[]);
    container.is_healthy();
    assert_eq!(
        (container.status("Uid"), container.status("CapEff")),
        (USER.to_string(), "0000000000000000".to_owned())
    );
    // It keeps what it compiles in the one place that it can write to, which the image has made its own.
    let kept = container.path("/scratch/compiled/code").read_dir().unwrap().count();
    assert!(kept >= 5, "{kept}");
    let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", container.served.id())).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().split(',').any(|flag| flag == "ro"), "{root}");

    let (_, at) = container.served.wait(0, "a tick", |line| line.message() == "tick fired");
    container.served.wait(at, "Gold", |line| line.message() == "tick done");
    let complained: Vec<String> = container.served.lines().iter().map(serve::Line::text).collect();
    assert!(
        !complained.iter().any(|line| line.contains("not kept") || line.contains("AccessDenied")),
        "{complained:#?}"
    );
    let key = container.key.clone();
    assert_eq!(container.served.stop(), 130);
    let calls = account.emulator.calls();
    let refused = account.script("services.py", &["refused", calls.to_str().unwrap(), &key]).json();
    assert_eq!(refused, Value::Array(Vec::new()));
    account.films.once_gives_the_gold(TOP_N, 5, |file| account.object(&format!("films/gold/{file}")).unwrap());

    // An image that does not name the place: there root owns the volume. That only costs time.
    let mut container = account.container("container-root-without", &["--no-volumes"]);
    container.is_healthy();
    let (line, _) =
        container.served.wait(0, "a warning", |line| line.message().contains("compiled plugins are not kept"));
    assert!(line.text().contains("/scratch/compiled"), "{}", line.text());
    assert_eq!(container.path("/scratch").metadata().unwrap().uid(), 0);
    assert_eq!(container.served.stop(), 130);
}
