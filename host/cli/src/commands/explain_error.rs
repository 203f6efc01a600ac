//! `sluicebox explain-error`: what a code means, what follows from it, and what to do.
//!
//! Does not know where the code appeared: the message says that.

use engine::codes::{self, Code};
use pipeline::problem::did_you_mean;
use serde_json::json;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;

/// Say what the code of an error means and what to do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, as in P104; without one, all of them are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Explains.
pub(crate) fn execute(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let Some(wanted) = &args.code else {
        let all: Vec<Code> = codes::all().collect();
        context.output.report(&json!({ "codes": all }), |_| {
            let mut table = context.output.table(&["code", "meaning"]);
            for one in &all {
                table.add_row(vec![one.code, one.meaning]);
            }
            table.trim_fmt()
        })?;
        return Ok(ExitCode::Success);
    };
    let found = codes::find(wanted).ok_or_else(|| {
        let near = did_you_mean(&wanted.to_uppercase(), codes::all().map(|one| one.code));
        let hint = near.unwrap_or_else(|| "`sluicebox explain-error` lists all codes".to_owned());
        Failure::new(ExitCode::Usage, format!("there is no code `{wanted}`")).hint(hint)
    })?;
    context.output.report(&found, |code| {
        format!("{}  {}\n\n  then    {}\n  next    {}", code.code, code.meaning, code.class.words(), code.remedy)
    })?;
    Ok(ExitCode::Success)
}
