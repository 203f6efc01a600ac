//! What the emulator cannot do: conflicts, throttling, lost replies, damaged bodies and refusals, answered by a script over a socket.
//!
//! Does not check signatures, and answers one request a connection.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod real_clock;
mod script;

use std::sync::Arc;
use std::time::Duration;

use aws::{ManagerSecrets, S3Options, S3Store, SqsOptions, SqsQueue};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use lake::failure::Failure;
use object_store::{PutMode, PutOptions, PutResult, UpdateVersion};
use real_clock::RealClock;
use script::{Answer, Script};
use seams::queue::{Queue, QueueError, Receipt};
use seams::secrets::{ExposeSecret, SecretError, SecretRef, Secrets};
use seams::store::{self, ObjectStore, ObjectStoreExt, Path, StoreError};
use url::Url;

fn options(mode: PutMode) -> PutOptions {
    PutOptions { mode, ..PutOptions::default() }
}

fn create() -> PutOptions {
    options(PutMode::Create)
}

fn update(tag: &str) -> PutOptions {
    options(PutMode::Update(UpdateVersion { e_tag: Some(tag.into()), version: None }))
}

fn lake(script: &Script) -> Arc<dyn ObjectStore> {
    S3Store::open(&script.cloud(), &Url::parse("s3://lake/bronze").unwrap()).unwrap()
}

async fn put(script: &Script, options: PutOptions) -> Result<PutResult, StoreError> {
    lake(script).put_opts(&Path::from("a"), "text".into(), options).await
}

/// An error of S3, as it writes one.
fn s3_error(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>as the script says</Message></Error>");
    Answer::new(status).body(body)
}

fn done() -> Answer {
    Answer::new(200).header("etag", "\"new\"")
}

/// An object made by the put whose mark is in the request `put`.
fn made_by(put: usize) -> Answer {
    Answer::new(200).header("etag", "\"own\"").header("content-length", "4").echo(put, "x-amz-meta-sluicebox-put")
}

fn made_by_another() -> Answer {
    Answer::new(200).header("etag", "\"theirs\"").header("x-amz-meta-sluicebox-put", "another")
}

#[tokio::test]
async fn a_conflicting_write_is_tried_again_until_it_is_decided() {
    let conflict = || s3_error(409, "ConditionalRequestConflict");
    let script = Script::start([conflict(), conflict(), done()]).await;
    assert_eq!(put(&script, create()).await.unwrap().e_tag.unwrap(), "\"new\"");
    let script = Script::start([conflict(), s3_error(412, "PreconditionFailed"), made_by_another()]).await;
    let refused = put(&script, create()).await;
    assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
    let heads = script.requests();
    assert!(heads[0].contains("if-none-match: *") && heads[1].contains("if-none-match: *"), "{heads:?}");
}

