//! Spans as a document of OTLP/JSON (`opentelemetry-proto`, `docs/specification.md`): names in camel case, ids in hexadecimal digits, 64-bit
//! numbers as text.
//!
//! Does not send it.

use std::time::{SystemTime, UNIX_EPOCH};

use seams::spans::{DONE, Place};
use serde_json::{Map, Value, json};

/// `INTERNAL`, `CLIENT`, `CONSUMER` and `STATUS_CODE_ERROR` of the protocol.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
const CONSUMER: u8 = 5;
const ERROR: u8 = 2;

/// A span that has ended.
pub(super) struct Ended<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) place: Place,
    pub(super) parent: Option<Place>,
    pub(super) links: &'a [Place],
    pub(super) begun: SystemTime,
    pub(super) attributes: Map<String, Value>,
}

/// The span in the form of a document.
pub(super) fn span(ended: Ended<'_>) -> Value {
    let mut text = json!({
        "traceId": ended.place.trace_id(),
        "spanId": ended.place.span_id(),
        "name": ended.name,
        "kind": match ended.kind {
            "client" => CLIENT,
            "consumer" => CONSUMER,
            _ => INTERNAL,
        },
        "startTimeUnixNano": nanos(ended.begun),
        "endTimeUnixNano": nanos(SystemTime::now()),
        "attributes": attributes(&ended.attributes),
    });
    let Some(fields) = text.as_object_mut() else { return text };
    if let Some(parent) = ended.parent {
        fields.insert("parentSpanId".to_owned(), parent.span_id().into());
    }
    if !ended.links.is_empty() {
        let links = ended.links.iter().map(|to| json!({ "traceId": to.trace_id(), "spanId": to.span_id() }));
        fields.insert("links".to_owned(), links.collect());
    }
    if let Some(outcome) = ended.attributes.get("outcome").filter(|outcome| *outcome != DONE) {
        fields.insert("status".to_owned(), json!({ "code": ERROR, "message": outcome }));
    }
    text
}

/// The document that holds these spans of a service.
pub(super) fn of(service: &str, spans: &[Value]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource =
        Map::from_iter([("service.name".to_owned(), service.into()), ("service.version".to_owned(), version.into())]);
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(&resource) },
        "scopeSpans": [{ "scope": { "name": "sluicebox", "version": version }, "spans": spans }],
    }] })
}

fn attributes(fields: &Map<String, Value>) -> Value {
    let value = |value: &Value| match value {
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) if value.is_f64() => json!({ "doubleValue": value }),
        Value::Number(value) => json!({ "intValue": value.to_string() }),
        Value::String(value) => json!({ "stringValue": value }),
        other => json!({ "stringValue": other.to_string() }),
    };
    fields.iter().map(|(key, one)| json!({ "key": key, "value": value(one) })).collect()
}

fn nanos(instant: SystemTime) -> String {
    instant.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
