//! What the HTTP client costs, which the conformance suite cannot know.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]
#![cfg(target_os = "linux")]

use std::time::Duration;

use local::{HttpOptions, ReqwestHttp};
use seams::http::{Http, HttpError, HttpRequest};
use testkit::conformance::loopback::{HUGE, Loopback};

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Eight bombs at once, each of a quarter of a gigabyte, under a limit of a megabyte. The proxies of the environment do not matter for loopback.
#[tokio::test]
async fn zip_bombs_do_not_reach_memory() {
    let server = Loopback::start().await;
    let http = ReqwestHttp::new(HttpOptions::default());
    let send = async |path: &str| {
        let request = HttpRequest {
            url: server.url("http", path),
            headers: Vec::new(),
            timeout: Duration::from_secs(60),
            max_body: 1 << 20,
        };
        http.send(request).await
    };
    send("/echo").await.unwrap();
    let before = peak();
    let bombs = futures::future::join_all(["/bomb"; 8].map(send)).await;
    assert!(bombs.iter().all(|bomb| matches!(bomb, Err(HttpError::TooLarge { .. }))), "{bombs:?}");
    let grown = peak() - before;
    assert!(grown < HUGE / 8, "memory grew by {grown} bytes");
}