#[tokio::test]
async fn conflicts_without_an_end_are_transient() {
    let script = Script::start(std::iter::repeat_with(|| s3_error(409, "ConditionalRequestConflict")).take(6)).await;
    let error = put(&script, update("\"old\"")).await.unwrap_err();
    assert_eq!(script.requests().len(), 6);
    assert!(error.to_string().contains("ConditionalRequestConflict"), "{error}");
    assert!(matches!(Failure::from(error), Failure::Transient(_)));
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_does_not_lose_against_itself() {
    for options in [create(), update("\"old\"")] {
        // The SDK sends it again, and meets what the first call has made.
        let script = Script::start([Answer::hang_up(), s3_error(412, "PreconditionFailed"), made_by(0)]).await;
        assert_eq!(put(&script, options).await.unwrap().e_tag.unwrap(), "\"own\"");
        let heads = script.requests();
        assert!(heads[0].starts_with("PUT ") && heads[1].starts_with("PUT ") && heads[2].starts_with("HEAD "));
    }
}

#[tokio::test]
async fn a_write_that_met_anothers_object_has_lost() {
    for (options, exists) in [(create(), true), (update("\"old\""), false)] {
        let script = Script::start([Answer::hang_up(), s3_error(412, "PreconditionFailed"), made_by_another()]).await;
        match put(&script, options).await.unwrap_err() {
            StoreError::AlreadyExists { .. } => assert!(exists),
            StoreError::Precondition { .. } => assert!(!exists),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn when_every_reply_is_lost_the_object_decides() {
    let lost = || std::iter::repeat_with(Answer::hang_up).take(3);
    let script = Script::start(lost().chain([made_by(0)])).await;
    assert_eq!(put(&script, create()).await.unwrap().e_tag.unwrap(), "\"own\"");
    let script = Script::start(lost().chain([Answer::new(404)])).await;
    let error = put(&script, create()).await.unwrap_err();
    assert!(matches!(Failure::from(error), Failure::Transient(_)));
    // And if that cannot be seen either, no error says that the other write has won.
    let script = Script::start([s3_error(412, "PreconditionFailed"), Answer::new(403)]).await;
    let error = put(&script, create()).await.unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error}");
}

#[tokio::test]
async fn an_update_of_what_is_gone_is_not_found() {
    let script = Script::start([s3_error(404, "NoSuchKey")]).await;
    let gone = put(&script, update("\"old\"")).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    assert!(script.requests()[0].contains("if-match: \"old\""));
}

#[tokio::test]
async fn slow_down_is_tried_again_and_then_transient() {
    let script = Script::start([s3_error(503, "SlowDown"), done()]).await;
    put(&script, PutOptions::default()).await.unwrap();
    let script = Script::start(std::iter::repeat_with(|| s3_error(503, "SlowDown")).take(3)).await;
    let error = store::read(&*lake(&script), &"a".into()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`GetObject` at `s3://lake/bronze/a`") && text.contains("SlowDown: as the script says"),
        "{text}"
    );
    assert!(matches!(Failure::from(error), Failure::Transient(_)));
}

#[tokio::test]
async fn a_missing_bucket_is_no_missing_object() {
    let script = Script::start([s3_error(404, "NoSuchBucket")]).await;
    let error = store::read(&*lake(&script), &"a".into()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Generic { .. }) && error.to_string().contains("hint: make the bucket"),
        "{error}"
    );
}

#[tokio::test]
async fn what_may_not_be_read_is_told_apart_and_says_what_to_do() {
    let script = Script::start([s3_error(403, "AccessDenied"), s3_error(403, "SignatureDoesNotMatch")]).await;
    let store = lake(&script);
    let error = store.get(&"a".into()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::PermissionDenied { .. }) && error.to_string().contains("hint: allow it"),
        "{error}"
    );
    let error = store.get(&"a".into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unauthenticated { .. }), "{error}");
}

#[tokio::test]
async fn a_body_is_held_against_its_checksum() {
    let object = |checksum: &str| {
        Answer::new(200)
            .header("etag", "\"tag\"")
            .header("last-modified", "Tue, 24 Nov 2026 03:00:00 GMT")
            .header("x-amz-checksum-crc32", checksum)
            .body("text")
    };
    // The CRC32 of `text` is 0x3B8BA7C7.
    let script = Script::start([object("O4unxw=="), object("AAAAAA==")]).await;
    assert_eq!(store::read(&*lake(&script), &"a".into()).await.unwrap(), "text");
    let error = store::read(&*lake(&script), &"a".into()).await.unwrap_err();
    assert!(error.to_string().contains("is not whole"), "{error}");
    assert!(script.requests()[0].contains("x-amz-checksum-mode: ENABLED"), "{:?}", script.requests());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let broken = Answer::new(200).header("last-modified", "Tue, 24 Nov 2026 03:00:00 GMT").body("text").cut(2);
    let script = Script::start([broken]).await;
    let error = store::read(&*lake(&script), &"a".into()).await.unwrap_err();
    assert!(matches!(Failure::from(error), Failure::Transient(_)));
}

#[tokio::test]
async fn what_is_sent_carries_a_checksum() {
    let script = Script::start([done()]).await;
    put(&script, PutOptions::default()).await.unwrap();
    let heads = script.requests();
    assert!(heads[0].contains("x-amz-checksum-crc32: O4unxw=="), "{heads:?}");
}

