//! The one pipeline to deploy, and its deployment.
//!
//! Does not say how it runs.

use std::path::PathBuf;

use anyhow::Context as _;
use deploy::{Deployment, Layout};

use crate::context::Context;
use crate::pipelines::{self, InvalidPipelines, PipelineArgs, PipelineFile};

/// The one pipeline that is deployed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// Pipeline file
    #[arg(value_name = "PIPELINE.toml", default_value = "pipeline.toml")]
    file: PathBuf,

    /// Lay the `[target.NAME]` section over the file
    #[arg(long, value_name = "NAME")]
    pub(super) target: Option<String>,

    /// Replace one value, as in `--set source.top_n=500`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

impl Which {
    /// The file, if it is valid.
    pub(super) fn read(&self, context: &Context) -> anyhow::Result<PipelineFile> {
        let args = PipelineArgs { files: vec![self.file.clone()], target: self.target.clone(), set: self.set.clone() };
        let mut files = pipelines::read(&args)?;
        pipelines::warn(&files, context)?;
        files.pop().context("no pipeline file")
    }
}

/// The deployment of a file; an error shows every place in the file that prevents it.
pub(super) fn deployment(file: &PipelineFile, layout: impl Into<Layout>) -> anyhow::Result<Deployment<'_>> {
    Deployment::of(&file.plan, layout).map_err(|objections| match file.said.problems(objections) {
        Some(problems) => InvalidPipelines::of(&file.path, problems).into(),
        None => anyhow::anyhow!("the pipeline cannot be deployed"),
    })
}
