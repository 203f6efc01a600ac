//! An emulator of AWS for tests: one process for all tests that run at the same time, on a free port of the loopback interface.
//!
//! Does not make buckets or queues, and does not keep tests apart: each uses names of its own.
//!
//! The emulator is the Python package `ministack` of `tests/e2e/requirements.txt`; a second one is `moto`, for the suites of the adapters and the
//! way from source to Gold. Where the first one is not like AWS, as far as our adapters see,
//! and what covers that instead:
//!
//! | the first emulator | covered by |
//! |---|---|
//! | never answers 409 `ConditionalRequestConflict`, 503 `SlowDown` or nothing at all | scripted answers (`host/aws/tests/scripted.rs`); the keeper says `SlowDown` for calls that [`Emulator::busy`] names |
//! | dates what is written with the present, and nothing gets old | the keeper takes a date from the object's metadata |
//! | never sends a body whose checksum is wrong | scripted answers |
//! | does not heed `If-None-Match` of `CopyObject` | the adapter does not use it |
//! | takes the receipt of a delivery whose time is over, as SQS may | the adapter's own account of deliveries |
//! | fails no single entry of a batch in passing | scripted answers |
//! | tells exact depths at once; SQS's are approximate and late | nothing: no contract leans on them |
//! | answers every short poll with all that is ready; SQS asks some of its servers | nothing: an empty answer is always allowed |
//! | does not give a bucket the lifecycle of its template | the tests do, by hand |
//! | speaks no TLS, which policies ask for: the keeper calls the loopback interface safe | nothing: that a policy has the clause is tested |
//! | asks policies for the batch forms of SQS's actions, which AWS does not have | the keeper takes the single ones, as AWS says |
//! | does not fill in the instant of a schedule's input | the keeper does, for schedules by the minute |
//! | takes a parameter's number for text, and then polls no queue of a mapping whose bound it is | the keeper makes it a number |
//! | hands on no network, key and boundary of a template, and knows no scaling of services | the tests look at the template |
//! | knows credentials and policies only as [`Emulator::strict`] | scripted answers (403) |
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, reason = "for tests: it fails by panicking")]

mod look_alike;

pub use look_alike::LookAlike;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the emulator for as long as a test holds the lock of its users, then stops it by its process id.
const KEEPER: &str = include_str!("keeper.py");

/// The second emulator.
const MOTO: &str = include_str!("moto.py");
/// The path that only an emulator answers.
const HEALTH: &str = "/_ministack/health";
const MOTO_HEALTH: &str = "/moto-api/data.json";

/// Longest time that the emulator takes to answer.
const START: Duration = Duration::from_secs(90);

/// A use of the emulator. It runs at least as long as this lives, or its process.
#[derive(Debug)]
pub struct Emulator {
    url: String,
    folder: PathBuf,
    _using: File,
}

impl Emulator {
    /// The emulator that runs already, or else a new one. `folder` is one for all tests: `CARGO_TARGET_TMPDIR`.
    ///
    /// # Panics
    /// If there is no Python with it, or it does not answer.
    #[must_use]
    pub fn shared(folder: impl AsRef<Path>) -> Self {
        Emulator::of(&folder.as_ref().join("aws-emulator"), &[], HEALTH)
    }

    /// Another project's emulator, `moto`: if both behave alike, AWS probably does, too. It runs no functions, and no stacks of ours.
    ///
    /// # Panics
    /// As [`Emulator::shared`]: a test that needs it fails without it.
    #[must_use]
    pub fn moto(folder: impl AsRef<Path>) -> Self {
        Emulator::of(&folder.as_ref().join("moto-aws-emulator"), &["run", MOTO], MOTO_HEALTH)
    }

    /// A second emulator, which lets functions do only what their roles allow, and notes every call. [`Emulator::environment`] allows all.
    ///
    /// # Panics
    /// As [`Emulator::shared`].
    #[must_use]
    pub fn strict(folder: impl AsRef<Path>) -> Self {
        Emulator::of(&folder.as_ref().join("strict-aws-emulator"), &["strict"], HEALTH)
    }

    fn of(folder: &Path, how: &[&str], health: &str) -> Self {
        fs::create_dir_all(folder).expect("a folder for the emulator");
        let starting = open(&folder.join("start.lock"));
        // While this is held no test starts an emulator, and none stops.
        starting.lock().expect("a lock");
        let using = open(&folder.join("users.lock"));
        using.lock_shared().expect("a lock");
        let address = folder.join("address");
        let url = match fs::read_to_string(&address).ok().filter(|url| answers(url, health)) {
            Some(url) => url,
            None => start(folder, &address, how, health),
        };
        Emulator { url, folder: folder.to_owned(), _using: using }
    }

    /// The address of the queue of that name, or of the stages' queues whose names begin so.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/000000000000/{name}", self.url())
    }

    /// Where it answers: for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every call so far, a line each: `[KEY, ACTION, RESOURCE, ALLOWED]`. Only for a strict emulator.
    #[must_use]
    pub fn calls(&self) -> PathBuf {
        self.folder.join("calls.jsonl")
    }

    /// Calls that S3 is too busy for, one a line: `{"key": KEY, "action": ACTION, "in": PART_OF_THE_RESOURCE, "until": ACTION}`. The
    /// last action ends it when the same key calls it. Only for a strict emulator.
    #[must_use]
    pub fn busy(&self) -> PathBuf {
        self.folder.join("busy.jsonl")
    }

    /// The environment variables that a program needs to use it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 6] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
        ]
    }
}

fn open(path: &Path) -> File {
    File::options().create(true).truncate(false).write(true).open(path).expect("a file for a lock")
}

#[allow(clippy::zombie_processes, reason = "it is to outlive the test, and stops by itself")]
fn start(folder: &Path, address: &Path, how: &[&str], health: &str) -> String {
    let _ = fs::remove_file(address);
    let python = std::env::var_os("SLUICEBOX_TEST_PYTHON").map(PathBuf::from).expect(
        "SLUICEBOX_TEST_PYTHON names no Python with the packages of tests/e2e/requirements.txt; run: cargo xtask test",
    );
    let log = folder.join("emulator.log");
    let out = File::create(&log).expect("a log of the emulator");
    // It outlives the test that has started it, for those that run beside it: so it must not hold anything of the test's.
    let mut keeper = Command::new(python)
        .args(["-c", KEEPER])
        .arg(folder)
        .args(how)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a handle of the log"))
        .stderr(out)
        .spawn()
        .expect("the emulator's Python starts");
    let until = Instant::now() + START;
    while Instant::now() < until {
        if let Some(url) = fs::read_to_string(address).ok().filter(|url| answers(url, health)) {
            return url;
        }
        if let Ok(Some(status)) = keeper.try_wait() {
            panic!("the emulator ended with {status}:\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the emulator did not answer in {START:?}:\n{}", fs::read_to_string(&log).unwrap_or_default());
}

/// Whether the emulator answers at `url`.
fn answers(url: &str, health: &str) -> bool {
    let Some(host) = url.strip_prefix("http://") else { return false };
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {health} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
