//! A server on the loopback interface that answers by the request's path, well or badly, one request a connection.
//!
//! Does not speak more HTTP than the conformance suite needs; it writes bytes, so that it can write wrong ones.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Bytes of `/huge` and, decoded, of `/bomb`: enough to be noticed if a client held them.
pub const HUGE: u64 = 256 << 20;

/// The server; it stops when it is dropped.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Loopback {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                // A client that hangs up ends its connection with an error; that is its right.
                tokio::spawn(async move { serve(stream, &log).await });
            }
        });
        Loopback { address, seen, task }
    }

    /// The URL of a path, with the given scheme.
    #[must_use]
    pub fn url(&self, scheme: &str, path_and_query: &str) -> Url {
        format!("{scheme}://{}{path_and_query}", self.address).parse().expect("a URL")
    }

    /// The heads of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        // A TLS hello has no end of line: answer what a plain server would.
        if stream.read(&mut byte).await? == 0 || (head.is_empty() && byte == [0x16]) {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_string();
    log.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    answer(&mut stream, &path, &head).await?;
    stream.shutdown().await
}

async fn answer(stream: &mut TcpStream, path: &str, head: &str) -> std::io::Result<()> {
    match path {
        "/echo" => whole(stream, "200 OK", "", head.as_bytes()).await,
        "/unavailable" => whole(stream, "503 Service Unavailable", "retry-after: 7\r\n", b"later").await,
        "/not-found" => whole(stream, "404 Not Found", "", b"no such thing").await,
        "/no-content" => stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await,
        "/redirect" => whole(stream, "302 Found", "location: /echo\r\n", b"").await,
        "/cookie" => whole(stream, "200 OK", "set-cookie: session=1\r\nset-cookie: other=2\r\n", b"").await,
        "/latin1" => whole(stream, "200 OK", "content-type: text/plain; charset=iso-8859-1\r\n", b"caf\xe9").await,
        "/gzip" => whole(stream, "200 OK", "content-encoding: gzip\r\n", &zipped(b"unzipped", 1)).await,
        "/bad-gzip" => whole(stream, "200 OK", "content-encoding: gzip\r\n", b"this is no gzip").await,
        "/bomb" => whole(stream, "200 OK", "content-encoding: gzip\r\n", bomb()).await,
        "/thousand" => whole(stream, "200 OK", "", &[b'x'; 1000]).await,
        "/thousand-chunked" => chunked(stream, 10).await,
        "/huge" => chunked(stream, HUGE / 100).await,
        "/cut" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this").await,
        "/cut-chunked" => stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nonly").await,
        "/close" => Ok(()),
        "/garbage" => stream.write_all(b"\x00\x01 SSH-2.0 this is another service\r\n\r\n").await,
        "/bad-header" => stream.write_all(b"HTTP/1.1 200 OK\r\nbad header\x00: x\r\n\r\n").await,
        "/silent" => std::future::pending().await,
        "/slow" => slow(stream).await,
        other => panic!("the conformance server knows no `{other}`"),
    }
}

async fn whole(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

async fn chunked(stream: &mut TcpStream, hundreds: u64) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n").await?;
    let chunk = [b"64\r\n".as_slice(), &[b'x'; 100], b"\r\n"].concat();
    for _ in 0..hundreds {
        stream.write_all(&chunk).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

/// A byte each 20 ms, for ever: no read ever times out by itself.
async fn slow(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
    loop {
        stream.write_all(b"x").await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Zipped once: that takes longer than to send it.
fn bomb() -> &'static [u8] {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| zipped(&[0; 1 << 20], HUGE >> 20))
}

fn zipped(part: &[u8], times: u64) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    (0..times).for_each(|_| encoder.write_all(part).expect("memory"));
    encoder.finish().expect("memory")
}

/// The headers of a request's head, names in lower case.
#[must_use]
pub fn headers(head: &str) -> BTreeMap<String, String> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_string())).collect()
}
