//! Where things are: URLs that may be called, places of data, and plugins.
//!
//! Does not look whether anything is there. No message holds a text that may hold a password.

use url::{Host, Url};

use super::code;
use super::plan::{Location, PluginRef};
use super::problem::Wrong;
use super::s3::{self, S3Error};
use super::values::name;

/// An `http` or `https` URL that shows no secret and is not overheard.
pub(super) fn http_url(text: &str) -> Result<Url, Wrong> {
    let bad = |message: String| Wrong::new(code::BAD_LOCATION, message).expected("`https://HOST/PATH`");
    let url = Url::parse(text).map_err(|error| bad(format!("not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("a URL with the scheme `{}` cannot be called", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let wrong =
            Wrong::new(code::URL_EXTRAS, "the URL holds credentials").expected("a URL without `USER:PASSWORD@`");
        return Err(wrong.hint(
            "declare it in `[secrets]` and send it as a header, such as `authorization = \"Basic {secret:NAME}\"`",
        ));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let host = url.host_str().unwrap_or_default();
        let wrong =
            Wrong::new(code::PLAIN_HTTP, format!("plain `http` to `{host}`: anybody on the way reads and changes it"));
        return Err(wrong.expected("`https`, or `http` to this machine").hint("write `https://`"));
    }
    Ok(url)
}

/// An [`http_url`] to which paths and parameters can be added.
pub(super) fn base_url(text: &str) -> Result<Url, Wrong> {
    let url = http_url(text)?;
    let extra = match (url.query(), url.fragment()) {
        (Some(_), _) => "a query",
        (None, Some(_)) => "a fragment",
        (None, None) => return Ok(url),
    };
    let wrong = Wrong::new(code::URL_EXTRAS, format!("the URL has {extra}")).expected("a URL that ends with its path");
    Err(if url.query().is_some() { wrong.hint("parameters belong in `query = { NAME = \"VALUE\" }`") } else { wrong })
}

/// Where queues are: a [`base_url`], or `sqs://NAME` for queues of SQS in whatever account and region the pipeline runs.
pub(super) fn queue(text: &str) -> Result<Url, Wrong> {
    let Some(name) = text.strip_prefix("sqs:") else { return base_url(text) };
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name = name.trim_start_matches('/');
    let url =
        Url::parse(text).ok().filter(|_| text.starts_with("sqs://") && !name.is_empty() && name.chars().all(fits));
    url.ok_or_else(|| {
        let wrong = Wrong::new(code::BAD_LOCATION, format!("`{}` names no queues", shown(text)));
        wrong.expected(
            "`sqs://NAME` of letters, digits, `-` and `_`, or `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`",
        )
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A path, `s3://…`, `http://…` or `https://…`.
pub(super) fn location(text: &str) -> Result<Location, Wrong> {
    let bad =
        |message: String| Wrong::new(code::BAD_LOCATION, message).expected("a path, `s3://BUCKET/KEY` or `https://…`");
    if text.trim().is_empty() || text.contains('\0') {
        return Err(bad("the place is empty".to_owned()));
    }
    match text.split_once("://") {
        None => Ok(Location::Local(text.to_owned())),
        Some(("s3", _)) => s3::parse(text).map(Location::Remote).map_err(|error| {
            let message = match &error {
                S3Error::Bucket(bucket) => S3Error::Bucket(shown(bucket).to_owned()).to_string(),
                other => other.to_string(),
            };
            let wrong = Wrong::new(code::BAD_LOCATION, message).expected(error.expected());
            wrong.maybe_hint(error.hint().map(str::to_owned))
        }),
        Some(("http" | "https", _)) => http_url(text).map(Location::Remote),
        Some(("file", path)) => {
            Err(bad("`file://` is not needed".to_owned()).hint(format!("write the path: `\"{path}\"`")))
        }
        Some((scheme, _)) => Err(bad(format!("there is no source or store for `{scheme}://`"))),
    }
}

/// Text for a message, unless it may hold a password.
fn shown(text: &str) -> &str {
    if text.contains('@') { "***" } else { text }
}

/// A layer's place: a path or `s3://…`.
pub(super) fn layer(text: &str) -> Result<Location, Wrong> {
    match location(text)? {
        Location::Remote(url) if url.scheme() != "s3" => {
            let wrong = Wrong::new(code::BAD_LOCATION, format!("a layer cannot be written to `{}://`", url.scheme()));
            Err(wrong.expected("a path or `s3://BUCKET/PREFIX`"))
        }
        location => Ok(location),
    }
}

/// A crate of `plugins/`, a `.wasm` path, or `s3://….wasm`.
pub(super) fn plugin(text: &str) -> Result<PluginRef, Wrong> {
    let expected = "a crate in `plugins/`, a path ending in `.wasm`, or `s3://BUCKET/KEY.wasm`";
    let bad = |message: String| Wrong::new(code::BAD_PLUGIN, message).expected(expected);
    if text.ends_with(".cwasm") {
        let hint = "give the component that it was made from: the host compiles it, and keeps the result";
        return Err(bad("compiled code from outside is never loaded".to_owned()).hint(hint));
    }
    if text.starts_with("oci://") {
        return Err(bad("`oci://` is not supported yet".to_owned()).hint("download the component and give its path"));
    }
    if text.ends_with(".wasm") {
        return match location(text)? {
            Location::Remote(url) if url.scheme() != "s3" => {
                Err(bad(format!("a plugin cannot be loaded from `{}://`", url.scheme())))
            }
            place => Ok(PluginRef::File(place)),
        };
    }
    match name(text) {
        Ok(name) => Ok(PluginRef::Crate(name)),
        Err(_) => {
            let folder = text.trim_end_matches('/').strip_prefix("plugins/").filter(|rest| name(rest).is_ok());
            Err(bad(format!("`{}` is not a plugin", shown(text)))
                .maybe_hint(folder.map(|name| format!("write its name: `\"{name}\"`"))))
        }
    }
}
