//! Answers for the verb `demo`: from a clone to Gold on the screen, with a stand-in where the API would be.
//!
//! Does not do anything that a user could not do by hand, and prints each command that it runs but the one with the key in it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};

use crate::plugins;
use crate::shell::{self, step};

/// How many lines of each Gold table are shown.
const SHOWN_ROWS: usize = 20;

/// How the demo differs from the pipeline of this repository.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many films are taken from the source
    #[arg(long, default_value_t = 500)]
    top_n: u32,
}

/// Builds everything, runs one tick, shows Gold.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = plugins::build()?;
    let key = random_key()?;
    let stub = StandIn::start(&programs.omdb_stub, &key)?;
    step(format!("one tick of pipeline.toml, the {} best known films", options.top_n));
    let set = [
        format!("endpoints.omdb.url=\"{}/\"", stub.address),
        "endpoints.omdb.rate=\"2000/s\"".to_owned(),
        format!("source.top_n={}", options.top_n),
        "source.batch_size=25".to_owned(),
    ];
    let mut tick = Command::new(&programs.sluicebox);
    tick.current_dir(shell::workspace_root()).env("OMDB_API_KEY", &key).args(["run", "--once"]);
    for setting in set {
        tick.args(["--set", &setting]);
    }
    shell::run(tick.arg("pipeline.toml"))?;
    drop(stub);

    show_gold(&shell::workspace_root().join("lake/gold"))
}

/// The stand-in as a child process, stopped when this goes.
struct StandIn {
    child: Child,
    address: String,
}

impl StandIn {
    fn start(program: &Path, key: &str) -> Result<Self> {
        step("starting the stand-in API");
        let child = Command::new(program)
            .current_dir(shell::workspace_root())
            .args(["--films", "data/films.csv", "--port", "0", "--key", key])
            .stdout(Stdio::piped())
            .spawn()
            .context("the stand-in API did not start")?;
        let mut stand_in = Self { child, address: String::new() };
        let output = stand_in.child.stdout.take().context("the stand-in API has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            bail!("the stand-in API ended before it told its address");
        };
        stand_in.address = address.to_owned();
        Ok(stand_in)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // It may be gone already; there is nothing else to be done then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn random_key() -> Result<String> {
    let mut bytes = [0_u8; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no random numbers on this machine")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn show_gold(folder: &Path) -> Result<()> {
    let mut tables: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("no Gold at {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "csv"))
        .collect();
    tables.sort();
    if tables.is_empty() {
        bail!("no table in {}", folder.display());
    }
    for path in &tables {
        let text = fs::read_to_string(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        println!("\n{name}\n{}", table(&text)?);
        println!("{}", path.display());
    }
    println!("\nBeside each CSV: the same as Parquet, and the Delta table with its history.");
    Ok(())
}

/// A CSV as a table for people, cut after `SHOWN_ROWS`.
fn table(csv: &str) -> Result<String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(reader.headers()?.iter());
    let mut rows = 0;
    for row in reader.records() {
        let row = row?;
        rows += 1;
        if rows <= SHOWN_ROWS {
            table.add_row(row.iter());
        }
    }
    let more = match rows.saturating_sub(SHOWN_ROWS) {
        0 => String::new(),
        hidden => format!("\n… and {hidden} more"),
    };
    Ok(format!("{table}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let mut csv = "genre,films\n".to_owned();
        for row in 0..SHOWN_ROWS + 3 {
            csv.push_str(&format!("g{row},{row}\n"));
        }
        let shown = table(&csv).unwrap();
        assert!(shown.contains("genre") && shown.contains("g19") && !shown.contains("g20"));
        assert!(shown.ends_with("… and 3 more"));
    }

    #[test]
    fn a_short_table_is_whole() {
        let shown = table("a,b\n1,\"x, y\"\n").unwrap();
        assert!(shown.contains("x, y") && !shown.contains("more"));
    }

    #[test]
    fn keys_differ() {
        assert_ne!(random_key().unwrap(), random_key().unwrap());
    }
}
