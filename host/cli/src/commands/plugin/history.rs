//! `sluicebox plugin history` and `rollback`: which plugins have served a stage, what became of those that were published, and the way
//! back to an earlier one.
//!
//! Does not switch anything itself: it notes a decision in the lake, and every host that serves the pipeline follows it.

use chrono::{DateTime, Utc};
use lake::generations::{Generation, Generations};
use lake::swaps::{self, Event, Happened, Held, Initiator, Version};
use lake::{Lake, LakeError, components};
use local::SystemClock;
use seams::clock::Clock as _;
use seams::plugin::PluginStamp;
use serde::Serialize;
use serde_json::json;

use crate::compose::{Looked, Shared, lake, look, look_at_lake};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::{Failure, plain};
use crate::load::{CannotLoad, Loading, Trouble, found_for, load};
use crate::output::{Tone, short_digest};
use crate::pipelines::{self, PipelineArgs, PipelineFile, PipelineOption};
use crate::preflight::{Wrong, tables};
use crate::serves::{Serves, called, plugins_of};

/// Show which plugins have served each stage, and what became of those that were published
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// Let an earlier plugin serve a stage again
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Lets an earlier plugin serve a stage again: the one before the one that serves, or the one that --to names. Hosts that serve the \
pipeline follow within seconds, between two batches.

It holds for as long as `pipeline.toml` names the plugin and configuration that were taken back: what is published next serves as \
ever. What the plugin has made meanwhile stays as it is: `sluicebox replay --stale` makes it again.")]
pub(crate) struct RollbackArgs {
    /// The stage: `enrich`, `clean`, or the name of an aggregate
    stage: String,
    /// The generation that shall serve, as `plugin history` lists it [default: the one before]
    #[arg(long, value_name = "GENERATION", conflicts_with = "undo")]
    to: Option<u32>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "taken back by hand")]
    reason: String,
    /// Let the plugin that pipeline.toml names serve again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    pipeline: PipelineOption,
}

/// A stage's history.
#[derive(Debug, Serialize)]
struct StageHistory {
    pipeline: String,
    stage: String,
    /// The digest that serves now; none if no plugin serves.
    serves: Option<String>,
    /// Why the published plugin does not serve, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    but: Option<String>,
    /// The part of the history that cannot be read, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    generations: Vec<Dated>,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Dated {
    since: Option<DateTime<Utc>>,
    #[serde(flatten)]
    generation: Generation,
}

/// Shows the histories of all stages.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline)?;
    let shared = Shared::new(&files, context)?;
    let mut stages = Vec::new();
    for file in &files {
        let looked = look(file, &shared, context).await?;
        let mut serves = Serves::all(&looked).await;
        for (stage, _) in file.plan.stages() {
            let serves = serves.remove(&stage);
            stages.push(history(file, &looked.service.enrich.lake, stage, serves).await);
        }
    }
    context.output.report(&json!({ "stages": stages }), |_| {
        stages.iter().map(|stage| text(stage, context)).collect::<Vec<_>>().join("\n\n")
    })?;
    let whole = stages.iter().all(|stage| stage.unreadable.is_none());
    Ok(if whole { ExitCode::Success } else { ExitCode::Unavailable })
}

