//! `sluicebox plugin inspect`: what a component is and how it describes itself.
//!
//! Does not configure the plugin or give it any data: `describe` runs, under the default limits, and nothing else.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use runtime::Inspection;
use seams::plugin::{Descriptor, Digest};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::ExitCode;
use crate::output::{Output, Tone, size};
use crate::plugins::component;
use crate::project::{Project, ProjectArgs};

/// Show a component: its world, what it imports and exports, its columns, its settings
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A `.wasm` file, or the name of a crate in `plugins/`
    #[arg(value_name = "FILE|NAME")]
    component: String,

    #[command(flatten)]
    project: ProjectArgs,
}

/// What is known of a component.
struct Component {
    path: PathBuf,
    size: usize,
    digest: Digest,
    inspection: Inspection,
    descriptor: Descriptor,
}

/// Inspects.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let (path, bytes) = find(&args, context)?;
    let plugins = component::runtime(context)?;
    let described = plugins.describe(bytes.clone()).await;
    let (inspection, descriptor, digest) = described.with_context(|| format!("`{}` is no plugin", path.display()))?;
    let component = Component { path, size: bytes.len(), digest, inspection, descriptor };
    context.output.report(&document(&component), |_| text(&component, &context.output))?;
    Ok(ExitCode::Success)
}

/// The component's file and its bytes.
fn find(args: &Args, context: &Context) -> anyhow::Result<(PathBuf, bytes::Bytes)> {
    let path = Path::new(&args.component);
    if path.is_file() {
        return Ok((path.to_owned(), component::read(path)?));
    }
    let project = Project::find(&args.project)?;
    let plugin = project.plugin(&args.component)?;
    Ok((plugin.component(), component::read_built(&plugin, context)?))
}

fn document(component: &Component) -> Value {
    let Component { path, size, digest, inspection, descriptor } = component;
    let input = descriptor.input.iter().map(|field| {
        json!({ "name": field.name, "pointer": field.pointer, "type": field.ty.to_string(), "nullable": field.nullable })
    });
    let output = descriptor
        .output
        .iter()
        .map(|field| json!({ "name": field.name, "type": field.ty.to_string(), "nullable": field.nullable }));
    json!({
        "path": path,
        "name": descriptor.name,
        "version": descriptor.version,
        "world": inspection.world.name(),
        "contract": inspection.contract.to_string(),
        "digest": digest,
        "size": size,
        "imports": inspection.imports,
        "inert_wasi": inspection.inert_wasi,
        "exports": inspection.exports,
        "input": input.collect::<Vec<_>>(),
        "output": output.collect::<Vec<_>>(),
        "config_schema": schema(descriptor),
    })
}

/// The schema as a value; as text if it is not JSON.
fn schema(descriptor: &Descriptor) -> Value {
    serde_json::from_str(&descriptor.config_schema).unwrap_or_else(|_| json!(descriptor.config_schema))
}

fn text(component: &Component, output: &Output) -> String {
    let Component { path, size: bytes, digest, inspection, descriptor } = component;
    let mut facts = output.table(&["plugin", &descriptor.name]);
    facts.add_row(vec!["version", &descriptor.version]);
    facts.add_row(vec!["world", &format!("{} (contract {})", inspection.world, inspection.contract)]);
    facts.add_row(vec!["digest", digest.as_str()]);
    facts.add_row(vec!["file", &format!("{}, {}", path.display(), size(*bytes as u64))]);
    facts.add_row(vec!["imports", &inspection.imports.join("\n")]);
    if inspection.inert_wasi {
        facts.add_row(vec![
            "",
            "inert WASI: no files, no environment, clocks that stand still, the same random numbers in each call",
        ]);
    }
    facts.add_row(vec!["exports", &inspection.exports.join("\n")]);
    let mut parts = vec![facts.trim_fmt()];
    if !descriptor.input.is_empty() {
        let mut table = output.table(&["reads", "from", "type", ""]);
        for field in &descriptor.input {
            table.add_row(vec![&field.name, &field.pointer, &field.ty.to_string(), required(field.nullable)]);
        }
        parts.push(table.trim_fmt());
    }
    if !descriptor.output.is_empty() {
        let mut table = output.table(&["makes", "type", ""]);
        for field in &descriptor.output {
            table.add_row(vec![&field.name, &field.ty.to_string(), required(field.nullable)]);
        }
        parts.push(table.trim_fmt());
    }
    parts.push(settings(descriptor, output));
    parts.join("\n\n")
}

fn required(nullable: bool) -> &'static str {
    if nullable { "optional" } else { "required" }
}

/// The settings as a table, read from the schema's properties.
fn settings(descriptor: &Descriptor, output: &Output) -> String {
    let schema = schema(descriptor);
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return output.tone(Tone::Faint, "no settings");
    };
    let mut table = output.table(&["setting", "type", "default", ""]);
    for (name, property) in properties {
        let kind = property.get("type").map(plain).unwrap_or_default();
        let default = property.get("default").map(plain).unwrap_or_default();
        let description = property.get("description").map(plain).unwrap_or_default();
        table.add_row(vec![name.clone(), kind, default, description]);
    }
    table.trim_fmt()
}

/// Text without quotes, lists with bars, all else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" | "),
        other => other.to_string(),
    }
}
