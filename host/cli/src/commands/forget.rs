//! `sluicebox forget`: erases one record from every layer, and keeps it out if asked to.
//!
//! Does not touch the source.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use engine::drivers::service::Service;
use engine::progress::Steps;
use lake::kept_out::{self, Entry};
use proof::forget::{Forgotten, Remains, forget, is_there, removed_tables};
use records::keys::Key;
use serde_json::json;

use super::explain::unknown;
use crate::compose::{Shared, compose_to_look};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Tone, counted};
use crate::pipelines::{self, PipelineArgs, PipelineFile};
use crate::watch::watch;

/// The digits of a digest that are shown to people.
const SHOWN: usize = 12;

/// Erase one record from Bronze, kept answers, quarantine, Silver, Gold and all old versions
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "sluicebox forget [OPTIONS] <KEY> [PIPELINE.toml]\n       sluicebox forget --list [PIPELINE.toml]\n       sluicebox forget --allow <KEY> [PIPELINE.toml]",
    long_about = "\
Erases one record from every layer: its lines of Bronze (an empty line keeps their place), the answers of services that only it was \
made from, refusals, its rows of Silver, what it added to Gold, and the old versions of all tables. What killed writers have left goes as \
well, also kept answers that belong to no line, and so do Gold tables that the pipeline file names no more: they could not be made without \
the record. It cannot be undone, and time travel to before it is gone for every record.

Nothing may be under way: stop the hosts that serve the pipeline, and let `sluicebox run --once` work off what is queued. The source is \
not touched: as long as it holds the record, the next tick brings it again, unless --keep-out is given. Then the lake keeps a list of \
such keys, each only as a salted digest, and every tick leaves their records out.

A key that is nowhere in the lake is an error, and nothing is changed; with --keep-out it is kept out all the same. Interrupted, run it again.

Exits with 0 if nothing of the record is left; with 1 if something could not be erased, which is listed with when it goes."
)]
pub(crate) struct Args {
    /// The record's key: the values of its key columns joined by `/`, as in 'The Fog/1980'
    #[arg(required_unless_present_any = ["list", "allow"])]
    pub(crate) key: Option<String>,

    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,

    /// Keep the record out: no tick brings it again
    #[arg(long, conflicts_with_all = ["list", "allow"])]
    pub(crate) keep_out: bool,

    /// List the keys that stay forgotten, as digests with their dates
    #[arg(long, conflicts_with = "allow")]
    pub(crate) list: bool,