/// Takes a plugin back, or lets it serve again.
pub(crate) async fn rollback(args: RollbackArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let files = pipelines::read(&args.pipeline.args())?;
    let Some(file) = files.first() else { return Ok(ExitCode::Usage) };
    let shared = Shared::new(&files, context)?;
    let stage = stage_of(file, &args.stage)?;
    let way =
        Way { file, shared: &shared, stage: &stage, lake: lake(file, &shared.remote).await?, at: SystemClock.now() };
    // By the file alone: a decision is about the published plugin, not the one that serves.
    let published = found_for(file, &stage, None, &shared).await?.version();
    if args.undo {
        return way.undo(&published, context).await;
    }
    let looked = look(file, &shared, context).await?;
    let serves = Serves::all(&looked).await.remove(&stage);
    let serves = serves.and_then(|serves| serves.version).unwrap_or_else(|| published.clone());
    let generations = Generations::of(&way.lake, &stage).all().await?;
    let decisions = swaps::decisions(&way.lake, &stage).await?;
    let back = earlier((&generations, &decisions), &serves, args.to, &stage)?;
    let version = Version { plugin: back.plugin.clone(), config: back.config.clone() };
    if same(&version, &published) {
        let message = format!("generation {} of `{stage}` is what `pipeline.toml` names", back.number);
        let hint = format!("`sluicebox plugin rollback {} --undo` lets it serve again", args.stage);
        return Err(Failure::new(ExitCode::Usage, message).hint(hint).into());
    }
    if let Some(pinned) = file.plan.stage(&stage).and_then(|settings| settings.sha256.as_ref())
        && version.plugin.digest != format!("sha256:{pinned}")
    {
        let message = format!(
            "generation {} of `{stage}` is {}, pinned is {}",
            back.number,
            called(&back.plugin),
            short_digest(&format!("sha256:{pinned}"))
        );
        let hint = format!(
            "publish that component and pin it: `sha256 = \"{}\"`",
            back.plugin.digest.trim_start_matches("sha256:")
        );
        return Err(Failure::new(ExitCode::Wrong, message).hint(hint).into());
    }
    let held = Held { version: version.clone(), reason: args.reason, by: Initiator::Person };
    let taken = Version { plugin: named(&published, &generations, &looked, &stage), config: published.config.clone() };
    let happened = Happened::RolledBack(held);
    way.tried(&published, &happened, &version, &format!("generation {}", back.number)).await?;
    swaps::tell(&way.lake, &stage, &taken, happened, way.at).await?;
    let done = json!({ "stage": stage, "taken_back": taken.plugin, "in_place_of": serves.plugin, "serves": back.plugin, "generation": back.number });
    context.output.report(&done, |_| {
        format!(
            "`{stage}` is served by {} (generation {}) in place of {}\n  hint: `sluicebox replay --stale` makes again what the other has made",
            called(&back.plugin), back.number, called(&serves.plugin)
        )
    })?;
    Ok(ExitCode::Success)
}

/// What decides which plugin serves a stage.
struct Way<'a> {
    file: &'a PipelineFile,
    shared: &'a Shared,
    stage: &'a str,
    lake: Lake,
    at: DateTime<Utc>,
}

