//! Where a function's files are: the bundle's folder, which can only be read, the pipeline file, and the compiled plugins.
//!
//! Does not load plugins, and does not decide whether the bundle's compiled plugins are trusted: the runtime does, by a digest that is set
//! beside the bundle.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;
use local::outside;
use pipeline::s3;
use tempfile::TempDir;

use crate::compose::Remote;
use crate::context::{Compiled, Context};
use crate::env_vars;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::pipelines::{self, PipelineArgs, PipelineFile};
use crate::project::write_whole;
use crate::published::Published;

/// A function's places.
pub(super) struct Place {
    /// The base of relative paths.
    root: PathBuf,
    /// The pipeline file, or the local copy that is read.
    file: PathBuf,
    /// Where the copy comes from, and its tag.
    from: Option<(Published, Mutex<String>)>,
    /// Where compiled plugins are.
    compiled: Compiled,
    /// The one folder that can be written to; goes with the process.
    _scratch: TempDir,
    /// The clients for what is not on this machine.
    pub(super) remote: Remote,
}

impl Place {
    /// Finds the places. Reads nothing of the pipeline yet.
    pub(super) fn find(pipeline: Option<&str>, context: &Context) -> anyhow::Result<Self> {
        let root = match std::env::var_os(env_vars::TASK_ROOT) {
            Some(root) => PathBuf::from(root),
            None => {
                let program = std::env::current_exe().context("cannot tell where this program is")?;
                program.parent().unwrap_or(Path::new(".")).to_owned()
            }
        };
        let scratch = tempfile::Builder::new().prefix("sluicebox-").tempdir().context("cannot write to `/tmp`")?;
        let pipeline = pipeline.unwrap_or("pipeline.toml");
        let (file, from) = if pipeline.starts_with("s3://") {
            let url = s3::parse(pipeline).map_err(|error| {
                let failure = Failure::new(ExitCode::Usage, format!("`{pipeline}` is no place in S3: {error}"));
                failure.hint(error.hint().map_or_else(|| format!("expected {}", error.expected()), str::to_owned))
            })?;
            (scratch.path().join("pipeline.toml"), Some((Published::Object(url), Mutex::default())))
        } else {
            (root.join(pipeline), None)
        };
        let compiled = match &context.compiled {
            Compiled::ByUser(None) => {
                let digest = std::env::var(env_vars::BUNDLE).ok().filter(|digest| !digest.is_empty());
                let shipped = runtime::Shipped { dir: root.join("cache"), digest };
                Compiled::InFunction { scratch: scratch.path().to_owned(), shipped }
            }
            other => other.clone(),
        };
        Ok(Place { root, file, from, compiled, _scratch: scratch, remote: Remote::default() })
    }

    /// The context of commands, with the cache of this place.
    pub(super) fn context(&self, context: &Context) -> Context {
        Context { compiled: self.compiled.clone(), ..context.clone() }
    }

    /// Reads the pipeline file.
    pub(super) async fn read(&self, target: Option<String>, set: Vec<String>) -> anyhow::Result<PipelineFile> {
        self.fetch().await?;
        let args = PipelineArgs { files: vec![self.file.clone()], target, set };
        let read = pipelines::read(&args).map_err(|error| match error.downcast::<pipelines::InvalidPipelines>() {
            Ok(invalid) => anyhow::anyhow!("{}", invalid.render(false)),
            Err(error) => error,
        });
        let file = read?.pop().context("no pipeline file")?;
        Ok(PipelineFile { folder: self.root.clone(), ..file })
    }

    /// Fetches the pipeline file again if it is in S3 and has changed there.
    pub(super) async fn fetch(&self) -> anyhow::Result<()> {
        let Some((published, seen)) = &self.from else { return Ok(()) };
        let mark = published.mark(&self.remote).await;
        if seen.lock().is_ok_and(|seen| *seen == mark) {
            return Ok(());
        }
        let text = published
            .read(&self.remote, outside::MOST_TEXT)
            .await
            .with_context(|| format!("cannot read `{published}`"))?;
        write_whole(&self.file, &text)?;
        if let Ok(mut seen) = seen.lock() {
            *seen = mark;
        }
        Ok(())
    }
}
