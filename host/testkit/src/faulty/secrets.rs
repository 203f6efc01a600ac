//! [`Faulty`] over secrets: the place does not answer. A lost reply is the same to a caller, and nothing is odd.

use async_trait::async_trait;
use seams::secrets::{SecretError, SecretRef, SecretString, Secrets};

use super::Faulty;

#[async_trait]
impl<T: Secrets + ?Sized> Secrets for Faulty<T> {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let failure = |message: &str| SecretError::Unavailable(reference.clone(), message.into());
        self.call(self.inner.get(reference), failure).await
    }

    async fn refresh(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let failure = |message: &str| SecretError::Unavailable(reference.clone(), message.into());
        self.call(self.inner.refresh(reference), failure).await
    }
}
