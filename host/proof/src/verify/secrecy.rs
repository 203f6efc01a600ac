//! V7: no object of the lake holds a secret, in whatever encoding it travels.
//!
//! Does not read logs: they are not in the lake. What the program prints passes its redactor, which finds secrets with the same code.

use engine::redaction::Redactor;
use futures::TryStreamExt;
use lake::delta;
use lake::failure::Failure;
use seams::secrets::ExposeSecret;
use seams::store::{Store, StoreError, read};

use super::{Checker, Invariant};

/// A shorter value would be found everywhere by chance: a lake is full of digests.
const SHORTEST: usize = 6;

impl Checker<'_> {
    /// V7.
    pub(super) async fn secrecy(&mut self) -> Result<(), Failure> {
        let (secrets, absent) = self.service.enrich.gateway.keys().all().await;
        let long = secrets.iter().filter(|(_, secret)| secret.expose_secret().len() >= SHORTEST);
        let needles: Vec<(String, Redactor)> =
            long.map(|(name, secret)| (name.clone(), Redactor::of(secret.expose_secret()))).collect();
        for name in absent {
            self.report.notes.push(format!("secret `{name}` cannot be had here: the lake was not searched for it"));
        }
        for (name, _) in secrets.iter().filter(|(_, secret)| secret.expose_secret().len() < SHORTEST) {
            let message = format!("secret `{name}` is shorter than {SHORTEST} bytes: the lake was not searched for it");
            self.report.notes.push(message);
        }
        if needles.is_empty() {
            return Ok(());
        }
        let lake = &self.service.enrich.lake;
        for (layer, store) in [("bronze", &lake.bronze), ("silver", &lake.silver), ("gold", &lake.gold)] {
            self.layer(layer, store, &needles).await?;
        }
        Ok(())
    }

    async fn layer(&mut self, layer: &str, store: &Store, needles: &[(String, Redactor)]) -> Result<(), Failure> {
        let objects: Vec<_> = store.list(None).try_collect().await?;
        self.steps.begin("searching for secrets", objects.len());
        self.report.checked(Invariant::V7, objects.len());
        for object in objects {
            self.steps.step(1);
            let bytes = match read(&**store, &object.location).await {
                Ok(bytes) => bytes,
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let path = object.location.as_ref();
            // A Parquet file is compressed: its rows are searched instead.
            let text = if path.ends_with(".parquet") { delta::text_of(&bytes).unwrap_or(bytes) } else { bytes };
            for (name, secret) in needles {
                if secret.holds(&text) {
                    self.report.find(Invariant::V7, format!("{layer}/{path}"), format!("it holds the secret `{name}`"));
                }
            }
        }
        Ok(())
    }
}
