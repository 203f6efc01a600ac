//! Pages in the place of answers: HTML from something between us and a service, such as a portal, a firewall or a sign that says "be back
//! soon". Their status is often 200. Kept as an answer, a page would be found again all day, and the service would not be asked.
//!
//! Does not read a page: its type says that it is one, and the request whether one was asked for.

use seams::http::HttpAnswer;
use seams::plugin::EndpointRequest;

/// What an answer is, as far as its type says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No page, or one that was asked for.
    Answer,
    /// A page where the request says that it takes something else.
    Page,
    /// A page, and the request does not say what it takes: the plugin knows.
    Doubtful,
}

/// What the answer to `request` is, with the headers that it was sent with.
pub(super) fn kind(request: &EndpointRequest, answer: &HttpAnswer) -> Kind {
    let is_page = answer.header("content-type").is_some_and(|told| PAGES.contains(&essence(told).as_str()));
    // Another status says what it says: "not found" is mostly a page.
    if !is_page || !matches!(answer.status, 200..=299) {
        return Kind::Answer;
    }
    let accepts = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    let accepts: Vec<String> = accepts.flat_map(|(_, value)| value.split(',').map(essence)).collect();
    if accepts.iter().any(|one| one == "text/*" || PAGES.contains(&one.as_str())) {
        Kind::Answer
    } else if accepts.is_empty() || accepts.iter().any(|one| one == "*/*") {
        Kind::Doubtful
    } else {
        Kind::Page
    }
}

/// The types of pages.
const PAGES: [&str; 2] = ["text/html", "application/xhtml+xml"];

/// A type without its parameters, in small letters.
fn essence(told: &str) -> String {
    told.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_an_answer_where_one_was_asked_for() {
        for (accept, status, content_type, expected) in [
            (Some("application/json"), 200, "application/json; charset=utf-8", Kind::Answer),
            (Some("application/json"), 200, "text/plain", Kind::Answer),
            (Some("application/json"), 200, "text/html; charset=utf-8", Kind::Page),
            (Some("application/json"), 404, "text/html", Kind::Answer),
            (Some("application/json, text/html;q=0.5"), 200, "Text/HTML", Kind::Answer),
            (Some("text/*"), 203, "application/xhtml+xml", Kind::Answer),
            (Some("application/json, */*;q=0.1"), 200, "text/html", Kind::Doubtful),
            (None, 200, "text/html", Kind::Doubtful),
            (None, 200, "", Kind::Answer),
        ] {
            let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let request = EndpointRequest {
                endpoint: "e".into(),
                path: String::new(),
                query: Vec::new(),
                headers: accept.into_iter().map(|accept| header("accept", accept)).collect(),
            };
            let headers = vec![header("content-type", content_type)];
            let answer = HttpAnswer { status, headers, body: bytes::Bytes::new() };
            assert_eq!(kind(&request, &answer), expected, "{accept:?} {content_type}");
        }
    }
}
