//! Answers for what the program says, read as JSON, and put into a table of Markdown.
//!
//! Does not know what it says.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// A program whose output depends on nothing of this terminal.
pub(super) fn plain(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SLUICEBOX_") || name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(shell::workspace_root()).env("NO_COLOR", "1").env_remove("COLUMNS").env_remove("LINES");
    command
}

/// What the program prints as JSON.
pub(super) fn json(program: &Path, args: &[&str]) -> Result<Value> {
    let text = shell::read(plain(program).args(args))?;
    serde_json::from_str(&text).with_context(|| format!("`sluicebox {}` printed no JSON", args.join(" ")))
}

/// A member of a JSON object that is text.
pub(super) fn text<'v>(of: &'v Value, name: &str) -> Result<&'v str> {
    of.get(name).and_then(Value::as_str).with_context(|| format!("no `{name}` in {of}"))
}

/// Text in a cell of a table in Markdown.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
