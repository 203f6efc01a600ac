//! Answers for how each fault looks on the wire.
//!
//! Does not decide when one strikes (`faults`), nor what the right answer would have been (`api`).

use std::io::{self, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use serde_json::Value;

use crate::faults::{Fault, Place};
use crate::wire::Line;

const JSON: &str = "application/json; charset=utf-8";

/// Time for the first half of a body to leave before the connection is closed.
const HALF_TIME: Duration = Duration::from_millis(30);

/// The right answer.
pub(crate) fn plain(status: StatusCode, answer: &Value) -> Response {
    (status, [(CONTENT_TYPE, JSON)], answer.to_string()).into_response()
}

/// The answer spoilt by a fault. `Delay` spoils nothing but time, which the caller has let pass.
pub(crate) fn spoilt(fault: &Fault, status: StatusCode, answer: &Value, line: &Line) -> Response {
    let text = answer.to_string();
    let json = |body: Body| (status, [(CONTENT_TYPE, JSON)], body).into_response();
    match fault {
        // An echo needs the call and is made by `echo`.
        Fault::Delay { .. } | Fault::Echo { .. } => plain(status, answer),
        Fault::Status { status, retry_after } => bare(*status, retry_after.as_deref()),
        Fault::TruncatedJson => json(first_half(&text).into()),
        Fault::Html => html(),
        Fault::SlowBody { ms_per_byte } => {
            let pause = Duration::from_millis(*ms_per_byte);
            with_length(json(drip(text.clone(), pause)), text.len())
        }
        Fault::GzipBomb { mib } => bomb(*mib),
        Fault::WrongCharset => json(latin_1(answer).into()),
        Fault::Redirect { to } => (StatusCode::FOUND, [(LOCATION, to.clone())]).into_response(),
        Fault::Reset => {
            line.cut();
            StatusCode::OK.into_response()
        }
        Fault::CloseMidBody => with_length(json(half_and_gone(&text)), text.len()),
    }
}

/// An answer that gives the key back, as `text`.
pub(crate) fn echo(text: &str, place: Place, status: StatusCode, answer: &Value) -> Response {
    match place {
        Place::Document => {
            // As it is: an escape of JSON is to be one.
            let field = format!("{{\"Echo\":\"called with {text} just now\",");
            let body = answer.to_string().replacen('{', &field, 1);
            (status, [(CONTENT_TYPE, JSON)], body).into_response()
        }
        Place::Page => {
            let page = format!("<p>no such key: {text}</p>");
            (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "text/html")], page).into_response()
        }
        Place::Header => {
            let mut response = plain(status, answer);
            set(&mut response, HeaderName::from_static("x-echo"), text);
            set(&mut response, LINK, &format!("<https://api.example/?apikey={text}&page=2>; rel=next"));
            response
        }
        Place::Url => (StatusCode::FOUND, [(LOCATION, format!("/login?apikey={text}&again=1"))]).into_response(),
    }
}

fn bare(status: u16, retry_after: Option<&str>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = format!("{status}\n");
    match retry_after {
        Some(when) => (status, [(RETRY_AFTER, when.to_owned())], text).into_response(),
        None => (status, text).into_response(),
    }
}

fn html() -> Response {
    let page = "<!DOCTYPE html><html><head><title>Just a moment</title></head><body><p>Checking your browser.</p></body></html>";
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn first_half(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes().split_at(text.len() / 2).0)
}

fn with_length(mut response: Response, length: usize) -> Response {
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    response
}

fn drip(text: String, pause: Duration) -> Body {
    let bytes = text.into_bytes().into_iter();
    Body::from_stream(stream::unfold(bytes, move |mut bytes| async move {
        let byte = bytes.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, io::Error>(Bytes::copy_from_slice(&[byte])), bytes))
    }))
}

fn half_and_gone(text: &str) -> Body {
    let half = Some(first_half(text));
    Body::from_stream(stream::unfold(half, |half| async move {
        match half {
            Some(half) => Some((Ok(half), None)),
            None => {
                tokio::time::sleep(HALF_TIME).await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None))
            }
        }
    }))
}

/// Valid JSON all the way, so that only a limit on decoded bytes can refuse it.
fn bomb(mib: u32) -> Response {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let block = vec![b'A'; 1 << 20];
    // Writing into memory cannot fail.
    let _ = packed.write_all(br#"{"Response":"True","Title":""#);
    for _ in 0..mib {
        let _ = packed.write_all(&block);
    }
    let _ = packed.write_all(br#""}"#);
    let body = packed.finish().unwrap_or_default();
    ([(CONTENT_TYPE, JSON), (CONTENT_ENCODING, "gzip")], body).into_response()
}

/// One character of the body is Latin-1, which is not UTF-8.
fn latin_1(answer: &Value) -> Vec<u8> {
    let mut answer = answer.clone();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("Plot".to_owned(), "A caf\u{e9} at night.".into());
    }
    answer.to_string().chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}
