//! Answers for what developers and CI run beside cargo itself: one verb, one file. This one is the table of contents.
//!
//! Does not hold any verb's work, and nothing in the product depends on it.

// A developer's tool: the environment, the clock and the file system are its business.
#![allow(clippy::disallowed_methods)]

mod aws_test;
mod bench;
mod cases;
mod data;
mod demo;
mod docs;
mod faults;
mod fuzz;
mod graph;
mod hostile;
mod plugins;
mod programs;
mod python;
mod requests;
mod shell;
mod test;
mod tidy;
mod wasm_target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What this workspace needs beside cargo", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the pipeline once against a stand-in API and show Gold
    Demo(demo::Options),
    /// Run everything that has to hold before a change lands
    Test,
    /// Check the house rules, and that every link of a page leads somewhere
    Tidy,
    /// Print the crates of the workspace in layers, each with those that it needs
    Graph,
    /// Build the book in docs/ (seconds; `--write` builds the program and writes the generated pages from what it says)
    Docs(docs::Options),
    /// Build every plugin into a component
    Plugins,
    /// Make sure that this toolchain has a standard library for WebAssembly
    WasmTarget,
    /// Derive data/movies.csv from data/films.csv
    Data,
    /// Try every fault and show what held (under 10 minutes on two cores after the release build; `test` has a short form)
    Faults(faults::Options),
    /// Try every plugin of the corpus of those that misbehave and show what stopped each
    Hostile(hostile::Options),
    /// Give every reader of outside input arbitrary bytes under libFuzzer (ten minutes for each after the build; `test` has a short form)
    Fuzz(fuzz::Options),
    /// Run every input of tests/cases with real processes and show what was expected and what came
    Cases(cases::Options),
    /// Try everything of AWS in an emulator with a release build, and show how fast a function starts (some five minutes after the build)
    AwsTest,
    /// Count the requests that a record costs in each role, at `batch_size` 1, 20 and 100
    Requests,
    /// Run the benchmarks
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test => test::run(),
        Verb::Tidy => tidy::run(),
        Verb::Graph => graph::run(),
        Verb::Docs(options) => docs::run(&options),
        Verb::Plugins => plugins::build().map(drop),
        Verb::WasmTarget => wasm_target::ensure(),
        Verb::Data => data::make(),
        Verb::Faults(options) => faults::run(&options),
        Verb::Hostile(options) => hostile::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Cases(options) => cases::run(&options),
        Verb::AwsTest => aws_test::run(),
        Verb::Requests => requests::run(),
        Verb::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  cause: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
