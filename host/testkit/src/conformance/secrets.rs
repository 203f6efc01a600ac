//! The clauses of the secrets' contract.
//!
//! Does not check where an adapter looks: the rig says which reference is which.

use std::any::Any;
use std::sync::Arc;

use seams::secrets::{ExposeSecret, SecretError, SecretRef, Secrets};

/// A place of secrets under test.
pub struct SecretsRig {
    /// The adapter.
    pub secrets: Arc<dyn Secrets>,
    /// A secret that is there, and its value.
    pub present: (SecretRef, String),
    /// One that is not there.
    pub missing: SecretRef,
    /// One that the adapter cannot reach.
    pub unavailable: SecretRef,
    /// Puts another value in the place of `present`.
    pub rotate: Box<dyn Fn(&str) + Send + Sync>,
    /// Kept until the clause is over.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes a test of every clause; the argument is an async closure that returns a [`SecretsRig`].
#[macro_export]
macro_rules! secrets_conformance {
    ($rig:expr) => {
        $crate::conformance_tests!(secrets, $rig;
            a_secret_that_is_there_has_its_value,
            a_missing_secret_is_missing,
            an_unreachable_place_is_not_a_missing_secret,
            a_refresh_sees_the_rotated_value,
            a_value_does_not_print_itself,
            errors_name_the_reference,
        );
    };
}

/// `get` returns the value as it was put there.
pub async fn a_secret_that_is_there_has_its_value(rig: SecretsRig) {
    let (reference, value) = &rig.present;
    for _ in 0..2 {
        assert_eq!(rig.secrets.get(reference).await.unwrap().expose_secret(), value);
    }
}

/// A secret that is not there is `Missing`, with `get` and with `refresh`.
pub async fn a_missing_secret_is_missing(rig: SecretsRig) {
    for result in [rig.secrets.get(&rig.missing).await, rig.secrets.refresh(&rig.missing).await] {
        assert!(matches!(&result, Err(SecretError::Missing(reference)) if *reference == rig.missing), "{result:?}");
    }
}

/// A place that cannot be reached is `Unavailable`.
pub async fn an_unreachable_place_is_not_a_missing_secret(rig: SecretsRig) {
    let result = rig.secrets.get(&rig.unavailable).await;
    assert!(
        matches!(&result, Err(SecretError::Unavailable(reference, _)) if *reference == rig.unavailable),
        "{result:?}"
    );
}

/// After a rotation `refresh` returns the new value, and so does every later `get`.
pub async fn a_refresh_sees_the_rotated_value(rig: SecretsRig) {
    let reference = &rig.present.0;
    rig.secrets.get(reference).await.unwrap();
    (rig.rotate)("a-rotated-value");
    assert_eq!(rig.secrets.refresh(reference).await.unwrap().expose_secret(), "a-rotated-value");
    assert_eq!(rig.secrets.get(reference).await.unwrap().expose_secret(), "a-rotated-value");
}

/// Neither the value's nor the adapter's `Debug` shows a secret.
pub async fn a_value_does_not_print_itself(rig: SecretsRig) {
    let (reference, value) = &rig.present;
    let got = rig.secrets.get(reference).await.unwrap();
    let shown = format!("{got:?} {:?}", rig.secrets);
    assert!(!shown.contains(value), "{shown}");
}

/// Every error names its reference.
pub async fn errors_name_the_reference(rig: SecretsRig) {
    for reference in [&rig.missing, &rig.unavailable] {
        let error = rig.secrets.get(reference).await.unwrap_err().to_string();
        assert!(error.contains(&format!("`{reference}`")), "{error}");
    }
}
