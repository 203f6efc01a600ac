//! The clauses of the contract of outgoing HTTP, against a server on the loopback interface.
//!
//! Does not check certificates: the server has none.

use std::sync::Arc;
use std::time::Duration;

use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use tokio::time::Instant;

use super::loopback::{Loopback, headers};

/// An HTTP client under test, and the server that the clauses use.
pub struct HttpRig {
    /// The client.
    pub http: Arc<dyn Http>,
    /// The server.
    pub server: Loopback,
}

/// Makes a test of every clause; the argument is an async closure that returns an [`HttpRig`].
#[macro_export]
macro_rules! http_conformance {
    ($rig:expr) => {
        $crate::conformance_tests!(http, $rig;
            a_request_arrives_as_it_was_made,
            any_status_is_an_answer,
            an_answer_has_its_headers_in_lower_case,
            a_redirect_is_not_followed,
            cookies_are_not_kept,
            a_body_is_bytes_whatever_its_charset,
            a_zipped_body_is_unzipped,
            a_body_of_the_limit_fits_and_no_more,
            a_zip_bomb_is_given_up_at_the_limit,
            an_endless_body_is_given_up_at_the_limit,
            silence_times_out,
            a_trickle_times_out,
            a_refused_connection_is_no_connection,
            a_name_that_does_not_resolve_is_no_connection,
            an_answer_that_breaks_off_is_broken,
            what_is_not_http_is_broken,
            a_failed_handshake_is_tls,
            a_header_with_a_line_break_is_never_sent,
            only_http_is_spoken,
            one_call_is_one_request,
            errors_hold_no_secret,
        );
    };
}

const SECRET: &str = "canary-5f3a";

impl HttpRig {
    /// A request with a secret in its query and in a header.
    fn request(&self, path: &str) -> HttpRequest {
        HttpRequest {
            url: self.server.url("http", &format!("{path}?t=The+Matrix&apikey={SECRET}")),
            headers: vec![("x-api-key".into(), SECRET.into())],
            timeout: Duration::from_secs(20),
            max_body: 1 << 20,
        }
    }

    async fn send(&self, path: &str) -> Result<HttpAnswer, HttpError> {
        self.http.send(self.request(path)).await
    }
}

/// Method, path, query and headers, and a user agent that names us.
pub async fn a_request_arrives_as_it_was_made(rig: HttpRig) {
    rig.send("/echo").await.unwrap();
    let seen = rig.server.requests();
    let head = &seen[0];
    assert!(head.starts_with(&format!("GET /echo?t=The+Matrix&apikey={SECRET} HTTP/1.1\r\n")), "{head}");
    let headers = headers(head);
    assert_eq!(headers["x-api-key"], SECRET);
    assert!(headers["user-agent"].starts_with("sluicebox/"), "{head}");
    assert!(!headers.contains_key("referer") && !headers.contains_key("cookie"), "{head}");
}

/// 204, 404 and 503 are `Ok`.
pub async fn any_status_is_an_answer(rig: HttpRig) {
    for (path, status, body) in
        [("/no-content", 204, ""), ("/not-found", 404, "no such thing"), ("/unavailable", 503, "later")]
    {
        let answer = rig.send(path).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()));
    }
}

/// All of them, repeated ones too.
pub async fn an_answer_has_its_headers_in_lower_case(rig: HttpRig) {
    assert_eq!(rig.send("/unavailable").await.unwrap().header("retry-after"), Some("7"));
    let answer = rig.send("/cookie").await.unwrap();
    let cookies: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["session=1", "other=2"]);
}

/// It is the answer, and its target is not called.
pub async fn a_redirect_is_not_followed(rig: HttpRig) {
    let answer = rig.send("/redirect").await.unwrap();
    assert_eq!((answer.status, answer.header("location")), (302, Some("/echo")));
    assert_eq!(rig.server.requests().len(), 1);
}

/// A later request does not carry what an earlier answer set.
pub async fn cookies_are_not_kept(rig: HttpRig) {
    rig.send("/cookie").await.unwrap();
    rig.send("/echo").await.unwrap();
    assert!(!headers(&rig.server.requests()[1]).contains_key("cookie"));
}

/// Not re-encoded.
pub async fn a_body_is_bytes_whatever_its_charset(rig: HttpRig) {
    assert_eq!(&rig.send("/latin1").await.unwrap().body[..], b"caf\xe9");
}

/// And an invalid zip breaks the answer.
pub async fn a_zipped_body_is_unzipped(rig: HttpRig) {
    assert_eq!(rig.send("/gzip").await.unwrap().body, "unzipped");
    let bad = rig.send("/bad-gzip").await;
    assert!(matches!(bad, Err(HttpError::Broken(_))), "{bad:?}");
}

/// With a declared length and without one.
pub async fn a_body_of_the_limit_fits_and_no_more(rig: HttpRig) {
    for path in ["/thousand", "/thousand-chunked"] {
        let answer = rig.http.send(HttpRequest { max_body: 1000, ..rig.request(path) }).await.unwrap();
        assert_eq!(answer.body.len(), 1000);
        let over = rig.http.send(HttpRequest { max_body: 999, ..rig.request(path) }).await;
        assert!(matches!(over, Err(HttpError::TooLarge { limit: 999 })), "{over:?}");
    }
}

