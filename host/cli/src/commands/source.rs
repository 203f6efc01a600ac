//! `sluicebox source`: the records that a tick would take from the source now.
//!
//! Does not take them: nothing is queued, and the lake is not read.

use engine::roles::source::{Reading, read, unit};
use records::record::Record;
use serde::Serialize;

use crate::compose::{Shared, source};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs};

/// Show what a tick would take of the source as it is now, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Reads the source as a tick does and prints the records that it would take, in their order, one JSON object a line. Lines that are no \
records, and the counts, are on stderr; with --json all is one document.

Nothing is queued, and the lake is not looked at. `--set 'source.top_n=\"all\"'` shows every record. Exits with 1 if a tick could not take \
anything of the source.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

#[derive(Serialize)]
struct Read {
    pipeline: String,
    columns: Vec<String>,
    /// The unit of the counts.
    unit: &'static str,
    /// All records of the source.
    total: usize,
    records: Vec<Row>,
    refused: Vec<Refused>,
    notices: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    number: u64,
    record: Record,
}

#[derive(Serialize)]
struct Refused {
    number: u64,
    reason: String,
    text: String,
}

#[derive(Serialize)]
struct All {
    pipelines: Vec<Read>,
}

/// Reads the source and shows it.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut all = All { pipelines: Vec::new() };
    for file in &files {
        let bytes = source(file, &shared).read().await?;
        let reading = read(&file.plan.source, &bytes)?;
        all.pipelines.push(Read::of(file.plan.name.clone(), unit(file.plan.source.format), reading));
    }
    context.output.report(&all, text)?;
    for read in all.pipelines.iter().filter(|_| !context.output.json()) {
        read.say(context)?;
    }
    Ok(ExitCode::Success)
}

impl Read {
    fn of(pipeline: String, unit: &'static str, reading: Reading) -> Self {
        let row = |taken: engine::roles::source::Taken| Row { number: taken.number, record: taken.record };
        let refused =
            |bad: engine::roles::source::BadLine| Refused { number: bad.number, reason: bad.reason, text: bad.text };
        Read {
            pipeline,
            unit,
            columns: reading.columns,
            total: reading.total,
            records: reading.records.into_iter().map(row).collect(),
            refused: reading.bad.into_iter().map(refused).collect(),
            notices: reading.notices,
        }
    }

    fn say(&self, context: &Context) -> anyhow::Result<()> {
        for notice in &self.notices {
            context.output.notice(notice)?;
        }
        for refused in &self.refused {
            let shown: String = refused.text.chars().take(100).collect();
            let (unit, number, reason) = (self.unit, refused.number, &refused.reason);
            context.output.notice(&format!("{unit} {number} is no record: {reason}\n  {}", shown.escape_debug()))?;
        }
        let refused = match self.refused.len() {
            0 => String::new(),
            1 => format!("; 1 {} is no record", self.unit),
            count => format!("; {count} {}s are no records", self.unit),
        };
        let total = counted(self.total, "record", "records");
        let counts = format!("`{}`: {} of {total}{refused}", self.pipeline, self.records.len());
        context.output.notice(&Tone::Faint.paint(context.output.stderr_color(), &counts))?;
        Ok(())
    }
}

fn text(all: &All) -> String {
    all.pipelines.iter().flat_map(|read| &read.records).map(|row| format!("{}\n", row.record)).collect()
}
