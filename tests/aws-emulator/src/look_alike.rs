//! A store that looks like S3 and ignores conditions: everything goes to the emulator, without `If-None-Match` and `If-Match`. There are such
//! stores, and releases of others.
//!
//! Does not keep anything itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

/// A look-alike before an emulator. It serves for as long as the process lives.
#[derive(Debug)]
pub struct LookAlike {
    url: String,
}

impl LookAlike {
    /// One before the emulator at `url`.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn before(url: &str) -> Self {
        let emulator = url.strip_prefix("http://").expect("the emulator speaks HTTP").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let emulator = emulator.clone();
                std::thread::spawn(move || {
                    // A client that hangs up has no more requests.
                    let _ = pass_on(client, &emulator);
                });
            }
        });
        LookAlike { url }
    }

    /// Its address: for `AWS_ENDPOINT_URL_S3`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// One request and its answer.
fn pass_on(client: TcpStream, emulator: &str) -> std::io::Result<()> {
    let mut request = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "if-none-match" | "if-match" | "connection" | "expect" => continue,
            "content-length" => length = line.rsplit(':').next().and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            _ => {}
        }
        if line == "\r\n" {
            head.push_str("connection: close\r\n\r\n");
            break;
        }
        head.push_str(&line);
    }
    let mut upstream = TcpStream::connect(emulator)?;
    upstream.write_all(head.as_bytes())?;
    std::io::copy(&mut request.take(length), &mut upstream)?;
    let mut client = client;
    std::io::copy(&mut upstream, &mut client)?;
    client.shutdown(Shutdown::Both)
}
