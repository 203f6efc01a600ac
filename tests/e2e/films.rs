//! The pipeline of this repository in a folder of its own, and the stand-in for the API that it calls.
//!
//! Does not assert anything.

#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use api_stub::{Options, Stub};
use serde_json::Value;

use crate::support::{Ran, command, compiled_plugins, fresh_folder, repository, run};

/// What must be found nowhere but in the requests. Its percent-encoded form differs from it.
pub(crate) const KEY: &str = "canary/7f3a9c5e+11d2";
pub(crate) const TICK: &str = "2026-11-24T03:00:00Z";
pub(crate) const NEXT_TICK: &str = "2026-11-25T03:00:00Z";
/// The tables of Gold.
pub(crate) const GOLD: [&str; 3] = ["genres", "directors", "decades"];

/// In which buckets an account has a pipeline's lake and source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buckets {
    /// All in one.
    One,
    /// As a stack has them: its own for the lake, and another for the source.
    Stack,
}

/// A copy of the repository's pipeline in a folder of its own, and the API that it calls.
pub(crate) struct Films {
    pub(crate) folder: PathBuf,
    pub(crate) stub: Arc<Stub>,
    /// The stand-in's server runs on it.
    runtime: Arc<tokio::runtime::Runtime>,
}

impl Films {
    pub(crate) fn new(name: &str) -> Self {
        Films::of(name, &repository().join("data/films.csv"))
    }

    /// The same with an API that knows other films.
    pub(crate) fn of(name: &str, known: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stub = runtime.block_on(Stub::start(Options::new(known, KEY))).unwrap();
        let folder = fresh_folder(name);
        Films::fill(&folder);
        Films { folder, stub: Arc::new(stub), runtime: Arc::new(runtime) }
    }

    /// The same in another, empty folder, with the same API.
    pub(crate) fn beside(&self, folder: PathBuf) -> Self {
        Films::fill(&folder);
        Films { folder, stub: Arc::clone(&self.stub), runtime: Arc::clone(&self.runtime) }
    }

    fn fill(folder: &Path) {
        let root = repository();
        std::fs::create_dir_all(folder.join("data")).unwrap();
        for file in ["pipeline.toml", "data/movies.csv"] {
            std::fs::copy(root.join(file), folder.join(file)).unwrap();
        }
        for (plugin, component) in artifacts::PLUGINS {
            let to = folder.join("plugins").join(plugin);
            std::fs::create_dir_all(&to).unwrap();
            assert!(Path::new(component).is_file(), "`{component}` has not been built\n  run: cargo xtask plugins");
            std::fs::copy(component, to.join(format!("{plugin}.wasm"))).unwrap();
        }
    }

    /// `sluicebox ARGS`, calling the stand-in as fast as it can.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.folder);
        command.env("OMDB_API_KEY", KEY).args(args);
        // Compiled once for all tests: what they run is the same few components.
        command.arg("--cache-dir").arg(compiled_plugins());
        command.arg("--set").arg(format!("endpoints.omdb.url=\"{}\"", self.stub.url()));
        command.args(["--set", "endpoints.omdb.rate=\"5000/s\""]);
        command
    }

    pub(crate) fn sluicebox(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    /// One tick of `top_n` records; the one pipeline of the summary.
    pub(crate) fn once(&self, tick: &str, top_n: u32, batch_size: u32) -> Value {
        let (top_n, batch_size) = (format!("source.top_n={top_n}"), format!("source.batch_size={batch_size}"));
        let args = ["run", "--once", "--json", "--tick", tick, "--set", &top_n, "--set", &batch_size];
        self.sluicebox(&args).exits(0).json()["pipelines"][0].clone()
    }

    /// Asserts that Gold elsewhere is what a laptop makes of the tick; `there` gives the text of a file of Gold's.
    pub(crate) fn once_gives_the_gold(&self, top_n: u32, batch_size: u32, there: impl Fn(&str) -> String) {
        self.once(TICK, top_n, batch_size);
        for table in GOLD {
            let there = there(&format!("{table}.csv"));
            let here = std::fs::read_to_string(self.path(&format!("lake/gold/{table}.csv"))).unwrap();
            assert!(there.lines().count() > 4 && there == here, "{table}: {there}\n{here}");
        }
    }

    /// Adds a target `aws` to the pipeline file: lake, source, queue and secret are in AWS, under names that begin with `name`. `more` are further
    /// lines of it.
    pub(crate) fn add_aws(&self, name: &str, buckets: Buckets, queue: &str, more: &str) {
        let (lake, source) = match buckets {
            Buckets::One => ("lake", format!("{name}/source")),
            Buckets::Stack => ("films", format!("{name}-source")),
        };
        let layers = ["bronze", "silver", "gold"];
        let layers = layers.map(|layer| format!("lake.{layer} = \"s3://{name}/{lake}/{layer}\"\n"));
        let target = format!(
            "\n[target.aws]\n{}source.uri = \"s3://{source}/movies.csv\"\nqueue.url = \"{queue}\"\n\
             secrets.omdb_api_key = \"aws-secretsmanager:{name}#omdb\"\n{more}",
            layers.concat()
        );
        let file = self.path("pipeline.toml");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &target).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn gold(&self, table: &str) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.path(&format!("lake/gold/{table}.csv"))).unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }
}

/// Every file below a folder, with its content.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}
