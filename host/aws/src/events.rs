//! What invokes a function: batches of SQS, notifications of S3 inside them, ticks of a schedule, as AWS writes them in JSON.
//!
//! Pure. Does not do the work that an event asks for.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lake::bronze;
use lake::events::{NewObject, NewVersion, encode};
use percent_encoding::percent_decode_str;
use records::keys::Tick;
use seams::store::Path;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use crate::queue::body;

/// Why an event cannot be read. SQS then sends its batch again, a schedule its tick.
#[derive(Debug, Error)]
pub enum EventError {
    /// It is not a batch of SQS.
    #[error("not a batch of SQS: {0}")]
    NoBatch(#[from] serde_json::Error),
    /// It is not JSON.
    #[error(
        "not an event: {0}\nhint: an event of a schedule is a JSON object, such as `{{}}` or `{{\"time\": \"2026-01-31T03:00:00Z\"}}`"
    )]
    NoEvent(#[source] serde_json::Error),
    /// It names a tick that is no instant.
    #[error("`{0}` is no instant, expected one as in `2026-01-31T03:00:00Z`")]
    NoInstant(String),
}

/// A message of SQS as a function receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// Names the message in the answer.
    pub id: String,
    /// Names this delivery to SQS; empty if the event does not say.
    pub receipt: String,
    /// The message.
    pub body: Bytes,
    /// How often it has been received, this time included.
    pub receives: u32,
}

#[derive(Deserialize)]
struct SqsEvent {
    #[serde(rename = "Records")]
    records: Vec<SqsRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    #[serde(default)]
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: Value,
}

/// The messages of an event of SQS.
///
/// # Errors
/// [`EventError::NoBatch`] if it is no batch, or if a message has no id: the answer could not say whether that message is done.
pub fn batch(event: &[u8]) -> Result<Vec<BatchRecord>, EventError> {
    let event: SqsEvent = serde_json::from_slice(event)?;
    let record = |record: SqsRecord| {
        let counted = record.attributes.get("ApproximateReceiveCount");
        let counted = counted.and_then(|count| count.as_str()?.parse().ok()).unwrap_or(1);
        let body = body::decode(record.body);
        BatchRecord { id: record.message_id, receipt: record.receipt_handle, body, receives: counted.max(1) }
    };
    Ok(event.records.into_iter().map(record).collect())
}

/// The tick that an event of a schedule names: `time`, as EventBridge has it, or `scheduled-time`; none if it names none.
///
/// # Errors
/// [`EventError::NoEvent`] if it is not JSON, [`EventError::NoInstant`] if what it names is no instant.
pub fn tick(event: &[u8]) -> Result<Option<Tick>, EventError> {
    if event.trim_ascii().is_empty() {
        return Ok(None);
    }
    let event: Value = serde_json::from_slice(event).map_err(EventError::NoEvent)?;
    let named = ["time", "scheduled-time"].iter().find_map(|name| event.get(name));
    match named {
        None | Some(Value::Null) => Ok(None),
        Some(named) => {
            let text = named.as_str().map_or_else(|| named.to_string(), str::to_owned);
            let instant = DateTime::parse_from_rfc3339(&text).map_err(|_| EventError::NoInstant(text))?;
            Ok(Some(Tick::at(instant.with_timezone(&Utc))))
        }
    }
}

/// An object that S3 reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its bucket.
    pub bucket: String,
    /// Its key, decoded.
    pub key: String,
}

/// The new objects that a message reports; `None` if it is no notification of S3. A notification without objects is S3's test message, or
/// reports removals.
///
/// S3 sends to a queue in three ways: itself, through a topic of SNS (which wraps the text unless the subscription has raw delivery), and
/// through EventBridge (an event for each object). Each may come through the next.
#[must_use]
pub fn notification(body: &[u8]) -> Option<Vec<Told>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    for _ in 0..MOST_WRAPPERS {
        let Some(inner) = unwrapped(&body) else { break };
        body = inner;
    }
    if body.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Some(Vec::new());
    }
    if body.get("source").and_then(Value::as_str) == Some("aws.s3") && body.get("detail-type").is_some() {
        return Some(bridged(&body).into_iter().collect());
    }
    let records = body.get("Records")?.as_array()?;
    Some(records.iter().filter_map(told).collect())
}

/// A topic may feed a topic's queue by way of EventBridge; no real set-up has more wrappers than this.
const MOST_WRAPPERS: usize = 3;

