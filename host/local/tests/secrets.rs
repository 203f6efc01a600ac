//! Secrets of the environment, and what is said of a secret that cannot be had.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]

use local::LocalSecrets;
use seams::secrets::{ExposeSecret, SecretError, SecretRef, Secrets};

#[tokio::test]
async fn a_variable_is_read_as_it_is() {
    let secrets = LocalSecrets::new(".");
    // Set by cargo for every test.
    let value = secrets.get(&SecretRef::Env("CARGO_PKG_NAME".into())).await.unwrap();
    assert_eq!(value.expose_secret(), "local");
    for name in ["SLUICEBOX_NO_SUCH_VARIABLE", "", "A=B", "A\0B"] {
        let result = secrets.get(&SecretRef::Env(name.into())).await;
        assert!(matches!(result, Err(SecretError::Missing(_))), "{name:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_secret_of_aws_says_what_to_do_instead() {
    let reference = SecretRef::AwsSecretsManager { name: "prod/key".into(), field: Some("api".into()) };
    let error = LocalSecrets::new(".").get(&reference).await.unwrap_err().to_string();
    assert!(error.contains("`aws-secretsmanager:prod/key#api`") && error.contains("\nhint: use `env:NAME`"), "{error}");
}

#[tokio::test]
async fn folders_pipes_and_devices_are_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = LocalSecrets::new(folder.path());
    for path in [".", "/dev/zero"] {
        let result = secrets.get(&SecretRef::File(path.into())).await;
        assert!(matches!(result, Err(SecretError::Unavailable(..))), "{path}: {result:?}");
    }
}
