//! `sluicebox verify`: every promise about a lake, recomputed and compared.
//!
//! Does not repair anything.

use engine::progress::Steps;
use pipeline::plan::Plan;
use proof::verify::{Invariant, Report, verify};
use serde_json::json;

use crate::compose::{Shared, look, workshop};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::{Output, Tone, counted};
use crate::pipelines::{self, PipelineArgs};
use crate::watch::watch;

/// Recompute Silver and Gold from Bronze and check every promise; exit 1 with the smallest witness
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Recomputes Silver and Gold from Bronze and checks every promise that is made of a lake.

Each document is made again by the plugin that made it, from its record and the kept answers; each row by the generation of \
the clean plugin that is recorded for it; each Gold table from all rows of Silver. No service is asked and nothing is changed. \
Run it when nothing else runs: a lake that moves may look broken.

Exits with 0 if all of it holds, else with 1 and, for each promise that does not hold, the smallest witness.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Verifies the lakes.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut reports = Vec::new();
    for file in &files {
        let looked = look(file, &shared, context).await?;
        let ignored = looked.ignored.clone();
        let service = looked.told(context)?;
        let workshop = workshop(file, &service, &shared).await?;
        let steps = Steps::default();
        let mut report = watch(&steps, context, verify(&service, workshop, &steps)).await?;
        if is_guarded(&file.plan) {
            report.looked_at(Invariant::V10, file.plan.stages().count());
        }
        for one in &ignored {
            report.also(Invariant::V10, &one.stage, format!("[{}] {}", one.code, one.message));
        }
        reports.push(report);
    }
    let document = json!({ "pipelines": reports });
    context
        .output
        .report(&document, |_| reports.iter().map(|report| text(report, context)).collect::<Vec<_>>().join("\n"))?;
    let clean = reports.iter().all(Report::is_clean);
    Ok(if clean { ExitCode::Success } else { ExitCode::Wrong })
}

/// Whether a pin or a signature limits what may serve.
fn is_guarded(plan: &Plan) -> bool {
    !plan.trusted_keys.is_empty() || plan.stages().any(|(_, stage)| stage.sha256.is_some())
}

fn text(report: &Report, context: &Context) -> String {
    let mut table = context.output.table(&["", "promise", "checked", "broken"]);
    for (invariant, checked) in &report.checked {
        let broken = report.broken.get(invariant).copied().unwrap_or(0);
        let (tone, word) = if broken > 0 { (Tone::Bad, broken.to_string()) } else { (Tone::Good, "0".to_owned()) };
        table.add_row(vec![
            Output::cell(tone, format!("{invariant:?}")),
            comfy_table::Cell::new(invariant.promise()),
            comfy_table::Cell::new(checked),
            Output::cell(tone, word),
        ]);
    }
    let states: Vec<String> = report.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    let mut text = format!("`{}`  record versions: {states}\n\n{}\n", report.pipeline, table.trim_fmt());
    for invariant in Invariant::ALL {
        text.push_str(&findings(report, invariant, context));
    }
    for note in &report.notes {
        text.push_str(&format!("\n{} {note}", context.output.tone(Tone::Notable, "note:")));
    }
    if let Some(chain) = &report.chain {
        text.push_str(&format!("\nchain {chain}\n"));
    }
    let verdict = if report.is_clean() {
        context.output.tone(Tone::Good, "everything holds")
    } else {
        let count: usize = report.broken.values().sum();
        let broken = format!("{} that do not hold", counted(count, "thing", "things"));
        context.output.tone(Tone::Bad, &broken)
    };
    text.push_str(&format!("\n{verdict}\n"));
    text
}

/// The findings of one promise: the smallest one in full, and the number of the others.
fn findings(report: &Report, invariant: Invariant, context: &Context) -> String {
    let mut found = report.findings.iter().filter(|finding| finding.invariant == invariant);
    let Some(smallest) = found.next() else { return String::new() };
    let head = context.output.tone(Tone::Bad, &format!("{invariant:?}"));
    let mut text = format!("\n{head} {}\n   {}\n", smallest.at, smallest.message);
    let more = report.broken.get(&invariant).copied().unwrap_or(1).saturating_sub(1);
    if more > 0 {
        text.push_str(&format!("   and {more} more (--json lists the first)\n"));
    }
    text
}
