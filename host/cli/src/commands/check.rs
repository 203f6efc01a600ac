//! `sluicebox check`: everything that a start or its first tick would refuse, without starting. It runs the same code as a start.
//!
//! Does not call a service, and does not change a lake: `doctor` checks what is elsewhere.

use deploy::Mode;
use pipeline::plan::SecretRef;
use pipeline::urls::SHORTEST;
use seams::plugin::Plugin;
use seams::secrets::ExposeSecret as _;
use serde_json::{Value, json};

use crate::compose::{Shared, secrets};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::in_aws::{self, Cost};
use crate::output::{Tone, counted, short_digest};
use crate::pipelines::{self, PipelineArgs, PipelineFile};
use crate::preflight::{Reach, Wrong, examine};

/// Validate pipeline files, load every plugin, check the contracts between source, layers and tables
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Finds everything that `run` would refuse at its start or at its first tick, without starting: problems of the file, plugins that do not load or \
do not fit each other, tables that do not take their columns, a source that cannot be read or lacks columns, and a lake or queue that cannot be \
written to.

Nobody is called and nothing is changed. What lies elsewhere (S3, SQS, https) is for `sluicebox doctor`. Exits with 0 if a run would start, with 2 \
if the file has to change, and with 1 if something else has.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    /// For a pipeline in AWS: how many records a month brings, to say what it costs [default: what the schedule's ticks take]
    #[arg(long, value_name = "N")]
    pub(crate) records_a_month: Option<u64>,
}

/// Checks the files.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    pipelines::warn(&files, context)?;
    pipelines::refuse_shared(&files)?;
    let shared = Shared::new(&files, context)?;
    let (mut checked, mut costs, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut code = ExitCode::Success;
    for file in &files {
        let examined = examine(file, &shared, context, Reach::Here).await;
        for note in examined.notes() {
            let word = Tone::Notable.paint(context.output.stderr_color(), "warning:");
            context.output.notice(&format!("{word} {}", note.text()))?;
        }
        if let Some(exit) = examined.exit() {
            code = exit;
            refused.push((file, examined.wrong().cloned().collect::<Vec<_>>()));
        }
        warn_of_short_secrets(file, &shared, context).await?;
        let cost = Cost::of(file, Mode::Lambda, args.records_a_month);
        if cost.is_some() {
            in_aws::warn(file, Mode::Lambda, context)?;
        }
        let plugins: Vec<Value> = examined
            .loaded
            .iter()
            .flat_map(|loaded| loaded.all(&file.plan))
            .map(|(stage, plugin)| entry(&stage, plugin))
            .collect();
        let notes: Vec<_> = examined.notes().collect();
        let document = json!({ "name": file.plan.name, "file": file.path, "warnings": file.warnings, "notes": notes, "plugins": plugins, "defaults": defaults(file), "cost": cost });
        checked.push(document);
        costs.push(cost);
    }
    if !refused.is_empty() {
        return Err(Failure::new(code, "cannot start the pipeline").caused_by(Refused::of(refused)).into());
    }
    context.output.report(&json!({ "pipelines": checked }), |_| text(&files, &checked, &costs, context))?;
    Ok(ExitCode::Success)
}

/// Everything wrong with the pipelines.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Refused {
    fn of(refused: Vec<(&PipelineFile, Vec<Wrong>)>) -> Self {
        let told = refused.into_iter().map(|(file, wrong)| {
            let wrong: Vec<String> = wrong.iter().map(Wrong::text).collect();
            format!("pipeline `{}` ({}) would be refused\n{}", file.plan.name, file.path.display(), wrong.join("\n"))
        });
        Refused(told.collect::<Vec<_>>().join("\n"))
    }
}

/// Defaults that the file does not mention and that a newcomer may not expect.
fn defaults(file: &PipelineFile) -> Vec<String> {
    let source = &file.plan.source;
    let mut all = Vec::new();
    if !file.said.says("source.top_n") {
        all.push(format!(
            "`top_n` is not set: a tick takes the first {} records; `top_n = \"all\"` under `[source]` takes every one",
            source.top_n
        ));
    }
    if !file.said.says("source.batch_size") {
        let message = counted(source.batch_size.get(), "record", "records");
        all.push(format!("`batch_size` is not set: a message carries {message}; more make a large tick faster"));
    }
    all
}

/// Says which secrets are too short to be redacted. Only secrets of this machine are read.
async fn warn_of_short_secrets(file: &PipelineFile, shared: &Shared, context: &Context) -> anyhow::Result<()> {
    let secrets = secrets(file, shared, context);
    for (name, place) in &file.plan.secrets {
        if matches!(place, SecretRef::AwsSecretsManager { .. }) {
            continue;
        }
        if let Ok(secret) = secrets.get(place).await
            && secret.expose_secret().len() < SHORTEST
        {
            context.output.notice(&format!(
                "warning: secret `{name}` has fewer than {SHORTEST} bytes: it is not blotted out where a service echoes it\n  hint: take a \
                 longer one; so short a text is in most documents by chance"
            ))?;
        }
    }
    Ok(())
}

fn entry(stage: &str, plugin: &dyn Plugin) -> Value {
    let descriptor = plugin.descriptor();
    json!({ "stage": stage, "name": descriptor.name, "version": descriptor.version, "digest": plugin.digest().as_str() })
}

fn text(files: &[PipelineFile], checked: &[Value], costs: &[Option<Cost>], context: &Context) -> String {
    let mut text = String::new();
    for ((file, checked), cost) in files.iter().zip(checked).zip(costs) {
        let ok = context.output.tone(Tone::Good, "ok");
        text.push_str(&format!("{ok}: pipeline `{}` ({})\n", file.plan.name, file.path.display()));
        let mut table = context.output.table(&["  stage", "plugin", "version", "digest"]);
        for plugin in checked.get("plugins").and_then(Value::as_array).into_iter().flatten() {
            let cell = |name: &str| plugin.get(name).and_then(Value::as_str).unwrap_or_default();
            let digest = short_digest(cell("digest")).to_owned();
            table.add_row(vec![format!("  {}", cell("stage")), cell("name").into(), cell("version").into(), digest]);
        }
        text.push_str(&format!("{}\n", table.trim_fmt()));
        for default in defaults(file) {
            text.push_str(&format!("  note: {default}\n"));
        }
        for line in cost.iter().flat_map(|cost| cost.text().lines().map(str::to_owned).collect::<Vec<_>>()) {
            text.push_str(&format!("  note: {line}\n"));
        }
    }
    text
}