#[tokio::test]
async fn an_upload_whose_last_reply_was_lost_is_complete() {
    let begun =
        Answer::new(200).body("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
    let script =
        Script::start([begun, done(), Answer::hang_up(), s3_error(404, "NoSuchUpload"), Answer::new(204), made_by(0)])
            .await;
    let url = Url::parse("s3://lake/bronze").unwrap();
    let store = S3Store::open_with(&script.cloud(), &url, S3Options { in_parts_above: 3, part: 5 << 20 }).unwrap();
    let put = store.put_opts(&Path::from("a"), "text".into(), create()).await.unwrap();
    assert_eq!(put.e_tag.unwrap(), "\"own\"");
    let heads = script.requests();
    assert!(heads[2].starts_with("POST ") && heads[2].contains("if-none-match: *"), "{heads:?}");
}

#[tokio::test]
async fn of_many_deletions_those_that_failed_are_named() {
    let failure = |key: &str, code: &str| format!("<Error><Key>bronze/{key}</Key><Code>{code}</Code></Error>");
    let answer =
        |failures: &[String]| Answer::new(200).body(format!("<DeleteResult>{}</DeleteResult>", failures.concat()));
    let script = Script::start([
        answer(&[failure("a", "InternalError"), failure("b", "AccessDenied"), failure("c", "NoSuchKey")]),
        answer(&[]),
    ])
    .await;
    let paths = ["a", "b", "c", "d"].map(|path| Ok(Path::from(path)));
    let gone: Vec<_> = lake(&script).delete_stream(futures::stream::iter(paths).boxed()).collect().await;
    assert!(matches!(&gone[1], Err(StoreError::PermissionDenied { path, .. }) if path == "b"), "{gone:?}");
    assert!(gone[0].is_ok() && gone[2].is_ok() && gone[3].is_ok(), "{gone:?}");
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn a_listing_goes_on_from_page_to_page() {
    let page = |key: &str, more: &str| {
        let object = "<LastModified>2026-11-24T03:00:00.000Z</LastModified><ETag>\"t\"</ETag><Size>4</Size>";
        let contents = format!("<Contents><Key>{key}</Key>{object}</Contents>");
        Answer::new(200).body(format!("<ListBucketResult>{contents}{more}</ListBucketResult>"))
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>on</NextContinuationToken>";
    let script = Script::start([page("bronze/a", more), page("bronze/folder/", more), page("bronze/b", "")]).await;
    let found: Vec<_> = lake(&script).list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
    assert_eq!(found, ["a", "b"]);
    let heads = script.requests();
    assert!(heads[1].contains("continuation-token=on") && heads[0].contains("prefix=bronze%2F"), "{heads:?}");
}

/// The attributes of a queue when it is opened.
fn attributes() -> Answer {
    Answer::new(200).body(r#"{"Attributes": {"VisibilityTimeout": "60", "MaximumMessageSize": "1048576"}}"#)
}

async fn queue(script: &Script) -> SqsQueue {
    let url = Url::parse(&format!("{}/000000000000/work", script.url())).unwrap();
    SqsQueue::open(&script.cloud(), &url, SqsOptions::default(), Arc::new(RealClock)).await.unwrap()
}

fn messages(count: usize) -> Answer {
    let message = |n: usize| {
        format!(
            r#"{{"MessageId": "m{n}", "ReceiptHandle": "r{n}", "Body": "b", "Attributes": {{"ApproximateReceiveCount": "2"}}}}"#
        )
    };
    Answer::new(200).body(format!(r#"{{"Messages": [{}]}}"#, (0..count).map(message).collect::<Vec<_>>().join(",")))
}

fn refused(id: usize, code: &str, sender: bool) -> String {
    format!(r#"{{"Id": "{id}", "Code": "{code}", "SenderFault": {sender}, "Message": "as the script says"}}"#)
}

fn batch(failures: &[String]) -> Answer {
    Answer::new(200).body(format!(r#"{{"Successful": [], "Failed": [{}]}}"#, failures.join(",")))
}

#[tokio::test]
async fn of_a_batch_only_what_failed_is_sent_again() {
    let script = Script::start([attributes(), batch(&[refused(1, "InternalError", false)]), batch(&[])]).await;
    queue(&script).await.send(["a", "b", "c"].map(Bytes::from).into()).await.unwrap();
    let bodies = script.bodies();
    assert_eq!(bodies[1].matches("MessageBody").count(), 3);
    assert!(bodies[2].contains(r#""MessageBody":"b""#) && !bodies[2].contains(r#""MessageBody":"a""#), "{}", bodies[2]);
}

#[tokio::test]
async fn what_could_not_be_sent_is_named() {
    let failures = [refused(0, "InvalidMessageContents", true), refused(2, "InternalError", false)];
    let script = Script::start([attributes(), batch(&failures)]).await;
    let error = queue(&script).await.send(["a", "b", "c"].map(Bytes::from).into()).await.unwrap_err().to_string();
    assert!(
        error.contains("2 of 3 messages were not sent") && error.contains("message 0: InvalidMessageContents"),
        "{error}"
    );
}

#[tokio::test]
async fn each_delivery_of_a_batch_has_its_own_outcome() {
    let failures = [refused(0, "ReceiptHandleIsInvalid", true)];
    let script = Script::start([attributes(), messages(1), batch(&failures)]).await;
    let queue = queue(&script).await;
    let got = queue.receive(5, Duration::ZERO).await.unwrap();
    assert_eq!(got[0].receives, 2);
    let done = queue.ack(&got[0].receipt).await;
    assert!(matches!(done, Err(QueueError::Expired)), "{done:?}");
}

#[tokio::test]
async fn a_delivery_that_could_not_be_settled_can_be_tried_again() {
    let failing = std::iter::repeat_with(|| batch(&[refused(0, "InternalError", false)])).take(4);
    let answers = [attributes(), messages(1)].into_iter().chain(failing).chain([batch(&[])]);
    let script = Script::start(answers).await;
    let queue = queue(&script).await;
    let got = queue.receive(5, Duration::ZERO).await.unwrap();
    let done = queue.ack(&got[0].receipt).await;
    assert!(matches!(done, Err(QueueError::Backend(_))), "{done:?}");
    queue.ack(&got[0].receipt).await.unwrap();
}

#[tokio::test]
async fn what_a_receive_has_taken_that_nobody_waits_for_any_more_is_given_back() {
    let script =
        Script::start([attributes(), messages(10), messages(0).after(Duration::from_secs(1)), batch(&[])]).await;
    let queue = queue(&script).await;
    let left = tokio::time::timeout(Duration::from_millis(300), queue.receive(256, Duration::ZERO)).await;
    assert!(left.is_err(), "{left:?}");
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while script.bodies().len() < 4 {
        assert!(std::time::Instant::now() < until, "nothing is given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let given_back = script.bodies().pop().unwrap();
    assert_eq!(given_back.matches(r#""VisibilityTimeout":0"#).count(), 10, "{given_back}");
}

#[tokio::test]
async fn deliveries_settled_at_the_same_time_go_together() {
    let script = Script::start([attributes(), messages(10), batch(&[]), batch(&[])]).await;
    let queue = queue(&script).await;
    let got = queue.receive(10, Duration::ZERO).await.unwrap();
    let acks = got.iter().map(|delivery| queue.ack(&delivery.receipt));
    futures::future::try_join_all(acks).await.unwrap();
    assert!(script.requests().len() <= 4, "ten deletions took {} calls", script.requests().len() - 2);
}

#[tokio::test]
async fn a_queue_that_cannot_serve_is_refused_when_it_is_opened() {
    let fifo = Answer::new(200).body(r#"{"Attributes": {"FifoQueue": "true", "VisibilityTimeout": "60"}}"#);
    let missing = Answer::new(400)
        .header("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender")
        .body(r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "as the script says"}"#);
    for (answer, expected) in [(fifo, "is a FIFO queue"), (missing, "hint: make the queue")] {
        let script = Script::start([answer]).await;
        let url = Url::parse(&format!("{}/000000000000/work", script.url())).unwrap();
        let opened = SqsQueue::open(&script.cloud(), &url, SqsOptions::default(), Arc::new(RealClock)).await;
        let error = opened.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Opens a stage whose queues have these attributes, the live one first.
async fn stage(redrive: &str, size: u32) -> Result<(), String> {
    let told = |policy: &str| {
        let policy = serde_json::Value::from(policy);
        Answer::new(200).body(format!(
            r#"{{"Attributes": {{"VisibilityTimeout": "60", "MaximumMessageSize": "{size}", "RedrivePolicy": {policy}}}}}"#
        ))
    };
    let script = Script::start([told(redrive), told("")]).await;
    let base = Url::parse(&format!("{}/000000000000/orders", script.url())).unwrap();
    let clock: Arc<dyn seams::clock::Clock> = Arc::new(RealClock);
    let opened = aws::open_stage(&script.cloud(), &base, "clean", std::num::NonZeroU32::new(10).unwrap(), &clock).await;
    opened.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_stage_whose_queues_do_not_fit_says_what_to_set() {
    let policy =
        |queue: &str| format!(r#"{{"deadLetterTargetArn": "arn:aws:sqs:r:0:{queue}", "maxReceiveCount": 10}}"#);
    assert_eq!(stage(&policy("orders-clean-dead"), 1 << 20).await, Ok(()));
    for redrive in ["", &policy("other")] {
        let told = stage(redrive, 1 << 20).await.unwrap_err();
        assert!(told.contains("`orders-clean-dead`") && told.contains("hint: set `deadLetterTargetArn`"), "{told}");
    }
    let told = stage(&policy("orders-clean-dead"), 256 << 10).await.unwrap_err();
    assert!(told.contains("hint: set its `MaximumMessageSize`"), "{told}");
}

#[tokio::test]
async fn a_stage_that_nobody_needs_is_not_looked_at_and_one_that_somebody_does_once() {
    let policy = r#"{\"deadLetterTargetArn\": \"arn:aws:sqs:r:0:orders-clean-dead\", \"maxReceiveCount\": 10}"#;
    let told = |policy: &str, size: u32| {
        let size = format!(r#""VisibilityTimeout": "77", "MaximumMessageSize": "{size}""#);
        Answer::new(200).body(format!(r#"{{"Attributes": {{{size}, "RedrivePolicy": "{policy}"}}}}"#))
    };
    let small = 1 << 10;
    let script = Script::start([told(policy, small), told("", small), told(policy, 1 << 20), told("", 1 << 20)]).await;
    let base = Url::parse(&format!("{}/000000000000/orders", script.url())).unwrap();
    let clock: Arc<dyn seams::clock::Clock> = Arc::new(RealClock);
    let stage = aws::unopened_stage(&script.cloud(), &base, "clean", std::num::NonZeroU32::new(10).unwrap(), &clock);
    assert_eq!(script.requests().len(), 0);

    // The first look finds queues that do not serve, the next one finds them corrected.
    let error = stage.live.receive(1, Duration::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("MaximumMessageSize"), "{error}");
    for _ in 0..2 {
        assert!(stage.dead.ack(&Receipt("none of it".into())).await.is_err());
    }
    assert_eq!((script.requests().len(), stage.live.visibility().as_secs()), (4, 77));
}

fn reference() -> SecretRef {
    SecretRef::AwsSecretsManager { name: "prod".into(), field: None }
}

fn value(text: &str) -> Answer {
    Answer::new(200).body(format!(r#"{{"Name": "prod", "SecretString": "{text}"}}"#))
}

fn manager_error(code: &str) -> Answer {
    Answer::new(400).body(format!(r#"{{"__type": "{code}", "Message": "as the script says"}}"#))
}

#[tokio::test]
async fn a_secret_is_asked_for_once_and_again_when_it_must_be() {
    let script = Script::start([value("one"), value("two")]).await;
    let secrets = ManagerSecrets::new(&script.cloud(), Arc::new(RealClock));
    for _ in 0..3 {
        assert_eq!(secrets.get(&reference()).await.unwrap().expose_secret(), "one");
    }
    assert_eq!(secrets.refresh(&reference()).await.unwrap().expose_secret(), "two");
    assert_eq!(secrets.get(&reference()).await.unwrap().expose_secret(), "two");
    assert!(script.bodies().iter().all(|body| body.contains("AWSCURRENT")), "{:?}", script.bodies());
}

#[tokio::test]
async fn a_refused_secret_is_neither_missing_nor_unreachable() {
    for (code, expected) in [
        ("AccessDeniedException", "denied"),
        ("DecryptionFailure", "denied"),
        ("InvalidRequestException", "unavailable"),
    ] {
        let script = Script::start([manager_error(code)]).await;
        let secrets = ManagerSecrets::new(&script.cloud(), Arc::new(RealClock));
        let told = match secrets.get(&reference()).await.unwrap_err() {
            SecretError::Missing(_) => "missing",
            SecretError::Denied(..) => "denied",
            SecretError::Unavailable(..) => "unavailable",
        };
        assert_eq!(told, expected, "{code}");
    }
}

#[tokio::test]
async fn the_doctor_does_not_blame_leave_for_a_page() {
    use deploy::{Deployment, Mode};
    let text = "[pipeline]\nname = \"orders\"\n[source]\nuri = \"orders.csv\"\nkey = [\"id\"]\n[clean]\nplugin = \"c\"\n\
                [queue]\nurl = \"https://sqs.us-east-1.amazonaws.com/123456789012/orders\"\n\
                [lake]\nbronze = \"s3://lake/bronze\"\nsilver = \"s3://lake/silver\"\ngold = \"s3://lake/gold\"\n";
    let plan = pipeline::check("p.toml", text, &pipeline::Overrides::default()).unwrap();
    // The source is on this machine: an objection says that, and all else is checked.
    let (deployment, objections) = Deployment::look(&plan, Mode::Lambda);
    assert_eq!(objections.iter().map(|one| one.about.as_str()).collect::<Vec<_>>(), ["source.uri"]);
    let page = || Answer::new(200).header("content-type", "text/html").body("<!DOCTYPE html><html>Log in first</html>");
    let script = Script::start(std::iter::repeat_with(page).take(200)).await;
    let checks = aws::doctor::examine(&script.cloud(), &deployment.unwrap(), Mode::Lambda, || 0).await;
    let findings: Vec<_> = checks.into_iter().filter_map(|check| Some((check.about, check.finding?))).collect();
    assert!(findings.len() > 5, "{findings:#?}");
    for (about, finding) in findings {
        assert!(!finding.fix.contains("allow `"), "{about}: {finding:?}");
    }
}
