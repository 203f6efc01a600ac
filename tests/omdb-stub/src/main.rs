//! Answers for the stand-in as a program: flags in, one line with the address out, then it serves until it is told to stop.
//!
//! Does not log calls; ask `/_stub/stats`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use omdb_stub::{Options, Rule, Stub};
use tokio::signal;

/// A stand-in for the OMDb API, with faults on demand.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Args {
    /// The CSV of films
    #[arg(long, default_value = "data/films.csv")]
    films: PathBuf,
    /// The one API key that is accepted
    #[arg(long)]
    key: String,
    /// Loopback port; 0 lets the system choose one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Good calls until the answer is `Request limit reached!`
    #[arg(long)]
    quota: Option<u64>,
    /// What every answer takes at least
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// A fault rule as JSON, as for `/_stub/faults`; may be repeated
    #[arg(long, value_name = "JSON", value_parser = rule)]
    fault: Vec<Rule>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stub = Stub::start(Options {
        films: args.films,
        key: args.key,
        port: args.port,
        quota: args.quota,
        latency: Duration::from_millis(args.latency_ms),
        faults: args.fault,
    })
    .await?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{}", stub.address())?;
    out.flush()?;
    stop_signal().await?;
    stub.stop().await;
    Ok(())
}

fn rule(text: &str) -> Result<Rule, serde_json::Error> {
    serde_json::from_str(text)
}

#[cfg(unix)]
async fn stop_signal() -> Result<()> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stop_signal() -> Result<()> {
    Ok(signal::ctrl_c().await?)
}
