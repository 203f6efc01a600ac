//! `sluicebox deploy iam`: the policies of the roles, and from which line of the file each statement follows.
//!
//! Does not make roles.

use deploy::{RolePolicy, Statement};
use serde_json::{Map, Value, json};

use super::built::Built;
use super::which::{Which, deployment};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::pipelines::PipelineFile;

/// The policies of IAM that the roles need, and nothing else
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    built: Built,

    /// The account, where `queue.url` is `sqs://NAME` and says none
    #[arg(long, value_name = "ID", requires = "region")]
    account: Option<String>,

    /// The region, likewise
    #[arg(long, value_name = "REGION", requires = "account")]
    region: Option<String>,

    /// Say for each statement from which line of the file it follows
    #[arg(long)]
    explain: bool,
}

/// Prints the policies.
pub(crate) fn execute(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let file = args.which.read(context)?;
    let policies = deployment(&file, args.built.layout())?.policies();
    let roles: Vec<Value> = policies.iter().map(|policy| described(args, &file, policy)).collect();
    let text = || {
        if args.explain {
            return explained(&file, &policies, context);
        }
        let documents: Map<String, Value> =
            policies.iter().map(|policy| (policy.name.to_owned(), args.filled(policy))).collect();
        serde_json::to_string_pretty(&documents).unwrap_or_default()
    };
    context.output.report(&json!({ "roles": roles }), |_| text())?;
    Ok(ExitCode::Success)
}

impl Args {
    /// The policy, for the account and region of the options.
    fn filled(&self, policy: &RolePolicy) -> Value {
        let document = policy.document();
        match (&self.account, &self.region) {
            (Some(account), Some(region)) => deploy::in_account(document, account, region),
            _ => document,
        }
    }
}

fn described(args: &Args, file: &PipelineFile, policy: &RolePolicy) -> Value {
    let from = |statement: &Statement| -> Vec<Value> {
        let said = statement.said.iter();
        said.map(|key| json!({ "key": key, "line": file.said.line(key) })).collect()
    };
    let statements: Vec<Value> =
        policy.statements.iter().map(|one| json!({ "sid": one.sid, "from": from(one) })).collect();
    json!({ "role": policy.name, "policy": args.filled(policy), "statements": statements })
}

fn explained(file: &PipelineFile, policies: &[RolePolicy], context: &Context) -> String {
    let mut table = context.output.table(&["role", "statement", "allows", "follows from"]);
    for policy in policies {
        for statement in &policy.statements {
            let from: Vec<String> = statement.said.iter().map(|key| place(file, key)).collect();
            let actions = statement.actions.join("\n");
            table.add_row(vec![policy.name, &statement.sid, &actions, &from.join("\n")]);
        }
    }
    table.trim_fmt()
}

/// `pipeline.toml:47 lake.silver`; a key that the file does not set is a default.
fn place(file: &PipelineFile, key: &str) -> String {
    match file.said.line(key) {
        Some(line) => format!("{line} {key}"),
        None => format!("{} {key} (default)", file.path.display()),
    }
}