/// What SNS has wrapped: the text in `Message` of a `Notification`.
fn unwrapped(body: &Value) -> Option<Value> {
    let wrapped = body.get("Type").and_then(Value::as_str) == Some("Notification") && body.get("TopicArn").is_some();
    serde_json::from_str(body.get("Message").filter(|_| wrapped)?.as_str()?).ok()
}

/// The new object that an event of EventBridge reports. Its key is not encoded.
fn bridged(event: &Value) -> Option<Told> {
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
    if text("/detail-type") != Some("Object Created") {
        return None;
    }
    let (bucket, key) = (text("/detail/bucket/name")?, text("/detail/object/key")?);
    Some(Told { bucket: bucket.to_owned(), key: key.to_owned() })
}

fn told(record: &Value) -> Option<Told> {
    if record.get("eventSource").and_then(Value::as_str).is_some_and(|source| source != "aws:s3") {
        return None;
    }
    let happened = record.get("eventName").and_then(Value::as_str).unwrap_or("ObjectCreated:");
    if !happened.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return None;
    }
    let text = |pointer| record.pointer(pointer).and_then(Value::as_str);
    let (bucket, key) = (text("/s3/bucket/name")?, text("/s3/object/key")?);
    // As in a form: `+` is a space, and what was a `+` is `%2B`.
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced).decode_utf8().ok()?.into_owned();
    Some(Told { bucket: bucket.to_owned(), key })
}

