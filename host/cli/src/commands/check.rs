//! `sluicebox check`: everything that start-up would refuse, without starting. It is start-up's own code.
//!
//! Does not call an endpoint, and does not write to a lake.

use engine::seams::plugin::Plugin;
use serde_json::{Value, json};

use crate::compose::Shared;
use crate::context::Context;
use crate::exit::ExitCode;
use crate::load::{Loading, load};
use crate::output::Tone;
use crate::pipelines::{self, PipelineArgs, PipelineFile};

/// Validate pipeline files, load every plugin, check the contracts between layers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Checks the files.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    pipelines::warn(&files, context)?;
    let shared = Shared::new(&files, context)?;
    let mut checked = Vec::new();
    for file in &files {
        let loaded = load(Loading::by_files(file, &shared)).await?;
        let plugins: Vec<Value> =
            loaded.all(&file.plan).into_iter().map(|(stage, plugin)| entry(&stage, plugin)).collect();
        checked
            .push(json!({ "name": file.plan.name, "file": file.path, "warnings": file.warnings, "plugins": plugins }));
    }
    context.output.report(&json!({ "pipelines": checked }), |_| text(&files, &checked, context))?;
    Ok(ExitCode::Success)
}

fn entry(stage: &str, plugin: &dyn Plugin) -> Value {
    let descriptor = plugin.descriptor();
    json!({ "stage": stage, "name": descriptor.name, "version": descriptor.version, "digest": plugin.digest().as_str() })
}

fn text(files: &[PipelineFile], checked: &[Value], context: &Context) -> String {
    let mut text = String::new();
    for (file, checked) in files.iter().zip(checked) {
        let ok = context.output.tone(Tone::Good, "ok");
        text.push_str(&format!("{ok}: pipeline `{}` ({})\n", file.plan.name, file.path.display()));
        let mut table = context.output.table(&["  stage", "plugin", "version", "digest"]);
        for plugin in checked.get("plugins").and_then(Value::as_array).into_iter().flatten() {
            let cell = |name: &str| plugin.get(name).and_then(Value::as_str).unwrap_or_default();
            let digest: String = cell("digest").chars().take("sha256:".len() + 12).collect();
            table.add_row(vec![format!("  {}", cell("stage")), cell("name").into(), cell("version").into(), digest]);
        }
        text.push_str(&format!("{}\n", table.trim_fmt()));
    }
    text
}
