//! Outgoing HTTP on reqwest: one request, one answer, bounded in time and in bytes.
//!
//! Does not retry, follow redirects or keep cookies, and does not judge where a request may go: that is the engine's gateway.

mod failure;

pub(crate) use failure::reason;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use tokio::sync::OnceCell;
use url::{Host, Url};

/// The user agent that services see.
const USER_AGENT: &str = concat!("sluicebox/", env!("CARGO_PKG_VERSION"));

/// How requests leave this machine.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Which proxies are used.
    pub proxies: Proxies,
    /// The timeout of the connection alone, TLS included; the request's own timeout counts as well.
    pub connect_timeout: Duration,
}

impl Default for HttpOptions {
    /// The environment's proxies; 10 s to connect.
    fn default() -> Self {
        HttpOptions { proxies: Proxies::Environment, connect_timeout: Duration::from_secs(10) }
    }
}

/// Which proxies are used. Loopback hosts are always reached directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// Those of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, upper or lower case.
    Environment,
    /// None.
    Direct,
}

/// [`Http`] on reqwest with rustls. Certificates are checked as this machine's own programs check them.
///
/// Clones share their connections. The client is built for the first request: reading a machine's certificate authorities takes
/// longer than everything else that a host does before its first record.
#[derive(Clone, Debug)]
pub struct ReqwestHttp(Arc<Clients>);

#[derive(Debug)]
struct Clients {
    options: HttpOptions,
    direct: OnceCell<reqwest::Client>,
    outward: OnceCell<reqwest::Client>,
}

impl ReqwestHttp {
    /// A client with its own pool of connections.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        ReqwestHttp(Arc::new(Clients { options, direct: OnceCell::new(), outward: OnceCell::new() }))
    }

    /// The client that goes to `url`.
    ///
    /// # Errors
    /// `HttpError::Tls` when this machine has no certificate authorities.
    pub(crate) async fn client_for(&self, url: &Url) -> Result<&reqwest::Client, HttpError> {
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let Clients { options, direct, outward } = &*self.0;
        let (client, proxies) = if loopback { (direct, Proxies::Direct) } else { (outward, options.proxies) };
        let connect_timeout = options.connect_timeout;
        client.get_or_try_init(|| made(connect_timeout, proxies)).await
    }
}

async fn made(connect_timeout: Duration, proxies: Proxies) -> Result<reqwest::Client, HttpError> {
    let builder = move || {
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if proxies == Proxies::Direct { builder.no_proxy() } else { builder }
    };
    let build = move || match authorities().map(|all| builder().tls_certs_only(all).build()) {
        Some(Ok(client)) => Ok(client),
        _ => builder().build(),
    };
    match tokio::task::spawn_blocking(build).await {
        Ok(built) => built.map_err(|error| HttpError::Tls(failure::reason(&error))),
        Err(error) => Err(HttpError::Tls(error.to_string())),
    }
}

/// The machine's certificate authorities, if one file has them all, as on Linux. Beside it is a folder with one file for each,
/// which the TLS library would read as well: hundreds of files at every start. A user who sets `SSL_CERT_FILE` or `SSL_CERT_DIR`
/// has chosen what is read.
#[cfg(target_os = "linux")]
fn authorities() -> Option<Vec<reqwest::Certificate>> {
    if openssl_probe::has_ssl_cert_env_vars() {
        return None;
    }
    let all = reqwest::Certificate::from_pem_bundle(&std::fs::read(openssl_probe::probe().cert_file?).ok()?).ok()?;
    (!all.is_empty()).then_some(all)
}

/// The system checks certificates itself.
#[cfg(not(target_os = "linux"))]
fn authorities() -> Option<Vec<reqwest::Certificate>> {
    None
}

#[async_trait]
impl Http for ReqwestHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let headers = request_headers(&request)?;
        if !matches!(request.url.scheme(), "http" | "https") {
            return Err(HttpError::Invalid(format!("scheme `{}` is neither `http` nor `https`", request.url.scheme())));
        }
        let exchange = async {
            let client = self.client_for(&request.url).await?;
            let response =
                client.get(request.url.clone()).headers(headers).send().await.map_err(|error| failure::kind(&error))?;
            let status = response.status().as_u16();
            let headers = answer_headers(response.headers());
            let body = bounded_body(response, request.max_body).await?;
            Ok(HttpAnswer { status, headers, body })
        };
        tokio::time::timeout(request.timeout, exchange).await.unwrap_or(Err(HttpError::Timeout(request.timeout)))
    }

    fn prepare(&self, url: &Url) {
        let (http, url) = (self.clone(), url.clone());
        drop(tokio::spawn(async move { http.client_for(&url).await.is_ok() }));
    }
}

fn request_headers(request: &HttpRequest) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        // The value may be a secret, so only the name is shown.
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| HttpError::Invalid(format!("`{name}` is no header name")))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| HttpError::Invalid(format!("header `{name}` holds characters that no header may have")))?;
        value.set_sensitive(true);
        // The map has an end, and would panic there.
        headers.try_append(key, value).map_err(|_| {
            HttpError::Invalid(format!("{} headers are more than a request may have", request.headers.len()))
        })?;
    }
    Ok(headers)
}

fn answer_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_string(), text(value))).collect()
}

/// The decoded body; reading a gzip bomb stops a few kilobytes over the limit.
async fn bounded_body(mut response: reqwest::Response, limit: u64) -> Result<Bytes, HttpError> {
    // Present only if nothing needs decoding: then a body that is too long is not read at all.
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(HttpError::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure::kind(&error))? {
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(HttpError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
