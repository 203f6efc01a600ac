//! `sluicebox plugin new`: a plugin crate that builds, is tested, and says what to do next.
//!
//! Does not change `pipeline.toml`: it prints the lines.

use std::path::PathBuf;

use serde_json::json;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::plugins::template::{self, Kind};
use crate::project::{Project, ProjectArgs};

/// Make a new plugin crate
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Makes a new plugin crate `plugins/NAME` from a template: a small plugin for weather readings that works as it is and is meant \
to be rewritten.

`src/rules.rs` is the rule, a pure function with its own tests; `src/lib.rs` makes a plugin of it; `cases/` holds golden cases. \
A project without the plugin SDK gets the one that this program carries, in `.sluicebox/sdk`.")]
pub(crate) struct Args {
    /// The crate's name, as in `clean-orders`
    name: String,

    /// What kind of plugin
    #[arg(long, value_enum, default_value = "cleaner")]
    kind: Kind,

    #[command(flatten)]
    project: ProjectArgs,
}

/// Makes the crate.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    require_name(&args.name)?;
    let project = Project::find(&args.project)?;
    let folder = project.root.join("plugins").join(&args.name);
    if folder.exists() {
        return Err(Failure::new(ExitCode::Usage, format!("`{}` exists already", folder.display())).into());
    }
    let files = template::write_plugin(&project.root, &args.name, args.kind)?;
    let (commands, lines) = (commands(&args.name), lines(&args.name, args.kind));
    let document = json!({ "name": args.name, "kind": args.kind, "files": files, "next": commands, "pipeline": lines });
    context.output.report(&document, |_| text(&files, &commands, &lines))?;
    Ok(ExitCode::Success)
}

/// A name that cargo, a folder and the lake all take.
pub(crate) fn require_name(name: &str) -> Result<(), Failure> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    let others = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if starts && others && name.len() <= 63 && !matches!(name, "sdk" | "sdk-macros" | "test") {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Usage, format!("`{name}` cannot be the name"))
        .hint("lower-case letters, digits, `-` and `_`, a letter first, at most 63 of them"))
}

fn commands(name: &str) -> Vec<String> {
    vec![
        format!("sluicebox plugin build {name}"),
        format!("sluicebox plugin test {name}"),
        "sluicebox check".to_owned(),
    ]
}

/// The lines of `pipeline.toml` that use the plugin.
fn lines(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Enricher => format!("[enrich]\nplugin = \"{name}\""),
        Kind::Cleaner => format!("[clean]\nplugin = \"{name}\""),
        Kind::Aggregator => {
            format!("[[aggregate]]\nname = \"{}\"\nplugin = \"{name}\"", name.trim_start_matches("aggregate-"))
        }
    }
}

fn text(files: &[PathBuf], commands: &[String], lines: &str) -> String {
    // A pipeline has one plugin for each stage, but any number of aggregates.
    let adds = lines.starts_with("[[");
    let mut text = String::new();
    for file in files {
        text.push_str(&format!("new  {}\n", file.display()));
    }
    let (check, before) = commands.split_last().map_or(("", commands), |(last, before)| (last.as_str(), before));
    text.push_str(&format!("\nnext\n  {}\n", before.join("\n  ")));
    text.push_str(&format!(
        "then, in pipeline.toml{}\n",
        if adds { "" } else { ", in the place of the stage's plugin" }
    ));
    text.push_str(&format!("  {}\nand\n  {check}\n", lines.replace('\n', "\n  ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cargo_or_a_folder_would_not_take_is_refused() {
        for good in ["clean-orders", "a", "x_2"] {
            assert!(require_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Clean", "2x", "../x", "a b", "sdk", &"a".repeat(64)] {
            assert!(require_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_lines_for_the_pipeline_are_toml() {
        for kind in [Kind::Enricher, Kind::Cleaner, Kind::Aggregator] {
            assert!(lines("aggregate-x", kind).parse::<toml::Table>().is_ok());
        }
    }
}
