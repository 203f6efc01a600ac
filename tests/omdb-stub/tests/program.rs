//! Answers for the stand-in as a program: flags, the one line that tells the address, the end on SIGTERM.
//!
//! Does not repeat what the library's tests show.

#![cfg(unix)]
// A helper that fails is a test that fails.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn spawn(extra: &[&str]) -> (Child, String) {
    let films = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/films.csv");
    let mut child = Command::new(env!("CARGO_BIN_EXE_omdb-stub"))
        .arg("--films")
        .arg(films)
        .args(["--key", "k1", "--port", "0"])
        .args(extra)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().to_owned())
}

#[tokio::test]
async fn it_tells_its_address_serves_and_stops_on_sigterm() {
    let (mut child, line) = spawn(&["--fault", r#"{"fault": {"kind": "status", "status": 503}, "next": 1}"#]);
    let url = line.strip_prefix("listening on ").unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{line}");
    let call = || reqwest::get(format!("{url}/?apikey=k1&t=Alien"));
    assert_eq!(call().await.unwrap().status(), 503);
    assert_eq!(call().await.unwrap().status(), 200);
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}
