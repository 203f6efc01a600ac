//! `sluicebox plugin test`: the golden cases of plugins, run under the real runtime and its limits.
//!
//! Does not build a plugin first, and does not run the crate's native tests: `cargo test` does.

mod report;
mod verdict;

use std::sync::Arc;
use std::time::Instant;

use runtime::{WasmPlugins, World, inspect};
use seams::plugin::{Grants, Plugins};
use serde_json::Value;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::golden::case::{self, Case};
use crate::golden::difference::{Difference, compare, compare_documents};
use crate::golden::{aggregator, cleaner, enricher};
use crate::plugins::component;
use crate::project::{PluginCrate, Project, ProjectArgs};
use verdict::{Tested, Verdict};

/// Run the golden cases of plugins
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Runs the golden cases of plugins under the real runtime and its limits. A case is a folder `plugins/NAME/cases/CASE` with an \
`input.json`, an `expected.json`, and a `config.json` if the plugin needs settings.

  cleaner     in   [document, …]
              out  {\"rows\": [{\"document\": 0, …}], \"rejects\": [{\"document\": 1, \"reason\": \"\"}], \"skips\": […]}
  enricher    in   {\"record\": {…}, \"answers\": [{\"status\": 200, \"headers\": {…}, \"body\": …}]}
              out  one of {\"fetch\": […]}, {\"done\": {…}}, {\"skip\": \"\"}, {\"reject\": \"\"},
                   {\"back_off\": {\"seconds\": 60, \"reason\": \"\"}}
  aggregator  in   [row of Silver, …]
              out  [row of the table, …], the same however the rows are spread over partial results

Dates are written as 2026-03-01, timestamps as 2026-03-01T06:00:00Z. `--bless` writes what the plugin answers now as what is expected.")]
pub(crate) struct Args {
    /// Names of crates in `plugins/`, or paths to crates [default: all in `plugins/`]
    #[arg(value_name = "NAME")]
    plugins: Vec<String>,

    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,

    /// Write what the plugins answer now as what is expected
    #[arg(long)]
    bless: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

/// Tests.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let project = Project::find(&args.project)?;
    let plugins = match args.plugins.as_slice() {
        [] => project.plugins()?,
        names => names.iter().map(|name| project.plugin(name)).collect::<anyhow::Result<Vec<_>>>()?,
    };
    let runtime = component::runtime(context)?;
    let bar = context.output.bar(Some(plugins.len() as u64), "testing");
    let mut tested = Vec::new();
    for plugin in &plugins {
        bar.set_message(plugin.name.clone());
        tested.push(test(plugin, &args, &runtime, context).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if tested.iter().all(|plugin| plugin.cases.is_empty()) {
        return Err(no_cases(&plugins).into());
    }
    context.output.report(&report::document(&tested), |_| report::text(&tested, &context.output))?;
    let passed = tested.iter().flat_map(|plugin| &plugin.cases).all(|case| case.verdict.is_good());
    Ok(if passed { ExitCode::Success } else { ExitCode::Wrong })
}

fn no_cases(plugins: &[PluginCrate]) -> Failure {
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let name = names.first().copied().unwrap_or("NAME");
    Failure::new(ExitCode::Wrong, format!("no golden cases for `{}`", names.join("`, `")))
        .hint(format!("write `plugins/{name}/cases/first/input.json`, then `sluicebox plugin test {name} --bless` writes its `expected.json`"))
}

async fn test(plugin: &PluginCrate, args: &Args, runtime: &WasmPlugins, context: &Context) -> anyhow::Result<Tested> {
    let mut cases = case::of(plugin)?;
    cases.retain(|case| args.case.as_ref().is_none_or(|text| case.name.contains(text)));
    let mut tested = Tested { plugin: plugin.name.clone(), cases: Vec::new() };
    if cases.is_empty() {
        return Ok(tested);
    }
    let component = component::read_built(plugin, context)?;
    let world = inspect(&component)?.world;
    for case in &cases {
        let started = Instant::now();
        let answer = answer(runtime, &component, world, case).await;
        // The answer of a cleaner or an aggregator is typed rows, that of an enricher is a document.
        let compare = if matches!(world, World::Enricher) { compare_documents } else { compare };
        let verdict = judge(case, answer, compare, args.bless)?;
        tested.cases.push(verdict::TestedCase {
            case: case.name.clone(),
            millis: started.elapsed().as_millis() as u64,
            verdict,
        });
    }
    Ok(tested)
}

/// The plugin's output for a case. For an aggregator also whether every way of merging gives that output.
async fn answer(
    runtime: &WasmPlugins,
    component: &bytes::Bytes,
    world: World,
    case: &Case,
) -> anyhow::Result<aggregator::Outcome> {
    let (component, grants): (_, Grants) = (component.clone(), case.grants()?);
    let single = |table: Value| aggregator::Outcome { table, unstable: None };
    match world {
        World::Enricher => {
            let plugin = runtime.enricher(component, &grants).await?;
            enricher::run(Arc::as_ref(&plugin), case).await.map(single)
        }
        World::Cleaner => {
            let plugin = runtime.cleaner(component, &grants).await?;
            cleaner::run(Arc::as_ref(&plugin), case).await.map(single)
        }
        World::Aggregator => {
            let plugin = runtime.aggregator(component, &grants).await?;
            aggregator::run(Arc::as_ref(&plugin), case).await
        }
    }
}

fn judge(
    case: &Case,
    answer: anyhow::Result<aggregator::Outcome>,
    compare: fn(&Value, &Value) -> Vec<Difference>,
    bless: bool,
) -> anyhow::Result<Verdict> {
    let outcome = match answer {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Verdict::of_error(&error)),
    };
    if let Some((way, differences)) = outcome.unstable {
        return Ok(Verdict::Unstable { way, differences });
    }
    let expected = case.expected()?;
    let differences = expected.as_ref().map(|expected| compare(expected, &outcome.table));
    match differences {
        Some(differences) if differences.is_empty() => Ok(Verdict::Passed),
        _ if bless => {
            case.bless(&outcome.table)?;
            Ok(Verdict::Blessed)
        }
        Some(differences) => Ok(Verdict::Differs { differences }),
        None => Ok(Verdict::Unwritten),
    }
}
