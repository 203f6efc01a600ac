//! The world `enricher`: a pure function from a record, and the answers so far, to the next step.
//!
//! The plugin never calls a service: it names an endpoint of `pipeline.toml`, and the host makes the
//! request, adds the secrets, keeps the answer and calls again. Not here: retries of failing
//! services, which the host does before a plugin sees an answer.

use crate::{Refusal, config};
use serde::de::DeserializeOwned;

/// A request to an endpoint of `pipeline.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The endpoint's name.
    pub endpoint: String,
    /// Relative to the endpoint's URL; empty for the URL itself.
    pub path: String,
    /// Query parameters, in this order.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A request to the URL of an endpoint.
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), path: String::new(), query: Vec::new(), headers: Vec::new() }
    }

    /// The path, relative to the endpoint's URL.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without headers, for tests of rules.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// The first `chars` characters of the body on one line, to quote in a reason.
    pub fn excerpt(&self, chars: usize) -> String {
        let text = self.text();
        let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = words.char_indices().nth(chars) {
            words.truncate(end);
            words.push('…');
        }
        words
    }
}

/// What happens next with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make these requests and call again.
    Fetch(Vec<Request>),
    /// The document for Bronze: the text of one JSON object.
    Done(String),
    /// There is nothing to store for this record, and that is no fault.
    Skip(String),
    /// The record cannot be enriched: it is quarantined with this reason.
    Reject(String),
    /// The service asks to be left alone: nothing is kept, the record is retried later.
    BackOff(Pause),
}

/// For how long a service wants to be left alone, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// For how long.
    pub seconds: u32,
    /// In the service's words, if it gave any.
    pub reason: String,
}

impl Step {
    /// The service asks to be left alone.
    pub fn back_off(seconds: u32, reason: impl Into<String>) -> Self {
        Self::BackOff(Pause { seconds, reason: reason.into() })
    }
}

impl From<Request> for Step {
    fn from(request: Request) -> Self {
        Self::Fetch(vec![request])
    }
}

impl From<Refusal> for Step {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Skip(reason) => Self::Skip(reason),
            Refusal::Reject(reason) => Self::Reject(reason),
        }
    }
}

impl<S: Into<Step>, E: Into<Refusal>> From<Result<S, E>> for Step {
    fn from(result: Result<S, E>) -> Self {
        match result {
            Ok(step) => step.into(),
            Err(error) => error.into().into(),
        }
    }
}

/// Runs the rules over one record.
#[doc(hidden)]
pub fn enrich<E: DeserializeOwned, S: Into<Step>>(
    entry: &str,
    answers: &[Answer],
    rules: impl FnOnce(&E, &[Answer]) -> S,
) -> Step {
    match config::from_json(entry) {
        Ok(entry) => rules(&entry, answers).into(),
        Err(error) => Step::Reject(error),
    }
}

/// Makes a crate an enricher plugin. Write it once, in `lib.rs`.
///
/// ```
/// use serde::Deserialize;
/// use sluicebox_sdk::{Answer, Input, NoConfig, Request, Step};
///
/// #[derive(Deserialize, Input)]
/// struct Entry {
///     isbn: String,
/// }
///
/// fn enrich(_: &NoConfig, entry: &Entry, answers: &[Answer]) -> Step {
///     match answers {
///         [] => Request::to("books").path(format!("isbn/{}", entry.isbn)).into(),
///         [answer, ..] => Step::Done(answer.text().into_owned()),
///     }
/// }
///
/// sluicebox_sdk::enricher! { entry = Entry, enrich = enrich }
/// # fn main() {}
/// ```
///
/// The entry is read from JSON by `serde`; `derive(Input)` tells the host which columns of the source
/// that takes, so the two must agree on names. `enrich` returns a [`Step`], a [`Request`], or a
/// `Result` of one of them. `config = TYPE` comes first when the plugin has settings.
#[macro_export]
macro_rules! enricher {
    (config = $config:ty, entry = $entry:ty, enrich = $enrich:expr $(,)?) => {
        const _: () = {
            $crate::__world!(
                enricher,
                config = $config,
                input = <$entry as $crate::Input>::FIELDS,
                output = &[]
            );

            impl bindings::exports::sluicebox::plugin::enrich::Guest for Plugin {
                fn enrich(entry: String, answers: Vec<$crate::Answer>) -> $crate::Step {
                    let config = CONFIG.get();
                    $crate::enricher::enrich::<$entry, _>(&entry, &answers, |entry, answers| {
                        $enrich(config, entry, answers)
                    })
                }
            }
        };
    };
    (entry = $($rest:tt)*) => {
        $crate::enricher! { config = $crate::NoConfig, entry = $($rest)* }
    };
    ($($other:tt)*) => {
        compile_error!("expected `enricher! { config = TYPE, entry = TYPE, enrich = FUNCTION }`; `config` may be left out");
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Entry {
        title: String,
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_rejected_by_name() {
        let step = enrich(r#"{"title": 300}"#, &[], |entry: &Entry, _| Step::Done(entry.title.clone()));
        assert_eq!(step, Step::Reject("`title`: invalid type: integer `300`, expected a string".to_owned()));
    }

    #[test]
    fn rules_may_return_requests_and_refusals() {
        let ask = |entry: &Entry, _: &[Answer]| -> Result<Request, Refusal> {
            match entry.title.as_str() {
                "" => Err(Refusal::skip("no title")),
                title => Ok(Request::to("films").path("find").query("t", title).header("accept", "application/json")),
            }
        };
        let expected = Request {
            endpoint: "films".to_owned(),
            path: "find".to_owned(),
            query: vec![("t".to_owned(), "Alien".to_owned())],
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
        };
        assert_eq!(enrich(r#"{"title": "Alien"}"#, &[], ask), Step::Fetch(vec![expected]));
        assert_eq!(enrich(r#"{"title": ""}"#, &[], ask), Step::Skip("no title".to_owned()));
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        let answer = Answer::new(200, "<p>\n  é é é</p>".as_bytes());
        assert_eq!(answer.excerpt(5), "<p> é…");
        assert_eq!(answer.excerpt(99), "<p> é é é</p>");
        assert_eq!(Answer::new(200, [0xFF]).excerpt(9), "\u{FFFD}");
    }
}
