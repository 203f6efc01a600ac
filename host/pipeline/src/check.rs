//! From the author's tree to a plan: the one way in, for `check`, for start-up and for `deploy` alike.
//!
//! Reports every problem at once: reading goes on past each of them, and only the end decides whether there is a plan. What needs
//! a file, a plugin or a secret (does the column exist, does the digest match) is not asked here.

mod dialect;
mod doors;
mod places;
mod stages;
mod swaps;

use super::authored::{self, Table, Value};
use super::code;
use super::overlay;
use super::plan::Plan;
use super::problem::{Findings, Place, Problems, Source, Wrong, did_you_mean};
use super::reader::Section;
use super::said::Said;

/// What the command line puts over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The `[target.NAME]` to lay over the file: `--target NAME`.
    pub target: Option<String>,
    /// `KEY.PATH=VALUE`, laid over file and target in this order: `--set KEY.PATH=VALUE`.
    pub set: Vec<String>,
}

/// A plan, and what its author should look at.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The plan.
    pub plan: Plan,
    /// Problems that stop nothing.
    pub warnings: Option<Problems>,
    /// Where each of the plan's values comes from.
    pub said: Said,
}

/// The plan that `text` describes, or everything that is wrong with it. `file_name` is what problems call the file.
pub fn check(file_name: &str, text: &str, overrides: &Overrides) -> Result<Plan, Problems> {
    examine(file_name, text, overrides).map(|checked| checked.plan)
}

/// Like [`check`], with the warnings of a file that has no errors.
pub fn examine(file_name: &str, text: &str, overrides: &Overrides) -> Result<Checked, Problems> {
    let mut out = Findings::default();
    let sources = sources(file_name, text, overrides);
    let read = authored::parse(text, 0, &mut out).and_then(|file| read_variants(text, file, overrides, &mut out));
    let failed = out.has_errors();
    match (read, out.into_problems(sources.clone())) {
        (Some((plan, tree)), warnings) if !failed => Ok(Checked { plan, warnings, said: Said::new(tree, sources) }),
        (_, Some(problems)) => Err(problems),
        // A plan is only ever missing for a reason that has been reported; this arm is for a check that forgets to report one.
        (_, None) => {
            let source = Source { name: file_name.to_owned(), text: text.to_owned() };
            Err(Problems::single(Wrong::new(code::SYNTAX, "the file cannot be read"), source))
        }
    }
}

fn sources(file_name: &str, text: &str, overrides: &Overrides) -> Vec<Source> {
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let mut sources =
        vec![source(file_name, text), source("--target", overrides.target.as_deref().unwrap_or_default())];
    sources.extend(overrides.set.iter().map(|argument| source("--set", argument)));
    sources
}

/// Reads the file as the chosen target sees it, and as each other target would, so that a mistake in `[target.aws]` shows on
/// the laptop.
fn read_variants(text: &str, mut file: Table, overrides: &Overrides, out: &mut Findings) -> Option<(Plan, Table)> {
    let end = Place { source: 0, span: text.trim_end().len()..text.trim_end().len() };
    let targets = take_targets(&mut file, out);
    let chosen = overrides.target.as_deref().and_then(|name| choose(name, &targets, out));
    let mut set = Vec::new();
    for (index, argument) in overrides.set.iter().enumerate() {
        set.extend(overlay::parse_set(argument, index + 2, out));
    }
    let variant = |target: Option<&Table>, out: &mut Findings| {
        let mut tree = file.clone();
        for over in target.into_iter().chain(&set) {
            overlay::merge(&mut tree, over.clone(), out);
        }
        let plan = read_plan(&Section::top(&tree, end.clone(), out), out);
        plan.map(|plan| (plan, tree))
    };
    let mut found = Findings::default();
    let read = variant(chosen, &mut found);
    for entry in &targets.entries {
        let Value::Table(table) = &entry.node.value else { continue };
        let mut other = Findings::default();
        variant(Some(table), &mut other);
        found.merge_variant(other, |at| overlay::covers(&entry.node, at));
    }
    if chosen.is_some() {
        let mut bare = Findings::default();
        variant(None, &mut bare);
        found.merge_variant(bare, |_| false);
    }
    out.absorb(found);
    read
}

/// The targets, out of the file. Each must be a table without targets of its own.
fn take_targets(file: &mut Table, out: &mut Findings) -> Table {
    let Some(entry) = file.remove("target") else { return Table::default() };
    let section = Section::of(&entry, "target", out).map(|section| section.table.clone());
    let mut targets = section.unwrap_or_default();
    for entry in &mut targets.entries {
        let label = format!("target.{}", entry.key);
        Section::of(entry, &label, out);
        if let Value::Table(table) = &mut entry.node.value
            && let Some(nested) = table.remove("target")
        {
            out.error(&nested.key_at, Wrong::new(code::UNKNOWN_KEY, format!("a target inside `[{label}]`")));
        }
    }
    targets
}

fn choose<'t>(name: &str, targets: &'t Table, out: &mut Findings) -> Option<&'t Table> {
    match targets.get(name).map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => Some(table),
        Some(_) => None,
        None => {
            let at = Place { source: 1, span: 0..name.len() };
            let wrong = Wrong::new(code::UNKNOWN_TARGET, format!("the file has no `[target.{name}]`"));
            let wrong = match targets.entries.is_empty() {
                true => wrong.hint("the file has no targets: leave `--target` away"),
                false => wrong.expected(overlay::one_of(targets.keys())).maybe_hint(did_you_mean(name, targets.keys())),
            };
            out.error(&at, wrong);
            None
        }
    }
}

fn read_plan(top: &Section<'_>, out: &mut Findings) -> Option<Plan> {
    for (section, example) in [
        ("pipeline", "[pipeline]\nname = \"orders\""),
        ("source", "[source]\nuri = \"data/orders.csv\"\nkey = [\"id\"]"),
        ("clean", "[clean]\nplugin = \"clean-orders\""),
    ] {
        top.require_section(section, example, out);
    }
    let name = places::pipeline_name(top, out);
    let schedule = places::schedule(top, out);
    let source = places::source(top, out);
    let queue = places::queue(top, out);
    let lake = places::lake(top, out);
    let secrets = doors::secrets(top, out);
    let endpoints = doors::endpoints(top, &secrets, out);
    let limits = stages::limits(top, stages::Base::Defaults, out);
    let enrich = stages::enrich(top, limits, out);
    let clean = stages::clean(top, limits, out);
    let aggregates = stages::aggregates(top, limits, out);
    let swap = swaps::swap(top, out);
    let trusted_keys = swaps::trusted_keys(top, out);
    let quarantine = places::quarantine(top, out);
    Some(Plan {
        name: name?,
        schedule,
        source: source?,
        queue,
        secrets: secrets.into_plan(),
        endpoints,
        enrich,
        clean: clean?,
        aggregates,
        lake: lake?,
        quarantine,
        swap,
        trusted_keys,
    })
}
