//! The KMS key, if a parameter names one: what is encrypted with it, and the roles' access to it.
//!
//! Does not make a key or its policy. The policy has to allow the services that encrypt in their own name: CloudWatch Logs, and S3 for
//! notifications to an encrypted queue.

use serde_json::{Value, json};

use super::condition::{either, members, when};

/// How the objects of a bucket are encrypted.
pub(super) fn of_bucket() -> Value {
    let with_key = json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": { "Ref": "KmsKey" } });
    json!({ "ServerSideEncryptionConfiguration": [{
        "ServerSideEncryptionByDefault": either("KmsKey", with_key, json!({ "SSEAlgorithm": "AES256" })),
        // One key for many objects: otherwise each object costs a request to KMS.
        "BucketKeyEnabled": either("KmsKey", json!(true), json!(false)),
    }] })
}

/// How Athena's results are encrypted.
pub(super) fn of_answers() -> Value {
    let with_key = json!({ "EncryptionOption": "SSE_KMS", "KmsKey": { "Ref": "KmsKey" } });
    either("KmsKey", with_key, json!({ "EncryptionOption": "SSE_S3" }))
}

/// The key, for a property that takes its ARN; without a key the service's own encryption is used.
pub(super) fn reference() -> Value {
    when("KmsKey", json!({ "Ref": "KmsKey" }))
}

/// The actions that a role needs to read and write what is encrypted with the key.
pub(super) fn ours() -> Value {
    when("KmsKey", statement("Key", &["kms:Decrypt", "kms:GenerateDataKey"], json!({ "Ref": "KmsKey" })))
}

/// The actions that a role needs to read sources, plugins and secrets that are encrypted with keys of their own.
pub(super) fn of_sources() -> Value {
    when("SourceKmsKeys", statement("SourceKeys", &["kms:Decrypt"], members("SourceKmsKeys")))
}

fn statement(sid: &str, actions: &[&str], keys: Value) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": keys })
}
