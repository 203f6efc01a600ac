//! `sluicebox explain`: where a record's row comes from, proved by computing it again.
//!
//! Does not change anything and calls no service.

use anyhow::Context as _;
use engine::drivers::service::Service;
use engine::progress::Steps;
use proof::explain::{Explanation, Proof, Provenance, explain, similar};
use records::keys::Key;
use seams::foreign::inert;

use crate::compose::{Shared, look, unread, workshop};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Tone, size};
use crate::pipelines::{self, PipelineArgs};
use crate::watch::watch;

/// Show where a record's row comes from, and prove it by running the plugins again
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Shows for the row of a record that stands in Silver the way back: the Bronze line, the source's record, the answers of services, the \
plugins by name, version and digest. Then it runs these plugins again over what is recorded and says whether every byte agrees, and \
which rows of Gold the record feeds. With --all, or if no row stands, it searches all of Bronze for every version of the record and says \
where each is.

Exits with 1 if something does not come out the same.")]
pub(crate) struct Args {
    /// The record's key: the values of its key columns joined by `/`, as in 'The Fog/1980'
    pub(crate) key: String,
    /// Also look for versions whose row does not stand: they may be anywhere in Bronze, so all of it is read
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Explains the record.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let file = files.first().context("no pipeline file")?;
    let shared = Shared::new(&files, context)?;
    let service = look(file, &shared, context).await?.told(context)?;
    let workshop = workshop(file, &service, &shared).await.map_err(unread)?;
    let (key, steps) = (Key::from_text(&args.key), Steps::default());
    let found = watch(&steps, context, explain(&service, &workshop, &key, args.all, &steps)).await.map_err(unread)?;
    let Some(explanation) = found else {
        return Err(unknown(&service, &args.key, ExitCode::Usage).await?.into());
    };
    context.output.report(&explanation, |explanation| text(explanation, context))?;
    Ok(if explanation.is_proved() { ExitCode::Success } else { ExitCode::Wrong })
}

/// That the lake holds no record with that key, with the keys that may be meant.
pub(crate) async fn unknown(service: &Service, key: &str, code: ExitCode) -> anyhow::Result<Failure> {
    let near: Vec<String> = similar(service, key, 5).await?.iter().map(|key| format!("`{key}`")).collect();
    let hint = if near.is_empty() {
        "a key is the values of the key columns joined by `/`: `sluicebox records` lists them, `sluicebox quarantine ls` those that were refused"
            .to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Ok(Failure::new(code, format!("the lake holds no record `{key}`")).hint(hint))
}

fn text(explanation: &Explanation, context: &Context) -> String {
    let mut table = context.output.table(&["tick", "state", "bronze", ""]);
    for version in &explanation.versions {
        table.add_row(vec![
            version.seq.to_string(),
            version.fate.name().to_owned(),
            version.source.clone(),
            inert(&reason(&version.fate)).into_owned(),
        ]);
    }
    let mut text = format!("`{}`\n\n{}\n", inert(explanation.key.as_str()), table.trim_fmt());
    if !explanation.searched {
        text.push_str("its other versions were not looked for: `--all` searches all of bronze\n");
    }
    match &explanation.row {
        None => text.push_str("\nno row of it stands in silver\n"),
        Some(row) => text.push_str(&provenance(row, context)),
    }
    text
}

pub(crate) fn reason(fate: &engine::census::Fate) -> String {
    use engine::census::Fate;
    match fate {
        Fate::Skipped { stage, reason } => format!("at {}: {reason}", stage.name()),
        Fate::Quarantined { id } => format!("`sluicebox quarantine show {id}`"),
        Fate::Superseded { by } => format!("by {by}"),
        Fate::Silver | Fate::Underway | Fate::Lost => String::new(),
    }
}

fn provenance(row: &Provenance, context: &Context) -> String {
    let mut text = String::new();
    for columns in &row.rows {
        text.push_str("\nsilver row\n");
        let mut table = context.output.table(&["column", "value"]);
        for (column, value) in columns {
            table.add_row(vec![&*inert(column), &*inert(value)]);
        }
        text.push_str(&indented(&table.trim_fmt()));
    }
    let made_by = |by: &Option<lake::generations::Generation>| match by {
        Some(by) => format!("{} (generation {})", by.plugin, by.number),
        None => "the source's record as it is".to_owned(),
    };
    text.push_str(&format!("\ncleaned by   {}\n", made_by(&row.cleaned_by)));
    text.push_str(&format!("  from       {}\n", row.source));
    text.push_str(&format!("  document   {}\n", inert(&shortened(&row.document_text, 300))));
    text.push_str(&format!("enriched by  {}\n", made_by(&row.enriched_by)));
    let record = row.record.to_string();
    text.push_str(&format!("  record     {}\n", inert(&shortened(&record, 300))));
    for answer in &row.answers {
        text.push_str(&format!("  answer     {}\n", inert(&told(answer))));
    }
    text.push_str(&format!("\ndocument made again  {}\n", verdict(&row.document, context)));
    text.push_str(&format!("row made again       {}\n", verdict(&row.cleaned, context)));
    if row.feeds.is_empty() {
        text.push_str("\nno row of gold depends on it\n");
    }
    for fed in &row.feeds {
        let values: Vec<String> =
            fed.row.iter().map(|(column, value)| inert(&format!("{column} {value}")).into_owned()).collect();
        text.push_str(&format!("\nfeeds gold {}: {}", fed.table, values.join(", ")));
    }
    text
}

fn told(answer: &proof::explain::Answer) -> String {
    match (&answer.request, answer.status) {
        (Some(request), Some(status)) => {
            let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let bytes = size(answer.bytes.unwrap_or(0) as u64);
            format!("{} {} /{}?{} -> {status}, {bytes}", answer.id, request.endpoint, request.path, query.join("&"))
        }
        _ => format!("{} is not kept", answer.id),
    }
}

fn verdict(proof: &Proof, context: &Context) -> String {
    let because = proof.because.as_deref().unwrap_or("every byte agrees");
    let tone = match proof.agrees {
        Some(true) => Tone::Good,
        Some(false) => Tone::Bad,
        None => Tone::Notable,
    };
    context.output.tone(tone, because)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most).chain("…".chars()).collect() }
}
