//! Answers for the page of all commands: the program's own help, command by command.
//!
//! Does not know any command: each help names those below it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::plain;
use crate::shell;

pub(super) fn page(program: &Path) -> Result<String> {
    let mut page = "# Commands\n\nThe help of every command, as the program prints it.\n".to_owned();
    add(program, &[], &mut page)?;
    Ok(page)
}

fn add(program: &Path, words: &[String], page: &mut String) -> Result<()> {
    let help = shell::read(plain(program).args(words).arg("--help"))?;
    let title = [&["sluicebox".to_owned()], words].concat().join(" ");
    let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    write!(page, "\n{} `{title}`\n\n```text\n{}\n```\n", "#".repeat(2 + words.len()), help.join("\n"))?;
    for command in commands(&help) {
        add(program, &[words, &[command]].concat(), page)?;
    }
    Ok(())
}

/// The commands that a help lists, but for `help` itself.
fn commands(help: &[&str]) -> Vec<String> {
    let listed = help.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A line that is indented deeper goes on with the text of the one before.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_and_their_second_lines_are_not() {
        let help =
            ["Does.", "", "Commands:", "  run   Serve", "        for ever", "  help  Print", "", "Options:", "  -h"];
        assert_eq!(commands(&help), ["run"]);
        assert!(commands(&["Options:", "  -h"]).is_empty());
    }
}
