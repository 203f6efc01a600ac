//! The buckets of the lake: closed, encrypted, without old versions, and notifying the queues of new objects. None if the buckets exist
//! already.
//!
//! Does not declare the source's bucket, or the plugins'.

use serde_json::{Value, json};

use super::access::capital;
use super::places::{Layer, Site};
use super::policy::only_tls;
use super::resources::Resources;
use super::tables::RESULTS;
use super::{Deployment, keys};

/// The resource of the bucket that a layer is in: called after the first layer there.
pub(super) fn bucket_of(site: &Site, layer: &Layer) -> String {
    let buckets = site.buckets();
    let found = buckets.iter().find(|(bucket, _)| *bucket == layer.bucket).and_then(|(_, layers)| layers.first());
    format!("{}Bucket", capital(found.map_or(layer.name, |first| first.name)))
}

pub(super) fn resources(deployment: &Deployment<'_>) -> Resources {
    let (site, layout) = (&deployment.site, deployment.layout);
    let mut resources = Resources::new();
    if layout.own_buckets {
        return resources;
    }
    for (bucket, layers) in site.buckets() {
        let Some(first) = layers.first() else { continue };
        let id = bucket_of(site, first);
        let (notifications, after) = if layout.notifies() { notifications(site, &layers) } else { Default::default() };
        let mut properties = json!({
            "BucketName": bucket,
            "BucketEncryption": keys::of_bucket(),
            "LifecycleConfiguration": { "Rules": lifecycle(layers.contains(&&site.gold)) },
            "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
            },
        });
        if let (false, Some(fields)) = (notifications.is_empty(), properties.as_object_mut()) {
            let queues = json!({ "QueueConfigurations": notifications });
            fields.insert("NotificationConfiguration".to_owned(), queues);
        }
        let mut resource = json!({ "Type": "AWS::S3::Bucket" });
        if let Some(fields) = resource.as_object_mut() {
            // S3 checks that it may send to a queue before it accepts the notification.
            if !after.is_empty() {
                fields.insert("DependsOn".to_owned(), json!(after));
            }
            // A bucket that a failed first deployment made is empty, and would be in the way of the next one.
            fields.insert("DeletionPolicy".to_owned(), json!("RetainExceptOnCreate"));
            fields.insert("UpdateReplacePolicy".to_owned(), json!("Retain"));
            fields.insert("Properties".to_owned(), properties);
        }
        resources.push((id.clone(), resource));
        resources.push((format!("{id}Policy"), policy(site, &id, bucket)));
    }
    resources
}

/// Ends unfinished uploads, and deletes Athena's results: they hold rows that `forget` cannot reach.
fn lifecycle(with_results: bool) -> Vec<Value> {
    let mut rules = vec![json!({
        "Id": "unfinished-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 2 },
    })];
    if with_results {
        rules.push(json!({ "Id": "results-of-athena", "Status": "Enabled", "Prefix": RESULTS, "ExpirationInDays": 1 }));
    }
    rules
}

/// The notifications from S3 to the queues, and the resources that must be there before.
fn notifications(site: &Site, layers: &[&Layer]) -> (Vec<Value>, Vec<String>) {
    // Without the `=` of `run=`, which S3 wants escaped in a filter; everything else in Bronze begins with `_`.
    let told = [(&site.bronze, "run", ".jsonl", "clean"), (&site.silver, "_delta_log/", ".json", "aggregate")];
    let told = told.into_iter().filter(|(layer, ..)| layers.contains(layer));
    let one = |(layer, below, suffix, stage): (&Layer, &str, &str, &str)| {
        let rules = json!([{ "Name": "prefix", "Value": layer.key(below) }, { "Name": "suffix", "Value": suffix }]);
        let queue = site.arn("sqs", &format!("{}-{stage}", site.name));
        let told = json!({ "Event": "s3:ObjectCreated:*", "Queue": queue, "Filter": { "S3Key": { "Rules": rules } } });
        (told, format!("{}QueuePolicy", capital(stage)))
    };
    told.map(one).unzip()
}

fn policy(site: &Site, id: &str, bucket: &str) -> Value {
    let resources = [json!(site.bucket_arn(bucket)), json!(site.bucket_arn(&format!("{bucket}/*")))];
    let document = json!({ "Version": "2012-10-17", "Statement": [only_tls("s3:*", &resources)] });
    json!({ "Type": "AWS::S3::BucketPolicy", "Properties": { "Bucket": { "Ref": id }, "PolicyDocument": document } })
}
