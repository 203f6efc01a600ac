//! A server that answers requests in their order, as the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws::Cloud;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answer to one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// `None` hangs up after the request has been read.
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: String,
    /// A header of an earlier request that is sent back.
    echo: Option<(usize, String)>,
    /// So many bytes of the body are not sent.
    cut: usize,
    /// How long it takes.
    after: std::time::Duration,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Answer {
            status: Some(status),
            headers: Vec::new(),
            body: String::new(),
            echo: None,
            cut: 0,
            after: std::time::Duration::ZERO,
        }
    }

    /// The request arrives, and no reply comes.
    pub(crate) fn hang_up() -> Self {
        Answer { status: None, ..Answer::new(200) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the header `name` of request `request` back.
    pub(crate) fn echo(mut self, request: usize, name: &str) -> Self {
        self.echo = Some((request, name.into()));
        self
    }

    pub(crate) fn after(mut self, span: std::time::Duration) -> Self {
        self.after = span;
        self
    }

    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.cut = bytes;
        self
    }
}

/// The server; it keeps the requests.
#[derive(Debug)]
pub(crate) struct Script {
    url: String,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Script {
    /// Starts on a free port. A request after the last answer is hung up on.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: VecDeque<Answer> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                log.lock().unwrap().push(request);
                let Some(answer) = answers.pop_front() else { continue };
                tokio::time::sleep(answer.after).await;
                let bytes = written(&answer, &log.lock().unwrap());
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        Script { url, seen, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }

    /// The bodies of all requests so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// A configuration that leads here, with the SDK's own three tries, made quickly.
    pub(crate) fn cloud(&self) -> Cloud {
        let retries = RetryConfig::standard()
            .with_initial_backoff(std::time::Duration::from_millis(1))
            .with_max_backoff(std::time::Duration::from_millis(5));
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.url)
            .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(
                aws_sdk_s3::config::Credentials::new("test", "test", None, None, "test"),
            ))
            .retry_config(retries)
            .build();
        Cloud::of(config).unwrap()
    }
}

/// Head and body of a request.
async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
    Some((head, String::from_utf8_lossy(&bytes[end..]).into_owned()))
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

fn written(answer: &Answer, seen: &[(String, String)]) -> Vec<u8> {
    let Some(status) = answer.status else { return Vec::new() };
    let mut text = format!("HTTP/1.1 {status} as told\r\nconnection: close\r\n");
    let echoed =
        answer.echo.iter().filter_map(|(request, name)| Some((name.clone(), header(&seen[*request].0, name)?)));
    for (name, value) in answer.headers.iter().cloned().chain(echoed) {
        text += &format!("{name}: {value}\r\n");
    }
    if !answer.headers.iter().any(|(name, _)| name == "content-length") && status != 204 {
        text += &format!("content-length: {}\r\n", answer.body.len());
    }
    let mut bytes = (text + "\r\n" + &answer.body).into_bytes();
    bytes.truncate(bytes.len() - answer.cut);
    bytes
}