/// The path in a layer of an object, if it is below the layer's place `s3://BUCKET/PREFIX`.
fn within(layer: &Url, told: &Told) -> Option<Path> {
    if layer.host_str() != Some(told.bucket.as_str()) {
        return None;
    }
    let prefix = Path::from_url_path(layer.path()).ok()?;
    let below = match prefix.as_ref() {
        "" => told.key.as_str(),
        prefix => told.key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    Path::parse(below).ok()
}

/// The work of the clean stage for a message: the message itself, or what the notification in it stands for, which may be nothing.
#[must_use]
pub fn to_clean(bronze: &Url, message: &Bytes) -> Vec<Bytes> {
    of_notification(message, |told| {
        let object = within(bronze, told).filter(bronze::is_object)?;
        Some(encode(&NewObject::whole(&object)))
    })
}

/// The work of the aggregate stage for a message, as [`to_clean`].
#[must_use]
pub fn to_aggregate(silver: &Url, message: &Bytes) -> Vec<Bytes> {
    of_notification(message, |told| {
        let object = within(silver, told)?;
        let name = object.as_ref().strip_prefix("_delta_log/")?.strip_suffix(".json")?;
        // Twenty digits: checkpoints' parts and the hint have other names.
        let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
        let silver = name.parse().ok().filter(|_| digits)?;
        Some(encode(&NewVersion { silver }))
    })
}

fn of_notification(message: &Bytes, event: impl Fn(&Told) -> Option<Bytes>) -> Vec<Bytes> {
    match notification(message) {
        None => vec![message.clone()],
        Some(told) => told.iter().filter_map(event).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> String {
        format!(
            r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-central-1","eventTime":"2026-01-31T03:00:00.000Z",
            "eventName":"ObjectCreated:Put","userIdentity":{{"principalId":"AWS:A"}},"s3":{{"s3SchemaVersion":"1.0","configurationId":"c",
            "bucket":{{"name":"acme-lake","ownerIdentity":{{"principalId":"A"}},"arn":"arn:aws:s3:::acme-lake"}},
            "object":{{"key":"{key}","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0A1B2C3D4E5F678901"}}}}}}]}}"#
        )
    }

    fn cleaned(message: &str) -> Vec<String> {
        let layer = Url::parse("s3://acme-lake/weather/br%20onze").unwrap();
        texts(to_clean(&layer, &Bytes::from(message.to_owned())))
    }

    fn aggregated(message: &str) -> Vec<String> {
        let layer = Url::parse("s3://acme-lake/weather/silver/").unwrap();
        texts(to_aggregate(&layer, &Bytes::from(message.to_owned())))
    }

    fn texts(bodies: Vec<Bytes>) -> Vec<String> {
        bodies.into_iter().map(|body| String::from_utf8(body.to_vec()).unwrap()).collect()
    }

    #[test]
    fn keys_are_decoded_once() {
        for (key, decoded) in [
            ("a/run%3D1/batch%3D2.jsonl", "a/run=1/batch=2.jsonl"),
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("a%252Bb", "a%2Bb"),
            ("%C3%A4+%E2%82%AC", "\u{e4} \u{20ac}"),
            ("plain", "plain"),
        ] {
            let told = notification(object(key).as_bytes()).unwrap();
            assert_eq!(told, [Told { bucket: "acme-lake".to_owned(), key: decoded.to_owned() }], "{key}");
        }
        assert_eq!(notification(object("%FF").as_bytes()), Some(Vec::new()));
    }

    #[test]
    fn new_objects_of_bronze_are_work_and_nothing_else_there_is() {
        let run = "weather/br+onze/run%3D20260131T030000Z";
        let batch = cleaned(&object(&format!("{run}/batch%3D00000-ab.jsonl")));
        assert_eq!(batch, [r#"{"bronze":"run=20260131T030000Z/batch=00000-ab.jsonl"}"#]);
        assert_eq!(cleaned(&object(&format!("{run}/redo%3D000001.0001-ab.jsonl"))).len(), 1);
        for other in [
            format!("{run}/_snapshot-ab.jsonl"),
            format!("{run}/deeper/batch%3D1.jsonl"),
            "weather/br+onze/_answers/run%3D1/batch%3D1".to_owned(),
            "weather/br+onzes/run%3D1/batch%3D1.jsonl".to_owned(),
            "weather/silver/run%3D1/batch%3D1.jsonl".to_owned(),
        ] {
            assert_eq!(cleaned(&object(&other)), [""; 0], "{other}");
        }
        let elsewhere = object(&format!("{run}/batch%3D1.jsonl")).replace("acme-lake", "another-lake");
        assert_eq!(cleaned(&elsewhere), [""; 0]);
    }

    #[test]
    fn new_versions_of_silver_are_work_and_its_other_files_are_not() {
        let version = aggregated(&object("weather/silver/_delta_log/00000000000000000012.json"));
        assert_eq!(version, [r#"{"silver":12}"#]);
        for other in [
            "_delta_log/00000000000000000010.checkpoint.parquet",
            "_delta_log/_last_checkpoint",
            "_delta_log/12.json",
            "_bucket%3D3/part-0.parquet",
            "_generations/00000000000000000012.json",
        ] {
            assert_eq!(aggregated(&object(&format!("weather/silver/{other}"))), [""; 0], "{other}");
        }
    }

    #[test]
    fn s3s_test_and_what_went_are_no_work_and_missing_fields_are_no_fault() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-31T03:00:00.000Z","Bucket":"acme-lake","RequestId":"R","HostId":"H"}"#;
        assert_eq!(cleaned(test), [""; 0]);
        let key = "weather/br+onze/run%3D1/batch%3D1.jsonl";
        assert_eq!(cleaned(&object(key).replace("ObjectCreated:Put", "ObjectRemoved:Delete")), [""; 0]);
        let bare =
            format!(r#"{{"Records":[{{"s3":{{"bucket":{{"name":"acme-lake"}},"object":{{"key":"{key}"}}}}}}, {{}}]}}"#);
        assert_eq!(cleaned(&bare).len(), 1);
        assert_eq!(cleaned(r#"{"Records":[]}"#), [""; 0]);
    }

    /// As SNS delivers `message` to a queue.
    fn through_sns(message: &str) -> String {
        let wrapped = serde_json::json!({
            "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:eu-central-1:123456789012:lake", "Subject": "Amazon S3 Notification", "Message": message,
            "Timestamp": "2026-01-31T03:00:00.000Z", "SignatureVersion": "1", "Signature": "c2ln",
            "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/cert.pem", "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/",
        });
        wrapped.to_string()
    }

    /// As EventBridge delivers the news of an object.
    fn through_event_bridge(kind: &str, key: &str) -> String {
        let event = serde_json::json!({
            "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": "aws.s3",
            "account": "123456789012", "time": "2026-01-31T03:00:00Z", "region": "eu-central-1",
            "resources": ["arn:aws:s3:::acme-lake"],
            "detail": {
                "version": "0", "bucket": {"name": "acme-lake"}, "reason": "PutObject",
                "object": {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00617F08299329D189"},
            },
        });
        event.to_string()
    }

    #[test]
    fn news_of_an_object_is_work_whichever_way_it_came() {
        let place = "run=20260131T030000Z/batch=00000-ab.jsonl";
        let plain = object(&format!("weather/br+onze/{}", place.replace('=', "%3D")));
        let bridged = through_event_bridge("Object Created", &format!("weather/br onze/{place}"));
        for message in
            [&plain, &through_sns(&plain), &bridged, &through_sns(&bridged), &through_sns(&through_sns(&plain))]
        {
            assert_eq!(cleaned(message), [format!(r#"{{"bronze":"{place}"}}"#)], "{message}");
        }
        let version = through_event_bridge("Object Created", "weather/silver/_delta_log/00000000000000000012.json");
        assert_eq!(aggregated(&through_sns(&version)), [r#"{"silver":12}"#]);
    }

    #[test]
    fn a_key_of_event_bridge_is_not_decoded() {
        let told = notification(through_event_bridge("Object Created", "a+b%2Fc").as_bytes()).unwrap();
        assert_eq!(told, [Told { bucket: "acme-lake".to_owned(), key: "a+b%2Fc".to_owned() }]);
    }

    #[test]
    fn wrapped_tests_and_removals_are_no_work_and_other_texts_of_a_topic_go_on() {
        let key = "weather/br onze/run=1/batch=1.jsonl";
        let removed =
            object("weather/br+onze/run%3D1/batch%3D1.jsonl").replace("ObjectCreated:Put", "ObjectRemoved:Delete");
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"acme-lake"}"#;
        for message in [through_event_bridge("Object Deleted", key), removed, test.to_owned()] {
            assert_eq!((cleaned(&message), cleaned(&through_sns(&message))), (Vec::new(), Vec::new()), "{message}");
        }
        let other = through_sns("no JSON");
        assert_eq!(cleaned(&other), [other]);
    }

    #[test]
    fn the_engines_own_events_and_what_nobody_knows_go_on_as_they_are() {
        for body in [r#"{"bronze":"run=1/batch=1.jsonl","lines":[3]}"#, r#"{"silver":4}"#, "no JSON", ""] {
            assert_eq!((cleaned(body), aggregated(body)), (vec![body.to_owned()], vec![body.to_owned()]));
        }
    }

    #[test]
    fn a_batch_is_read_with_what_is_there() {
        let event = r#"{"Records":[
            {"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEB+/=","body":"{\"silver\":1}",
             "attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1545082649183","SenderId":"A"},
             "messageAttributes":{},"md5OfBody":"e4e6","eventSource":"aws:sqs",
             "eventSourceARN":"arn:aws:sqs:us-east-2:1:q","awsRegion":"us-east-2"},
            {"messageId":" id \u00e4","body":"sluicebox:base64:AAE="}]}"#;
        let records = batch(event.as_bytes()).unwrap();
        let told: Vec<_> = records.iter().map(|one| (one.id.as_str(), one.receipt.as_str(), one.receives)).collect();
        assert_eq!(told, [("059f36b4-87a3-44ab-83d2-661975830a7d", "AQEB+/=", 3), (" id \u{e4}", "", 1)]);
        assert_eq!((&records[0].body[..], &records[1].body[..]), (&b"{\"silver\":1}"[..], &b"\0\x01"[..]));
        for none in ["{}", "null", r#"{"Records":[{"body":"x"}]}"#] {
            assert!(batch(none.as_bytes()).is_err(), "{none}");
        }
    }

    #[test]
    fn a_tick_is_the_scheduled_instant() {
        let of = |event: &str| tick(event.as_bytes()).map(|tick| tick.map(|tick| tick.to_string()));
        let three = Some("20260131T030000Z".to_owned());
        for event in [
            r#"{"time":"2026-01-31T03:00:00Z"}"#,
            r#"{"scheduled-time":"2026-01-31T04:00:00+01:00"}"#,
            r#"{"version":"0","id":"53dc","detail-type":"Scheduled Event","source":"aws.events","time":"2026-01-31T03:00:00Z","detail":{}}"#,
        ] {
            assert_eq!(of(event).unwrap(), three, "{event}");
        }
        for none in ["{}", "null", "", r#"{"time":null}"#] {
            assert_eq!(of(none).unwrap(), None, "{none}");
        }
        assert!(of(r#"{"time":"soon"}"#).is_err() && of(r#"{"time":3}"#).is_err());
        let error = of(r#"{"time":"2026-01-31T03:00:00Z""#).unwrap_err().to_string();
        assert!(error.starts_with("not an event: EOF") && error.contains("hint: "), "{error}");
    }
}
