//! `sluicebox deploy cloudformation`: the template.
//!
//! Does not upload or create anything.

use std::path::PathBuf;

use aws::deploy::{Arch, Options};
use serde_json::json;

use super::{ModeName, Which, columns, deployment, write};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::in_aws::{self, Cost};

/// The CloudFormation template of a pipeline: queues, buckets, functions or services, schedule, alarms, tables, dashboard
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// What the roles run as
    #[arg(long, value_enum, default_value = "lambda")]
    mode: ModeName,

    /// For which processor the program is built
    #[arg(long, value_enum, default_value = "x86-64")]
    arch: ArchName,

    /// How many records a month brings, to say what it costs [default: what the schedule's ticks take]
    #[arg(long, value_name = "N")]
    records_a_month: Option<u64>,

    /// Write it to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ArchName {
    /// Intel's and AMD's
    #[value(name = "x86-64", alias = "x86_64")]
    X86_64,
    /// Graviton
    Arm64,
}

/// Prints the template.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let file = args.which.read(context)?;
    let deployment = deployment(&file, args.mode.mode())?;
    let options = Options {
        mode: args.mode.mode(),
        arch: match args.arch {
            ArchName::X86_64 => Arch::X86_64,
            ArchName::Arm64 => Arch::Arm64,
        },
        columns: columns::columns(&file, context).await?,
        target: args.which.target,
        set: args.which.set,
    };
    let template = deployment.template(&options);
    let text = serde_json::to_string_pretty(&template)? + "\n";
    let cost = Cost::of(&file, args.mode.mode(), args.records_a_month);
    in_aws::warn(&file, args.mode.mode(), context)?;
    if let Some(cost) = &cost {
        context.output.notice(&format!("note: {}", cost.text().replace('\n', "\n  ")))?;
    }
    let document = json!({ "template": template, "file": args.output, "cost": cost });
    match &args.output {
        Some(path) => {
            write(path, &text, context)?;
            context.output.report(&document, |_| String::new())?;
        }
        None => context.output.report(&document, |_| text)?,
    }
    Ok(ExitCode::Success)
}
