//! `sluicebox deploy quicksight`: manifests, so that QuickSight reads Gold's CSV files by itself.
//!
//! Does not upload them: QuickSight's console or its own tools do.

use std::path::PathBuf;

use deploy::Mode;
use serde_json::{Map, Value, json};

use super::made::write;
use super::which::{Which, deployment};
use crate::context::Context;
use crate::exit::ExitCode;

/// Manifests for QuickSight, one a Gold table, that name its CSV file
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// Write them to a folder, as NAME.manifest.json
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints the manifests, or writes them.
pub(crate) fn execute(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let file = args.which.read(context)?;
    let manifests = deployment(&file, Mode::Ecs)?.manifests();
    if let Some(folder) = &args.output {
        for (name, manifest) in &manifests {
            let text = serde_json::to_string_pretty(manifest)? + "\n";
            write(&folder.join(format!("{name}.manifest.json")), &text, context)?;
        }
    }
    let all: Map<String, Value> = manifests.into_iter().collect();
    let text = if args.output.is_some() { String::new() } else { serde_json::to_string_pretty(&all)? };
    context.output.report(&json!({ "manifests": all }), |_| text)?;
    Ok(ExitCode::Success)
}
