//! `[enrich]`, `[clean]`, `[[aggregate]]` and `[limits]`: which plugins run, and what they may use.
//!
//! Does not load a plugin: loading finds out whether it is there, has its digest and accepts its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::places::word;
use crate::authored::{Node, Table, Value};
use crate::code;
use crate::plan::{Aggregate, Isolation, Limits, Percent, Stage};
use crate::problem::{Findings, Wrong};
use crate::reader::Section;
use crate::uris;
use crate::values;

/// The limits of a section that sets none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    /// The documented defaults.
    Defaults,
    /// Those of the whole pipeline.
    Pipeline(Limits),
}

pub(super) fn limits(parent: &Section<'_>, base: Base, out: &mut Findings) -> Limits {
    let base = match base {
        Base::Defaults => Limits::default(),
        Base::Pipeline(limits) => limits,
    };
    let section = parent.section("limits", "limits", out);
    let isolation = section.parsed("isolation", |text| word(text, "isolation", &Isolation::NAMES), out);
    Limits {
        memory: section.size("memory", Limits::MEMORY, base.memory, out),
        deadline: section.duration("deadline", Limits::DEADLINE, base.deadline, out),
        fuel: section.count("fuel", Limits::FUEL, out).or(base.fuel),
        output: section.size("output", Limits::OUTPUT, base.output, out),
        rows: section.count("rows", Limits::ROWS, out).unwrap_or(base.rows),
        document_rows: section.count("document_rows", Limits::DOCUMENT_ROWS, out).unwrap_or(base.document_rows),
        document: section.size("document", Limits::DOCUMENT, base.document, out),
        log: section.size("log", Limits::LOG, base.log, out),
        stack: section.size("stack", Limits::STACK, base.stack, out),
        component: section.size("component", Limits::COMPONENT, base.component, out),
        compile_time: section.duration("compile_time", Limits::COMPILE_TIME, base.compile_time, out),
        compile_memory: section.size("compile_memory", Limits::COMPILE_MEMORY, base.compile_memory, out),
        isolation: isolation.unwrap_or(base.isolation),
    }
}

pub(super) fn enrich(top: &Section<'_>, limits: Limits, out: &mut Findings) -> Option<Stage> {
    top.table.get("enrich")?;
    // Enriching waits for answers, so more records fit at once than there are cores.
    breakable(&top.section("enrich", "enrich", out), limits, 8, out)
}

pub(super) fn clean(top: &Section<'_>, limits: Limits, out: &mut Findings) -> Option<Stage> {
    top.table.get("clean")?;
    breakable(&top.section("clean", "clean", out), limits, 2, out)
}

pub(super) fn aggregates(top: &Section<'_>, limits: Limits, out: &mut Findings) -> Vec<Aggregate> {
    let mut names = BTreeSet::new();
    let mut aggregates = Vec::new();
    for section in top.list("aggregate", out) {
        section.require("name", "name = \"by-country\"", out);
        let name = section.parsed("name", values::name, out);
        if let (Some(name), Some(entry)) = (&name, section.table.get("name"))
            && !names.insert(name.clone())
        {
            let wrong = Wrong::new(code::DUPLICATE_NAME, format!("there is another aggregate with the name `{name}`"));
            out.error(
                &entry.node.at,
                wrong.hint("each aggregate is a Gold table of its own: give it a name of its own"),
            );
        }
        let stage = stage(&section, limits, 2, out);
        aggregates.extend(name.zip(stage).map(|(name, stage)| Aggregate { name, stage }));
    }
    aggregates
}

/// A stage that is suspended when its plugin fails on too many records.
fn breakable(section: &Section<'_>, limits: Limits, concurrency: u32, out: &mut Findings) -> Option<Stage> {
    let suspend_above = Some(section.percent("suspend_above", Percent::SUSPEND_ABOVE, out));
    stage(section, limits, concurrency, out).map(|stage| Stage { suspend_above, ..stage })
}

fn stage(section: &Section<'_>, limits: Limits, concurrency: u32, out: &mut Findings) -> Option<Stage> {
    section.require("plugin", "plugin = \"NAME\"", out);
    let plugin = section.parsed("plugin", uris::plugin, out);
    let sha256 = section.parsed("sha256", values::sha256, out);
    let config = object(section.names("config", out).table, out);
    let limits = self::limits(section, Base::Pipeline(limits), out);
    let concurrency = section.number("concurrency", 1..=256, concurrency, out);
    Some(Stage {
        plugin: plugin?,
        sha256,
        config: serde_json::Value::Object(config).to_string(),
        limits,
        concurrency: NonZeroUsize::new(usize::try_from(concurrency).ok()?)?,
        suspend_above: None,
    })
}

/// The configuration as JSON, keys sorted: equal configurations have equal text, whatever their order in the file.
fn object(table: &Table, out: &mut Findings) -> serde_json::Map<String, serde_json::Value> {
    let sorted: BTreeMap<&str, &Node> = table.entries.iter().map(|entry| (entry.key.as_str(), &entry.node)).collect();
    sorted.into_iter().map(|(key, node)| (key.to_owned(), json(node, out))).collect()
}

fn json(node: &Node, out: &mut Findings) -> serde_json::Value {
    use serde_json::Value as Json;
    let mut refuse = |what: String| {
        let wrong = Wrong::new(code::NO_JSON, format!("{what} has no form in JSON"));
        out.error(&node.at, wrong.hint("the configuration is handed to the plugin as JSON: write it as a string"));
        Json::Null
    };
    match &node.value {
        Value::Text(text) => {
            if text.contains("{secret:") {
                let wrong = Wrong::new(code::SECRET_IN_CONFIG, "a plugin never holds a secret");
                out.error(&node.at, wrong.hint("use the secret in an endpoint: the host adds it to the request"));
            }
            Json::String(text.clone())
        }
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => Json::from(number),
            Err(_) => refuse("an integer of more than 64 bits".to_owned()),
        },
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None => refuse(format!("`{number}`")),
        },
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Datetime(moment) => Json::String(moment.clone()),
        Value::Array(items) => Json::Array(items.iter().map(|item| json(item, out)).collect()),
        Value::Table(table) => Json::Object(object(table, out)),
    }
}
