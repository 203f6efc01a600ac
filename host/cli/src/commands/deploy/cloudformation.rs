//! `sluicebox deploy cloudformation`: the template.
//!
//! Does not upload or create anything.

use std::path::PathBuf;

use deploy::Options;
use serde_json::json;

use super::built::{ArchName, Built};
use super::columns;
use super::made::write;
use super::which::{Which, deployment};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::in_aws::{self, Cost};

/// The most bytes of a template that CloudFormation accepts in a request; it reads a larger one from a bucket.
const INLINE: usize = 51_200;

/// The CloudFormation template of a pipeline: queues, buckets, functions or services, schedule, alarms, tables, dashboards
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    built: Built,

    /// For which processor the program is built [default: this machine's]
    #[arg(long, value_enum, default_value_t = ArchName::HERE, hide_default_value = true)]
    arch: ArchName,

    /// How many records a month brings, to say what it costs [default: what the schedule's ticks take]
    #[arg(long, value_name = "N")]
    records_a_month: Option<u64>,

    /// Read plugins that are in S3, too: tables get their columns
    #[arg(long)]
    remote_plugins: bool,

    /// Write it to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints the template.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let file = args.which.read(context)?;
    let deployment = deployment(&file, args.built.layout())?;
    let options = Options {
        arch: args.arch.arch(),
        columns: columns::columns(&file, args.remote_plugins, context).await?,
        target: args.which.target,
        set: args.which.set,
    };
    let template = deployment.template(&options);
    let text = serde_json::to_string_pretty(&template)? + "\n";
    let cost = Cost::of(&file, args.built.layout(), args.records_a_month);
    in_aws::warn(&file, args.built.layout().mode, context)?;
    if let Some(cost) = &cost {
        context.output.notice(&format!("note: {}", cost.text().replace('\n', "\n  ")))?;
    }
    if text.len() > INLINE {
        context.output.notice(&format!(
            "note: the template has {} bytes, and CloudFormation takes {INLINE} in a request: deploy it with `--s3-bucket BUCKET`, or upload \
             it and give its `--template-url`",
            text.len()
        ))?;
    }
    let (bytes, inline) = (text.len(), text.len() <= INLINE);
    let document = json!({ "template": template, "file": args.output, "cost": cost, "bytes": bytes, "inline": inline });
    match &args.output {
        Some(path) => {
            write(path, &text, context)?;
            context.output.report(&document, |_| String::new())?;
        }
        None => context.output.report(&document, |_| text)?,
    }
    Ok(ExitCode::Success)
}
