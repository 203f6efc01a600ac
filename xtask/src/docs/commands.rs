//! Answers for the page of all commands, which is the program's own help, and for commands in other pages: each exists with its options.
//!
//! Does not know any command: each help names those below it. Does not run what a page says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::said::plain;
use crate::shell;

/// The program's name in pages.
const PROGRAM: &str = "sluicebox";

/// The help of each command, by its words: `plugin new`. That of the program itself has no words.
#[derive(Default)]
pub(super) struct Helps {
    texts: BTreeMap<String, String>,
    /// The commands in the order in which the program lists them.
    order: Vec<String>,
}

impl Helps {
    /// Asks the program.
    pub(super) fn of(program: &Path) -> Result<Self> {
        let mut helps = Helps::default();
        helps.add(program, &[])?;
        Ok(helps)
    }

    fn add(&mut self, program: &Path, words: &[String]) -> Result<()> {
        let help = shell::read(plain(program).args(words).arg("--help"))?;
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        let name = words.join(" ");
        self.order.push(name.clone());
        self.texts.insert(name, help.join("\n"));
        for command in commands(&help) {
            self.add(program, &[words, &[command]].concat())?;
        }
        Ok(())
    }

    /// The page, in the order in which the program lists its commands.
    pub(super) fn page(&self) -> Result<String> {
        let mut page = "# Commands\n\nThe help of every command, as the program prints it.\n".to_owned();
        for name in &self.order {
            let title = format!("{PROGRAM} {name}");
            let level = "#".repeat(2 + name.split_whitespace().count());
            let help = self.texts.get(name).map_or("", String::as_str);
            write!(page, "\n{level} `{}`\n\n```text\n{help}\n```\n", title.trim_end())?;
        }
        Ok(page)
    }

    /// Errors in the commands that a page shows, each with its line.
    pub(super) fn refuse(&self, page: &str) -> Vec<(usize, String)> {
        let mut wrong = Vec::new();
        for (index, line) in page.lines().enumerate() {
            for command in shown(line) {
                wrong.extend(self.wrong(&command).map(|what| (index + 1, what)));
            }
        }
        wrong
    }

    fn wrong(&self, words: &[&str]) -> Option<String> {
        let mut name = String::new();
        for word in words {
            let longer = format!("{name} {word}").trim_start().to_owned();
            let above = name.is_empty() || self.texts.keys().any(|known| known.starts_with(&format!("{name} ")));
            let is_name = word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains(['/', '.', '·', '…']);
            match self.texts.contains_key(&longer) {
                true => name = longer,
                false if above && is_name => return Some(format!("there is no command `{PROGRAM} {longer}`")),
                false => break,
            }
        }
        let (own, all) = (self.texts.get(&name)?, self.texts.get("")?);
        let unknown = words.iter().filter_map(|word| word.strip_prefix("--")).find(|flag| {
            let flag: String =
                flag.chars().take_while(|c| c.is_ascii_lowercase() || matches!(c, '-' | '0'..='9')).collect();
            !has(own, &flag) && !has(all, &flag)
        });
        unknown.map(|flag| format!("`{PROGRAM} {name}` has no option `--{flag}`"))
    }
}

/// Whether a help names an option.
fn has(help: &str, flag: &str) -> bool {
    let name = format!("--{flag}");
    help.match_indices(&name).any(|(at, _)| {
        !help
            .get(at + name.len()..)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
    })
}

/// The commands of the program on a line, without its name: the line itself, what is in backticks, what follows `&&`.
fn shown(line: &str) -> Vec<Vec<&str>> {
    let pieces =
        line.split('`').flat_map(|piece| piece.split("&&")).map(|piece| piece.split(" #").next().unwrap_or(""));
    let words = pieces.map(|piece| piece.split_whitespace().collect::<Vec<&str>>());
    words
        .filter_map(|words| words.strip_prefix(&[PROGRAM]).map(<[&str]>::to_vec))
        .filter(|words| !words.is_empty())
        .collect()
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

    #[test]
    fn pages_show_commands_that_exist() {
        let help = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let helps =
            [help("", "--json"), help("run", "--once --listen"), help("plugin", ""), help("plugin new", "--kind")];
        let helps = Helps { texts: helps.into_iter().collect(), order: Vec::new() };
        let good = "sluicebox run --once --json   # one\nor `sluicebox plugin new NAME --kind x` && sluicebox run a.toml\nsluicebox deploys\n";
        assert_eq!(helps.refuse("```\nsluicebox run --on\n```\n`sluicebox runs`\n`sluicebox plugin old`").len(), 3);
        assert_eq!(helps.refuse(good), [(3, "there is no command `sluicebox deploys`".to_owned())]);
        assert_eq!(helps.refuse("Sluicebox runs. The sluicebox is new.\nrun sluicebox"), []);
    }
}
