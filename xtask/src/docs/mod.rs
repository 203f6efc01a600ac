//! Answers for the verb `docs`: the book in `docs/`, and the pages of it that are generated from the program's output.
//!
//! Does not write any other page. Links are checked by `tidy`, which needs no program.

mod codes;
mod commands;
mod keys;
mod probe;
mod said;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use commands::Helps;

use crate::programs::Programs;
use crate::shell::{self, step};
use crate::{python, tidy};

/// The top of each generated page.
const MARK: &str =
    "<!-- Made from what the program says by `cargo xtask docs --write`. Changes by hand are lost. -->\n";

/// What is done beside building the book.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build the program, and write the generated pages from what it says
    #[arg(long)]
    write: bool,

    /// With `--write`: take this program, which is built already
    #[arg(long, requires = "write", value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Builds the book, after its generated pages if that is asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.write {
        match &options.program {
            Some(program) => write(&fs::canonicalize(program)?)?,
            None => write(&Programs::build()?.sluicebox)?,
        }
    }
    tidy::links_only()?;
    build()
}

/// Fails unless the committed pages say what the program says and other pages show only commands that it has; builds the book.
pub(crate) fn check(programs: &Programs) -> Result<()> {
    let helps = Helps::of(&programs.sluicebox)?;
    for page in pages(&programs.sluicebox, &helps)? {
        let path = page.path();
        if fs::read_to_string(&path).ok().as_deref() != Some(page.text.as_str()) {
            bail!("`{}` does not say what the program says\n  hint: run `cargo xtask docs --write`", page.name);
        }
    }
    refuse_commands(&helps)?;
    build()
}

/// Fails if a page shows a command or an option that does not exist.
fn refuse_commands(helps: &Helps) -> Result<()> {
    let root = shell::workspace_root();
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].iter().map(|name| root.join(name)).collect();
    pages.extend(fs::read_dir(root.join("docs/src"))?.flatten().map(|entry| entry.path()));
    let mut count = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|it| it == "md")) {
        let text = fs::read_to_string(page)?;
        for (line, what) in if text.starts_with(MARK) { Vec::new() } else { helps.refuse(&text) } {
            eprintln!("{}:{line}: {what}", page.strip_prefix(&root).unwrap_or(page).display());
            count += 1;
        }
    }
    if count > 0 {
        bail!("{count} commands in pages that the program does not have");
    }
    Ok(())
}

fn write(program: &Path) -> Result<()> {
    let helps = Helps::of(program)?;
    for page in pages(program, &helps)? {
        fs::write(page.path(), page.text).with_context(|| format!("cannot write `{}`", page.name))?;
        step(format!("wrote {}", page.name));
    }
    refuse_commands(&helps)
}

/// A generated page.
struct Page {
    /// Its path from the workspace root.
    name: &'static str,
    text: String,
}

impl Page {
    fn path(&self) -> PathBuf {
        shell::workspace_root().join(self.name)
    }
}

fn pages(program: &Path, helps: &Helps) -> Result<Vec<Page>> {
    let page = |name, text: String| Page { name, text: format!("{MARK}\n{text}") };
    Ok(vec![
        page("docs/src/codes.md", codes::page(&said::json(program, &["explain-error", "--json"])?)?),
        page("docs/src/keys.md", keys::page(program)?),
        page("docs/src/commands.md", helps.page()?),
    ])
}

fn build() -> Result<()> {
    let mdbook = python::with_mdbook()?;
    step("the book");
    let book = shell::target_dir()?.join("book");
    let docs = shell::workspace_root().join("docs");
    // Only warnings: a good build has nothing to say.
    shell::run(Command::new(mdbook).env("MDBOOK_LOG", "warn").arg("build").arg(docs).arg("--dest-dir").arg(&book))?;
    step(format!("the book is {}", book.join("index.html").display()));
    Ok(())
}