impl Way<'_> {
    async fn undo(&self, published: &Version, context: &Context) -> anyhow::Result<ExitCode> {
        let stage = self.stage;
        let decisions = swaps::decisions(&self.lake, stage).await?;
        if swaps::held(&decisions, &published.plugin.digest, &published.config).is_none() {
            return Err(Failure::new(ExitCode::Usage, format!("the plugin of `{stage}` was not taken back")).into());
        }
        self.tried(published, &Happened::Released, published, "what `pipeline.toml` names").await?;
        swaps::tell(&self.lake, stage, published, Happened::Released, self.at).await?;
        let done = json!({ "stage": stage, "released": published.plugin });
        context.output.report(&done, |_| format!("{} may serve `{stage}` again", called(&published.plugin)))?;
        Ok(ExitCode::Success)
    }

    /// Whether a host would follow the decision: the plugin is loaded and checked against its neighbours and tables, as a host does when it
    /// finds the decision. Nothing is written.
    async fn tried(
        &self,
        published: &Version,
        happened: &Happened,
        wanted: &Version,
        called: &str,
    ) -> anyhow::Result<()> {
        let stage = self.stage;
        if matches!(happened, Happened::RolledBack(_))
            && components::get(&self.lake, &wanted.plugin.digest).await?.is_none()
        {
            let message = format!(
                "the component of {called} of `{stage}` is not in the lake any more: {}",
                self::called(&wanted.plugin)
            );
            let hint = "publish the component itself, if it is still to be had";
            return Err(Failure::new(ExitCode::Wrong, message).hint(hint).into());
        }
        let event =
            Event { stage: stage.to_owned(), at: self.at, version: published.clone(), happened: happened.clone() };
        let view = look_at_lake(self.file, &self.shared.remote).await;
        let loading = Loading { lake: Some(&view), what_if: Some(&event), ..Loading::by_files(self.file, self.shared) };
        let refused = || format!("no host would let {called} serve `{stage}`");
        let loaded = load(loading).await.map_err(|error| {
            match error.chain().find_map(|cause| cause.downcast_ref::<CannotLoad>()) {
                Some(CannotLoad(troubles)) => {
                    let told: Vec<String> = troubles.iter().map(Trouble::text).collect();
                    Failure::new(ExitCode::Wrong, refused()).caused_by(told.join("\n")).into()
                }
                None => error.context(refused()),
            }
        })?;
        if let Some(ignored) = loaded.aside.ignored.iter().find(|ignored| ignored.stage == stage) {
            let hint = "publish that component, signed, with the configuration that is to serve";
            return Err(Failure::new(ExitCode::Wrong, refused()).caused_by(ignored.text()).hint(hint).into());
        }
        let found = loaded.all(&self.file.plan).into_iter().find(|(name, _)| name == stage);
        let found = found.map(|(_, plugin)| plugin.digest().to_string());
        if found.as_deref() != Some(wanted.plugin.digest.as_str()) {
            let message = format!(
                "{called} of `{stage}` was taken back itself: {} would serve in its place",
                found.as_deref().map_or("another", short_digest)
            );
            return Err(Failure::new(ExitCode::Wrong, message)
                .hint("`sluicebox plugin history` lists what was taken back; name another with `--to`")
                .into());
        }
        let wrong: Vec<String> = tables(self.file, &loaded, &view, self.shared)
            .await
            .iter()
            .flat_map(|one| &one.wrong)
            .map(Wrong::text)
            .collect();
        if !wrong.is_empty() {
            return Err(Failure::new(ExitCode::Wrong, refused()).caused_by(wrong.join("\n")).into());
        }
        Ok(())
    }
}

fn same(one: &Version, other: &Version) -> bool {
    one.plugin.digest == other.plugin.digest && one.config == other.config
}

/// The published plugin with its name, which is known if it was ever loaded.
fn named(published: &Version, generations: &[Generation], looked: &Looked, stage: &str) -> PluginStamp {
    let known = generations.iter().rev().map(|one| &one.plugin).find(|plugin| plugin.digest == published.plugin.digest);
    let loaded = plugins_of(&looked.service)
        .into_iter()
        .find(|(name, plugin)| name == stage && plugin.digest == published.plugin.digest);
    known.cloned().or(loaded.map(|(_, plugin)| plugin)).unwrap_or_else(|| published.plugin.clone())
}

/// The generation to go back to.
fn earlier<'a>(
    (generations, decisions): (&'a [Generation], &[Event]),
    serves: &Version,
    to: Option<u32>,
    stage: &str,
) -> Result<&'a Generation, Failure> {
    let differs = |one: &&Generation| one.plugin.digest != serves.plugin.digest || one.config != serves.config;
    let taken_back = |one: &&Generation| swaps::held(decisions, &one.plugin.digest, &one.config).is_some();
    let hint = "`sluicebox plugin history` lists what has served";
    match to {
        None => generations.iter().rev().find(|one| differs(one) && !taken_back(one)).ok_or_else(|| {
            Failure::new(ExitCode::Usage, format!("no other plugin has served `{stage}` before")).hint(hint)
        }),
        Some(number) => match generations.iter().find(|one| one.number == number) {
            Some(one) if differs(&one) => Ok(one),
            Some(_) => Err(Failure::new(ExitCode::Usage, format!("generation {number} of `{stage}` serves already"))),
            None => Err(Failure::new(ExitCode::Usage, format!("`{stage}` has no generation {number}")).hint(hint)),
        },
    }
}

