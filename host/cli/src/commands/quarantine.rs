//! `sluicebox quarantine`: the refused records, each with its reason, the place of its input, and how to replay it.
//!
//! Does not replay by itself: `replay` does.

use std::collections::{BTreeMap, BTreeSet};

use lake::quarantine::{self, Refused, RefusedAt};
use seams::foreign::{inert, inert_lines};

use crate::commands::replay::{self, How};
use crate::compose::{Remote, look_at_lake, unread};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::counted;
use crate::pipelines::{self, PipelineArgs, PipelineOption};

/// Look at refused records, and replay them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List refused records: stage, reason, key
    Ls {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Show all that is known of one: its input, its plugin, the plugin's call stack and log
    Show {
        /// The id, as `ls` lists it; its first characters are enough if no other id has them
        id: String,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Make refused records again from Bronze, with the plugins that pipeline.toml names now; all, or those of these ids
    Replay {
        /// Ids, as `ls` lists them; their first characters are enough if no other id has them
        ids: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineOption,
        #[command(flatten)]
        how: How,
    },
}

/// Shows what the user asked for.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Ls { pipeline } => {
            let refused = read(&pipeline).await?;
            // Written directly: in a `Value` numbers would lose digits.
            context.output.report(&BTreeMap::from([("refused", &refused)]), |_| list(&refused, context))?;
        }
        Command::Show { id, pipeline } => {
            let refused = find(read(&pipeline).await?, &id)?;
            context.output.report(&refused, one)?;
        }
        Command::Replay { ids, pipeline, how } => {
            let pipeline = pipeline.args();
            let chosen = match ids.as_slice() {
                [] => None,
                some => {
                    let refused = read(&pipeline).await?;
                    let ids = some.iter().map(|id| find(refused.clone(), id).map(|one| one.id));
                    Some(ids.collect::<anyhow::Result<BTreeSet<String>>>()?)
                }
            };
            return replay::quarantined(&pipeline, chosen, &how, context).await;
        }
    }
    Ok(ExitCode::Success)
}

async fn read(pipeline: &PipelineArgs) -> anyhow::Result<Vec<Refused>> {
    let (mut refused, remote) = (Vec::new(), Remote::default());
    for file in pipelines::read(pipeline)? {
        refused.extend(quarantine::all(&look_at_lake(&file, &remote).await).await.map_err(unread)?);
    }
    refused.sort_by(|a, b| (a.stage, &a.key, &a.id).cmp(&(b.stage, &b.key, &b.id)));
    Ok(refused)
}

fn find(refused: Vec<Refused>, id: &str) -> anyhow::Result<Refused> {
    let mut matching = refused.into_iter().filter(|one| one.id.starts_with(id));
    match (matching.next(), matching.next()) {
        (Some(only), None) => Ok(only),
        (found, _) => {
            let how_many = if found.is_some() { "several refused records" } else { "no refused record" };
            let message = format!("{how_many} with an id that begins with `{id}`");
            Err(Failure::new(ExitCode::Usage, message).hint("`sluicebox quarantine ls` lists the ids").into())
        }
    }
}

fn list(refused: &[Refused], context: &Context) -> String {
    if refused.is_empty() {
        return "nothing is in quarantine".to_owned();
    }
    let mut table = context.output.table(&["id", "stage", "code", "key", "reason"]);
    for one in refused {
        let key = inert(one.key.as_ref().map_or("", |key| key.as_str()));
        let reason: String = one.reason.lines().next().unwrap_or_default().chars().take(90).collect();
        let (id, code) = (inert(&one.id), inert(&one.code));
        table.add_row(vec![&*id, one.stage.name(), &*code, &*key, &*inert(&reason)]);
    }
    let mut stages: BTreeMap<&str, usize> = BTreeMap::new();
    for one in refused {
        *stages.entry(one.stage.name()).or_default() += 1;
    }
    let counts: Vec<String> = stages.iter().map(|(stage, count)| format!("{count} at {stage}")).collect();
    let total = counted(refused.len(), "record", "records");
    format!(
        "{}\n\n{total} refused: {}\n  hint: `sluicebox quarantine show ID` shows one whole; when its cause is mended, `sluicebox quarantine replay` makes them again",
        table.trim_fmt(),
        counts.join(", ")
    )
}

fn one(refused: &Refused) -> String {
    let key = inert(refused.key.as_ref().map_or("(none)", |key| key.as_str()));
    let mut text = format!("{} [{}] refused at {}\n", inert(&refused.id), inert(&refused.code), refused.stage.name());
    text.push_str(&format!("  reason  {}\n", inert_lines(&refused.reason).replace('\n', "\n          ")));
    text.push_str(&format!("  key     {key}\n  tick    {}\n  input   {}\n", refused.seq, inert(&refused.input)));
    if let Some(plugin) = &refused.plugin {
        text.push_str(&format!("  plugin  {}\n", inert(&plugin.to_string())));
    }
    match &refused.line {
        Some(line) => text.push_str(&format!("  line    {}\n  text    {}\n", line.number, inert(&line.text))),
        None => text.push_str(&format!("  record  {}\n", inert(&refused.record.to_string()))),
    }
    for line in &refused.details {
        text.push_str(&format!("  | {}\n", inert(line)));
    }
    text.push_str(&way_back(refused));
    text
}

/// The next command, and what has to be done before it.
fn way_back(refused: &Refused) -> String {
    let id = &refused.id;
    let (first, flag) = match (refused.stage, refused.code.as_str()) {
        (RefusedAt::Ingest, quarantine::REFUSED_LINE) => {
            return "\n  next    mend the line in the source; a line cannot be replayed, the source is read again: sluicebox run --once --tick now\n"
                .to_owned();
        }
        (_, quarantine::REFUSED_LINE) => ("if another enrich plugin makes a document of it", ""),
        (RefusedAt::Ingest, _) => ("mend `key` under `[source]`, or the source for its next tick", ""),
        (_, quarantine::REFUSED_BY_RETRIES) => ("when the service answers again", " --fetch"),
        (_, "P161") => ("let `url` of the endpoint lead to where the service is", " --fetch"),
        (_, quarantine::REFUSED_MESSAGE) => ("if it was of this pipeline after all", ""),
        (RefusedAt::Enrich, _) => {
            let flag =
                "\n          if it was the service or its secret that was wrong, with --fetch: it is asked again\n";
            return format!(
                "\n  next    publish a plugin or configuration that takes it, then: sluicebox quarantine replay {id}{flag}"
            );
        }
        _ => ("publish a plugin or configuration that takes it", ""),
    };
    format!("\n  next    {first}, then: sluicebox quarantine replay {id}{flag}\n")
}
