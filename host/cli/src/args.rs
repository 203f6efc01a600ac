//! The command line: what can be typed, and its help.
//!
//! Does not hold a command's own arguments: those are beside its code in `commands`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    check, completions, deploy, doctor, explain, explain_error, forget, health, init, lambda, plugin, quarantine,
    records, repair, replay, reset, resume, run, source, status, verify,
};
use crate::logging::LogFormat;
use crate::output::ColorChoice;
use crate::{env_vars, exit};

/// Runs medallion pipelines whose logic is sandboxed WebAssembly components
#[derive(Debug, Parser)]
#[command(name = "sluicebox", version, max_term_width = 100)]
#[command(long_about = "\
Runs medallion pipelines (source, queue, Bronze, Silver, Gold) whose logic is sandboxed WebAssembly components.

`pipeline.toml` says everything: the schedule, the source, the endpoints, which component does which stage, and where the \
layers are. The host owns the queue, the network, the secrets and every byte of storage; a plugin owns one pure function.")]
pub(crate) struct Args {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn after_long_help() -> String {
    format!("{GLOBAL}\n\n{}\n\n{}", exit::HELP, env_vars::HELP)
}

/// The options of every command, listed once: the help of each command only points here.
const GLOBAL: &str = "\
Options of every command:
  --json                write the result to stdout as one JSON document, errors included
  --color WHEN          when to use colours: auto, always, never
  --log-level FILTER    what to log: a level (error, warn, info, debug, trace), or levels by module as in `info,engine=debug`
                        [default: info for a pipeline that is served, warn for all else]
  --log-format FORMAT   how log lines on stderr look: human, json [default: json in a function of AWS Lambda, human for all else]
  --cache-dir DIR       where compiled plugins are kept [default: this user's cache folder]
  --memory SIZE         how much memory the process may have [default: three quarters of what there is]";

/// The same in one line.
const GLOBAL_IN_SHORT: &str = "\
Options of every command (see `sluicebox --help`): --json, --color WHEN, --log-level FILTER, --log-format FORMAT, --cache-dir DIR,\
 --memory SIZE";

/// The command line as clap parses it, with the common options listed once.
pub(crate) fn command() -> clap::Command {
    fn below(command: clap::Command) -> clap::Command {
        let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        let told = command.after_help(GLOBAL_IN_SHORT);
        names.iter().fold(told, |command, name| command.mut_subcommand(name, below))
    }
    let all = <Args as clap::CommandFactory>::command();
    let all = all.mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
    let names: Vec<String> = all.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let all = all.after_help(GLOBAL_IN_SHORT).after_long_help(after_long_help());
    names.iter().fold(all, |command, name| command.mut_subcommand(name, below))
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Write the result to stdout as one JSON document, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: ColorChoice,

    /// What to log: a level (error, warn, info, debug, trace), or levels by module as in `info,engine=debug` [default: info for a
    /// pipeline that is served, warn for all else]
    #[arg(long, global = true, value_name = "FILTER", env = env_vars::LOG, hide_env_values = true)]
    pub(crate) log_level: Option<String>,

    /// How log lines on stderr look [default: json in a function of AWS Lambda, human for all else]
    #[arg(long, global = true, value_enum, value_name = "FORMAT", env = env_vars::LOG_FORMAT)]
    pub(crate) log_format: Option<LogFormat>,

    /// Where compiled plugins are kept, sealed with a key of this user's [default: this user's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = env_vars::CACHE_DIR)]
    pub(crate) cache_dir: Option<PathBuf>,

    /// How much memory this process may have, as in `2 GiB`: plugin calls wait where it would become more [default: three quarters of
    /// what the machine or the container has]
    #[arg(long, global = true, value_name = "SIZE", env = env_vars::MEMORY, value_parser = memory)]
    pub(crate) memory: Option<Memory>,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) u64);

/// The least memory in which one call of a small plugin fits.
const LEAST_MEMORY: u64 = 128 << 20;

fn memory(text: &str) -> Result<Memory, String> {
    let size: bytesize::ByteSize =
        text.parse().map_err(|_| "expected a size such as `512 MiB` or `2 GiB`".to_owned())?;
    if size.0 < LEAST_MEMORY {
        return Err(format!("expected at least {}", crate::output::size(LEAST_MEMORY)));
    }
    Ok(Memory(size.0))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Check(check::Args),
    Run(run::Args),
    Source(source::Args),
    Status(status::Args),
    Plugin(plugin::Args),
    Quarantine(quarantine::Args),
    Records(records::Args),
    Replay(replay::Args),
    Reset(reset::Args),
    Resume(resume::Args),
    Repair(repair::Args),
    Explain(explain::Args),
    ExplainError(explain_error::Args),
    Verify(verify::Args),
    Forget(forget::Args),
    Health(health::Args),
    Lambda(lambda::Args),
    Deploy(deploy::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

impl Command {
    /// Whether the command runs until it is stopped: then its log is all that a user sees.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Command::Run(args) if !args.once) || matches!(self, Command::Lambda(_))
    }

    /// The log format if the user sets none.
    pub(crate) fn log_format(&self) -> LogFormat {
        if matches!(self, Command::Lambda(_)) { LogFormat::Json } else { LogFormat::Human }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_every_command_takes_is_told_once_and_pointed_to_by_each() {
        let whole = super::command().render_long_help().to_string();
        for argument in Args::command().get_arguments().filter(|argument| argument.is_global_set()) {
            let flag = format!("--{}", argument.get_long().unwrap());
            assert_eq!(whole.matches(&format!("  {flag}")).count(), 1, "{flag}: {whole}");
            assert!(GLOBAL_IN_SHORT.contains(&flag), "{flag}");
        }
        fn visit(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert_eq!(help.matches("--log-format").count(), 1, "{help}");
            command.get_subcommands_mut().filter(|sub| sub.get_name() != "help").for_each(visit);
        }
        let mut command = super::command();
        command.build();
        command.get_subcommands_mut().filter(|sub| sub.get_name() != "help").for_each(visit);
    }

    #[test]
    fn memory_is_a_size_in_which_a_plugin_has_room() {
        assert_eq!(memory("2 GiB"), Ok(Memory(2 << 30)));
        assert_eq!(memory("512MiB"), Ok(Memory(512 << 20)));
        assert!(memory("much").unwrap_err().contains("2 GiB") && memory("1 MiB").unwrap_err().contains("128"));
    }

    #[test]
    fn no_argument_reads_a_variable_that_is_not_declared() {
        fn visit(command: &clap::Command) {
            for env in command.get_arguments().filter_map(clap::Arg::get_env) {
                assert!(env_vars::HELP.contains(env.to_str().unwrap()), "{env:?} is not in `env_vars`");
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Args::command());
    }
}