    /// Let this key's record in again with the next tick
    #[arg(long, value_name = "KEY")]
    pub(crate) allow: Option<String>,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Erases the record, or handles the list.
pub(crate) async fn execute(mut args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    if args.list || args.allow.is_some() {
        // Without a key the first argument is the pipeline's file.
        args.pipeline.files = args.key.take().map_or(args.pipeline.files, |file| vec![PathBuf::from(file)]);
    }
    let files = pipelines::read(&args.pipeline)?;
    let file = files.first().context("no pipeline file")?;
    let shared = Shared::new(&files, context)?;
    let service = compose_to_look(file, &shared, context).await?;
    match (args.list, &args.allow, &args.key) {
        (true, ..) => list(&service, context).await,
        (_, Some(key), _) => allow(&service, key, context).await,
        (_, _, Some(key)) => erase(&args, key, file, (&service, &shared), context).await,
        (_, _, None) => Err(Failure::new(ExitCode::Usage, "no key was given").into()),
    }
}

async fn erase(
    args: &Args,
    text_of_key: &str,
    file: &PipelineFile,
    (service, shared): (&Service, &Shared),
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let (key, steps) = (Key::from_text(text_of_key), Steps::default());
    let is_there = watch(&steps, context, is_there(service, &key, &steps)).await?;
    if !is_there && !args.keep_out {
        return Err(unknown(service, text_of_key, ExitCode::Wrong).await?.into());
    }
    if is_there && !args.yes && !confirmed(text_of_key, &removed_tables(service).await?, context)? {
        return Err(Failure::new(ExitCode::Usage, "nothing was erased")
            .hint("it cannot be undone: say `--yes` to erase without being asked")
            .into());
    }
    if args.keep_out {
        // Before it is erased, so that a tick in between does not bring it back.
        kept_out::add(&service.enrich.lake, &key, service.clock.now()).await?;
    }
    let (mut done, mut unfinished) = (Forgotten { key: key.clone(), ..Forgotten::default() }, 0);
    if is_there {
        // Messages are gone from the queue, but the queue's file keeps their bytes until it is rewritten. Both steps come before the record's
        // last trace is erased: after an interruption the next `forget` finds the record and repeats them.
        crate::compose::scrub_queue(file, shared).await?;
        unfinished = crate::compose::remove_unfinished(file).await?;
        done = watch(&steps, context, forget(service, &key, &steps)).await?;
    }
    let mut document = serde_json::to_value(&done)?;
    if let Some(document) = document.as_object_mut() {
        document.insert("kept_out".to_owned(), args.keep_out.into());
        document.insert("unfinished_files".to_owned(), unfinished.into());
    }
    context.output.report(&document, |_| text(&done, args.keep_out, context))?;
    Ok(if done.is_whole() { ExitCode::Success } else { ExitCode::Wrong })
}

async fn list(service: &Service, context: &Context) -> anyhow::Result<ExitCode> {
    let entries = kept_out::list(&service.enrich.lake).await?;
    context.output.report(&json!({ "kept_out": entries }), |_| listed(&entries, context))?;
    Ok(ExitCode::Success)
}

fn listed(entries: &[Entry], context: &Context) -> String {
    if entries.is_empty() {
        return "no key stays forgotten\n".to_owned();
    }
    let mut table = context.output.table(&["since", "digest of the key"]);
    for entry in entries {
        let digest: String = entry.digest.chars().take(SHOWN).collect();
        table.add_row(vec![entry.since.format("%Y-%m-%d %H:%M:%S UTC").to_string(), digest]);
    }
    let keys = counted(entries.len(), "key stays", "keys stay");
    format!(
        "{}\n\n{keys} forgotten\n  hint: the keys themselves are kept nowhere; `sluicebox forget --allow KEY` lets a record in again\n",
        table.trim_fmt()
    )
}

async fn allow(service: &Service, key: &str, context: &Context) -> anyhow::Result<ExitCode> {
    if !kept_out::remove(&service.enrich.lake, &Key::from_text(key)).await? {
        let count = kept_out::list(&service.enrich.lake).await?.len();
        let message = format!("`{key}` is not one of the {} that stay forgotten", counted(count, "key", "keys"));
        return Err(Failure::new(ExitCode::Wrong, message)
            .hint("write the key as it was forgotten; `sluicebox forget --list` shows since when each of them is kept out")
            .into());
    }
    let document = json!({ "allowed": key });
    context.output.report(&document, |_| {
        format!("`{key}` may come in again: the next tick whose source holds it brings it\n  hint: `sluicebox run --once --tick now` is one\n")
    })?;
    Ok(ExitCode::Success)
}

fn confirmed(key: &str, removed: &[String], context: &Context) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    if !removed.is_empty() {
        let tables = removed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        context
            .output
            .notice(&format!("gold still has {tables}, which the pipeline file names no more: deleted as well"))?;
    }
    context
        .output
        .notice(&format!("erase `{key}` from every layer and all old versions? It cannot be undone [y/N]"))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text(done: &Forgotten, kept_out: bool, context: &Context) -> String {
    let next = if kept_out {
        format!(
            "`{}` is kept out: no tick brings it again\n  hint: `sluicebox forget --allow KEY` lets it in again\n",
            done.key
        )
    } else {
        "the source is not touched: as long as it holds the record, the next tick brings it again\n  hint: add `--keep-out` to the same command, and no tick does\n".to_owned()
    };
    if done.is_nothing() {
        return format!("the lake holds nothing of `{}`\n{next}", done.key);
    }
    let mut table = context.output.table(&["erased", ""]);
    let count = |number: usize, one: &str, many: &str| counted(number, one, many);
    table.add_row(vec!["bronze".to_owned(), count(done.lines.len(), "line", "lines")]);
    table.add_row(vec![String::new(), count(done.snapshots, "record of a tick", "records of ticks")]);
    table.add_row(vec![String::new(), count(done.answers, "kept answer", "kept answers")]);
    table.add_row(vec![String::new(), count(done.refusals, "refusal", "refusals")]);
    table.add_row(vec!["silver".to_owned(), count(done.rows, "row", "rows")]);
    table.add_row(vec!["gold".to_owned(), count(done.tables, "table is another now", "tables are others now")]);
    table.add_row(vec!["old versions".to_owned(), count(done.old_files, "data file", "data files")]);
    table.add_row(vec![String::new(), count(done.old_log_entries, "log entry", "log entries")]);
    for (number, one, many) in [
        (done.strays, "file that killed writers left", "files that killed writers left"),
        (done.notes, "note that spoke of it", "notes that spoke of it"),
    ] {
        if number > 0 {
            table.add_row(vec![String::new(), count(number, one, many)]);
        }
    }
    if !done.removed_tables.is_empty() {
        let names = done.removed_tables.join(", ");
        table.add_row(vec!["gold".to_owned(), format!("{names}: deleted, the pipeline file names it no more")]);
    }
    let mut text = format!("`{}`\n\n{}\n", done.key, table.trim_fmt());
    for (id, other) in &done.shared_answers {
        let kept =
            format!("answer {id} stays: `{other}` was made from it as well, and it goes when that is forgotten, too");
        text.push_str(&format!("{}\n", context.output.tone(Tone::Bad, &kept)));
    }
    for Remains { what, why, until } in &done.remains {
        let remains = format!("{what} may still hold it: {why}\n  it goes {until}");
        text.push_str(&format!("{}\n", context.output.tone(Tone::Bad, &remains)));
    }
    text.push_str(&format!("\n{next}"));
    text
}
