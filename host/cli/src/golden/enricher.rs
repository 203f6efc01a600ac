//! An enricher's case: a record and the answers so far in, the next step out.
//!
//! Does not call a service.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use records::record::{self, Record};
use seams::http::HttpAnswer;
use seams::plugin::{EndpointRequest, Enricher, Step};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::case::Case;
use super::exact;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    record: Record,
    #[serde(default)]
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text is the body itself; any other value is the JSON that the service would have sent.
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// The plugin's next step.
pub(crate) async fn run(plugin: &dyn Enricher, case: &Case) -> anyhow::Result<Value> {
    let input: Input = case.input()?;
    let entry = input.record.to_string();
    let answers: Vec<HttpAnswer> = input.answers.into_iter().map(answer).collect();
    document(plugin.enrich(&entry, &answers).await?)
}

fn answer(answer: Answer) -> HttpAnswer {
    let body = answer.body.map_or_else(Bytes::new, |value| match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Bytes::from(text),
        Err(_) => Bytes::from(record::compact(value).get().to_owned()),
    });
    let headers = answer.headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    HttpAnswer { status: answer.status, headers, body }
}

fn document(step: Step) -> anyhow::Result<Value> {
    Ok(match step {
        Step::Fetch(requests) => json!({ "fetch": requests.iter().map(request).collect::<Vec<_>>() }),
        Step::Done(text) => {
            let done = exact::parse(&text).context("the document is not valid JSON")?;
            json!({ "done": done })
        }
        Step::Skip(reason) => json!({ "skip": reason }),
        Step::Reject(reason) => json!({ "reject": reason }),
        Step::BackOff { pause, reason } => json!({ "back_off": { "seconds": pause.as_secs(), "reason": reason } }),
    })
}

fn request(request: &EndpointRequest) -> Value {
    json!({
        "endpoint": request.endpoint,
        "path": request.path,
        "query": pairs(&request.query),
        "headers": pairs(&request.headers),
    })
}

/// An object; a list of pairs if a name occurs twice.
fn pairs(pairs: &[(String, String)]) -> Value {
    let object: Map<String, Value> = pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    if object.len() == pairs.len() { Value::Object(object) } else { json!(pairs) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_step_is_one_key() {
        let back_off = Step::BackOff { pause: Duration::from_secs(60), reason: "busy".into() };
        assert_eq!(document(back_off).unwrap(), json!({"back_off": {"seconds": 60, "reason": "busy"}}));
        assert_eq!(document(Step::Done("{\"a\": 1}".into())).unwrap(), json!({"done": {"a": 1}}));
    }

    #[test]
    fn a_parameter_that_stands_twice_is_not_lost() {
        let twice = [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert_eq!(pairs(&twice), json!([["a", "1"], ["a", "2"]]));
        assert_eq!(pairs(&twice[..1]), json!({"a": "1"}));
    }

    #[test]
    fn a_body_is_text_or_the_json_that_is_written_there() {
        let body = |value: &str| {
            let text = format!("{{\"status\": 200, \"body\": {value}}}");
            answer(serde_json::from_str(&text).unwrap()).body
        };
        assert_eq!(body("\"plain\""), "plain");
        assert_eq!(body("{\"a\": 1e2, \"b\": 100000000000000000001}"), "{\"a\":1e2,\"b\":100000000000000000001}");
        assert_eq!(body("null"), "");
    }
}
