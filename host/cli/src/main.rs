//! The `sluicebox` program: this file is its table of contents.
//!
//! Does not do any command's work: each has a file in `commands`, and the engine has the rest.

// Only the program itself uses the environment, the file system and the clock.
#![allow(clippy::disallowed_methods)]

mod args;
mod commands;
mod compose;
mod context;
mod env_vars;
mod exit;
mod failure;
mod golden;
mod guard;
mod in_aws;
mod json_rows;
mod load;
mod logging;
mod output;
mod pipelines;
mod plugins;
mod preflight;
mod project;
mod published;
mod redact;
mod serves;
mod signature;
mod swap;
mod top;
mod traces;
mod watch;

use args::Command;
use clap::CommandFactory as _;
use commands::{
    check, completions, deploy, doctor, explain, explain_error, forget, health, init, lambda, plugin, quarantine,
    records, repair, replay, reset, resume, run, source, status, verify,
};
use context::Context;
use exit::ExitCode;

fn main() -> std::process::ExitCode {
    // Before anything reads the environment or opens a file: a worker has neither.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == plugins::component::WORKER) {
        return runtime::worker::run(words).into();
    }
    let args = match top::parse() {
        Ok(args) => args,
        Err(code) => return code.into(),
    };
    let context = match top::set_up(&args) {
        Ok(context) => context,
        Err(code) => return code.into(),
    };
    let command = context.traces.during(dispatch(args.command, &context));
    top::finish(top::block_on(command), &context).into()
}

async fn dispatch(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => init::execute(args, context).await,
        Command::Check(args) => check::execute(args, context).await,
        Command::Run(args) => run::execute(args, context).await,
        Command::Source(args) => source::execute(args, context).await,
        Command::Status(args) => status::execute(args, context).await,
        Command::Plugin(args) => plugin::execute(args, context).await,
        Command::Quarantine(args) => quarantine::execute(args, context).await,
        Command::Records(args) => records::execute(args, context).await,
        Command::Replay(args) => replay::execute(args, context).await,
        Command::Reset(args) => reset::execute(args, context).await,
        Command::Resume(args) => resume::execute(args, context).await,
        Command::Repair(args) => repair::execute(args, context).await,
        Command::Explain(args) => explain::execute(args, context).await,
        Command::ExplainError(args) => explain_error::execute(&args, context),
        Command::Verify(args) => verify::execute(args, context).await,
        Command::Forget(args) => forget::execute(args, context).await,
        Command::Health(args) => health::execute(args, context).await,
        Command::Deploy(args) => deploy::execute(args, context).await,
        Command::Doctor(args) => doctor::execute(args, context).await,
        Command::Lambda(args) => lambda::execute(args, context).await,
        Command::Completions(args) => completions::execute(args, args::Args::command(), context).await,
    }
}