/// A few hundred kilobytes that unzip to a quarter of a gigabyte: given up at the limit, in the time that the limit takes.
pub async fn a_zip_bomb_is_given_up_at_the_limit(rig: HttpRig) {
    let bomb = rig.send("/bomb").await;
    assert!(matches!(bomb, Err(HttpError::TooLarge { limit: 1_048_576 })), "{bomb:?}");
}

/// A quarter of a gigabyte in small chunks.
pub async fn an_endless_body_is_given_up_at_the_limit(rig: HttpRig) {
    let begun = Instant::now();
    let huge = rig.send("/huge").await;
    assert!(matches!(huge, Err(HttpError::TooLarge { limit: 1_048_576 })), "{huge:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "read on after the limit: {:?}", begun.elapsed());
}

async fn assert_times_out(rig: &HttpRig, path: &str) {
    let timeout = Duration::from_millis(200);
    let begun = Instant::now();
    let result = rig.http.send(HttpRequest { timeout, ..rig.request(path) }).await;
    assert!(matches!(result, Err(HttpError::Timeout(after)) if after == timeout), "{result:?}");
    assert!((timeout..Duration::from_secs(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

/// A server that takes the request and sends nothing.
pub async fn silence_times_out(rig: HttpRig) {
    assert_times_out(&rig, "/silent").await;
}

/// The timeout is for the whole answer: a byte now and then does not keep it alive.
pub async fn a_trickle_times_out(rig: HttpRig) {
    assert_times_out(&rig, "/slow").await;
}

/// No server listens.
pub async fn a_refused_connection_is_no_connection(rig: HttpRig) {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/?apikey={SECRET}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let result = rig.http.send(HttpRequest { url, ..rig.request("/echo") }).await;
    assert!(matches!(result, Err(HttpError::Connect(_))), "{result:?}");
}

/// `.invalid` never resolves (RFC 2606).
pub async fn a_name_that_does_not_resolve_is_no_connection(rig: HttpRig) {
    let url = format!("http://no-such-host.invalid/?apikey={SECRET}").parse().unwrap();
    let result = rig.http.send(HttpRequest { url, ..rig.request("/echo") }).await;
    assert!(matches!(&result, Err(HttpError::Connect(reason)) if !reason.contains(SECRET)), "{result:?}");
}

/// Before the first byte, within a body of known length, within a chunk.
pub async fn an_answer_that_breaks_off_is_broken(rig: HttpRig) {
    for path in ["/close", "/cut", "/cut-chunked"] {
        let result = rig.send(path).await;
        assert!(matches!(&result, Err(error @ HttpError::Broken(_)) if error.is_transient()), "{path}: {result:?}");
    }
}

/// Another protocol, or an invalid header.
pub async fn what_is_not_http_is_broken(rig: HttpRig) {
    for path in ["/garbage", "/bad-header"] {
        let result = rig.send(path).await;
        assert!(matches!(result, Err(HttpError::Broken(_))), "{path}: {result:?}");
    }
}

/// A server that speaks no TLS where TLS is asked for; a retry is useless.
pub async fn a_failed_handshake_is_tls(rig: HttpRig) {
    let url = rig.server.url("https", &format!("/echo?apikey={SECRET}"));
    let result = rig.http.send(HttpRequest { url, ..rig.request("/echo") }).await;
    assert!(matches!(&result, Err(error @ HttpError::Tls(_)) if !error.is_transient()), "{result:?}");
}

/// Neither a value nor a name can carry a second header.
pub async fn a_header_with_a_line_break_is_never_sent(rig: HttpRig) {
    for (name, value) in [("x", "a\r\nhost: evil"), ("x", "a\nb"), ("x", "a\0b"), ("x: y\r\nz", "a"), ("", "a")] {
        let headers = vec![(name.to_string(), format!("{value}{SECRET}"))];
        let result = rig.http.send(HttpRequest { headers, ..rig.request("/echo") }).await;
        assert!(
            matches!(&result, Err(HttpError::Invalid(reason)) if !reason.contains(SECRET)),
            "{name:?} {value:?}: {result:?}"
        );
    }
    assert!(rig.server.requests().is_empty());
}

/// A URL of another scheme is `Invalid`.
pub async fn only_http_is_spoken(rig: HttpRig) {
    for url in ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"] {
        let result = rig.http.send(HttpRequest { url: url.parse().unwrap(), ..rig.request("/echo") }).await;
        assert!(matches!(result, Err(HttpError::Invalid(_))), "{url}: {result:?}");
    }
}

/// Also when the answer invites to try again or breaks off.
pub async fn one_call_is_one_request(rig: HttpRig) {
    for (calls, path) in ["/unavailable", "/close", "/cut", "/garbage"].into_iter().enumerate() {
        let _ = rig.send(path).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(rig.server.requests().len(), calls + 1, "after `{path}`");
    }
}

/// Not in `Display`, not in `Debug`, of any error.
pub async fn errors_hold_no_secret(rig: HttpRig) {
    for path in ["/cut", "/close", "/garbage", "/bad-gzip", "/bomb", "/bad-header", "/silent"] {
        let error =
            rig.http.send(HttpRequest { timeout: Duration::from_secs(2), ..rig.request(path) }).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET) && !shown.contains("apikey"), "{path}: {shown}");
    }
}
