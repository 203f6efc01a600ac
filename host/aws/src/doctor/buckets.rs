//! The buckets of the lake: there, without old versions, telling the queues what is new, and ours to read and write.
//!
//! Writes nothing: each write that it asks for has a condition that never holds.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::BucketVersioningStatus;
use deploy::Deployment;

use super::check::{Check, Finding, mend, so};
use crate::cloud::Cloud;
use crate::failure::CallError;

/// A name that no layer has.
const NOWHERE: &str = "_doctor";
/// A tag that no object has.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

pub(super) async fn check(cloud: &Cloud, deployment: &Deployment<'_>) -> Vec<Check> {
    let (client, site) = (cloud.s3(), &deployment.site);
    let mut checks = Vec::new();
    for (bucket, layers) in site.buckets() {
        let there = is_there(&client, bucket).await;
        let missing = there.finding.is_some();
        checks.push(there);
        if missing {
            continue;
        }
        checks.push(keeps_no_old_versions(&client, bucket).await);
        checks.push(ends_unfinished_uploads(&client, bucket).await);
        if deployment.layout.notifies() {
            for (layer, stage) in [(&site.bronze, "clean"), (&site.silver, "aggregate")] {
                if layers.contains(&layer) {
                    checks.push(tells(&client, bucket, layer.name, &format!("{}-{stage}", site.name)).await);
                }
            }
        }
        for layer in layers {
            checks.push(can_be_read(&client, bucket, layer.name, &layer.key(NOWHERE)).await);
            checks.push(can_be_written(&client, bucket, layer.name, &layer.key(NOWHERE)).await);
        }
    }
    checks
}

fn about(bucket: &str) -> String {
    format!("bucket {bucket}")
}

async fn is_there(client: &Client, bucket: &str) -> Check {
    let outcome = match client.head_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = CallError::of("HeadBucket", bucket, &error);
            let fix = match error.status() {
                Some(301) => "it is in another region: set `AWS_REGION` to that one".to_owned(),
                Some(404) => "make it, as `sluicebox deploy cloudformation` does, or correct `[lake]`".to_owned(),
                _ => mend(
                    &error,
                    "allow `s3:ListBucket` on it, or look as somebody who may; it may also be another account's",
                ),
            };
            Err(Finding::new(error.to_string(), fix))
        }
    };
    Check::new(about(bucket), "is there", outcome)
}

async fn keeps_no_old_versions(client: &Client, bucket: &str) -> Check {
    let outcome = match client.get_bucket_versioning().bucket(bucket).send().await {
        Ok(told) => so(told.status() != Some(&BucketVersioningStatus::Enabled), || {
            Finding::new(
                "it keeps every version of every object, so that `forget` does not erase and disk is never given back",
                "suspend its versioning, and have a lifecycle rule expire noncurrent versions",
            )
        }),
        Err(error) => Err(unseen(&CallError::of("GetBucketVersioning", bucket, &error), "s3:GetBucketVersioning")),
    };
    Check::new(about(bucket), "keeps no old versions", outcome)
}

async fn ends_unfinished_uploads(client: &Client, bucket: &str) -> Check {
    let fix = "add a lifecycle rule with `AbortIncompleteMultipartUpload` after two days";
    let outcome = match client.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
        Ok(told) => {
            let ends = told.rules().iter().any(|rule| rule.abort_incomplete_multipart_upload().is_some());
            so(ends, || Finding::new("no rule of its lifecycle ends them", fix))
        }
        Err(error) => {
            let error = CallError::of("GetBucketLifecycleConfiguration", bucket, &error);
            Err(match error.status() {
                Some(404) => {
                    Finding::new("it has no lifecycle: what a killed process began to upload stays, and costs", fix)
                }
                _ => unseen(&error, "s3:GetLifecycleConfiguration"),
            })
        }
    };
    Check::new(about(bucket), "ends unfinished uploads", outcome)
}

async fn tells(client: &Client, bucket: &str, layer: &str, queue: &str) -> Check {
    let outcome = match client.get_bucket_notification_configuration().bucket(bucket).send().await {
        Ok(told) => {
            let tells = told.queue_configurations().iter().any(|one| {
                let created = one.events().iter().any(|event| event.as_str().starts_with("s3:ObjectCreated:"));
                created && one.queue_arn().rsplit(':').next() == Some(queue)
            });
            so(tells, || {
                let fix = format!(
                    "notify the queue of `s3:ObjectCreated:*` in {layer}, as `sluicebox deploy cloudformation` does; or deploy with \
                     `--own-buckets`, then the functions tell each other, and look with `sluicebox doctor --own-buckets`"
                );
                Finding::new(format!("nothing that is new in {layer} is told to `{queue}`"), fix)
            })
        }
        Err(error) => {
            let error = CallError::of("GetBucketNotificationConfiguration", bucket, &error);
            Err(unseen(&error, "s3:GetBucketNotification"))
        }
    };
    Check::new(about(bucket), "tells the queues what is new", outcome)
}

/// For an object that is not there S3 answers 404 to a caller that may read and list, and 403 to any other.
async fn can_be_read(client: &Client, bucket: &str, layer: &str, key: &str) -> Check {
    let outcome = match client.head_object().bucket(bucket).key(key).send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = CallError::of("HeadObject", &format!("{bucket}/{key}"), &error);
            so(error.status() == Some(404), || {
                let allow = "allow `s3:GetObject` on its objects, and `s3:ListBucket` on the bucket";
                Finding::new(error.to_string(), mend(&error, allow))
            })
        }
    };
    Check::new(format!("layer {layer}"), "can be read", outcome)
}

async fn can_be_written(client: &Client, bucket: &str, layer: &str, key: &str) -> Check {
    let put = client.put_object().bucket(bucket).key(key).if_match(NO_TAG).body(ByteStream::from_static(b""));
    let outcome = match put.send().await {
        // A store that ignores conditions: it would lose what two hosts write at once.
        Ok(_) => Err(Finding::new(
            format!("a put with a condition that does not hold was done: `{key}` is there now"),
            "this store is not like S3 and cannot hold a lake; delete the object",
        )),
        Err(error) => {
            let error = CallError::of("PutObject", &format!("{bucket}/{key}"), &error);
            so(matches!(error.status(), Some(404 | 412)), || {
                Finding::new(error.to_string(), mend(&error, "allow `s3:PutObject` on its objects"))
            })
        }
    };
    Check::new(format!("layer {layer}"), "can be written", outcome)
}

/// A setting that may be right, but may not be looked at.
fn unseen(error: &CallError, action: &str) -> Finding {
    let allow = format!("allow `{action}`, or look as somebody who may");
    Finding::new(format!("cannot be seen: {error}"), mend(error, &allow))
}
