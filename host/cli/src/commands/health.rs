//! `sluicebox health`: asks the `/readyz` of a run on this machine, for a container's health check where the image has no other client.
//!
//! Does not check anything itself: the run says how it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::context::Context;
use crate::env_vars;
use crate::exit::ExitCode;
use crate::failure::Failure;

/// The address of a run in the image.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
/// The most bytes of an answer: a line for each pipeline.
const MOST: u64 = 64 << 10;

/// Ask a run on this machine whether it is ready; exits with 0 if it is
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Asks `/readyz` of a `sluicebox run --listen` on this machine, and prints the answer. Exits with 0 if the run is ready, with 1 if it says that \
it is not, and with 3 if nobody answers: for a container's health check.")]
pub(crate) struct Args {
    /// Where the run listens, as its own --listen; for 0.0.0.0 this machine itself is asked [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS", env = env_vars::LISTEN)]
    listen: Option<SocketAddr>,

    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "4s")]
    patience: Duration,
}

/// Asks.
pub(crate) async fn execute(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let address = reachable(args.listen.unwrap_or(DEFAULT));
    let asked = timeout(args.patience, ask(address)).await;
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(nobody(address).caused_by(error).into()),
        Err(_) => {
            return Err(nobody(address).caused_by(std::io::Error::from(std::io::ErrorKind::TimedOut)).into());
        }
    };
    let Some((status, text)) = parsed(&answer) else {
        return Err(Failure::new(ExitCode::Unavailable, format!("what answers at `{address}` does not speak HTTP"))
            .hint("give the address of `sluicebox run --listen` as `--listen`")
            .into());
    };
    let told = json!({ "address": address, "ready": status == 200, "status": status, "answer": text.trim_end() });
    context.output.report(&told, |_| text.to_owned())?;
    Ok(if status == 200 { ExitCode::Success } else { ExitCode::Wrong })
}

/// A run can listen at an address that stands for all of this machine's, but such an address cannot be called everywhere.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn nobody(address: SocketAddr) -> Failure {
    Failure::new(ExitCode::Unavailable, format!("nobody answers at `{address}`"))
        .hint("start `sluicebox run --listen ADDRESS`, and give the same address as `--listen`")
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(MOST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Status and body of an answer.
fn parsed(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_asked_at_home() {
        let asked = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("10.0.0.7:80"), "10.0.0.7:80");
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        assert_eq!(parsed("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nstarting\n"), Some((503, "starting\n")));
        assert_eq!(parsed("SSH-2.0-OpenSSH\r\n\r\n"), None);
    }
}
