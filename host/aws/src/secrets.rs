//! Secrets of AWS Secrets Manager, kept for a while.
//!
//! Does not read those of this machine, and never a version that is still to come (`AWSPENDING`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use chrono::{DateTime, Utc};
use seams::clock::Clock;
use seams::secrets::{ExposeSecret, SecretError, SecretRef, SecretString, Secrets};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::cloud::Cloud;
use crate::failure::CallError;

/// How long a value is used without asking again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// [`Secrets`] of `aws-secretsmanager:NAME` and `aws-secretsmanager:NAME#FIELD`.
///
/// * A value is asked for once in five minutes, all fields of a secret together. If the service cannot be reached then, the old value
///   stays in use.
/// * `refresh` always asks, and what it learns counts for every later `get`.
/// * Its `Debug` shows no value.
pub struct ManagerSecrets {
    client: aws_sdk_secretsmanager::Client,
    clock: Arc<dyn Clock>,
    max_age: Duration,
    /// By name, with the time of the answer. Locked while one is asked for, so that callers that want the same secret ask once.
    known: Mutex<HashMap<String, (DateTime<Utc>, SecretString)>>,
}

impl std::fmt::Debug for ManagerSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerSecrets").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

impl ManagerSecrets {
    /// The secrets of an account.
    #[must_use]
    pub fn new(cloud: &Cloud, clock: Arc<dyn Clock>) -> Self {
        ManagerSecrets { client: cloud.secrets_manager(), clock, max_age: MAX_AGE, known: Mutex::default() }
    }

    /// The secret's value; `fresh` if it must be asked for.
    async fn value(&self, reference: &SecretRef, fresh: bool) -> Result<SecretString, SecretError> {
        let SecretRef::AwsSecretsManager { name, field } = reference else {
            let text = "it is not one of AWS Secrets Manager\nhint: write `aws-secretsmanager:NAME`";
            return Err(SecretError::Unavailable(reference.clone(), text.into()));
        };
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let there = known.get(name).cloned();
        if let Some((when, value)) = there.as_ref().filter(|_| !fresh)
            && (now - *when).to_std().is_ok_and(|age| age < self.max_age)
        {
            return part(value, field.as_deref(), reference);
        }
        match (self.ask(name, reference).await, there) {
            (Ok(value), _) => {
                known.insert(name.clone(), (now, value.clone()));
                part(&value, field.as_deref(), reference)
            }
            (Err(SecretError::Unavailable(_, error)), Some((_, value))) if !fresh => {
                tracing::warn!(secret = %reference, error, "the secret cannot be read now, its last value serves on");
                part(&value, field.as_deref(), reference)
            }
            (Err(error), _) => {
                known.remove(name);
                Err(error)
            }
        }
    }

    async fn ask(&self, name: &str, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let call = self.client.get_secret_value().secret_id(name).version_stage("AWSCURRENT");
        let told = call.send().await.map_err(|error| refused(reference, &error))?;
        let text = match (told.secret_string, told.secret_binary) {
            (Some(text), _) => text,
            (None, Some(bytes)) => String::from_utf8(bytes.into_inner())
                .map_err(|_| SecretError::Unavailable(reference.clone(), "its value is not UTF-8 text".into()))?,
            (None, None) => String::new(),
        };
        Ok(SecretString::from(text))
    }
}

/// Why Secrets Manager does not return the secret.
fn refused(reference: &SecretRef, error: &SdkError<GetSecretValueError>) -> SecretError {
    let told = CallError::of("GetSecretValue", &reference.to_string(), error);
    match told.code() {
        Some("ResourceNotFoundException") => SecretError::Missing(reference.clone()),
        Some("AccessDeniedException" | "DecryptionFailure") => SecretError::Denied(reference.clone(), told.to_string()),
        _ => SecretError::Unavailable(reference.clone(), told.to_string()),
    }
}

/// The value itself, or one field of the object that it is. No error quotes the value.
fn part(value: &SecretString, field: Option<&str>, reference: &SecretRef) -> Result<SecretString, SecretError> {
    let text = match field {
        None => value.expose_secret().to_owned(),
        Some(field) => {
            let unusable = |text: &str| SecretError::Unavailable(reference.clone(), text.into());
            let object: Value = serde_json::from_str(value.expose_secret())
                .map_err(|_| unusable("its value is not JSON, expected an object with that field"))?;
            let object = object.as_object().ok_or_else(|| unusable("its value is no JSON object"))?;
            match object.get(field) {
                None | Some(Value::Null) => return Err(SecretError::Missing(reference.clone())),
                Some(Value::String(text)) => text.clone(),
                Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
                Some(_) => return Err(unusable("that field is a list or an object, expected text")),
            }
        }
    };
    if text.is_empty() { Err(SecretError::Missing(reference.clone())) } else { Ok(SecretString::from(text)) }
}

#[async_trait]
impl Secrets for ManagerSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.value(reference, false).await
    }

    async fn refresh(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.value(reference, true).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(value: &str, field: Option<&str>) -> Result<String, SecretError> {
        let reference = SecretRef::AwsSecretsManager { name: "prod".into(), field: field.map(str::to_owned) };
        part(&SecretString::from(value.to_owned()), field, &reference).map(|value| value.expose_secret().to_owned())
    }

    #[test]
    fn a_field_is_taken_from_the_object() {
        let value = r#"{"key": "abc", "port": 5432, "none": null, "list": [], "empty": ""}"#;
        assert_eq!(field(value, Some("key")).unwrap(), "abc");
        assert_eq!(field(value, Some("port")).unwrap(), "5432");
        assert_eq!(field(value, None).unwrap(), value);
        for missing in ["none", "nothing", "empty"] {
            assert!(matches!(field(value, Some(missing)), Err(SecretError::Missing(_))), "{missing}");
        }
        assert!(matches!(field("", None), Err(SecretError::Missing(_))));
    }

    #[test]
    fn no_error_shows_the_value() {
        for value in ["the-value", "[\"the-value\"]", "{\"key\": [\"the-value\"]}", "{\"the-value\": 1, \"key\": {}}"] {
            let error = field(value, Some("key")).unwrap_err();
            assert!(matches!(error, SecretError::Unavailable(..)), "{error}");
            assert!(!format!("{error} {error:?}").contains("the-value"), "{error:?}");
        }
    }
}