async fn history(file: &PipelineFile, lake: &Lake, stage: String, serves: Option<Serves>) -> StageHistory {
    let (mut generations, mut events, mut unreadable) = (Vec::new(), Vec::new(), None);
    match dated(lake, &stage).await {
        Ok(dated) => generations = dated,
        Err(error) => unreadable = Some(error.to_string()),
    }
    match swaps::events(lake, &stage).await {
        Ok(all) => events = all,
        Err(error) => unreadable = unreadable.or(Some(error.to_string())),
    }
    let but = serves.as_ref().and_then(|serves| serves.but.clone());
    let serves = serves.and_then(|serves| serves.version).map(|version| version.plugin.digest);
    StageHistory { pipeline: file.plan.name.clone(), stage, serves, but, generations, events, unreadable }
}

async fn dated(lake: &Lake, stage: &str) -> Result<Vec<Dated>, LakeError> {
    let history = Generations::of(lake, stage);
    let mut dated = Vec::new();
    for generation in history.all().await? {
        let since = history.since(generation.number).await?;
        dated.push(Dated { since, generation });
    }
    Ok(dated)
}

fn stage_of(file: &PipelineFile, name: &str) -> Result<String, Failure> {
    let names: Vec<String> = file.plan.stages().map(|(name, _)| name).collect();
    let found = names.iter().find(|stage| *stage == name || stage.strip_prefix("aggregate ") == Some(name));
    found.cloned().ok_or_else(|| {
        let message = format!("pipeline `{}` has no stage `{name}` with a plugin", file.plan.name);
        Failure::new(ExitCode::Usage, message).hint(format!("its stages are {}", names.join(", ")))
    })
}

fn text(stage: &StageHistory, context: &Context) -> String {
    let mut text = format!("`{}`  stage {}\n\n", stage.pipeline, stage.stage);
    if stage.generations.is_empty() && stage.unreadable.is_some() {
        text.push_str("which plugins have served is not known");
    } else if stage.generations.is_empty() {
        text.push_str("no plugin has made anything yet");
    } else {
        let mut table = context.output.table(&["generation", "since", "plugin", "version", "digest", ""]);
        for Dated { since, generation } in &stage.generations {
            let since = since.map_or("-".to_owned(), instant);
            let last = stage.generations.last().is_some_and(|last| last.generation.number == generation.number);
            let serves = stage.serves.as_deref() == Some(&generation.plugin.digest) && last;
            let plugin = &generation.plugin;
            let mark = if serves { context.output.tone(Tone::Good, "serves") } else { String::new() };
            let number = generation.number.to_string();
            table.add_row(vec![&number, &since, &plugin.name, &plugin.version, short_digest(&plugin.digest), &mark]);
        }
        text.push_str(&table.trim_fmt());
    }
    for event in &stage.events {
        text.push_str(&format!("\n  {}  {}", instant(event.at), told(event)));
    }
    if let Some(but) = &stage.but {
        let what = format!("\n  what is published does not serve: {}", but.replace('\n', "\n  "));
        text.push_str(&context.output.tone(Tone::Notable, &what));
    }
    if let Some(why) = &stage.unreadable {
        let what = format!("\n  not all can be read: {}", plain(why).replace('\n', "\n  "));
        text.push_str(&context.output.tone(Tone::Bad, &what));
    }
    text
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An event in one line.
pub(crate) fn told(event: &Event) -> String {
    let plugin = called(&event.version.plugin);
    match &event.happened {
        Happened::Refused { code, reason } => {
            let code = code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
            format!("{plugin} was not let in{code}: {}", reason.replace('\n', "\n    "))
        }
        Happened::Compared { how } => format!("{plugin} is compared {how}"),
        Happened::Promoted { summary } if summary.is_empty() => format!("{plugin} took over"),
        Happened::Promoted { summary } => format!("{plugin} took over: {summary}"),
        Happened::RolledBack(held) => {
            let by = match held.by {
                Initiator::Host => "by itself",
                Initiator::Person => "by hand",
            };
            format!("{plugin} was taken back {by}, {} serves: {}", called(&held.version.plugin), held.reason)
        }
        Happened::Released => format!("{plugin} may serve again"),
    }
}
