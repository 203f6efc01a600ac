//! From reqwest's errors to the engine's: the kind and the cause, without the URL.
//!
//! Does not keep the source chain: parts of it print the URL, and the URL holds secrets.

use std::error::Error;
use std::io;

use seams::http::HttpError;

/// Which of the engine's errors this is.
pub(super) fn kind(error: &reqwest::Error) -> HttpError {
    let reason = reason(error);
    if chain(error).any(is_tls) {
        HttpError::Tls(reason)
    } else if error.is_builder() {
        HttpError::Invalid(reason)
    } else if error.is_connect() {
        HttpError::Connect(reason)
    } else {
        HttpError::Broken(reason)
    }
}

/// The causes below reqwest's own message, which holds the URL; a message that ends the one before it is not repeated.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for cause in chain(error).skip(1) {
        let text = cause.to_string();
        if !reasons.last().is_some_and(|last| last.ends_with(&text)) {
            reasons.push(text);
        }
    }
    if reasons.is_empty() { "the HTTP client gave no reason".into() } else { reasons.join(": ") }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// `io::Error` hides what it wraps from `source`, so it is unwrapped.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|inner| inner.is::<rustls::Error>() || nested(inner))
}

/// An `io::Error` in an `io::Error`, as connectors make them.
fn nested(inner: &(dyn Error + Send + Sync + 'static)) -> bool {
    inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}
