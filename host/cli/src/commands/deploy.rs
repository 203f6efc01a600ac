//! `sluicebox deploy`: what a pipeline is in AWS, from its file alone. A file for each verb.
//!
//! Does not change anything in AWS: what is made here is handed to its own tools.

mod bundle;
mod cloudformation;
mod columns;
mod iam;
mod program;
mod quicksight;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use deploy::{Arch, Deployment, Layout, Mode};

use crate::context::Context;
use crate::exit::ExitCode;
use crate::pipelines::{self, InvalidPipelines, PipelineArgs, PipelineFile};
use crate::project::write_whole;

/// Make what a pipeline is in AWS: bundle, template, policies, manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Bundle(bundle::Args),
    Cloudformation(cloudformation::Args),
    Iam(iam::Args),
    Quicksight(quicksight::Args),
}

/// Does what the verb says.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Bundle(args) => bundle::execute(args, context).await,
        Verb::Cloudformation(args) => cloudformation::execute(args, context).await,
        Verb::Iam(args) => iam::execute(&args, context),
        Verb::Quicksight(args) => quicksight::execute(&args, context),
    }
}

/// The one pipeline that is deployed.
#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Pipeline file
    #[arg(value_name = "PIPELINE.toml", default_value = "pipeline.toml")]
    file: PathBuf,

    /// Lay the `[target.NAME]` section over the file
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// Replace one value, as in `--set source.top_n=500`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Which {
    fn read(&self, context: &Context) -> anyhow::Result<PipelineFile> {
        let args = PipelineArgs { files: vec![self.file.clone()], target: self.target.clone(), set: self.set.clone() };
        let mut files = pipelines::read(&args)?;
        pipelines::warn(&files, context)?;
        files.pop().context("no pipeline file")
    }
}

/// What the roles run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ModeName {
    /// Functions of Lambda
    Lambda,
    /// Services of ECS on Fargate
    Ecs,
}

impl ModeName {
    pub(crate) fn mode(self) -> Mode {
        match self {
            ModeName::Lambda => Mode::Lambda,
            ModeName::Ecs => Mode::Ecs,
        }
    }
}

/// What runs, and what is there already.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Built {
    /// What the roles run as
    #[arg(long, value_enum, default_value_t = ModeName::Lambda)]
    mode: ModeName,

    /// The lake's buckets are there already: the stack makes none, and the roles tell each other what is new
    #[arg(long)]
    own_buckets: bool,

    /// With --mode ecs: a service for each role, in the place of one with all of them
    #[arg(long)]
    service_per_role: bool,
}

impl Built {
    pub(crate) fn layout(self) -> Layout {
        Layout { mode: self.mode.mode(), own_buckets: self.own_buckets, service_per_role: self.service_per_role }
    }
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ArchName {
    /// Intel's and AMD's
    #[value(name = "x86-64", alias = "x86_64")]
    X86_64,
    /// Graviton
    #[value(alias = "aarch64")]
    Arm64,
}

impl ArchName {
    /// This machine's.
    const HERE: ArchName = if cfg!(target_arch = "aarch64") { ArchName::Arm64 } else { ArchName::X86_64 };

    fn name(self) -> &'static str {
        match self {
            ArchName::X86_64 => "x86-64",
            ArchName::Arm64 => "arm64",
        }
    }

    fn arch(self) -> Arch {
        match self {
            ArchName::X86_64 => Arch::X86_64,
            ArchName::Arm64 => Arch::Arm64,
        }
    }
}

/// The deployment of a file; an error shows every place in it that is in the way.
fn deployment(file: &PipelineFile, layout: impl Into<Layout>) -> anyhow::Result<Deployment<'_>> {
    Deployment::of(&file.plan, layout).map_err(|objections| match file.said.problems(objections) {
        Some(problems) => InvalidPipelines::of(&file.path, problems).into(),
        None => anyhow::anyhow!("the pipeline cannot be deployed"),
    })
}

/// Writes what was made, and says so.
fn write(path: &Path, text: &str, context: &Context) -> anyhow::Result<()> {
    write_whole(path, text.as_bytes())?;
    Ok(context.output.notice(&format!("wrote `{}`", path.display()))?)
}
